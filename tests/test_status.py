"""How far a run is, what is shown of it while somebody waits for its end, and how that ends."""

import io
import json
import os
from types import SimpleNamespace

import pytest
from rich.console import Console

from lit_gan import status
from lit_gan.errors import UserError
from lit_gan.records.lock import sole_use
from lit_gan.records.pace import pace_of
from lit_gan.tasks import following
from lit_gan.tasks.following import exit_code, follow

FID = {"digits/fid": 3.5}
PROTOCOL = {"name": "quick"}


def content(state="running", updates=100, **more):
    course = [{"update": updates, "scores": FID, "protocol": PROTOCOL, "weights": "raw"}]
    seconds = {"training": 50.0, "evaluation": 25.0}
    whole = {"status": state, "updates": updates, "updates_planned": 300, "course": course, "final": None, "best": None}
    return (
        whole
        | {
            "seconds": seconds,
            "updates_per_second": 2.0,
            "choices": {"model": "dcgan", "reg": ["r1"], "order": "extragradient"},
        }
        | more
    )


def write(directory, table=None, **settings):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "results.json").write_text(json.dumps(content(**settings)))
    if table:
        (directory / "metrics.csv").write_text(table)
    return directory


TABLE = "update,d/hinge,g/hinge,digits/fid\n50,1.5,0.5,\n120,1.25,,\n"


@pytest.fixture
def command(monkeypatch, capsys):
    """Prints what `status` prints: command(DIR, "--json")."""

    def run(*words):
        monkeypatch.setattr("sys.argv", ["status", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        status.main()
        return capsys.readouterr().out

    return run


@pytest.fixture
def days(monkeypatch):
    """What happens between two looks, one function after the other: days(first, second); time passes quickly."""

    def plan(*events):
        waiting, clock = list(events), [0.0]

        def sleep(seconds):
            clock[0] += seconds
            if waiting:
                waiting.pop(0)()

        monkeypatch.setattr(following, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: clock[0]))
        return clock

    return plan


class TestPace:
    def test_evaluations_on_the_way_count_in_the_time_left(self, tmp_path):
        pace = pace_of(write(tmp_path, TABLE), content())
        assert (pace.updates, pace.planned, pace.per_second) == (120, 300, 2.0)
        assert pace.seconds_left == (300 - 120) / 2 * (1 + 25 / 50)
        assert pace.curves == {"d/hinge": 1.25, "g/hinge": 0.5}

    def test_before_the_first_epoch_the_files_tell_the_speed(self, tmp_path):
        begun = content(updates=20, updates_per_second=None, seconds={"training": 0.0, "evaluation": 0.0})
        write(tmp_path, TABLE)
        os.utime(tmp_path / "results.json", (1000, 1000))
        os.utime(tmp_path / "metrics.csv", (1050, 1050))
        assert pace_of(tmp_path, begun)[2:4] == ((120 - 20) / 50, (300 - 120) / 2)

    @pytest.mark.parametrize("table", [None, "nonsense\n1\n", "update\n"])
    def test_without_a_table_it_is_what_the_results_say(self, tmp_path, table):
        assert pace_of(write(tmp_path, table), content())[:2] == (100, 300)

    def test_of_a_run_that_has_not_begun(self, tmp_path):
        assert pace_of(tmp_path, {}) == (0, None, None, None, {})


class TestSingleRun:
    def test_one_that_trains(self, tmp_path, command):
        with sole_use(write(tmp_path / "run", TABLE)):
            lines = command(tmp_path / "run").splitlines()
        assert lines[1:] == [
            "choices  model=dcgan reg=[r1] order=extragradient",
            "running  update 120 of 300, 2 updates/s, 2 min 15 s left",
            "curves   d/hinge 1.25  g/hinge 0.5",
            "scores   digits: fid 3.5  (update 100)",
        ]

    def test_one_that_has_failed_says_why_and_how_it_goes_on(self, tmp_path, command):
        run = write(tmp_path / "run", state="failed", error="d/hinge became nan", warnings=["a departure"])
        assert "go on" not in command(run)
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "last.ckpt").touch()
        shown = command(run)
        assert "warning  a departure\nerror    d/hinge became nan\n" in shown
        assert f"lit_gan.train resume={run}\n" in shown
        assert "left" not in shown

    def test_one_that_is_about_to_begin(self, tmp_path, command):
        (tmp_path / ".hydra").mkdir()
        assert "waiting  nothing has been recorded yet\n" in command(tmp_path)

    def test_one_that_cannot_be_read(self, tmp_path, command):
        (tmp_path / "results.json").write_text("{")
        assert "error    " in command(tmp_path)

    def test_as_json(self, tmp_path, command):
        run = write(tmp_path / "run", TABLE, state="finished", final=content()["course"][0] | {"caveats": {}})
        told = json.loads(command(run, "--json"))
        assert (told["state"], told["updates"], told["updates_planned"]) == ("finished", 120, 300)
        assert (told["scores"], told["scores_of"]["protocol"]) == (FID, "quick")
        assert (told["seconds_left"], told["checkpoint"], told["best"]) == (None, None, None)
        assert told["directory"] == str(run)

    def test_what_json_has_not_is_null(self, tmp_path, command):
        run = write(tmp_path / "run", "update,d/hinge\n1,inf\n")
        assert "Infinity" not in command(run, "--json")


