"""What stands on the screen at the end of a run, and in the tables of other commands."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from lit_gan.records.score_names import scores_in_words, split_names
from lit_gan.sweep.cells import Cell
from lit_gan.system.shell import shell_command
from lit_gan.tasks.cells_view import cell_line
from lit_gan.tasks.run_lines import run_lines
from lit_gan.tasks.score_tables import print_scores
from lit_gan.tasks.summary import course_table, next_lines, score_lines

NAMES = ("fid", "kid", "precision", "recall", "is", "is_std")


def record(update: int, extractor: str = "efficientnet_lite0") -> dict:
    scores = {f"{extractor}/{name}": 1234.5678 + update for name in NAMES}
    return {"update": update, "scores": scores, "protocol": {"name": "quick"}, "weights": "ema"}


def at_80_columns(printable) -> str:
    console = Console(width=80, file=io.StringIO())
    console.print(printable)
    return console.file.getvalue()


class TestScoreNames:
    def test_the_extractor_is_said_once(self):
        assert split_names(["digits/fid", "digits/kid"]) == ("digits", {"digits/fid": "fid", "digits/kid": "kid"})

    @pytest.mark.parametrize("names", [["fid", "kid"], ["a/fid", "b/fid"], ["fid", "a/fid"], []])
    def test_names_without_a_common_extractor_stay_whole(self, names):
        assert split_names(names) == ("", {name: name for name in names})

    def test_a_missing_score_is_left_out(self):
        assert scores_in_words({"digits/fid": 5.0, "digits/kid": None}) == "digits: fid 5"
        assert scores_in_words({"digits/fid": None}) == ""


class TestCourseTable:
    def test_headers_at_80_columns_are_whole(self):
        text = at_80_columns(course_table([record(1)]))
        assert "…" not in text
        for name in NAMES:
            assert f" {name} " in text
        assert "efficientnet_lite0, protocol quick" in " ".join(text.split())

    def test_rows_left_out_are_counted(self):
        table = course_table([record(update) for update in range(1, 13)])
        assert table.row_count == 10
        assert table.caption == "10 of 12 evaluations shown; all are in metrics.csv"

    def test_rows_of_other_scores_are_counted_too(self):
        table = course_table([record(1, "digits"), record(2)])
        assert table.caption == "1 of 2 evaluations shown; all are in metrics.csv"

    def test_nothing_is_said_where_nothing_is_left_out(self):
        assert course_table([record(update) for update in range(1, 11)]).caption is None


def test_evaluate_and_status_name_the_extractor_once(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    print_scores(record(3), "last.ckpt")
    printed = capsys.readouterr().out
    assert printed.count("efficientnet_lite0") == 1
    assert " fid " in printed
    cell = Cell("method=a", Path("a"), "finished", {"course": [], "final": record(3)})
    assert cell_line(cell).count("efficientnet_lite0") == 1


def test_a_score_that_cannot_be_compared_has_its_star_and_its_reason_wherever_it_is_printed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    few = record(3) | {"caveats": {"efficientnet_lite0/fid": "3 real images are too few"}}
    note = "* fid of protocol quick: 3 real images are too few"
    print_scores(few, "last.ckpt")
    printed = capsys.readouterr().out
    assert ("1238*" in printed, printed.count("*"), note in printed) == (True, 2, True)
    shown = "fid 1238*  kid 1238  "
    assert shown in cell_line(Cell("method=a", Path("a"), "finished", {"course": [], "final": few}))
    final, footnote = score_lines({"course": [], "best": None, "final": few})
    assert (shown in final, footnote.startswith(note)) == (True, True)


@pytest.mark.parametrize(("stopped_by", "end"), [("trainer.max_time", " +trainer.max_time=null"), (None, "")])
def test_a_run_whose_time_was_over_goes_on_without_that_limit(stopped_by, end, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    command = f"go on    {shell_command('train', f'resume={tmp_path}')}{end}"
    cell = Cell(".", tmp_path, "stopped", {"status": "stopped", "updates": 5, "stopped_by": stopped_by})
    assert command in next_lines(tmp_path, {"status": "stopped", "stopped_by": stopped_by}, (1, 32, 32))
    assert command in [*run_lines(cell)]


@pytest.mark.parametrize("scored", [True, False])
def test_a_run_without_metrics_is_not_sent_to_an_evaluation_that_refuses_it(scored, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    text = "\n".join(next_lines(tmp_path, {"status": "finished", "final": scored}, (1, 32, 32)))
    assert ("lit_gan.sample run=" in text, "lit_gan.evaluate run=" in text) == (True, scored)
