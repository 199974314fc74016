"""The table at the end of a run."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_only
from rich.table import Table

from lit_gan.metrics.ms_ssim import WINDOW
from lit_gan.overrides import typed
from lit_gan.records.score_names import footnotes, format_score, scores_in_words, split_names
from lit_gan.system.console import plain_console

ROWS = 10
FILES = ("samples", "curves.png", "vector_field.png", "metrics.csv", "results.json")
"""What a run may leave to look at."""


@rank_zero_only
def print_summary(directory: Path, results: dict[str, Any], shape: Sequence[int]) -> None:
    """The course of the metrics, the best value, the time, and where things lie.

    Args:
        shape: of a sample.
    """
    console = plain_console()
    if results["course"]:
        console.print(course_table(results["course"]))
    for line in closing_lines(directory, results, shape):
        console.print(line, highlight=False, soft_wrap=True)


def course_table(course: list[dict[str, Any]]) -> Table:
    """At most ROWS evaluations with the last one's scores, evenly spread, the first and the last among them.

    The title names the extractor and the protocol, a caption says how many evaluations are left out.
    """
    alike = [record for record in course if record["scores"].keys() == course[-1]["scores"].keys()]
    extractor, short = split_names(course[-1]["scores"])
    measured_by = ", ".join(filter(None, [extractor, f"protocol {course[-1]['protocol']['name']}"]))
    table = Table("update", *short.values(), title=f"scores during training ({measured_by})")
    last = len(alike) - 1
    for index in sorted({round(row * last / (ROWS - 1)) for row in range(ROWS)}):
        record = alike[index]
        caveats = record.get("caveats", {})
        values = (format_score(value, name in caveats) for name, value in record["scores"].items())
        table.add_row(str(record["update"]), *values)
    if table.row_count < len(course):
        table.caption = f"{table.row_count} of {len(course)} evaluations shown; all are in metrics.csv"
    return table


def closing_lines(directory: Path, results: dict[str, Any], shape: Sequence[int]) -> list[str]:
    """What stands below the table."""
    lines = []
    if results["best"]:
        best = results["best"]
        value = format_score(best["value"], best["metric"] in best.get("caveats", {}))
        lines.append(f"best     {best['metric']} {value} at update {best['update']}")
    if results["final"]:
        record = results["final"]
        measured = f"protocol {record['protocol']['name']}, {record['weights']} weights"
        lines.append(f"final    {scores_in_words(record['scores'], record.get('caveats', {}))}  ({measured})")
    for record in filter(None, [*results["course"][-1:], results["final"]]):
        lines += footnotes(record)
    seconds = results["seconds"]
    lines.append(f"time     {seconds['training']:.0f} s training, {seconds['evaluation']:.0f} s evaluation")
    lines += [f"warning  {sentence}" for sentence in results.get("warnings", [])]
    by = f" by {results['stopped_by']}" if results.get("stopped_by") else ""
    lines.append(f"{results['status']:<8} at update {results['updates']}{by}: {directory}")
    if results["status"] == "stopped":
        lines.append(f"go on    {command('train', 'resume', directory)}")
    if results["status"] in ("finished", "stopped"):
        there = [str(directory / name) for name in FILES if (directory / name).exists()]
        lines.append(f"look at  {', '.join(there)}")
        if results["status"] == "finished" and (directory / "checkpoints" / "last.ckpt").exists():
            lines += [f"next     {command('sample', 'run', directory)}    {command('evaluate', 'run', directory)}"]
            lines += [f"         {command('analyze', 'run', directory)} {telling_analysis(shape)}"]
    return lines


def telling_analysis(shape: Sequence[int]) -> str:
    """The analysis that shows soonest whether samples of a shape are worth anything, and what it shows."""
    if len(shape) == 3 and min(shape[1:]) >= WINDOW:
        return "analysis=ms_ssim    (samples more alike than real images: a collapse)"
    return "analysis=level_sets    (D over the plane)" if list(shape) == [2] else "analysis=spectra    (D's layers)"


def command(module: str, setting: str, directory: Path) -> str:
    """A command about a run, as a shell takes it."""
    return f"python -m lit_gan.{module} {shlex.quote(f'{setting}={typed(str(directory))}')}"
