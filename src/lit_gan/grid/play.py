"""One cell of a sweep: skipped if finished, gone on with if half done, in a process of its own."""

import logging
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
from omegaconf import DictConfig, OmegaConf

from lit_gan.difference import first_difference
from lit_gan.errors import UserError
from lit_gan.grid.cells import Cell, read_cell
from lit_gan.grid.devices import free_device
from lit_gan.grid.plan import check_plan
from lit_gan.launch import quoted, read_yaml
from lit_gan.lock import CLAIM, TRAINING, InUse, is_held, sole_use
from lit_gan.results import Results
from lit_gan.signals import PARENT, STOPPED, handling, received

log = logging.getLogger("lit_gan")

HOW = {"hydra", "updates", "trainer", "logger", "workers", "device_memory", "debug", "resume", "apart", "axes"}
HOW |= {"figure", "label", "scale", "prescribed"}
"""What a cell may be gone on with otherwise: how it is run and shown, not what is run."""


class CellFailed(UserError):
    """A cell ended without its result, and the other cells go on."""


def play(config: DictConfig) -> float | None:
    """Brings one cell to its end, whoever begins it: the score that it minimises or maximises, for a search.

    None if another process is training it, or if it measures nothing.

    Raises:
        KeyboardInterrupt: the sweep was asked to stop.
        CellFailed: it diverged, crashed or was killed; its `results.json` says how.
        UserError: its directory holds something else.
    """
    hydra = HydraConfig.get()
    place = Path(hydra.runtime.output_dir)
    name = str(place.relative_to(Path(hydra.sweep.dir).absolute()))
    check_plan(Path(hydra.sweep.dir), hydra.runtime.choices.get("sweep"))
    try:
        with sole_use(place, CLAIM):
            score = objective(config, finished(config, place, name))
    except InUse:
        log.info("%s: another process trains it", name)
        return None
    if score is None and not hydra.sweeper._target_.endswith(".BasicSweeper"):
        raise UserError(f"{name}: metrics.monitor={config.metrics.monitor} is no score that a search can go by.")
    return score


def finished(config: DictConfig, place: Path, name: str) -> Cell:
    """The cell at its end, where it may have been before.

    Raises:
        InUse: a process that a sweep has left behind trains it.
        UserError: as `play`.
    """
    check_same_cell(place, config)
    cell = read_cell(place, name)
    if cell.results.get("status") == "finished" and cell.results["updates"] >= config.updates:
        log.info("%s: finished before", name)
        return cell
    return train(config, cell)


def check_same_cell(directory: Path, config: DictConfig) -> None:
    """Refuses to take what was made with other settings for this cell.

    Raises:
        UserError: names the first setting that differs, and both values.
    """
    path = directory / ".hydra" / "config.yaml"
    if not (directory / "results.json").exists() or not path.exists():
        return
    old = read_yaml(path, DictConfig)
    names = [name for name in {**old, **config} if name not in HOW]
    changed = first_difference(old, config, [*names, "trainer.precision"])
    if changed is None and config.updates < old.updates:
        changed = "updates", str(old.updates), str(config.updates)
    if changed:
        name, before, now = changed
        raise UserError(
            f"The cell in {directory} was made with {name}={before}, not with {name}={now}: delete the cell, or choose "
            f"another directory for this sweep, hydra.sweep.dir=DIR."
        )


def train(config: DictConfig, cell: Cell) -> Cell:
    """The cell after training it.

    Raises:
        CellFailed: it did not come to its end.
    """
    log.info("%s: %s", cell.name, "goes on" if cell.results else "begins")
    if config.apart:
        train_apart(config, cell)
    else:
        train_here(config, cell)
    cell = read_cell(cell.directory, cell.name)
    log.info("%s: finished at update %d", cell.name, cell.results["updates"])
    for sentence in cell.results.get("warnings", []):
        log.warning("%s: %s", cell.name, sentence)
    return cell


def train_here(config: DictConfig, cell: Cell) -> None:
    """Trains in this process.

    Raises:
        InUse: another process does.
        CellFailed: it did not come to its end.
    """
    from lit_gan.fit import fit

    try:
        fit(config)
    except InUse:
        raise
    except Exception as error:
        raise CellFailed(f"{cell.name}: {error}") from error


def train_apart(config: DictConfig, cell: Cell) -> None:
    """Trains in a process of its own, which writes to `output.log`.

    Raises:
        InUse: another process does.
        CellFailed: it did not come to its end.
    """
    cell.directory.mkdir(parents=True, exist_ok=True)
    own = {PARENT: str(os.getpid()), "PYTHONIOENCODING": "utf-8"}  # it writes to a file, whatever the terminal reads
    with free_device(config.trainer) as environment, (cell.directory / "output.log").open("ab") as output:
        spoken = output.tell()
        code = run(command(cell.directory), os.environ | environment | own, output)
    if code in (STOPPED, -signal.SIGINT):
        raise KeyboardInterrupt
    if code and is_held(cell.directory, TRAINING):
        raise InUse(f"{cell.name} is being trained by another process.")
    if code:
        now = read_cell(cell.directory, cell.name)
        if now.results.get("status") != "failed" or now.results == cell.results:
            record_death(now, code, spoken)
        raise CellFailed(f"{cell.name}: {read_cell(cell.directory, cell.name).results['error']}")


def command(directory: Path) -> list[str]:
    """The command line that trains the present cell alone."""
    hydra = HydraConfig.get()
    folders = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    own = [f"hydra.run.dir={quoted(str(directory))}", "hydra.mode=RUN", "trainer.enable_progress_bar=false"]
    searched = [each for each in hydra.overrides.hydra if each.startswith("hydra.searchpath")]
    return [
        *(sys.executable, "-m", "lit_gan.train"),
        *(argument for folder in folders for argument in ("--config-dir", folder)),
        *(*hydra.overrides.task, *searched, *own),
    ]


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


def record_death(cell: Cell, code: int, spoken: int) -> None:
    """Leaves in `results.json`, for a cell whose process could not do it, how that ended.

    Args:
        spoken: bytes of `output.log` that are older than the process.
    """
    log = cell.directory / "output.log"
    lines = log.read_bytes()[spoken:].decode(errors="replace").splitlines()
    sentence = next((line for line in reversed(lines) if line.startswith("lit_gan: ")), None)
    if code == 1 and sentence is not None:
        reason = sentence.removeprefix("lit_gan: ")
    else:
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        what = "was killed, as for want of memory" if code == -signal.SIGKILL else "ended"
        reason = f"its process {what} ({how}), and {log} holds its last words"
    Results(cell.directory).report(reason)


def objective(config: DictConfig, cell: Cell) -> float | None:
    """The final value of the score that chooses the best checkpoint."""
    final, monitor = cell.results.get("final"), OmegaConf.select(config, "metrics.monitor")
    scores = final["scores"] if final else {}
    return next((value for name, value in scores.items() if name.rsplit("/")[-1] == monitor), None)
