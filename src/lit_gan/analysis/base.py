"""What an analysis is, and what it leaves behind."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lit_gan.analysis.subject import Subject
from lit_gan.errors import UserError, written
from lit_gan.figures.style import save_figure
from lit_gan.records.files import replacing
from lit_gan.settings import Allowed


@dataclass
class Finding:
    """What an analysis found."""

    summary: str
    """For the screen, one line."""
    rows: list[dict[str, Any]]
    """The table, all rows with the same columns."""
    figure: Figure

    def save(self, stem: Path) -> None:
        """`<stem>.csv` and `<stem>.png`."""
        with replacing(stem.with_suffix(".csv")) as table, table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        save_figure(self.figure, stem.with_suffix(".png"))


class Analysis:
    """A look into a run. Its name is its key in the config group `analysis`."""

    def check(self, subject: Subject) -> None:
        """Refuse, before anything is computed, a run that this cannot look into."""

    def find(self, subject: Subject) -> Finding:
        """Looks."""
        raise NotImplementedError


def check_numbers(name: str, allowed: Allowed, **values: Any) -> None:
    """Holds settings of the analysis `name` against what they may be.

    Raises:
        UserError: names the first that is something else.
    """
    for key, value in values.items():
        if value not in allowed:
            raise UserError(f"analysis.{name}.{key}={written(value)} must be {allowed}.")


def check_images(name: str, subject: Subject) -> None:
    """For an analysis of images.

    Raises:
        UserError: the run is about points or text.
    """
    if len(subject.source.shape) != 3:
        raise UserError(
            f"analysis={name} looks at images, and data={subject.source.name} has none: choose a run on images."
        )


def check_enough(name: str, subject: Subject, least: int = 2) -> None:
    """For an analysis that compares training images with each other.

    Raises:
        UserError: there are fewer than `least`.
    """
    found = len(subject.source.split("train"))
    if found < least:
        raise UserError(
            f"analysis={name} compares training images with each other, so it needs at least {least}, and "
            f"data={subject.source.name} has {found}: choose a run on more images."
        )
