"""What the cells of a sweep have measured, as scores that can be grouped."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

import lit_gan.conf
from lit_gan.errors import UserError
from lit_gan.records import search_path
from lit_gan.records.files import read_yaml
from lit_gan.records.layout import config_path, results_path
from lit_gan.records.score_names import short_name
from lit_gan.reporting.view import SEED, View, read_view
from lit_gan.sweep.cells import Cell, cell_names, read_cell
from lit_gan.sweep.plan import read_plan

DEFINING = {"generated", "inception_score", "splits", "real_split", "neighbours", "batch_norm", "ema", "truncation"}
"""The settings that define a protocol: where one of them was changed, the same name means another
protocol."""
DAMAGED = "damaged"
"""The state of a cell whose files cannot be read."""


@dataclass(frozen=True)
class PanelKey:
    """What must agree before two scores may stand in one panel.

    Attributes:
        protocol: data, extractor and protocol, everything that the record says of them, as JSON.
        others: coordinates on axes that are neither x, hue nor seed, "model=dcgan".
    """

    protocol: str
    others: tuple[str, ...]

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What `protocol` says."""
        return json.loads(self.protocol)

    @property
    def title(self) -> str:
        """Data, extractor, protocol, and the coordinates that they do not say."""
        data = self.facts["data"]
        shape = "x".join(map(str, self.facts.get("shape", [])[1:]))
        measured = [f"{data} {shape}".strip(), extractor_title(self.facts), protocol_title(self.facts)]
        return ", ".join([*filter(None, measured), *(each for each in self.others if each != f"data={data}")])

    @property
    def conditions(self) -> tuple[str, str, str]:
        """Data, extractor and protocol, which a paper's number must share; a changed one has
        another name."""
        data, protocol = self.facts["data"], self.facts["name"]
        shape, shipped = self.facts.get("shape", [None]), shipped_config("data", data)
        size, own_images = shape[-1], not shipped and len(shape) == 3
        if own_images or shipped.get("image_size", size) != size:
            data += f" at {size} px"
        if is_changed(self.facts, shipped_config("protocol", protocol).get(protocol, {})):
            protocol += ", changed"
        return data, self.facts.get("extractor", ""), protocol


def is_changed(facts: dict[str, Any], definition: dict[str, Any]) -> bool:
    """Whether something was measured in another way than the protocol of its name is defined, or against
    fewer real images than that names.

    Args:
        facts: what the record says; what it does not say is as in the definition.
        definition: the settings of the protocol; empty for one that is not the package's.
    """
    if any(facts.get(name, definition[name]) != definition[name] for name in DEFINING & {*definition}):
        return True
    if "extractor" not in facts:  # points are compared with as many real ones as are generated
        return False
    return facts.get("real", math.inf) < (definition.get("real") or 0)


@cache
def shipped_config(group: str, name: str) -> dict[str, Any]:
    """A config of the package; an empty one if there is none of that name."""
    path = Path(lit_gan.conf.__file__).parent / group / f"{name}.yaml"
    return OmegaConf.to_container(OmegaConf.load(path)) if path.is_file() else {}


def extractor_title(facts: dict[str, Any]) -> str:
    """Which extractor was used, "extractor inception"; the empty string where none was."""
    return f"extractor {facts['extractor']}" if facts.get("extractor") else ""


def protocol_title(facts: dict[str, Any]) -> str:
    """Which protocol was used and how many samples it took, "protocol full (10000 generated, 1797
    real)"."""
    counts = [f"{facts[name]} {name}" for name in ("generated", "real") if facts.get(name)]
    return f"protocol {facts['name']}" + (f" ({', '.join(counts)})" if counts else "")


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
        cell: its directory, state and results.
        config: of the run; empty before it has begun.
    """

    cell: Cell
    config: DictConfig

    def at(self, axis: str | None) -> str:
        """The run's value on an axis; the empty string where it has none."""
        return self.cell.coordinates.get(axis, "")

    @property
    def complete(self) -> bool:
        """Whether the training was finished."""
        return self.cell.state == "finished"


