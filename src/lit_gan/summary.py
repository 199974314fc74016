"""The table at the end of a run."""

import shlex
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_only
from rich.console import Console
from rich.table import Table

from lit_gan.launch import typed

ROWS = 10
FILES = ("samples", "vector_field.png", "metrics.csv", "results.json")
"""What a run may leave to look at."""


@rank_zero_only
def print_summary(directory: Path, results: dict[str, Any]) -> None:
    """The course of the metrics, the best value, the time, and where things lie."""
    console = Console()
    if results["course"]:
        console.print(course_table(results["course"]))
    for line in closing_lines(directory, results):
        console.print(line, highlight=False, soft_wrap=True)


def course_table(course: list[dict[str, Any]]) -> Table:
    """At most ROWS evaluations with the last one's scores, evenly spread, the first and the last among them."""
    course = [record for record in course if record["scores"].keys() == course[-1]["scores"].keys()]
    table = Table("update", *course[-1]["scores"], title=f"scores during training ({course[-1]['protocol']['name']})")
    last = len(course) - 1
    for index in sorted({round(row * last / (ROWS - 1)) for row in range(ROWS)}):
        record = course[index]
        table.add_row(str(record["update"]), *(format_score(value) for value in record["scores"].values()))
    return table


def format_score(value: float | None) -> str:
    """Four digits, or a dash."""
    return "-" if value is None else f"{value:.4g}"


def closing_lines(directory: Path, results: dict[str, Any]) -> list[str]:
    """What stands below the table."""
    lines = []
    if results["best"]:
        best = results["best"]
        lines.append(f"best     {best['metric']} {format_score(best['value'])} at update {best['update']}")
    if results["final"]:
        record = results["final"]
        scores = "  ".join(f"{name} {format_score(value)}" for name, value in record["scores"].items())
        lines.append(f"final    {scores}  ({record['protocol']['name']}, {record['weights']} weights)")
    seconds = results["seconds"]
    lines.append(f"time     {seconds['training']:.0f} s training, {seconds['evaluation']:.0f} s evaluation")
    lines.append(f"{results['status']:<8} at update {results['updates']}: {directory}")
    if results["status"] == "stopped":
        lines.append(f"go on    {command('train', 'resume', directory)}")
    elif results["status"] == "finished":
        there = [str(directory / name) for name in FILES if (directory / name).exists()]
        lines.append(f"look at  {', '.join(there)}")
        if (directory / "checkpoints" / "last.ckpt").exists():
            lines.append(f"next     {command('sample', 'run', directory)}    {command('evaluate', 'run', directory)}")
    return lines


def command(module: str, setting: str, directory: Path) -> str:
    """A command about a run, as a shell takes it."""
    return f"python -m lit_gan.{module} {shlex.quote(f'{setting}={typed(str(directory))}')}"
