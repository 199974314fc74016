"""One cell of a sweep: skipped if finished, gone on with if half done, in a process of its own."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from lit_gan.errors import UserError
from lit_gan.overrides import quoted
from lit_gan.records.lock import CLAIM, TRAINING, InUse, is_held, sole_use
from lit_gan.records.results import Results
from lit_gan.sweep.cells import Cell, read_cell
from lit_gan.sweep.devices import free_device
from lit_gan.sweep.frozen import CELL, freeze, frozen_bytes, restore, thaw
from lit_gan.sweep.plan import check_plan, read_plan
from lit_gan.sweep.same import check_same_cell, has_begun
from lit_gan.system.signals import PARENT, STOPPED, handling, received

log = logging.getLogger("lit_gan")

TrainRun = Callable[[DictConfig], None]
"""What trains the one run of a config in this process."""


class CellFailed(UserError):
    """A cell ended without its result, and the other cells go on."""


def run_cell(config: DictConfig, train_run: TrainRun) -> float | None:
    """Brings one cell to its end, whoever begins it: the score that it minimises or maximises, for a search.

    None if another process is training it, or if it measures nothing.

    Args:
        train_run: trains a cell that does not get a process of its own.

    Raises:
        KeyboardInterrupt: the sweep was asked to stop.
        CellFailed: it diverged, crashed or was killed; its `results.json` says how.
        UserError: its directory holds something else.
    """
    close_log_file()
    hydra = HydraConfig.get()
    place = Path(hydra.runtime.output_dir)
    name = str(place.relative_to(Path(hydra.sweep.dir).absolute()))
    check_plan(Path(hydra.sweep.dir), hydra.runtime.choices.get("sweep"))
    try:
        config = planned_config(config, place, name)
        with sole_use(place, CLAIM):
            score = objective(config, finished(config, place, name, train_run))
    except InUse:
        log.info("%s: another process trains it", name)
        return None
    if score is None and not hydra.sweeper._target_.endswith(".BasicSweeper"):
        raise UserError(f"{name}: metrics.monitor={config.metrics.monitor} is no score that a search can go by.")
    return score


def close_log_file() -> None:
    """Leaves `train.log` in a cell's directory to the process that trains it."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, logging.FileHandler)]:
        root.removeHandler(handler)
        handler.close()


def planned_config(config: DictConfig, place: Path, name: str) -> DictConfig:
    """The config that the sweep composed for a cell at its start.

    The present one where the cell has begun, and what it was begun with says whether it is the same; and where a search
    has just made the cell up.

    Raises:
        UserError: its directory holds another cell.
    """
    cells = read_plan(Path(HydraConfig.get().sweep.dir)).get("cells", [])
    planned = thaw(place) if name in cells and not has_begun(place) else None
    if planned is None:
        check_same_cell(place, config)
        return config
    with open_dict(planned):
        del planned["hydra"]
    return planned


def finished(config: DictConfig, place: Path, name: str, train_run: TrainRun) -> Cell:
    """The cell at its end, where it may have been before.

    Raises:
        InUse: a process that a sweep has left behind trains it.
        UserError: as `run_cell`.
    """
    cell = read_cell(place, name)
    if cell.results.get("status") == "finished" and cell.results["updates"] >= config.updates:
        log.info("%s: finished before", name)
        return cell
    return train(config, cell, train_run)


def train(config: DictConfig, cell: Cell, train_run: TrainRun) -> Cell:
    """The cell after training it.

    Raises:
        InUse: another process trains it.
        CellFailed: it did not come to its end.
    """
    if is_held(cell.directory, TRAINING):
        raise InUse(f"{cell.name} is being trained by another process.")
    log.info("%s: %s", cell.name, "goes on" if cell.results else "begins")
    if config.apart:
        train_apart(config, cell)
    else:
        train_here(config, cell, train_run)
    cell = read_cell(cell.directory, cell.name)
    status, update = cell.results["status"], cell.results["updates"]
    log.info("%s: %s at update %d", cell.name, status, update)
    for sentence in cell.results.get("warnings", []):
        log.warning("%s: %s", cell.name, sentence)
    if status != "finished":
        by = cell.results.get("stopped_by")
        raise CellFailed(f"{cell.name}: {status} at update {update} by {by}; the next start of the sweep goes on.")
    return cell


