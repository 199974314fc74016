"""The numbers that papers print, `lit_gan/papers/<name>.csv`."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lit_gan.papers
from lit_gan.errors import UserError
from lit_gan.sweep.plan import as_path_part

FOLDER = Path(lit_gan.papers.__file__).parent
COLUMNS = ("label", "score", "value", "std", "data", "extractor", "protocol", "source")


@dataclass(frozen=True)
class PaperScore:
    """A printed number.

    Attributes:
        axes: where it stands, {"method": "spectral_norm"}; without the axes that the file leaves empty.
        label: the paper's name of the row.
        source: the paper's table or figure.
    """

    axes: tuple[tuple[str, str], ...]
    label: str
    score: str
    value: float
    std: float | None
    data: str
    extractor: str
    protocol: str
    source: str

    def at(self, axis: str | None) -> str | None:
        """Its value on an axis; None if it has none."""
        return dict(self.axes).get(axis)

    @property
    def measured(self) -> tuple[str, str, str]:
        """What must agree with a panel's `source` before both may stand in it."""
        return self.data, self.extractor, self.protocol

    @property
    def title(self) -> str:
        """Where it is from and how it was measured."""
        return f"paper: {', '.join(filter(None, self.measured))}"


def read_paper(name: str | None) -> list[PaperScore]:
    """All numbers of a file; none without a name.

    Raises:
        UserError: there is no such file, or it is damaged.
    """
    if name is None:
        return []
    path = FOLDER / f"{name}.csv"
    if not path.is_file():
        known = sorted(each.stem for each in FOLDER.glob("*.csv"))
        raise UserError(f"figure.paper={name} does not exist: there are {', '.join(known) or 'none'}, or null.")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = (line for line in file if not line.startswith("#"))
            return [paper_score(row) for row in csv.DictReader(lines, strict=True)]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({error}): it needs the columns {', '.join(COLUMNS)}.") from error


def paper_score(row: dict[str, str]) -> PaperScore:
    """A row of a file."""
    axes = tuple((name, as_path_part(value)) for name, value in row.items() if name not in COLUMNS and value)
    words = {name: row[name] for name in ("label", "score", "data", "extractor", "protocol", "source")}
    return PaperScore(axes, value=float(row["value"]), std=float(row["std"]) if row["std"] else None, **words)


def nearest(numbers: Sequence[PaperScore], source: tuple[str, str, str]) -> list[PaperScore]:
    """The numbers measured most like ours, all in the same way: of our data, if there are such.

    Args:
        source: our data, extractor and protocol.
    """
    if not numbers:
        return []
    measured = max((number.measured for number in numbers), key=lambda each: agreement(each, source))
    return [number for number in numbers if number.measured == measured]


def agreement(measured: tuple[str, str, str], source: tuple[str, str, str]) -> list[bool]:
    """Which of data, extractor and protocol are the same, to be compared in this order."""
    return [one == other for one, other in zip(measured, source, strict=True)]
