"""Nothing trained is lost to what comes after it: an epoch is saved first, and what a kill leaves out is made up."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

from lit_gan import callbacks
from lit_gan.callbacks import curves_figure, evaluation
from lit_gan.cli.launch import launch
from lit_gan.figures.pictures import Picture
from lit_gan.figures.training_curves import save_training_curves
from lit_gan.records import files
from lit_gan.records.metrics_csv import MetricsCsv
from lit_gan.records.results import Results
from lit_gan.tasks import training as fit
from lit_gan.tasks.train import train
from test_files import full_disk
from test_run import assert_same_state, content

pytestmark = pytest.mark.usefixtures("no_curves")

GAME = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "updates_per_epoch=2"]
GAME += [f"protocol.{name}.{key}=32" for name in ("quick", "full") for key in ("generated", "inception_score")]
GAME += ["protocol.full.splits=2", "protocol.quick.splits=2", "updates=4", "ema=0.9", "trainer.log_every_n_steps=1"]


def run(directory: Path, *arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train", f"hydra.run.dir={directory}", *GAME, *arguments])
        launch(train, "train")


def results(directory: Path) -> dict:
    return json.loads((directory / "results.json").read_text())


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, random numbers, curves, scores and samples, bit for bit."""
    for name in ("last", "best"):
        assert_same_state(content(one, name), content(other, name))
    assert (one / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()
    samples = [{path.name: path.read_bytes() for path in (place / "samples").iterdir()} for place in (one, other)]
    assert samples[0] == samples[1]
    mine, theirs = results(one), results(other)
    assert mine["status"] == theirs["status"] == "finished"
    assert mine["best"] == theirs["best"]
    records = [[(r["update"], r["scores"]) for r in (*each["course"], each["final"])] for each in (mine, theirs)]
    assert records[0] == records[1]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run, and copies of its directory as it was after each file that it wrote: what a kill would have left."""
    folder = tmp_path_factory.mktemp("undisturbed")
    place, replace = folder / "run", os.replace

    def replace_and_copy(source, target):
        replace(source, target)
        if Path(target).is_relative_to(place) and (place / "checkpoints" / "last.ckpt").exists():
            shutil.copytree(place, folder / f"kill_{len(list(folder.iterdir())):03d}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.os, "replace", replace_and_copy)
        patch.setattr(curves_figure, "save_training_curves", save_training_curves)
        run(place)
    return folder


def test_a_kill_after_any_file_leaves_no_trace(undisturbed, tmp_path, request):
    copies = sorted(undisturbed.glob("kill_*"))
    assert len(copies) > 12
    for copy in copies if request.config.getoption("--slow") else copies[::4]:
        run(copy)
        assert_same_run(copy, undisturbed / "run")


def fail(*_, **__) -> None:
    raise ValueError("something that nobody has thought of")


BROKEN = {
    "scores": (evaluation, "measure"),
    "samples": (Picture, "save"),
    "log": (callbacks.EpochLog, "on_train_epoch_end"),
    "curves": (MetricsCsv, "rewrite"),
    "final scores": (fit, "measure"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_an_epoch_is_kept_whatever_fails_after_it(undisturbed, tmp_path, monkeypatch, broken):
    with monkeypatch.context() as patch:
        patch.setattr(*broken, fail)
        with pytest.raises(ValueError, match="nobody"):
            run(tmp_path / "run", "debug=true")
    update = 4 if broken == (fit, "measure") else 2
    if broken == (MetricsCsv, "rewrite"):  # it has failed at the first row, in the middle of the epoch
        update = 1
    assert content(tmp_path / "run")["global_step"] == update
    assert results(tmp_path / "run")["status"] == "failed"
    run(tmp_path / "run")
    assert_same_run(tmp_path / "run", undisturbed / "run")


def test_a_disk_that_fills_costs_one_sentence(undisturbed, tmp_path, monkeypatch):
    """The samples of the first epoch are the first file that does not fit."""
    save = Picture.save

    def save_on_a_full_disk(picture, path):
        with full_disk(10):
            save(picture, path)

    with monkeypatch.context() as patch:
        patch.setattr(Picture, "save", save_on_a_full_disk)
        with pytest.raises(SystemExit) as end:
            run(tmp_path / "run")
    sentence = str(end.value.code)
    assert "000002.png cannot be written (File too large)" in sentence
    assert f"the checkpoint of update 2 was kept, from which resume={tmp_path / 'run'} goes on" in sentence
    assert results(tmp_path / "run")["status"] == "failed"
    assert not list((tmp_path / "run").rglob(files.LEFTOVERS))
    run(tmp_path / "run")
    assert_same_run(tmp_path / "run", undisturbed / "run")


def test_a_disk_that_takes_nothing_more_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    write = Results.write

    def write_on_a_full_disk(written, also=None):
        with full_disk(10 if also is None else 10**6):
            write(written, also)

    run(tmp_path / "run", "updates=2")
    monkeypatch.setattr(Results, "write", write_on_a_full_disk)
    with pytest.raises(SystemExit, match=r"results\.json cannot be written .* the checkpoint of update 4 was kept"):
        run(tmp_path / "run")
    assert content(tmp_path / "run")["global_step"] == 4
    assert results(tmp_path / "run")["final"]["update"] == 2
    assert not list((tmp_path / "run").rglob(files.LEFTOVERS))


def test_a_final_score_is_kept_until_another_update_is_saved(tmp_path, monkeypatch):
    run(tmp_path / "run", "updates=2")
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", fail)
        with pytest.raises(ValueError, match="nobody"):
            run(tmp_path / "run", "debug=true")
    assert results(tmp_path / "run")["final"]["update"] == 2
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "measure", fail)
        with pytest.raises(ValueError, match="nobody"):
            run(tmp_path / "run", "debug=true")
    assert results(tmp_path / "run")["final"] is None


def test_a_time_limit_stops_a_run_and_says_so(tmp_path, capsys):
    run(tmp_path / "run", "updates=100000", "+trainer.max_time=00:00:00:01", "metrics=none", "callbacks=none")
    stopped = results(tmp_path / "run")
    assert (stopped["status"], stopped["stopped_by"]) == ("stopped", "trainer.max_time")
    assert 0 < stopped["updates"] == content(tmp_path / "run")["global_step"] < 100000
    assert " +trainer.max_time=null" in capsys.readouterr().out
    with pytest.MonkeyPatch.context() as patch:
        longer = ["+trainer.max_time=null", f"updates={stopped['updates'] + 1}"]
        patch.setattr(sys, "argv", ["train", f"resume={tmp_path / 'run'}", *longer])
        launch(train, "train")
    assert results(tmp_path / "run")["status"] == "finished"


def test_no_time_at_all_is_not_finished(tmp_path):
    run(tmp_path / "run", "+trainer.max_time=00:00:00:00", "metrics=none")
    stopped = results(tmp_path / "run")
    assert (stopped["status"], stopped["stopped_by"], stopped["updates"]) == ("stopped", "trainer.max_time", 0)


class Stop(callbacks.samples.Callback):
    """A callback that has seen enough."""

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = True


def test_a_callback_that_ends_a_run_is_said(tmp_path):
    run(tmp_path / "run", "+callbacks.stop._target_=test_epoch_end.Stop")
    stopped = results(tmp_path / "run")
    assert (stopped["status"], stopped["stopped_by"], stopped["updates"]) == ("stopped", "a callback", 2)
    assert content(tmp_path / "run")["global_step"] == 2