def train_here(config: DictConfig, cell: Cell, train_run: TrainRun) -> None:
    """Trains in this process.

    Raises:
        InUse: another process does.
        CellFailed: it did not come to its end.
    """
    try:
        train_run(config)
    except InUse:
        raise
    except Exception as error:
        record_refusal(cell, str(error))
        raise CellFailed(f"{cell.name}: {error}") from error


def train_apart(config: DictConfig, cell: Cell) -> None:
    """Trains in a process of its own, which writes to `output.log`.

    Raises:
        InUse: another process does.
        CellFailed: it did not come to its end.
    """
    before = frozen_bytes(cell.directory)
    freeze(config, HydraConfig.get(), cell.directory)
    own = {PARENT: str(os.getpid()), "PYTHONIOENCODING": "utf-8"}  # it writes to a file, whatever the terminal reads
    own |= {CELL: str(cell.directory.absolute())}
    with free_device(config.trainer) as environment, (cell.directory / "output.log").open("ab") as output:
        spoken = output.tell()
        code = run(command(cell.directory), os.environ | environment | own, output)
    if code in (STOPPED, -signal.SIGINT):
        raise KeyboardInterrupt
    if code and is_held(cell.directory, TRAINING):
        raise InUse(cell.directory)
    if code:
        raise CellFailed(f"{cell.name}: {reason_of_end(cell, code, spoken, before)}")


def reason_of_end(cell: Cell, code: int, spoken: int, before: bytes | None) -> str:
    """Why the process of a cell has ended early, which is left in `results.json` unless the process has done so.

    A process that was refused leaves the directory of a cell with results as it was.

    Args:
        cell: as it was before.
        spoken: bytes of `output.log` that are older than the process.
        before: the cell's frozen config before this process, if there was one.
    """
    now = read_cell(cell.directory, cell.name)
    if now.results.get("status") == "failed" and now.results != cell.results:
        return now.results["error"]
    log = cell.directory / "output.log"
    sentence = last_sentence(log, spoken) if code == 1 else None
    if sentence and cell.results and now.results == cell.results:
        os.truncate(log, spoken)
        restore(before, cell.directory)
        return sentence
    reason = sentence or death(code, log)
    Results(cell.directory).mark_failed(reason)
    return reason


def last_sentence(log: Path, spoken: int) -> str | None:
    """The sentence with which a process refused what it was asked for."""
    lines = log.read_bytes()[spoken:].decode(errors="replace").splitlines()
    sentence = next((line for line in reversed(lines) if line.startswith("lit_gan: ")), None)
    return sentence and sentence.removeprefix("lit_gan: ")


def death(code: int, log: Path) -> str:
    """How a process without a last word has ended."""
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    what = "was killed, as for want of memory" if code == -signal.SIGKILL else "ended"
    return f"its process {what} ({how}), and {log} holds its last words"


def command(directory: Path) -> list[str]:
    """The command line that trains a cell alone; the directory is there for a list of processes to show."""
    return [sys.executable, "-m", "lit_gan.train", f"hydra.run.dir={quoted(str(directory))}"]


def run(arguments: list[str], environment: dict[str, str], output: BinaryIO) -> int:
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
    """Hands the signals that ask for an end to another process, and notes which came."""
    passed = []

    def pass_on(number: int, _: object) -> None:
        passed.append(number)
        received.add(number)
        process.send_signal(number)

    with handling(pass_on):
        yield passed


def end_with_parent() -> None:
    """In a cell's own process: ends it at once if the sweep that began it dies.

    The sweep holds the other end of this process' standard input.
    """
    if PARENT in os.environ:
        threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()


def record_refusal(cell: Cell, reason: str) -> None:
    """Leaves in `results.json` why a cell could not begin; one that has results stays as it was."""
    if not read_cell(cell.directory, cell.name).results:
        Results(cell.directory).mark_failed(reason)


def objective(config: DictConfig, cell: Cell) -> float | None:
    """The final value of the score that chooses the best checkpoint."""
    final, monitor = cell.results.get("final"), OmegaConf.select(config, "metrics.monitor")
    scores = final["scores"] if final else {}
    return next((value for name, value in scores.items() if name.rsplit("/")[-1] == monitor), None)
