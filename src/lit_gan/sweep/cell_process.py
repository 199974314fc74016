"""The process of its own in which a cell trains: how it is started, how it is stopped, and why it
has ended."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lit_gan.overrides import as_override_value
from lit_gan.records.lock import TRAINING, InUse, is_held
from lit_gan.records.results import Results
from lit_gan.sweep.cell_config import CELL, cell_config_bytes, restore_cell_config, write_cell_config
from lit_gan.sweep.cells import Cell, CellFailed, read_cell
from lit_gan.sweep.devices import free_device
from lit_gan.system.signals import PARENT, STOPPED, handling, received


def train_apart(config: DictConfig, cell: Cell) -> None:
    """Trains a cell in a process of its own, which writes to `output.log`.

    Raises:
        KeyboardInterrupt: the process, or this one, was asked to stop.
        InUse: another process trains the cell.
        CellFailed: the training did not come to its end.
    """
    before = cell_config_bytes(cell.directory)
    write_cell_config(config, HydraConfig.get(), cell.directory)
    with free_device(config.trainer) as device, (cell.directory / "output.log").open("ab") as output:
        log_start = output.tell()
        environment = os.environ | device | variables_of(cell)
        code = run_until_end(training_command(cell.directory), environment, output)
    if code in (STOPPED, -signal.SIGINT):
        raise KeyboardInterrupt
    if code and is_held(cell.directory, TRAINING):
        raise InUse(cell.directory)
    if code:
        raise CellFailed(f"{cell.name}: {reason_of_end(cell, code, log_start, before)}")


def variables_of(cell: Cell) -> dict[str, str]:
    """The environment variables of a cell's process."""
    return {
        PARENT: str(os.getpid()),
        CELL: str(cell.directory.absolute()),
        "PYTHONIOENCODING": "utf-8",  # it writes to a file, whatever the terminal reads
    }


def training_command(directory: Path) -> list[str]:
    """The command line that trains a cell alone.

    The config comes from `cell.json`; the directory is named only for people who look at a list of
    processes.
    """
    return [sys.executable, "-m", "lit_gan.train", f"hydra.run.dir={as_override_value(str(directory))}"]


def run_until_end(arguments: list[str], environment: dict[str, str], output: BinaryIO) -> int:
    """The exit code of a command, which is asked to stop, and waited for, when this process is.

    Raises:
        KeyboardInterrupt: this process was asked to stop, however the other one has ended.
    """
    process = subprocess.Popen(arguments, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=output)
    with process, passing_on(process) as passed:
        try:
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if passed:
        raise KeyboardInterrupt
    return code


@contextmanager
def passing_on(process: subprocess.Popen) -> Iterator[list[int]]:
    """Hands the signals that ask for an end to another process, and gives the list of those that
    came."""
    passed = []

    def pass_on(number: int, _: object) -> None:
        passed.append(number)
        received.add(number)
        process.send_signal(number)

    with handling(pass_on):
        yield passed


def end_with_parent() -> None:
    """In a cell's own process: ends it at once if the sweep that began it dies.

    The sweep holds the other end of this process' standard input, and never writes to it: a read
    that returns says that the other end is closed. Nothing else would tell of a parent that was
    killed.
    """
    if PARENT in os.environ:
        threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()


def reason_of_end(cell: Cell, code: int, log_start: int, before: bytes | None) -> str:
    """The reason why the process of a cell has ended early.

    It is left in `results.json` unless the process has done so. A process that was refused leaves
    the directory of a cell with results as it was.

    Args:
        cell: as it was before.
        code: the exit code of the process.
        log_start: the size of `output.log` before the process, in bytes.
        before: the cell's config file before the process; None if there was no file.
    """
    now = read_cell(cell.directory, cell.name)
    if now.results.get("status") == "failed" and now.results != cell.results:
        return now.results["error"]
    log = cell.directory / "output.log"
    sentence = last_sentence(log, log_start) if code == 1 else None
    if sentence and cell.results and now.results == cell.results:
        os.truncate(log, log_start)
        restore_cell_config(before, cell.directory)
        return sentence
    reason = sentence or death(code, log)
    Results(cell.directory).mark_failed(reason)
    return reason


def last_sentence(log: Path, start: int) -> str | None:
    """The sentence after byte `start` of a log with which a process refused what it was asked for;
    None without one."""
    lines = log.read_bytes()[start:].decode(errors="replace").splitlines()
    sentence = next((line for line in reversed(lines) if line.startswith("lit_gan: ")), None)
    return sentence and sentence.removeprefix("lit_gan: ")


def death(code: int, log: Path) -> str:
    """The sentence about a process that has ended without a word."""
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    what = "was killed, as for want of memory" if code == -signal.SIGKILL else "ended"
    return f"its process {what} ({how}), and {log} holds its last words"
