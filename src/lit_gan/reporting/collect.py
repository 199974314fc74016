"""What the cells of a sweep have measured, as rows that can be grouped."""

import json
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
from lit_gan.reporting.view import SEED, View, read_view
from lit_gan.sweep.cells import Cell, cell_names, read_cell
from lit_gan.sweep.plan import read_plan

DEFINING = {"generated", "inception_score", "splits", "real_split", "batch_norm", "ema"}
"""Settings without which a protocol of the same name is another one."""
DAMAGED = "damaged"
"""The state of a cell whose files cannot be read."""


@dataclass(frozen=True)
class Panel:
    """What must agree before two scores may stand in one panel.

    Attributes:
        protocol: data, extractor and protocol as the record has them, all of it, as JSON.
        rest: coordinates on axes that are neither x, hue nor seed, "model=dcgan".
    """

    protocol: str
    rest: tuple[str, ...]

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The protocol."""
        return json.loads(self.protocol)

    @property
    def title(self) -> str:
        """Data, extractor, protocol, and the coordinates that they do not say."""
        shape = "x".join(map(str, self.facts.get("shape", [])[1:]))
        measured = [f"{self.facts['data']} {shape}".strip(), extractor_title(self.facts), protocol_title(self.facts)]
        return ", ".join(
            [*filter(None, measured), *(each for each in self.rest if each != f"data={self.facts['data']}")]
        )

    @property
    def source(self) -> tuple[str, str, str]:
        """What a paper's number must agree with: data, extractor, protocol; changed ones have other names."""
        data, protocol = self.facts["data"], self.facts["name"]
        size = self.facts.get("shape", [None])[-1]
        if shipped("data", data).get("image_size", size) != size:
            data += f" at {size} px"
        definition = shipped("protocol", protocol).get(protocol, {})
        if any(self.facts.get(name, definition[name]) != definition[name] for name in DEFINING & {*definition}):
            protocol += ", changed"
        return data, self.facts.get("extractor", ""), protocol


@cache
def shipped(group: str, name: str) -> dict[str, Any]:
    """A config of the package; nothing if there is none of that name."""
    path = Path(lit_gan.conf.__file__).parent / group / f"{name}.yaml"
    return OmegaConf.to_container(OmegaConf.load(path)) if path.is_file() else {}


def extractor_title(facts: dict[str, Any]) -> str:
    """ "extractor inception", or nothing where none is used."""
    return f"extractor {facts['extractor']}" if facts.get("extractor") else ""


def protocol_title(facts: dict[str, Any]) -> str:
    """ "protocol full (10000 generated, 1797 real)"."""
    counts = [f"{facts[name]} {name}" for name in ("generated", "real") if facts.get(name)]
    return f"protocol {facts['name']}" + (f" ({', '.join(counts)})" if counts else "")


@dataclass(frozen=True)
class Run:
    """A cell, with its config if it has begun."""

    cell: Cell
    config: DictConfig

    def at(self, axis: str | None) -> str:
        """Where it stands on an axis; the empty string if nowhere."""
        return self.cell.coordinates.get(axis, "")

    @property
    def complete(self) -> bool:
        """Whether it has come to its end."""
        return self.cell.state == "finished"


@dataclass(frozen=True)
class Score:
    """One number that was measured.

    Attributes:
        name: the last part of the score's name, "fid".
        value: None if it was not finite.
        end: which end of it is the good one, "min" or "max"; None if its record does not say so.
        caveat: why it cannot bear comparison; None if it can.
    """

    run: Run
    panel: Panel
    name: str
    value: float | None
    update: int
    end: str | None = None
    caveat: str | None = None