@dataclass(frozen=True)
class Score:
    """One number that was measured.

    Attributes:
        panel: how it was measured.
        name: the last part of the score's name, "fid".
        value: None if it was not finite.
        update: the generator update at which it was measured.
        end: which end of it is the good one, "min" or "max"; None if its record does not say so.
        caveat: why it cannot bear comparison; None if it can.
    """

    run: SweepRun
    panel: PanelKey
    name: str
    value: float | None
    update: int
    end: str | None = None
    caveat: str | None = None


@dataclass(frozen=True)
class Sweep:
    """A sweep with all its runs, and how its report calls and shows them."""

    name: str
    directory: Path
    runs: list[SweepRun]
    view: View

    @property
    def several(self) -> bool:
        """Whether it is made of cells, and is not a run by itself."""
        return self.runs[0].cell.directory.resolve() != self.directory.resolve()

    @cached_property
    def xs(self) -> list[str]:
        """The values of x: numbers by size, others as planned; one empty string without an x."""
        return unique_values(run.at(self.view.x) for run in self.runs)

    @cached_property
    def hues(self) -> list[str]:
        """The values of hue, as planned; one empty string without a hue."""
        return list(dict.fromkeys(run.at(self.view.hue) for run in self.runs))

    def value_name(self, axis: str | None, value: str) -> str:
        """The name of an axis's value: the one in `figure.names`, or a method's `label`, or the
        value itself.

        Where methods share a label, the value stands behind it.
        """
        labels = (run.config.get("label") for run in self.runs if run.at(axis) == value)
        label = next(filter(None, labels), None) if axis == "method" else None
        if label and any(run.config.get("label") == label and run.at(axis) != value for run in self.runs):
            label = f"{label} ({value})"
        return self.view.names.get(value) or label or value

    def axis_name(self, axis: str | None) -> str:
        """The name of an axis: the one in `figure.names`, or its own."""
        return self.view.names.get(axis, axis or "")

    def hue_name(self, value: str) -> str:
        """The name of a value of hue."""
        return self.value_name(self.view.hue, value)

    def x_name(self, value: str) -> str:
        """The name of a value of x."""
        return self.value_name(self.view.x, value)

    def x_and_hue(self, run: SweepRun) -> tuple[str, str]:
        """The place of a run in a panel: its values of x and hue."""
        return run.at(self.view.x), run.at(self.view.hue)

    def other_axes(self, run: SweepRun) -> tuple[str, ...]:
        """The coordinates of a run that are neither x, hue nor seed."""
        known = (self.view.x, self.view.hue, SEED)
        return tuple(f"{axis}={value}" for axis, value in run.cell.coordinates.items() if axis not in known)

    @cached_property
    def finals(self) -> list[Score]:
        """The scores of finished runs: of the final evaluation, and of later ones of the last
        weights."""
        return [score for run in self.runs if run.complete for score in self.scores_of(run, last_records(run))]

    @cached_property
    def course(self) -> list[Score]:
        """The scores during training, of all runs."""
        return [score for run in self.runs for score in self.scores_of(run, run.cell.results.get("course", []))]

    def scores_of(self, run: SweepRun, records: Sequence[dict]) -> Iterator[Score]:
        """The scores in the records of a run; a later one replaces an earlier one of the same
        protocol and update."""
        found = {}
        for record in records:
            panel = PanelKey(json.dumps(record["protocol"], sort_keys=True), self.other_axes(run))
            for name, value in record["scores"].items():
                last, update = short_name(name), record["update"]
                end, caveat = (record.get(key, {}).get(name) for key in ("ends", "caveats"))
                found[panel, last, update] = Score(run, panel, last, value, update, end, caveat)
        yield from found.values()

    def visible_scores(self, scores: Sequence[Score]) -> list[str]:
        """The names of the scores that the report shows: those of the `figure` block, or all but
        deviations."""
        names = list(dict.fromkeys(score.name for score in scores))
        wanted = [name for name in self.view.scores if name in names]
        return wanted or [name for name in names if not name.endswith("_std")]

    def failed_runs(self, panel: PanelKey) -> list[SweepRun]:
        """The failed and damaged runs whose scores would stand in a panel."""
        there = [score.run.config for score in self.finals if score.panel == panel]
        broken = [run for run in self.runs if run.cell.state in ("failed", DAMAGED)]
        beside = [run for run in broken if self.other_axes(run) == panel.others]
        return [run for run in beside if any(same_measurement(run.config, config) for config in there)]


