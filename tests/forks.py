"""Commands in processes of their own that need no new interpreter."""

import atexit
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from multiprocessing import current_process, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO


def start_fork(
    folder: Path,
    module: str,
    *arguments: str,
    streams: tuple[IO, IO],
    first: Callable[[], None] = lambda: None,
    **environment: str,
) -> BaseProcess:
    """Starts `python -m lit_gan.MODULE ARGUMENTS` in a folder, as a copy of this process.

    The copy has imported what this one has: a new interpreter takes five seconds to import PyTorch. What it prints and
    says goes into the two files `streams`. `first` is called in the copy, before the command.
    """
    process = get_context("fork").Process(target=become, args=(folder, module, arguments, streams, first, environment))
    process.start()
    return process


def become(
    folder: Path,
    module: str,
    arguments: tuple[str, ...],
    streams: tuple[IO, IO],
    first: Callable[[], None],
    environment: dict,
) -> None:
    """Runs the command and, which multiprocessing leaves out, what is registered for the end of an interpreter."""
    atexit._clear()
    os.chdir(folder)
    os.environ |= environment
    tempfile.tempdir = None  # as TMPDIR says now
    current_process()._config.pop("tempdir", None)
    first()
    for number, name, file in zip((1, 2), ("stdout", "stderr"), streams, strict=True):
        os.dup2(file.fileno(), number)
        setattr(sys, name, open(number, "w", buffering=1, encoding="utf-8", closefd=False))  # noqa: SIM115
    sys.argv = [module, *map(str, arguments)]
    try:
        import_module(f"lit_gan.{module}").main()
    finally:
        atexit._run_exitfuncs()


def run_fork(
    folder: Path, module: str, *arguments: str, first: Callable[[], None] = lambda: None, **environment: str
) -> subprocess.CompletedProcess:
    """Runs such a command to its end; what it printed, as text."""
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as said:
        process = start_fork(folder, module, *arguments, streams=(printed, said), first=first, **environment)
        try:
            process.join()
        finally:
            process.kill()  # if the time of the test is over: pytest would wait for it at its own end
        for file in (printed, said):
            file.seek(0)
        texts = [file.read().decode("utf-8") for file in (printed, said)]
    return subprocess.CompletedProcess([module, *arguments], process.exitcode, *texts)
