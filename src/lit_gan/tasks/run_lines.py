"""Lines about a single run: on the screen while it trains, and at its end."""

from collections.abc import Iterator
from pathlib import Path

from lit_gan.overrides import as_typed_value
from lit_gan.records.chosen import choices_in_words
from lit_gan.records.layout import checkpoint_path
from lit_gan.records.pace import Pace, pace_of
from lit_gan.records.results import EMPTY, TIME_LIMIT, Record, RunRecord
from lit_gan.records.score_names import footnotes, format_score, four_digits, scores_in_words
from lit_gan.sweep.cells import Cell
from lit_gan.system.shell import shell_command


def run_lines(cell: Cell) -> Iterator[str]:
    """What a run is, how far it is, its newest curves and scores, and how it has ended or goes
    on."""
    results, pace = EMPTY | cell.results, pace_of(cell.directory, cell.results)
    yield f"run      {cell.directory}"
    if results.get("choices"):
        yield f"choices  {choices_in_words(results['choices'])}"
    yield f"{cell.state:<8} {', '.join(how_far(cell.state, pace)) or 'nothing has been recorded yet'}"
    if pace.curves:
        yield f"curves   {'  '.join(f'{name} {four_digits(value)}' for name, value in pace.curves.items())}"
    if results["course"] and not results["final"]:
        yield newest_scores(results["course"][-1])
    yield from score_lines(results)
    yield from (f"warning  {sentence}" for sentence in results.get("warnings", []))
    if results.get("error"):
        yield f"error    {results['error']}"
    if cell.state in ("stopped", "failed") and checkpoint_path(cell.directory).exists():
        yield f"go on    {command_that_goes_on(cell.directory, results.get('stopped_by'))}"


def how_far(state: str, pace: Pace) -> list[str]:
    """How far a run is and, while it trains, how fast and how long still."""
    words = [f"update {pace.updates} of {pace.planned}"] if pace.planned else []
    if state == "running" and pace.seconds_left is not None:
        words += [f"{pace.per_second:.3g} updates/s", f"{time_left(pace.seconds_left)} left"]
    return words


def time_left(seconds: float) -> str:
    """Seconds as hours and minutes, or as minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"


def newest_scores(record: Record) -> str:
    """The line about the last evaluation of a run that has no final scores yet."""
    return f"scores   {scores_in_words(record['scores'], record.get('caveats', {}))}  (update {record['update']})"


def score_lines(results: RunRecord) -> list[str]:
    """The best and the final scores, if there are any, and what the stars at scores mean."""
    lines, best, final = [], results["best"], results["final"]
    if best:
        value = format_score(best["value"], best["metric"] in best.get("caveats", {}))
        lines.append(f"best     {best['metric']} {value} at update {best['update']}")
    if final:
        measured = f"protocol {final['protocol']['name']}, {final['weights']} weights"
        lines.append(f"final    {scores_in_words(final['scores'], final.get('caveats', {}))}  ({measured})")
    shown = [*results["course"][-1:], *([final] if final else [])]
    return lines + [footnote for record in shown for footnote in footnotes(record)]


def command_that_goes_on(directory: Path, stopped_by: str | None) -> str:
    """The command that resumes a run; where its time was over, without that limit, which it would reach
    at once."""
    longer = f" +{TIME_LIMIT}=null" if stopped_by == TIME_LIMIT else ""
    return run_command("train", "resume", directory) + longer


def run_command(module: str, setting: str, directory: Path) -> str:
    """A command about a run, as a shell takes it: `python -m lit_gan.sample run=DIR`."""
    return shell_command(module, f"{setting}={as_typed_value(str(directory))}")
