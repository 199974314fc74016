"""A run or a sweep as it stands: what `--json` says of it, one object for shell scripts and other
programs."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lit_gan.records.layout import checkpoint_path
from lit_gan.records.pace import pace_of
from lit_gan.records.results import Record, RunRecord, without_nan
from lit_gan.sweep.cells import STATES, Cell, is_run, read_cell_or_damage, read_cells_as_planned


def read_run_or_cells(directory: Path) -> list[Cell]:
    """The cells of a sweep, or a single run as the only cell, whose name is ".".

    Raises:
        UserError: there is neither, or the plan of the sweep is damaged.
    """
    return [read_cell_or_damage(directory, ".")] if is_run(directory) else read_cells_as_planned(directory)


def json_line(directory: Path, cells: Sequence[Cell]) -> str:
    """The object about a run or a sweep, on one line. docs/runs.md documents its keys."""
    return json.dumps(without_nan(run_object(cells[0]) if is_run(directory) else sweep_object(directory, cells)))


def sweep_object(directory: Path, cells: Sequence[Cell]) -> dict[str, Any]:
    """A sweep: how many cells are in which state, and each cell."""
    counts = Counter(cell.state for cell in cells)
    return {
        "directory": str(directory.absolute()),
        "counts": {state: counts[state] for state in STATES if counts[state]},
        "cells": [{"cell": cell.name, "coordinates": cell.coordinates, **run_object(cell)} for cell in cells],
    }


def run_object(cell: Cell) -> dict[str, Any]:
    """A run: its state, how far and how fast it is, its scores, and how it has ended."""
    results, pace = cell.results, pace_of(cell.directory, cell.results)
    record, best = newest_record(results), results.get("best")
    checkpoint = checkpoint_path(cell.directory.absolute())
    return {
        "directory": str(cell.directory.absolute()),
        "state": cell.state,
        "updates": pace.updates,
        "updates_planned": pace.planned,
        "updates_per_second": pace.per_second,
        "seconds_left": pace.seconds_left if cell.state == "running" else None,
        "scores": record["scores"] if record else {},
        "scores_of": facts_of_scores(record) if record else None,
        "best": {key: best[key] for key in ("metric", "value", "update")} if best else None,
        "curves": pace.curves,
        "warnings": results.get("warnings", []),
        "error": results.get("error"),
        "stopped_by": results.get("stopped_by"),
        "checkpoint": str(checkpoint) if checkpoint.exists() else None,
    }


def facts_of_scores(record: Record) -> dict[str, Any]:
    """When and how scores were taken, and why some of them cannot bear comparison."""
    facts = {name: record.get(name) for name in ("update", "weights")}
    return facts | {"protocol": record.get("protocol", {}).get("name"), "caveats": record.get("caveats", {})}


def newest_record(results: RunRecord) -> Record | None:
    """The record of a run's final scores, or else of its last evaluation; None if it has
    neither."""
    return results.get("final") or next(reversed(results.get("course") or []), None)
