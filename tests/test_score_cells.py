"""`evaluate sweep=DIR`: every finished cell once, whoever scores it, and no cell stops the others."""

import json
import shutil
import subprocess
import sys

import pytest

from forks import start_fork
from lit_gan.cli.launch import launch
from lit_gan.records.lock import SCORING, sole_use
from lit_gan.sweep import score_cells
from lit_gan.tasks import evaluate as rescore
from lit_gan.tasks.evaluate import evaluate
from lit_gan.tasks.train import train

pytestmark = pytest.mark.usefixtures("no_curves")

PROTOCOLS = [f"protocol.{name}.{key}=32" for name in ("quick", "full") for key in ("generated", "inception_score")]
PROTOCOLS += ["protocol.full.splits=2"]
TINY = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "updates=2", *PROTOCOLS]
CELLS = ["seed=0", "seed=1", "seed=2"]
OTHER = ["protocols=quick", "protocol.quick.generated=24", "device=cpu"]


def call(task, name, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        launch(task, name)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run") / "run"
    call(train, "train", f"hydra.run.dir={directory}", *TINY)
    return directory


@pytest.fixture
def sweep(run, tmp_path):
    """A sweep of three finished cells and one that waits."""
    for name in CELLS:
        shutil.copytree(run, tmp_path / "sweep" / name)
    plan = {"sweep": None, "axes": ["seed"], "cells": [*CELLS, "seed=3"]}
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps(plan))
    return tmp_path / "sweep"


def recorded(sweep, *names):
    """How many records each cell has of scores after its training, and under which protocols."""
    contents = [json.loads((sweep / name / "results.json").read_text()) for name in names or CELLS]
    return [[record["protocol"]["name"] for record in content["evaluations"]] for content in contents]


def said(capsys):
    """The lines that the log has since this was asked last."""
    return capsys.readouterr().out.splitlines()


def test_every_finished_cell_is_scored_and_none_twice(sweep, capsys):
    call(evaluate, "evaluate", f"sweep={sweep}", *OTHER)
    assert recorded(sweep) == [["quick"]] * 3
    assert "3 of 4 cells are finished; the others are left out" in said(capsys)
    assert not (sweep / "seed=3").exists()
    call(evaluate, "evaluate", f"sweep={sweep}", *OTHER)
    assert recorded(sweep) == [["quick"]] * 3
    call(evaluate, "evaluate", f"sweep={sweep}", *OTHER[1:], "protocols=[quick,full]", *PROTOCOLS[-3:])
    assert recorded(sweep) == [["quick"]] * 3, "the final evaluation of the training was such a one"
    call(evaluate, "evaluate", f"sweep={sweep}", *OTHER, "generated=16")
    assert recorded(sweep) == [["quick", "quick"]] * 3


def test_scores_within_classes_are_added_to_those_of_a_training(sweep, tmp_path):
    words = ["device=cpu", "protocols=full", *PROTOCOLS[-3:]]
    call(train, "train", f"hydra.run.dir={tmp_path / 'told'}", *TINY, "labels=projection")
    for name in ("seed=1", "seed=2"):
        shutil.rmtree(sweep / name)
        shutil.copytree(tmp_path / "told", sweep / name)
    for _ in range(2):
        call(evaluate, "evaluate", f"sweep={sweep}", *words)
        assert recorded(sweep) == [[], ["full"], ["full"]], "the first is not told of classes"
    (record,) = json.loads((sweep / "seed=1" / "results.json").read_text())["evaluations"]
    assert len(record["classes"]["fid"]) == 10


def test_the_extractor_is_prepared_once_for_cells_of_the_same_data(sweep, monkeypatch):
    built, build = [], rescore.chosen_suite
    monkeypatch.setattr(rescore, "chosen_suite", lambda *words: built.append(build(*words)) or built[-1])
    call(evaluate, "evaluate", f"sweep={sweep}", *OTHER)
    assert len(built) == 1


def test_a_cell_that_fails_stops_no_other_and_is_named_at_the_end(sweep, capsys):
    (sweep / "seed=1" / "checkpoints" / "last.ckpt").write_bytes(b"broken")
    with pytest.raises(SystemExit, match=r"lit_gan: No scores of seed=1, for the reasons above: the same line tries"):
        call(evaluate, "evaluate", f"sweep={sweep}", *OTHER)
    assert recorded(sweep) == [["quick"], [], ["quick"]]
    (line,) = [line for line in said(capsys) if line.startswith("seed=1: ")]
    assert "last.ckpt is damaged" in line