@dataclass(frozen=True)
class Sweep:
    """A sweep with all its cells."""

    name: str
    directory: Path
    runs: list[Run]
    view: View

    @cached_property
    def xs(self) -> list[str]:
        """The values of x: numbers by size, others as planned; one empty string without an x."""
        return ordered(run.at(self.view.x) for run in self.runs)

    @cached_property
    def hues(self) -> list[str]:
        """The values of hue, as planned; one empty string without a hue."""
        return list(dict.fromkeys(run.at(self.view.hue) for run in self.runs))

    def called(self, axis: str | None, value: str) -> str:
        """How a value of an axis is called: a method by its `label`, others by `figure.names`."""
        labels = (run.config.get("label") for run in self.runs if run.at(axis) == value)
        label = next(filter(None, labels), None) if axis == "method" else None
        if label and any(run.config.get("label") == label and run.at(axis) != value for run in self.runs):
            label = f"{label} ({value})"
        return self.view.names.get(value) or label or value

    def axis(self, axis: str | None) -> str:
        """How an axis is called."""
        return self.view.names.get(axis, axis or "")

    def hue(self, value: str) -> str:
        """How a value of hue is called."""
        return self.called(self.view.hue, value)

    def x(self, value: str) -> str:
        """How a value of x is called."""
        return self.called(self.view.x, value)

    def rest(self, run: Run) -> tuple[str, ...]:
        """The coordinates that are neither x, hue nor seed."""
        shown = (self.view.x, self.view.hue, SEED)
        return tuple(f"{axis}={value}" for axis, value in run.cell.coordinates.items() if axis not in shown)

    @cached_property
    def finals(self) -> list[Score]:
        """The scores of finished cells: of the final evaluation, and of later ones of the last weights."""
        return [score for run in self.runs if run.complete for score in self.scores(run, last_records(run))]

    @cached_property
    def course(self) -> list[Score]:
        """The scores during training, of all cells."""
        return [score for run in self.runs for score in self.scores(run, run.cell.results.get("course", []))]

    def scores(self, run: Run, records: Sequence[dict]) -> Iterator[Score]:
        """The scores in the records of a cell; a later one under the same protocol stands for an earlier one."""
        found = {}
        for record in records:
            panel = Panel(json.dumps(record["protocol"], sort_keys=True), self.rest(run))
            for name, value in record["scores"].items():
                last, update = name.rpartition("/")[2], record["update"]
                end, caveat = (record.get(key, {}).get(name) for key in ("ends", "caveats"))
                found[panel, last, update] = Score(run, panel, last, value, update, end, caveat)
        yield from found.values()

    def shown(self, scores: Sequence[Score]) -> list[str]:
        """The names of the scores that the sweep is about: those of its figure, or all but standard deviations."""
        names = list(dict.fromkeys(score.name for score in scores))
        return [name for name in self.view.scores if name in names] or [
            name for name in names if not name.endswith("_std")
        ]

    def fallen(self, panel: Panel) -> list[Run]:
        """The failed and damaged cells that would stand in a panel."""
        there = [score.run.config for score in self.finals if score.panel == panel]
        broken = [run for run in self.runs if run.cell.state in ("failed", DAMAGED) and self.rest(run) == panel.rest]
        return [run for run in broken if any(same_measurement(run.config, config) for config in there)]


def same_measurement(one: DictConfig, other: DictConfig) -> bool:
    """Whether two configs measure the same data in the same way; a config that is not there may."""
    return not one or all(one.get(group) == other.get(group) for group in ("data", "metrics"))


def last_records(run: Run) -> list[dict]:
    """The records about the weights after the last update."""
    results = run.cell.results
    later = [
        record
        for record in results.get("evaluations", [])
        if record.get("checkpoint") == "last" and record["update"] == results.get("updates")
    ]
    return [record for record in (results.get("final"), *later) if record]


def ordered(values: Iterator[str]) -> list[str]:
    """Each value once: by size if all are numbers, else as they come."""
    different = list(dict.fromkeys(values))
    try:
        return sorted(different, key=float)
    except ValueError:
        return different


def read_sweep(directory: Path) -> Sweep:
    """A sweep from its directory.

    Raises:
        UserError: there is none, its plan is damaged, or none of its cells can be read.
    """
    if not directory.is_dir():
        raise UserError(f"{directory} does not exist: name the directory that `sweep=` or `--multirun` has written.")
    plan = read_plan(directory)
    runs = [read_run(directory / name, name) for name in cell_names(directory)]
    begun = [run for run in runs if run.cell.state != "waiting"]
    if begun and all(run.cell.state == DAMAGED for run in begun):
        raise UserError(begun[0].cell.results["error"])
    name = plan.get("sweep") or directory.resolve().name
    axes = plan.get("axes") or list(dict.fromkeys(axis for run in runs for axis in run.cell.coordinates))
    block = next((run.config.figure for run in runs if run.config.get("figure")), None)
    return Sweep(name, directory, runs, read_view(block, axes, name))


def read_run(directory: Path, name: str) -> Run:
    """A cell with its config; one whose files cannot be read says so in its state and its error."""
    try:
        cell = read_cell(directory, name)
        check_records(cell)
        return Run(cell, read_config(directory))
    except UserError as error:
        return Run(Cell(name, directory, DAMAGED, {"error": str(error)}), OmegaConf.create())


def check_records(cell: Cell) -> None:
    """Refuses scores that do not say what was measured.

    Raises:
        UserError: names the file.
    """
    results = cell.results
    for record in [*results.get("course", []), *last_records(Run(cell, OmegaConf.create()))]:
        protocol = record.get("protocol")
        if not isinstance(protocol, dict) or not protocol.keys() >= {"name", "data"}:
            raise UserError(
                f"{cell.directory / 'results.json'} is from an older version (its scores do not say of which data and "
                f"protocol they are): delete the cell, and the next start of the sweep runs it again."
            )


def read_config(directory: Path) -> DictConfig:
    """The config of a cell, whose own classes Python then finds; empty before it has begun."""
    path = directory / ".hydra" / "config.yaml"
    search_path.find_modules_of(directory)
    return read_yaml(path, DictConfig) if path.exists() else OmegaConf.create()