def make_sweep(folder, **states):
    plan = {"sweep": "fig1", "axes": ["seed"], "cells": [f"seed={name[1:]}" for name in states]}
    folder.mkdir(exist_ok=True)
    (folder / "sweep.json").write_text(json.dumps(plan))
    for name, state in states.items():
        if state:
            write(folder / f"seed={name[1:]}", state=state)
    return folder


def test_a_sweep_as_json(tmp_path, command):
    told = json.loads(command(make_sweep(tmp_path / "s", s0="finished", s1=None), "--json"))
    assert told["counts"] == {"finished": 1, "waiting": 1}
    assert [(cell["coordinates"], cell["state"]) for cell in told["cells"]] == [
        ({"seed": "0"}, "finished"),
        ({"seed": "1"}, "waiting"),
    ]


class TestFollow:
    @pytest.mark.parametrize(("state", "code"), [("finished", 0), ("failed", 1), ("stopped", 130)])
    def test_a_run_to_its_end(self, tmp_path, days, capsys, state, code):
        run = write(tmp_path / "run", TABLE)
        training = sole_use(run)
        training.__enter__()

        def end():
            training.__exit__(None, None, None)
            write(run, state=state, updates=300)

        days(lambda: None, lambda: write(run, updates=200), lambda: None, end)
        assert follow(run, False, False) == code
        printed = [line[10:] for line in capsys.readouterr().out.splitlines()]
        told = [line.split(", 2")[0] for line in printed if line.startswith(("running, ", f"{state}, "))]
        last = f"{state}, update 300 of 300, digits: fid 3.5"
        assert told == ["running, update 120 of 300", "running, update 200 of 300", last]

    def test_what_trains_is_told_of_once_a_minute(self, tmp_path, days, capsys):
        run = write(tmp_path / "run", TABLE)
        clock = days(*[lambda: None] * 95)
        with sole_use(run):
            show = following.Changes(following.say_run)
            while clock[0] < 190:
                show(following.read_run_or_cells(run))
                following.time.sleep(2)
        assert len(capsys.readouterr().out.splitlines()) == 4

    def test_json_is_a_line_for_each_change(self, tmp_path, days, capsys):
        run = write(tmp_path / "run")
        training = sole_use(run)
        training.__enter__()
        days(lambda: None, lambda: training.__exit__(None, None, None) or write(run, state="finished"))
        assert follow(run, False, True) == 0
        assert [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()] == ["running", "finished"]

    def test_a_terminal_is_drawn_anew(self, tmp_path, days, monkeypatch):
        shown = io.StringIO()
        console = Console(file=shown, force_terminal=True, width=100, markup=False)
        monkeypatch.setattr(following, "plain_console", lambda **_: console)
        sweep = make_sweep(tmp_path / "s", s0="finished", s1=None)
        days(lambda: write(sweep / "seed=1", state="finished"))
        assert follow(sweep, False, False) == 0
        assert "\x1b[1A" in shown.getvalue()
        assert "2 finished" in shown.getvalue().splitlines()[-2]

    def test_a_sweep_whose_cells_nobody_begins_is_left_after_a_minute(self, tmp_path, days, capsys):
        clock = days()
        assert follow(make_sweep(tmp_path / "s", s0="finished", s1=None), False, False) == 130
        assert following.QUIET < clock[0] < 2 * following.QUIET
        assert "1 finished, 1 waiting" in capsys.readouterr().out

    def test_failed_cells_leave_the_others_to_their_end(self, tmp_path, days, capsys):
        sweep = make_sweep(tmp_path / "s", s0="failed", s1=None)
        days(lambda: write(sweep / "seed=1", state="finished"))
        assert follow(sweep, False, False) == 1
        assert "seed=1: finished, update 100 of 300" in capsys.readouterr().out

    def test_ctrl_c_is_quiet(self, tmp_path, days, monkeypatch, capsys):
        def interrupt():
            raise KeyboardInterrupt

        days(interrupt)
        monkeypatch.setattr("sys.argv", ["status", str(make_sweep(tmp_path / "s", s0=None)), "--follow"])
        with pytest.raises(SystemExit) as end:
            status.main()
        assert (end.value.code, capsys.readouterr().err) == (130, "")

    def test_of_nothing(self, tmp_path, days, capsys):
        clock = days()
        with pytest.raises(UserError, match="no sweep and no run"):
            follow(tmp_path, False, False)
        assert clock[0] > following.QUIET
        assert capsys.readouterr().err.count("waiting 60 seconds") == 1

    def test_of_what_has_just_been_started(self, tmp_path, days):
        days(lambda: write(tmp_path / "run", state="finished"))
        assert follow(tmp_path / "run", False, False) == 0


def test_damage_is_a_failure(tmp_path):
    sweep = make_sweep(tmp_path / "s", s0="finished", s1=None)
    (sweep / "seed=1").mkdir()
    (sweep / "seed=1" / "results.json").write_text("{")
    assert exit_code(following.read_run_or_cells(sweep)) == 1
