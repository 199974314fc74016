"""How far a run is and how fast it goes, from the files in its directory."""

from pathlib import Path
from typing import NamedTuple

from lit_gan.records.curve_names import PLAYERS
from lit_gan.records.files import Damaged
from lit_gan.records.layout import metrics_path, results_path
from lit_gan.records.results import RunRecord
from lit_gan.records.table import read_table


class Pace(NamedTuple):
    """How far a run is, and how fast.

    Attributes:
        updates: generator updates that are done, as far as the directory tells.
        planned: the number of the last one; None before the run has begun.
        per_second: generator updates in a second of training; None before the first curve.
        seconds_left: until the last update, with the evaluations on the way; None where no speed is
            known.
        curves: the newest value of each loss and output of D, {"d/hinge": 1.2}.
    """

    updates: int
    planned: int | None
    per_second: float | None
    seconds_left: float | None
    curves: dict[str, float]


def pace_of(directory: Path, results: RunRecord) -> Pace:
    """The pace of a run.

    `results.json` is written when a training begins and after each epoch; within an epoch,
    `metrics.csv` says how far it is.

    Args:
        results: the content of its `results.json`, empty before it has one.
    """
    counted, planned = results.get("updates", 0), results.get("updates_planned")
    updates, curves = newest_curves(metrics_path(directory))
    updates = max(updates, counted)
    per_second = results.get("updates_per_second") or speed_since(directory, updates - counted)
    left = None
    if per_second and planned:
        seconds = results.get("seconds") or {}
        evaluations = seconds["evaluation"] / seconds["training"] if seconds.get("training") else 0
        left = max(0, planned - updates) / per_second * (1 + evaluations)
    return Pace(updates, planned, per_second, left, curves)


def newest_curves(path: Path) -> tuple[int, dict[str, float]]:
    """The last generator update in a run's table, and the newest value of each curve of a player;
    0 and none where there is no table that can be read."""
    try:
        columns, rows = read_table(path)
    except (OSError, Damaged):
        return 0, {}
    curves = {}
    for name in (name for name in columns if name.startswith(PLAYERS)):
        value = next((row[name] for row in reversed(rows) if row[name]), None)
        curves |= {} if value is None else {name: float(value)}
    return int(rows[-1]["update"]) if rows else 0, curves


def speed_since(directory: Path, updates: int) -> float | None:
    """Updates per second since `results.json` was written, up to the newest row of the table; None
    where there is no such row."""
    try:
        begun, now = (path(directory).stat().st_mtime for path in (results_path, metrics_path))
    except OSError:
        return None
    return updates / (now - begun) if updates > 0 and now > begun else None