def test_a_crash_of_one_cell_is_a_sentence_too(sweep, capsys, monkeypatch):
    measured = rescore.measure

    def breaking(*arguments, **settings):
        if recorded(sweep)[:2] == [["quick"], []]:
            raise RuntimeError("out of memory\nin a kernel")
        return measured(*arguments, **settings)

    monkeypatch.setattr(rescore, "measure", breaking)
    with pytest.raises(SystemExit, match="No scores of seed=1, seed=2"):
        call(evaluate, "evaluate", f"sweep={sweep}", *OTHER)
    assert "seed=1: out of memory in a kernel" in said(capsys)


def test_a_cell_that_another_process_scores_is_left_to_it(sweep, capsys):
    with sole_use(sweep / "seed=1", SCORING):
        call(evaluate, "evaluate", f"sweep={sweep}", *OTHER)
    assert recorded(sweep) == [["quick"], [], ["quick"]]
    assert "seed=1: another process scores it" in said(capsys)


@pytest.mark.long
def test_two_processes_at_once_score_every_cell_once(sweep, tmp_path):
    """Copies of this process, in place of two new interpreters."""
    with (tmp_path / "output").open("wb") as output:
        words = [f"sweep={sweep}", *OTHER]
        processes = [start_fork(tmp_path, "evaluate", *words, streams=(output, output)) for _ in range(2)]
        for process in processes:
            process.join()
    assert [process.exitcode for process in processes] == [0, 0], (tmp_path / "output").read_text()
    assert recorded(sweep) == [["quick"]] * 3


class Started:
    """In place of a process: what it was started with, and the code with which it ends."""

    def __init__(self, codes, **settings):
        self.settings, self.code = settings, codes.pop(0)
        self.stopped = False

    def wait(self):
        if self.code == "interrupt":
            self.code = 130
            raise KeyboardInterrupt
        return self.code

    def terminate(self):
        self.stopped = True


@pytest.fixture
def side_by_side(sweep, monkeypatch):
    """Scores the cells in processes that end with the given codes; the processes."""

    def score(*codes, jobs=2):
        started, codes = [], list(codes)
        monkeypatch.setattr(score_cells.os, "cpu_count", lambda: 8)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        popen = lambda **settings: started.append(Started(codes, **settings)) or started[-1]  # noqa: E731
        monkeypatch.setattr(score_cells.subprocess, "Popen", popen)
        try:
            call(evaluate, "evaluate", f"sweep={sweep}", *OTHER, f"jobs={jobs}")
        finally:
            monkeypatch.undo()
        return started

    return score


def test_several_processes_share_the_cores(side_by_side, sweep):
    first, second = side_by_side(0, 0)
    for process in (first, second):
        assert process.settings["args"][:3] == [sys.executable, "-m", "lit_gan.evaluate"]
        assert process.settings["args"][3:] == [f"sweep={sweep}", *OTHER, "jobs=2", "jobs=1"]
        assert process.settings["env"]["OMP_NUM_THREADS"] == "4"
        assert process.settings["stdin"] == subprocess.PIPE


def test_no_more_processes_than_cells(side_by_side):
    assert len(side_by_side(0, 0, 0, jobs=50)) == 3


def test_a_process_that_fails_is_said_at_the_end(side_by_side):
    with pytest.raises(SystemExit, match=r"Not all cells were scored, for the reasons above \(exit codes 0, -9\)"):
        side_by_side(0, -9)


def test_processes_end_with_the_one_that_has_begun_them(side_by_side, monkeypatch):
    stopped = []
    monkeypatch.setattr(Started, "terminate", lambda process: stopped.append(process))
    with pytest.raises(SystemExit) as end:
        side_by_side("interrupt", 0)
    assert end.value.code == 130
    assert len(stopped) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["protocols=fast"], "protocols=fast: there is no protocol 'fast'"),
        (["protocols=[]"], "names nothing to evaluate"),
        (["jobs=0"], "jobs=0"),
        (["run=DIR"], r"run=DIR and sweep=\S+ are two things to score"),
        (["device=gpuu"], "device=gpuu cannot be used here"),
    ],
)
def test_a_mistake_is_said_once_before_any_cell(sweep, words, sentence, capsys):
    with pytest.raises(SystemExit, match=sentence):
        call(evaluate, "evaluate", f"sweep={sweep}", *words)
    assert recorded(sweep) == [[], [], []]
    assert said(capsys) == []


def test_no_finished_cell(sweep):
    for name in CELLS:
        shutil.rmtree(sweep / name)
    with pytest.raises(SystemExit, match=r"has no finished cell: python -m lit_gan\.status"):
        call(evaluate, "evaluate", f"sweep={sweep}", *OTHER)


def test_no_sweep(tmp_path):
    with pytest.raises(SystemExit, match="holds no sweep"):
        call(evaluate, "evaluate", f"sweep={tmp_path}", *OTHER)
