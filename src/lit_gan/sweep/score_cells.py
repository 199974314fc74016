"""The trained cells of a sweep, scored once more: each by one process, and several at once by several."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lit_gan.errors import UserError, one_line
from lit_gan.records.lock import SCORING, InUse, sole_use
from lit_gan.sweep.cells import Cell, CellFailed, read_cells
from lit_gan.sweep.devices import free_device
from lit_gan.sweep.own_flags import own_config_flags
from lit_gan.system.signals import PARENT

log = logging.getLogger("lit_gan")

ScoreRun = Callable[[Path], str]
"""A function that scores the run in a directory, and returns what it has found in a few words."""


def score_cells(directory: Path, score_run: ScoreRun) -> None:
    """Scores all finished cells of a sweep, one after the other.

    A cell that another process is scoring is left to it, and one that fails stops no other: until
    the last cell is done its lock is kept, so that processes beside this one leave it alone.

    Raises:
        CellFailed: some cells could not be scored; names them.
        UserError: no cell is finished.
    """
    failed = []
    with ExitStack() as locks:
        for cell in finished_cells(directory):
            try:
                locks.enter_context(sole_use(cell.directory, SCORING))
            except InUse:
                log.info("%s: another process scores it", cell.name)
                continue
            if not could_score(cell, score_run):
                failed.append(cell.name)
    if failed:
        raise CellFailed(f"No scores of {', '.join(failed)}, for the reasons above: the same line tries again.")


def could_score(cell: Cell, score_run: ScoreRun) -> bool:
    """Whether a cell could be scored; if it could not, the reason is logged."""
    try:
        log.info("%s: %s", cell.name, score_run(cell.directory))
    except Exception as error:  # whatever it is, the other cells go on
        log.error("%s: %s", cell.name, one_line(str(error)) or repr(error))
        return False
    return True


def finished_cells(directory: Path) -> list[Cell]:
    """The finished cells of a sweep; the first process says how many others there are.

    Raises:
        UserError: there are none.
    """
    cells = read_cells(directory)
    finished = [cell for cell in cells if cell.state == "finished"]
    if not finished:
        raise UserError(f"sweep={directory} has no finished cell: python -m lit_gan.status {directory} says why.")
    if len(finished) < len(cells) and PARENT not in os.environ:
        log.info("%d of %d cells are finished; the others are left out", len(finished), len(cells))
    return finished


def score_side_by_side(directory: Path, jobs: int, device: str) -> None:
    """Scores all finished cells of a sweep in several processes of the same command, which share
    the cores and the GPUs evenly.

    Raises:
        CellFailed: a process could not score all that it took on, or was killed.
        KeyboardInterrupt: this process was asked to stop; the others are stopped too.
        UserError: no cell is finished.
    """
    jobs = min(jobs, len(finished_cells(directory)))
    environment = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))} | os.environ
    environment[PARENT] = str(os.getpid())  # so that they end with this process, however it ends
    with ExitStack() as held:
        devices = [held.enter_context(free_device(one_device(device))) for _ in range(jobs)]
        settings = {"args": command(), "stdin": subprocess.PIPE}
        codes = codes_of([subprocess.Popen(**settings, env=environment | device) for device in devices])
    if any(codes):
        ended = ", ".join(str(code) for code in codes)
        raise CellFailed(
            f"Not all cells were scored, for the reasons above (exit codes {ended}): the same line goes on."
        )


def one_device(device: str) -> DictConfig:
    """The settings of a training on one device of a kind, by which a free one is found."""
    return OmegaConf.create({"accelerator": device, "devices": 1})


def command() -> list[str]:
    """The command of this process, for one that scores one cell after the other."""
    words = [*own_config_flags(OmegaConf.create({"hydra": HydraConfig.get()})), *HydraConfig.get().overrides.task]
    return [sys.executable, "-m", "lit_gan.evaluate", *words, "jobs=1"]


def codes_of(processes: Sequence[subprocess.Popen]) -> list[int]:
    """The exit codes of processes, which are asked to stop, and waited for, if this one is."""
    try:
        return [process.wait() for process in processes]
    except BaseException:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
        raise
