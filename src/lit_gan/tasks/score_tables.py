"""Scores as tables on a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from lit_gan.records.results import Record
from lit_gan.records.score_names import footnotes, format_score, split_names
from lit_gan.system.console import plain_console


def print_scores(record: Record, what: str, class_names: Sequence[str] | None = None) -> None:
    """Prints the scores of a record, with what their stars mean, and those within the classes where
    there are any.

    Args:
        what: what was scored, "last.ckpt, update 1200, raw weights".
    """
    console, (extractor, _) = plain_console(), split_names(record["scores"])
    title = ", ".join(filter(None, [what, extractor, f"protocol {record['protocol']['name']}"]))
    console.print(f"{title}:", highlight=False, markup=False, soft_wrap=True)  # a table's own title is as narrow as it
    console.print(scores_as_table(record))
    for line in footnotes(record):
        console.print(line, highlight=False, soft_wrap=True)
    if record.get("classes"):
        console.print(class_table(record["classes"], class_names))


def scores_as_table(record: Record) -> Table:
    """A row for each score."""
    (_, short), table = split_names(record["scores"]), Table("score", "value")
    for name, value in record["scores"].items():
        table.add_row(short[name], format_score(value, name in record.get("caveats", {})))
    return table


def class_table(classes: dict[str, Any], class_names: Sequence[str] | None) -> Table:
    """A row for each class, a column for each score; a class without such a score has an empty
    cell."""
    table = Table("class", *classes, title="within the classes")
    for label, values in enumerate(zip(*classes.values(), strict=True)):
        name = str(label) if class_names is None else escape(f"{label} {class_names[label]}")
        table.add_row(name, *("" if value is None else format_score(value) for value in values))
    return table
