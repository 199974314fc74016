"""What an analysis is, what it leaves behind, and what several analyses refuse."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lit_gan.analysis.subject import Subject
from lit_gan.errors import UserError, not_written, path_of
from lit_gan.figures.style import save_figure
from lit_gan.records.files import replacing


@dataclass
class Finding:
    """What an analysis found.

    Attributes:
        summary: one line for the screen.
        rows: of the table, one or more, all with the same columns.
        figure: the picture of it.
    """

    summary: str
    rows: list[dict[str, Any]]
    figure: Figure

    def save(self, stem: Path) -> None:
        """Writes the table as `<stem>.csv` and the figure as `<stem>.png`.

        Raises:
            Unwritable: one of them cannot be written.
        """
        with replacing(stem.with_suffix(".csv")) as table, table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        save_figure(self.figure, stem.with_suffix(".png"))


class Analysis:
    """A look into a trained GAN, which its key in the config group `analysis` names."""

    def check(self, subject: Subject) -> None:
        """Refuses, before anything is computed, a run that the analysis cannot look into; accepts
        all by default.

        Raises:
            UserError: says why, and which run would do.
        """

    def find(self, subject: Subject) -> Finding:
        """Looks into the run and returns what it found there."""
        raise not_written(self, "find(subject)")


def found(analysis: Analysis, subject: Subject) -> Finding:
    """What an analysis finds in a run, as it is, before any of its files is written.

    Raises:
        UserError: it is no finding, or one without rows of equal columns, or without a figure.
    """
    finding = analysis.find(subject)
    if wrong := why_no_finding(finding):
        raise UserError(f"{path_of(analysis)}.find returns {wrong}: correct that method.")
    return finding


def why_no_finding(given: Any) -> str | None:
    """What is wrong with what an analysis has returned; None if nothing is."""
    if not isinstance(given, Finding):
        return f"a {type(given).__name__}, but it must return a lit_gan.analysis.Finding"
    rows = given.rows if isinstance(given.rows, list) and all(isinstance(row, dict) for row in given.rows) else []
    if not rows or any(row.keys() != rows[0].keys() for row in rows):
        return "a Finding whose rows are no list of one or more dicts with the same keys"
    if not isinstance(given.figure, Figure):
        return f"a Finding whose figure is a {type(given.figure).__name__}, and no matplotlib.figure.Figure"
    return None


def check_images(name: str, subject: Subject) -> None:
    """Refuses a run on points or text for the analysis `name`, which is of images.

    Raises:
        UserError: names the data set.
    """
    if len(subject.source.shape) != 3:
        raise UserError(
            f"analysis={name} looks at images, and data={subject.source.name} has none: choose a run on images."
        )


def check_labels(name: str, subject: Subject) -> None:
    """Refuses a run on data without labels for the analysis `name`, which needs them.

    Raises:
        UserError: names the data set.
    """
    if subject.source.n_classes is None:
        raise UserError(
            f"analysis={name} needs labels, and data={subject.source.name} has none: choose a run on a labelled data "
            f"set."
        )


def check_enough(name: str, subject: Subject, least: int = 2, shown: bool = False) -> None:
    """Refuses a run on too few images for the analysis `name`, which compares training images with
    each other.

    Args:
        shown: whether it reads those that the players have been shown, or else any of the data set.

    Raises:
        UserError: there are fewer than `least` images.
    """
    found = len(subject.shown_images) if shown else len(subject.source.split("train"))
    if found < least:
        raise UserError(
            f"analysis={name} compares training images with each other, so it needs at least {least}, and "
            f"the run on data={subject.source.name} has {found}: choose a run on more images."
        )
