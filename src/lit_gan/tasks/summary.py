"""The table and the lines at the end of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_only
from rich.table import Table

from lit_gan.metrics.ms_ssim import WINDOW
from lit_gan.records.layout import METRICS, RESULTS, SAMPLES, checkpoint_path
from lit_gan.records.results import same_protocol
from lit_gan.records.score_names import format_score, split_names
from lit_gan.system.console import plain_console
from lit_gan.tasks.run_lines import command_that_goes_on, run_command, score_lines

ROWS = 10
"""The most evaluations that the table shows."""

FILES = (SAMPLES, "curves.png", "vector_field.png", METRICS, RESULTS)
"""The files and folders that a run may leave to look at."""


@rank_zero_only
def print_summary(directory: Path, results: dict[str, Any], shape: Sequence[int]) -> None:
    """Prints the scores over the course of a run, the best one, the time, and what to look at and
    to do next.

    Args:
        directory: of the run.
        results: the content of its `results.json`.
        shape: of a sample.
    """
    console = plain_console()
    if results["course"]:
        console.print(course_table(results["course"]))
    for line in closing_lines(directory, results, shape):
        console.print(line, highlight=False, soft_wrap=True)


def course_table(course: list[dict[str, Any]]) -> Table:
    """A table of at most `ROWS` evaluations with the last one's scores under its protocol, evenly
    spread from the first to the last.

    The title names the extractor and the protocol, a caption says how many evaluations are left
    out.
    """
    alike = [record for record in course if measured_alike(record, course[-1])]
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
        table.caption = f"{table.row_count} of {len(course)} evaluations shown; all are in {METRICS}"
    return table


def measured_alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two records have the same scores under the same protocol."""
    return one["scores"].keys() == other["scores"].keys() and same_protocol(one, other)


def closing_lines(directory: Path, results: dict[str, Any], shape: Sequence[int]) -> list[str]:
    """The lines below the table."""
    seconds = results["seconds"]
    stopped_by = f" by {results['stopped_by']}" if results.get("stopped_by") else ""
    return [
        *score_lines(results),
        f"time     {seconds['training']:.0f} s training, {seconds['evaluation']:.0f} s evaluation",
        *(f"warning  {sentence}" for sentence in results.get("warnings", [])),
        f"{results['status']:<8} at update {results['updates']}{stopped_by}: {directory}",
        *next_lines(directory, results, shape),
    ]


def next_lines(directory: Path, results: dict[str, Any], shape: Sequence[int]) -> list[str]:
    """The files to look at, and the commands that go on with a run; no lines for one that has
    failed."""
    if results["status"] not in ("finished", "stopped"):
        return []
    there = [str(directory / name) for name in FILES if (directory / name).exists()]
    look_at = f"look at  {', '.join(there)}"
    if results["status"] == "stopped":
        return [f"go on    {command_that_goes_on(directory, results.get('stopped_by'))}", look_at]
    if not checkpoint_path(directory).exists():  # after a fast_dev_run
        return [look_at]
    evaluation = f"    {run_command('evaluate', 'run', directory)}" if results["final"] else ""
    return [
        look_at,
        f"next     {run_command('sample', 'run', directory)}{evaluation}",
        f"         {run_command('analyze', 'run', directory)} {telling_analysis(shape)}",
    ]


def telling_analysis(shape: Sequence[int]) -> str:
    """The analysis that shows soonest whether samples of a shape are worth anything, and what it
    shows."""
    if len(shape) == 3 and min(shape[1:]) >= WINDOW:
        return "analysis=ms_ssim    (samples more alike than real images: a collapse)"
    return "analysis=level_sets    (D over the plane)" if list(shape) == [2] else "analysis=spectra    (D's layers)"
