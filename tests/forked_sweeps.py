"""Sweeps whose processes, those of the cells too, are copies of this one and need no new interpreter."""

import os
import signal
import subprocess
import tempfile
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

from hydra.core.singleton import Singleton

from forks import become, start_fork
from lit_gan.sweep import cell_process
from lit_gan.system.signals import received
from lit_gan.tasks import training  # noqa: F401 - commands import it late, and every copy would do so anew


class ForkedSweep:
    """`python -m lit_gan.train ARGUMENTS` in a folder, with as much of subprocess.Popen as the tests ask for."""

    def __init__(self, folder: Path, *arguments: str):
        self.output = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = start_fork(folder, "train", *arguments, streams=(self.output, self.output), first=fork_cells)
        self.pid = self.process.pid

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def communicate(self, timeout: float) -> tuple[str, None]:
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired("lit_gan.train", timeout)
        self.output.seek(0)
        return self.output.read().decode("utf-8"), None


class ForkedCell:
    """A cell's process, with as much of subprocess.Popen as a sweep asks for."""

    def __init__(self, state, command, env, stdin, stdout, stderr):
        held_by_cell, self.held_by_sweep = os.pipe()
        self.process = get_context("fork").Process(
            target=become_a_cell, args=(state, command[3:], held_by_cell, self.held_by_sweep, stdout, env)
        )
        self.process.start()
        os.close(held_by_cell)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.held_by_sweep)
        self.process.join()

    def wait(self) -> int:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def terminate(self) -> None:
        self.process.terminate()


def fork_cells():
    """Lets this process start its cells as copies of itself."""
    popen = partial(ForkedCell, Singleton.get_state())
    cell_process.subprocess = SimpleNamespace(Popen=popen, PIPE=subprocess.PIPE)


def become_a_cell(state, arguments, held_by_cell, held_by_sweep, output, environment):
    """What a new interpreter has not: the sweep's end of the pipe, its Hydra, its signals."""
    os.close(held_by_sweep)
    os.dup2(held_by_cell, 0)
    Singleton.set_state(state)
    received.clear()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    become(Path.cwd(), "train", arguments, (output, output), lambda: None, environment)