def same_measurement(one: DictConfig, other: DictConfig) -> bool:
    """Whether two configs measure the same data in the same way, which an empty config is taken to
    do."""
    return not one or all(one.get(group) == other.get(group) for group in ("data", "metrics"))


def last_records(run: SweepRun) -> list[dict]:
    """The records of evaluations of the weights after the last update."""
    results = run.cell.results
    later = [
        record
        for record in results.get("evaluations", [])
        if record.get("checkpoint") == "last" and record["update"] == results.get("updates")
    ]
    return [record for record in (results.get("final"), *later) if record]


def unique_values(values: Iterator[str]) -> list[str]:
    """Each value once: by size if all are numbers, else in the order in which they come."""
    different = list(dict.fromkeys(values))
    try:
        return sorted(different, key=float)
    except ValueError:
        return different


def read_sweep(directory: Path) -> Sweep:
    """The sweep in a directory.

    Raises:
        UserError: the directory holds none, its plan is damaged, or none of its cells can be read.
    """
    if not directory.is_dir():
        raise UserError(f"{directory} does not exist: name the directory that `sweep=` or `--multirun` has written.")
    plan = read_plan(directory)
    runs = [read_run(directory / name, name) for name in cell_names(directory)]
    begun = [run for run in runs if run.cell.state != "waiting"]
    if begun and all(run.cell.state == DAMAGED for run in begun):
        raise UserError(begun[0].cell.results["error"])
    require_different_cells(directory, runs)
    name = plan.get("sweep") or directory.resolve().name
    axes = plan.get("axes") or list(dict.fromkeys(axis for run in runs for axis in run.cell.coordinates))
    configs = [last_start(directory), *(run.config for run in runs)]
    block = next((config.figure for config in configs if config.get("figure")), None)
    return Sweep(name, directory, runs, read_view(block, axes, name))


def last_start(directory: Path) -> DictConfig:
    """The config of the last start of a sweep, Hydra's part included; empty if its directory does not
    remember it."""
    path = directory / "multirun.yaml"
    return read_yaml(path, DictConfig) if path.exists() else OmegaConf.create()


def require_different_cells(directory: Path, runs: Sequence[SweepRun]) -> None:
    """Refuses cells that would count as seeds of one setting though only their folders differ, as those
    of a copy do.

    Raises:
        UserError: names two of them.
    """
    seen: dict[tuple, str] = {}
    for run in runs:
        place = tuple(sorted(run.cell.coordinates.items()))
        if other := seen.get(place):
            raise UserError(
                f"{directory} holds {other} and {run.cell.name}, which would count as two seeds of one setting: name "
                f"the directory of a single sweep or run, or move one of the two away."
            )
        seen[place] = run.cell.name


def read_single_run(directory: Path) -> Sweep:
    """The run in a directory, as a sweep of one cell.

    Raises:
        UserError: its files cannot be read.
    """
    run = read_run(directory, ".")
    if run.cell.state == DAMAGED:
        raise UserError(run.cell.results["error"])
    return Sweep(directory.resolve().name, directory, [run], View(title=str(directory)))


def read_run(directory: Path, name: str) -> SweepRun:
    """The run in a cell; one whose files cannot be read says so in its state and its error."""
    try:
        cell = read_cell(directory, name)
        check_records(cell)
        return SweepRun(cell, begun_config(directory))
    except UserError as error:
        return SweepRun(Cell(name, directory, DAMAGED, {"error": str(error)}), OmegaConf.create())


def check_records(cell: Cell) -> None:
    """Refuses scores that do not say what was measured.

    Raises:
        UserError: names the file.
    """
    results = cell.results
    for record in [*results.get("course", []), *last_records(SweepRun(cell, OmegaConf.create()))]:
        protocol = record.get("protocol")
        if not isinstance(protocol, dict) or not protocol.keys() >= {"name", "data"}:
            raise UserError(
                f"{results_path(cell.directory)} is from an older version (its scores do not say of which data and "
                f"protocol they are): delete the cell, and the next start of the sweep runs it again."
            )


def begun_config(directory: Path) -> DictConfig:
    """The config of a cell, empty before it has begun; Python then finds the classes that it names
    from outside."""
    path = config_path(directory)
    search_path.find_modules_of(directory)
    return read_yaml(path, DictConfig) if path.exists() else OmegaConf.create()
