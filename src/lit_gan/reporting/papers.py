"""The numbers that papers print, which `lit_gan/papers/<name>.csv` holds."""

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
    """A number that a paper prints.

    Attributes:
        axes: the values to which it belongs, ("method", "spectral_norm"), without the axes that the
            file leaves empty.
        label: the paper's name of the row.
        std: the paper's own ±; None if it prints none.
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
        """The value on an axis to which the number belongs; None if it belongs to none."""
        return dict(self.axes).get(axis)

    @property
    def conditions(self) -> tuple[str, str, str]:
        """Data, extractor and protocol, which must be those of a panel before the number may stand
        in it."""
        return self.data, self.extractor, self.protocol

    @property
    def title(self) -> str:
        """How the number was measured, "paper: cifar10, inception, sngan_paper"."""
        return f"paper: {', '.join(filter(None, self.conditions))}"


def read_paper(name: str | None) -> list[PaperScore]:
    """All numbers of a file; an empty list without a name.

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
    """The number in a row of a file."""
    axes = tuple((name, as_path_part(value)) for name, value in row.items() if name not in COLUMNS and value)
    words = {name: row[name] for name in ("label", "score", "data", "extractor", "protocol", "source")}
    return PaperScore(axes, value=float(row["value"]), std=float(row["std"]) if row["std"] else None, **words)


def most_alike(numbers: Sequence[PaperScore], ours: tuple[str, str, str]) -> list[PaperScore]:
    """The numbers that were measured most like ours, all in one way: on our data, if there are
    such, or on those of which ours are a variant, as `cifar10-jpeg` is of `cifar10`.

    Args:
        ours: our data, extractor and protocol.
    """
    if not numbers:
        return []
    conditions = max((number.conditions for number in numbers), key=lambda each: agreement(each, ours))
    return [number for number in numbers if number.conditions == conditions]


def agreement(theirs: tuple[str, str, str], ours: tuple[str, str, str]) -> list[bool]:
    """Whether data, or what they are a variant of, extractor and protocol are the same; of two such
    lists, the greater agrees in what matters more."""
    is_variant = ours[0].partition("-")[0] == theirs[0]
    return [theirs[0] == ours[0], is_variant, theirs[1] == ours[1], theirs[2] == ours[2]]
