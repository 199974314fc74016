"""One cell of a sweep: skipped if it is finished, resumed if it is half done, and trained in a
process of its own."""

import logging
from collections.abc import Callable
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from lit_gan.errors import UserError, reason_of, written
from lit_gan.records.lock import CLAIM, TRAINING, InUse, is_held, sole_use
from lit_gan.records.results import Results
from lit_gan.records.score_names import short_name
from lit_gan.sweep.cell_config import read_cell_config
from lit_gan.sweep.cell_process import train_apart
from lit_gan.sweep.cells import Cell, CellFailed, read_cell
from lit_gan.sweep.plan import check_plan, read_plan
from lit_gan.sweep.same_cell import check_same_cell, has_begun
from lit_gan.sweep.search import check_direction, is_search

log = logging.getLogger("lit_gan")

TrainRun = Callable[[DictConfig], None]
"""A function that trains the one run of a config in this process."""


def run_cell(config: DictConfig, train_run: TrainRun) -> float | None:
    """Brings one cell to its end, and returns the score that a search minimises or maximises.

    It returns None if another process is training the cell, or if the cell measures nothing.

    Args:
        train_run: trains a cell that does not get a process of its own.

    Raises:
        KeyboardInterrupt: the sweep was asked to stop.
        CellFailed: the cell diverged, crashed or was killed; its `results.json` says how.
        UserError: its directory holds something else, or a search goes by its score the wrong way.
    """
    close_log_file()
    hydra = HydraConfig.get()
    directory = Path(hydra.runtime.output_dir)
    name = str(directory.relative_to(Path(hydra.sweep.dir).absolute()))
    check_plan(Path(hydra.sweep.dir), hydra.runtime.choices.get("sweep"))
    try:
        config = planned_config(config, directory, name)
        if is_search(hydra):  # its cells may differ in their metrics
            check_direction(config, hydra)
        with sole_use(directory, CLAIM):
            score = monitored_score(config, completed_cell(config, read_cell(directory, name), train_run))
    except InUse:
        log.info("%s: another process trains it", name)
        return None
    if score is None and is_search(hydra):
        raise not_measured(config, name)
    return score


def not_measured(config: DictConfig, name: str) -> UserError:
    """The error for a search that has no score of a cell to go by."""
    monitor = written(OmegaConf.select(config, "metrics.monitor"))
    return UserError(
        f"{name}: metrics.monitor={monitor} was not measured, so that the search cannot go by it: choose metrics "
        f"that have a score on data={config.data.name}."
    )


def close_log_file() -> None:
    """Leaves `train.log` in a cell's directory to the process that trains it."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, logging.FileHandler)]:
        root.removeHandler(handler)
        handler.close()


def planned_config(config: DictConfig, directory: Path, name: str) -> DictConfig:
    """The config that the sweep composed for a cell at its start.

    A cell that has begun keeps the present config, which is compared with the one it began with; so
    does a cell that a search has just made up.

    Raises:
        UserError: the directory holds another cell.
    """
    cells = read_plan(Path(HydraConfig.get().sweep.dir)).get("cells", [])
    planned = read_cell_config(directory) if name in cells and not has_begun(directory) else None
    if planned is None:
        check_same_cell(directory, config)
        return config
    with open_dict(planned):
        del planned["hydra"]
    return planned


def completed_cell(config: DictConfig, cell: Cell, train_run: TrainRun) -> Cell:
    """The finished cell, after training it if necessary.

    Raises:
        InUse: a process that an earlier start of the sweep has left behind trains it.
        CellFailed: it did not come to its end.
    """
    if cell.results.get("status") == "finished" and cell.results["updates"] >= config.updates:
        log.info("%s: finished before", cell.name)
        return cell
    if is_held(cell.directory, TRAINING):
        raise InUse(cell.directory)
    log.info("%s: %s", cell.name, "goes on" if cell.results else "begins")
    train_cell(config, cell, train_run)
    cell = read_cell(cell.directory, cell.name)
    log_end(cell)
    return cell


def train_cell(config: DictConfig, cell: Cell, train_run: TrainRun) -> None:
    """Trains a cell, in a process of its own unless `apart=false`.

    Raises:
        InUse: another process trains it.
        CellFailed: it did not come to its end.
    """
    if config.apart:
        train_apart(config, cell)
        return
    try:
        train_run(config)
    except InUse:
        raise
    except Exception as error:
        record_refusal(cell, reason_of(error))
        raise CellFailed(f"{cell.name}: {reason_of(error)}") from error


def record_refusal(cell: Cell, reason: str) -> None:
    """Leaves in `results.json` why a cell could not begin; a cell that has results stays as it
    was."""
    if not read_cell(cell.directory, cell.name).results:
        Results(cell.directory).mark_failed(reason)


def log_end(cell: Cell) -> None:
    """Says how a cell has ended.

    Raises:
        CellFailed: it has not reached its last update.
    """
    status, update = cell.results["status"], cell.results["updates"]
    log.info("%s: %s at update %d", cell.name, status, update)
    for sentence in cell.results.get("warnings", []):
        log.warning("%s: %s", cell.name, sentence)
    if status != "finished":
        by = cell.results.get("stopped_by")
        raise CellFailed(f"{cell.name}: {status} at update {update} by {by}; the next start of the sweep goes on.")


def monitored_score(config: DictConfig, cell: Cell) -> float | None:
    """The final value of the score that chooses the best checkpoint; None if the cell does not
    measure it."""
    final, monitor = cell.results.get("final"), OmegaConf.select(config, "metrics.monitor")
    scores = final["scores"] if final else {}
    return next((value for name, value in scores.items() if short_name(name) == monitor), None)
