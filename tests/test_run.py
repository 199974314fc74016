"""Whole runs: what they leave behind, how they stop, how they go on."""

import csv
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from forks import start_fork
from lit_gan.cli.launch import launch
from lit_gan.records.lock import sole_use
from lit_gan.tasks import evaluate as rescore
from lit_gan.tasks import training as fit
from lit_gan.tasks.evaluate import evaluate
from lit_gan.tasks.sample import sample
from lit_gan.tasks.train import train

pytestmark = pytest.mark.usefixtures("no_curves")

TINY = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "metrics=none"]
SCORED = [*TINY[:-1], "protocol.quick.generated=32", "protocol.full.generated=32", "protocol.quick.inception_score=32"]
SCORED += ["protocol.full.inception_score=32", "protocol.full.splits=2"]


def call(monkeypatch, task, name: str, *arguments: str) -> None:
    """A command line, in this process."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    launch(task, name)


@pytest.fixture
def run_train(monkeypatch):
    return lambda directory, *arguments: call(monkeypatch, train, "train", f"hydra.run.dir={directory}", *arguments)


@pytest.fixture(scope="module")
def train_once(tmp_path_factory):
    """The directory of a finished run, trained once for all tests that name it, each of which gets a copy."""

    @functools.cache
    def finished(arguments: tuple[str, ...]) -> Path:
        directory = tmp_path_factory.mktemp("finished") / "run"
        with pytest.MonkeyPatch.context() as patch:
            call(patch, train, "train", f"hydra.run.dir={directory}", *arguments)
        return directory

    return lambda copy, *arguments: Path(shutil.copytree(finished(arguments), copy))


def content(directory: Path, name: str = "last") -> dict:
    return torch.load(directory / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_same_state(one: dict, other: dict) -> None:
    """Everything that training depends on, bit for bit."""
    assert one["global_step"] == other["global_step"]
    assert one["state_dict"].keys() == other["state_dict"].keys()
    for name, value in one["state_dict"].items():
        assert torch.equal(value, other["state_dict"][name]), name
    for key in ("optimizer_states", "lr_schedulers"):
        assert str(one[key]) == str(other[key])
    for mine, theirs in zip(one["optimizer_states"], other["optimizer_states"], strict=True):
        for number, state in mine["state"].items():
            for name, value in state.items():
                assert torch.equal(torch.as_tensor(value), torch.as_tensor(theirs["state"][number][name]))
    assert torch.equal(one["callbacks"]["RandomState"]["cpu"], other["callbacks"]["RandomState"]["cpu"])
    assert one["GANData"] == other["GANData"]


def command(directory: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "lit_gan.train", f"hydra.run.dir={directory}", *arguments]


class TestRunDirectory:
    @pytest.fixture
    def directory(self, train_once, tmp_path):
        length = ["updates=5", "updates_per_epoch=2", "trainer.log_every_n_steps=1"]
        return train_once(tmp_path / "run", *SCORED, *length)

    def test_holds_what_is_promised(self, directory):
        results = json.loads((directory / "results.json").read_text())
        assert results["status"] == "finished"
        assert results["updates"] == results["updates_planned"] == 5
        assert [record["update"] for record in results["course"]] == [2, 4, 5]
        assert results["final"]["protocol"]["name"] == "full"
        assert results["final"]["protocol"]["real"] == 1797
        assert results["best"]["value"] == min(record["scores"]["digits/fid"] for record in results["course"])
        assert results["seconds"]["training"] > 0
        assert (results["device"], results["precision"]) == ("cpu", "32-true")
        assert results["choices"]["loss"] == "hinge"
        assert results["choices"]["reg"] == ["spectral"]
        assert results["versions"]["torch"] == torch.__version__.split("+")[0]
        assert sorted(path.name for path in (directory / "samples").iterdir()) == [
            "000002.png",
            "000004.png",
            "000005.png",
        ]
        assert {path.name for path in (directory / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
        assert "update 5/5" in (directory / "train.log").read_text()
        assert "hydra.run.dir=" not in (directory / ".hydra" / "overrides.yaml").read_text()

    def test_metrics_csv_counts_generator_updates(self, directory):
        rows = list(csv.DictReader((directory / "metrics.csv").open()))
        assert [int(row["update"]) for row in rows] == [1, 2, 3, 4, 5]
        assert {"d/hinge", "g/hinge", "d/real", "d/fake", "digits/fid", "final/digits/fid"} <= rows[0].keys()
        assert [bool(row["digits/fid"]) for row in rows] == [False, True, False, True, True]

    def test_best_checkpoint_is_that_of_the_best_score(self, directory):
        results = json.loads((directory / "results.json").read_text())
        assert content(directory, "best")["global_step"] == results["best"]["update"]

    def test_evaluate_adds_records(self, directory, monkeypatch):
        arguments = ["checkpoint=[last,best]", "protocols=[quick,full]", "generated=48", "ema=false"]
        call(monkeypatch, evaluate, "evaluate", f"run={directory}", "protocol.full.splits=2", *arguments)
        records = json.loads((directory / "results.json").read_text())["evaluations"]
        asked = [(record["checkpoint"], record["protocol"]["name"]) for record in records]
        assert asked == [("last", "quick"), ("last", "full"), ("best", "quick"), ("best", "full")]
        assert {record["protocol"]["generated"] for record in records} == {48}
        assert {record["protocol"]["inception_score"] for record in records} == {48}

    def test_evaluate_repeats_the_final_score(self, directory, monkeypatch):
        protocol = [argument for argument in SCORED if argument.startswith("protocol")]
        call(monkeypatch, evaluate, "evaluate", f"run={directory}", *protocol)
        results = json.loads((directory / "results.json").read_text())
        assert results["evaluations"][0]["scores"] == results["final"]["scores"]

    def test_evaluate_adds_to_what_others_have_written_meanwhile(self, directory, monkeypatch):
        measured = rescore.measure

        def slowly(*arguments, **settings):
            content = json.loads((directory / "results.json").read_text())
            content["evaluations"].append({"update": 5, "scores": {}})
            (directory / "results.json").write_text(json.dumps(content | {"error": "new"}))
            return measured(*arguments, **settings)

        monkeypatch.setattr(rescore, "measure", slowly)
        call(monkeypatch, evaluate, "evaluate", f"run={directory}", "protocol.full.splits=2", "generated=48")
        results = json.loads((directory / "results.json").read_text())
        assert results["error"] == "new"
        assert [bool(record["scores"]) for record in results["evaluations"]] == [False, True]

    def test_a_run_in_training_is_not_evaluated(self, directory, monkeypatch):
        with sole_use(directory), pytest.raises(SystemExit, match="is being trained by another process"):
            call(monkeypatch, evaluate, "evaluate", f"run={directory}")

    def test_sample_writes_the_same_files_every_time(self, directory, monkeypatch, tmp_path):
        for name in ("one", "two"):
            arguments = ["n=5", "npz=true", "interpolations=2", "steps=3", f"output={tmp_path / name}"]
            call(monkeypatch, sample, "sample", f"run={directory}", *arguments)
        files = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
        names = {str(path.relative_to(tmp_path / "one")) for path in files}
        singles = {f"images/{number:05d}.png" for number in range(5)}
        assert names == {*singles, "grid.png", "interpolation.png", "samples.npz"}
        for name in names - {"samples.npz"}:
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()

    @pytest.mark.parametrize("labels", ["none", pytest.param("cgan", marks=pytest.mark.slow)])
    def test_a_sample_does_not_depend_on_how_many_there_are(self, run_train, monkeypatch, tmp_path, labels):
        run_train(tmp_path / "run", *TINY, "updates=1", f"labels={labels}", "model=mlp_dcgan")
        for name, arguments in {"few": ["n=3"], "many": ["n=260", "batch_size=100"]}.items():
            call(monkeypatch, sample, "sample", f"run={tmp_path / 'run'}", f"output={tmp_path / name}", *arguments)
        for number in range(3):
            few, many = (Image.open(tmp_path / name / "images" / f"{number:05d}.png") for name in ("few", "many"))
            assert np.abs(np.asarray(few, int) - np.asarray(many, int)).max() <= 1
        many = tmp_path / "many" / "images"
        first, second = (np.asarray(Image.open(many / f"{number:05d}.png"), int) for number in (0, 1))
        assert np.abs(first - second).max() > 50
        if labels == "none":
            grid = np.asarray(Image.open(tmp_path / "many" / "grid.png").convert("L"))
            last = np.asarray(Image.open(many / "00255.png"))
            assert (grid[-17:-1, -17:-1] == last).all()
        with pytest.raises(SystemExit, match=r"00003\.png the first: remove them or choose another folder"):
            call(monkeypatch, sample, "sample", f"run={tmp_path / 'run'}", f"output={tmp_path / 'many'}", "n=3")


def test_a_fast_dev_run_of_single_images_names_no_commands_on_its_run(run_train, tmp_path, capsys):
    one = [*(argument for argument in SCORED if "batch_size" not in argument), "batch_size=1"]
    run_train(tmp_path / "run", *one, "trainer.fast_dev_run=true")
    output = capsys.readouterr().out
    assert "finished" in output
    assert "lit_gan.sample" not in output


def killed(run) -> None:
    """The end of a process during the final evaluation."""
    raise RuntimeError("killed")


def stop_in_update_4(checkpoints, trainer, *_) -> None:
    """Ctrl-C during the first update of the second epoch."""
    if trainer.global_step == 3:
        checkpoints.request(signal.SIGINT, None)


def stop_twice_in_update_4(checkpoints, trainer, *_) -> None:
    """Two Ctrl-C during the same update."""
    if trainer.global_step == 3:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def updates(directory: Path) -> list[int]:
    """At which generator updates anything was logged."""
    return [int(row["update"]) for row in csv.DictReader((directory / "metrics.csv").open())]


def samples(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "samples").iterdir())


def seconds(directory: Path) -> float:
    return json.loads((directory / "results.json").read_text())["seconds"]["training"]


class TestResume:
    LENGTH = (
        *("updates=9", "updates_per_epoch=3", "ema=0.9", "optim=sngan_a", "optim.decay_start=2"),
        *("flips=true", "dequantize=true"),
    )

    @pytest.fixture
    def uninterrupted(self, train_once, tmp_path):
        return content(train_once(tmp_path / "whole", *TINY, *self.LENGTH))

    def test_longer_run_equals_one_of_that_length(self, run_train, monkeypatch, tmp_path, uninterrupted):
        run_train(tmp_path / "parts", *TINY, *self.LENGTH, "updates=6", "optim.decay_end=9")
        call(monkeypatch, train, "train", f"resume={tmp_path / 'parts'}", "updates=9")
        assert_same_state(content(tmp_path / "parts"), uninterrupted)
        assert samples(tmp_path / "parts") == samples(tmp_path / "whole") == ["000003.png", "000006.png", "000009.png"]
        assert updates(tmp_path / "parts") == updates(tmp_path / "whole")

    def test_stop_in_the_middle_of_an_epoch(self, run_train, tmp_path, uninterrupted, monkeypatch):
        from lit_gan.callbacks import Checkpoints

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "on_train_batch_start", stop_in_update_4)
            with pytest.raises(SystemExit) as stop:
                run_train(tmp_path / "parts", *TINY, *self.LENGTH)
        assert stop.value.code == 130
        assert content(tmp_path / "parts")["global_step"] == 4
        assert json.loads((tmp_path / "parts" / "results.json").read_text())["status"] == "stopped"
        run_train(tmp_path / "parts", *TINY, *self.LENGTH)
        assert_same_state(content(tmp_path / "parts"), uninterrupted)
        assert updates(tmp_path / "parts") == updates(tmp_path / "whole") == [3, 6, 9]
        assert samples(tmp_path / "parts") == samples(tmp_path / "whole")
        results = json.loads((tmp_path / "parts" / "results.json").read_text())
        assert results["updates_per_second"] == pytest.approx(9 / results["seconds"]["training"])
        assert 0.2 < results["seconds"]["training"] / seconds(tmp_path / "whole") < 5

    @pytest.mark.parametrize(("length", "update"), [(1, 4), (4, 4)])
    def test_stop_in_the_last_update_of_an_epoch(self, run_train, tmp_path, monkeypatch, length, update):
        from lit_gan.callbacks import Checkpoints

        game = [*TINY, "updates=5", f"updates_per_epoch={length}", "callbacks=none"]
        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "on_train_batch_start", stop_in_update_4)
            with pytest.raises(SystemExit) as stop:
                run_train(tmp_path / "parts", *game)
        assert stop.value.code == 130
        assert content(tmp_path / "parts")["global_step"] == update
        run_train(tmp_path / "parts", *game)
        run_train(tmp_path / "whole", *game)
        assert_same_state(content(tmp_path / "parts"), content(tmp_path / "whole"))

    def test_a_second_ctrl_c_stops_at_once_and_leaves_the_last_checkpoint(self, run_train, tmp_path, monkeypatch):
        from lit_gan.callbacks import Checkpoints

        handler = signal.getsignal(signal.SIGINT)
        monkeypatch.setattr(Checkpoints, "on_train_batch_start", stop_twice_in_update_4)
        with pytest.raises(SystemExit) as stop:
            run_train(tmp_path / "run", *TINY, *self.LENGTH)
        assert stop.value.code == 130
        assert content(tmp_path / "run")["global_step"] == 3
        results = json.loads((tmp_path / "run" / "results.json").read_text())
        assert (results["status"], results["error"], results["updates"]) == ("stopped", None, 3)
        assert signal.getsignal(signal.SIGINT) is handler

    def test_sigterm_during_the_final_evaluation(self, run_train, tmp_path, monkeypatch):
        game = [*SCORED, "updates=2"]
        with monkeypatch.context() as patch:
            patch.setattr(fit.TrainingRun, "take_final_scores", lambda run: signal.raise_signal(signal.SIGTERM))
            with pytest.raises(SystemExit) as stop:
                run_train(tmp_path / "run", *game)
        assert stop.value.code == 130
        results = json.loads((tmp_path / "run" / "results.json").read_text())
        assert (results["status"], results["updates"], results["final"]) == ("stopped", 2, None)
        run_train(tmp_path / "run", *game)
        results = json.loads((tmp_path / "run" / "results.json").read_text())
        assert (results["status"], results["final"]["update"]) == ("finished", 2)

    def test_a_stop_in_the_very_last_update_leaves_the_final_scores_to_the_next_start(
        self, run_train, tmp_path, monkeypatch
    ):
        from lit_gan.callbacks import Checkpoints

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "on_train_batch_start", stop_in_update_4)
            with pytest.raises(SystemExit) as stop:
                run_train(tmp_path / "run", *SCORED, "updates=4")
        assert stop.value.code == 130
        run_train(tmp_path / "run", *SCORED, "updates=4")
        results = json.loads((tmp_path / "run" / "results.json").read_text())
        assert (results["status"], results["final"]["update"]) == ("finished", 4)

    def test_double_precision_survives(self, run_train, tmp_path):
        game = [
            *TINY,
            "trainer.precision=64-true",
            "ema=0.9",
            "reg=[spectral,historical_averaging]",
            "updates_per_epoch=2",
        ]
        for directory, lengths in {"whole": [4], "parts": [2, 4]}.items():
            for updates in lengths:
                run_train(tmp_path / directory, *game, f"updates={updates}")
        whole = content(tmp_path / "whole")
        assert {value.dtype for value in whole["state_dict"].values() if value.is_floating_point()} == {torch.float64}
        assert_same_state(content(tmp_path / "parts"), whole)

    def test_a_resume_reads_its_checkpoint_once(self, run_train, tmp_path, monkeypatch):
        run_train(tmp_path / "run", *TINY, "updates=1")
        read, paths = fit.read_checkpoint, []
        monkeypatch.setattr(fit, "read_checkpoint", lambda path: paths.append(path.name) or read(path))
        run_train(tmp_path / "run", *TINY, "updates=2")
        assert paths == ["last.ckpt"]

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_signal_at_any_moment(self, run_train, tmp_path, number):
        directory = tmp_path / "killed"
        game = [*TINY, *self.LENGTH, "optim.decay_end=100000"]
        with (tmp_path / "printed").open("w+b") as printed, (tmp_path / "said").open("w+b") as said:
            place = [f"hydra.run.dir={directory}", *game, "updates=100000"]
            process = start_fork(tmp_path, "train", *place, streams=(printed, said))
            while not (directory / "checkpoints" / "last.ckpt").exists() and process.is_alive():
                time.sleep(0.01)
            time.sleep(torch.rand(1).item() / 2)
            os.kill(process.pid, number)
            process.join(60)
        ended = 130 if number == signal.SIGTERM else -signal.SIGKILL
        assert process.exitcode == ended, (tmp_path / "said").read_text()
        reached = content(directory)["global_step"]
        for place in (directory, tmp_path / "again"):
            run_train(place, *game, f"updates={reached + 4}")
        assert_same_state(content(directory), content(tmp_path / "again"))

    def test_scores_are_taken_at_the_same_updates_and_repeat(self, run_train, tmp_path):
        length = [*SCORED, "updates_per_epoch=2", "protocol.quick.splits=2"]
        run_train(tmp_path / "whole", *length, "updates=7")
        run_train(tmp_path / "parts", *length, "updates=3")
        run_train(tmp_path / "parts", *length, "updates=7")
        whole, parts = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "parts"))
        course = {record["update"]: record["scores"] for record in whole["course"]}
        assert list(course) == [2, 4, 6, 7]
        assert [record["update"] for record in parts["course"]] == [2, 3, 4, 6, 7]
        assert all(record["scores"] == course[record["update"]] for record in parts["course"] if record["update"] != 3)
        assert parts["final"]["scores"] == whole["final"]["scores"]

    def test_killed_after_the_last_update_goes_on_with_the_final_scores(self, run_train, tmp_path, monkeypatch):
        from lit_gan.tasks.training import TrainingRun

        with monkeypatch.context() as patch:
            patch.setattr(TrainingRun, "take_final_scores", killed)
            with pytest.raises(RuntimeError, match="killed"):
                run_train(tmp_path / "run", *SCORED, "updates=4", "updates_per_epoch=2", "debug=true")
        run_train(tmp_path / "run", *SCORED, "updates=4", "updates_per_epoch=2")
        results = json.loads((tmp_path / "run" / "results.json").read_text())
        assert results["status"] == "finished"
        assert results["final"]["update"] == 4
        assert results["best"]["update"] in (2, 4)
        assert [record["update"] for record in results["course"]] == [2, 4]

    def test_best_starts_anew_when_another_metric_decides(self, run_train, tmp_path):
        run_train(tmp_path / "run", *SCORED, "updates=2", "updates_per_epoch=2")
        run_train(tmp_path / "run", *SCORED, "updates=4", "updates_per_epoch=2", "metrics.monitor=kid")
        best = json.loads((tmp_path / "run" / "results.json").read_text())["best"]
        assert (best["metric"], best["update"]) == ("digits/kid", 4)
        assert content(tmp_path / "run", "best")["global_step"] == 4

    def test_finished_run_is_left_alone(self, run_train, monkeypatch, tmp_path, uninterrupted):
        before = (tmp_path / "whole" / "results.json").read_bytes()
        call(monkeypatch, train, "train", f"resume={tmp_path / 'whole'}")
        assert (tmp_path / "whole" / "results.json").read_bytes() == before


def refusal(monkeypatch, capsys, task, name: str, *arguments: str) -> str:
    """The sentence with which a command line is refused."""
    with pytest.raises(SystemExit) as end:
        call(monkeypatch, task, name, *arguments)
    sentence = str(end.value.code)
    assert sentence.startswith("lit_gan: ")
    assert "\n" not in sentence
    assert "Traceback" not in capsys.readouterr().err
    return sentence


def poison(optimizer, closure) -> None:
    """An update that ruins the weights."""
    closure()
    for parameter in optimizer.param_groups[0]["params"]:
        parameter.data.fill_(float("nan"))


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["modle=dcgan"], ["modle", "did you mean 'model'"]),
            (["model=dcgann"], ["model=dcgann", "did you mean 'dcgan'", "sngan_resnet"]),
            (["reg=[spectrl]"], ["spectrl", "spectral", "layer_norm"]),
            (["optim.d.lrr=1"], ["optim.d.lrr", "did you mean 'lr'", "betas"]),
            (["updates=many"], ["updates", "many"]),
            (["updates=0"], ["updates=0"]),
            (["batch_size=0"], ["batch_size=0"]),
            (["optim.n_dis=0"], ["optim.n_dis=0"]),
            (["ema=2"], ["ema=2"]),
            (["data.image_size=20"], ["data.image_size", "16, 32, 64, 128"]),
            (["batch_size=2000"], ["1797", "batch_size"]),
            (["data=image_folder"], ["data.root"]),
            (["data=image_folder", "data.root=/nowhere"], ["data.root", "/nowhere"]),
            (["data=image_folder", "data.root={tmp}"], ["data.root"]),
            (["reg=[batch_norm,gradient_penalty]"], ["gradient_penalty", "batch normalisation", "layer_norm"]),
            (["reg=[spectral,weight_norm]"], ["weight_norm", "reparametrised"]),
            (["reg=[batch_norm,layer_norm]"], ["layer_norm"]),
            (["metrics=inception"], ["inception", "metrics.weights", "efficientnet_lite0"]),
            (["metrics=inception", "metrics.weights=/nowhere.pth"], ["metrics.weights=/nowhere.pth"]),
            (["metrics=classifier", "metrics.during=fast"], ["fast", "quick"]),
            (["metrics=classifier", "metrics.final=sngan_paper"], ["metrics.final=sngan_paper", "test", "digits"]),
            (["metrics=classifier", "metrics.monitor=foo"], ["metrics.monitor=foo", "fid"]),
            (["data=cifar10", "data.root={tmp}"], ["cifar10", "data=digits"]),
            (["resume=/nowhere"], ["resume=/nowhere"]),
            (["optim.d.lr=1e30", "optim.g.lr=1e30", "reg=[]"], ["generator update", "nan", "checkpoint"]),
            (["trainer.accelerator=tpuu"], ["tpuu"]),
            (["trainer.precision=7"], ["7"]),
            (["+trainer.max_step=7"], ["max_step"]),
            (["loss.margin=7"], ["margin"]),
        ],
    )
    def test_one_sentence(self, monkeypatch, capsys, tmp_path, arguments, words):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
        monkeypatch.chdir(tmp_path)
        (tmp_path / "empty").mkdir()
        arguments = [argument.format(tmp=tmp_path / "empty") for argument in arguments]
        place = f"hydra.run.dir={tmp_path / 'run'}"
        defaults = [default for default in TINY if default.split("=")[0] not in {a.split("=")[0] for a in arguments}]
        sentence = refusal(monkeypatch, capsys, train, "train", place, *defaults, "updates=20", *arguments)
        for word in words:
            assert word in sentence

    def test_directory_that_cannot_be_made(self, monkeypatch, capsys, tmp_path):
        (tmp_path / "file").touch()
        sentence = refusal(monkeypatch, capsys, train, "train", f"hydra.run.dir={tmp_path / 'file' / 'run'}", *TINY)
        assert str(tmp_path / "file") in sentence

    def test_resume_of_another_game(self, train_once, monkeypatch, capsys, tmp_path):
        train_once(tmp_path / "run", *TINY, "updates=1")
        saved = (tmp_path / "run" / ".hydra" / "config.yaml").read_bytes()
        for change in ("model=sngan_cnn", "loss=wasserstein", "model.width=8", "reg=[]"):
            sentence = refusal(monkeypatch, capsys, train, "train", f"resume={tmp_path / 'run'}", "updates=2", change)
            assert change.split("=")[0].split(".")[0] in sentence
        assert (tmp_path / "run" / ".hydra" / "config.yaml").read_bytes() == saved

    def test_damaged_checkpoint(self, train_once, monkeypatch, capsys, tmp_path):
        train_once(tmp_path / "run", *TINY, "updates=1")
        checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
        for task, name, argument in (
            (train, "train", "resume"),
            (sample, "sample", "run"),
            (evaluate, "evaluate", "run"),
        ):
            sentence = refusal(monkeypatch, capsys, task, name, f"{argument}={tmp_path / 'run'}")
            assert "damaged" in sentence

    def test_checkpoint_of_other_networks(self, train_once, monkeypatch, capsys, tmp_path):
        train_once(tmp_path / "run", *TINY, "updates=1")
        path = tmp_path / "run" / "checkpoints" / "last.ckpt"
        changed = content(tmp_path / "run")
        changed["state_dict"].pop("G.body.0.bias")
        torch.save(changed, path)
        for task, name, argument in ((train, "train", "resume"), (sample, "sample", "run")):
            arguments = [f"{argument}={tmp_path / 'run'}", *["updates=2"] * (name == "train")]
            assert "another version" in refusal(monkeypatch, capsys, task, name, *arguments)

    def test_loss_becoming_nan_keeps_the_last_good_checkpoint(self, monkeypatch, capsys, tmp_path, run_train):
        run_train(tmp_path / "run", *TINY, "updates=2", "updates_per_epoch=2", "reg=[]")
        monkeypatch.setattr(torch.optim.Adam, "step", lambda self, closure=None: poison(self, closure))
        sentence = refusal(monkeypatch, capsys, train, "train", f"resume={tmp_path / 'run'}", "updates=20")
        assert "generator update" in sentence
        assert "the checkpoint of update 2 was kept" in sentence
        assert f"(resume={tmp_path / 'run'} hydra.run.dir=NEW optim.d.lr=LOWER optim.g.lr=LOWER)" in sentence
        assert content(tmp_path / "run")["global_step"] == 2
        assert json.loads((tmp_path / "run" / "results.json").read_text())["status"] == "failed"

    def test_weights_broken_by_the_last_update_of_an_epoch_are_not_saved(
        self, monkeypatch, capsys, tmp_path, run_train
    ):
        game = ["updates_per_epoch=1", "loss=wasserstein", "reg=[]", "optim.g.lr=1.0e+38"]
        place = f"hydra.run.dir={tmp_path / 'run'}"
        sentence = refusal(monkeypatch, capsys, train, "train", place, *TINY, *game, "updates=6")
        assert "generator update 1" in sentence
        assert "there is no checkpoint yet" in sentence
        assert not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()

    @pytest.mark.parametrize(("task", "name"), [(evaluate, "evaluate"), (sample, "sample")])
    def test_run_that_is_none(self, monkeypatch, capsys, task, name):
        assert "run=/nowhere" in refusal(monkeypatch, capsys, task, name, "run=/nowhere")

    def test_debug_gives_the_traceback(self, monkeypatch, tmp_path):
        from lit_gan.errors import UserError

        with pytest.raises(Exception) as error:  # noqa: PT011
            call(monkeypatch, train, "train", "debug=true", f"hydra.run.dir={tmp_path}", *TINY, "data.image_size=20")
        assert any(isinstance(cause, UserError) for cause in (error.value, error.value.__cause__))


def test_console_command_and_traceback_free_exit(tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "lit_gan.train", "model=dcgann"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ,
    )
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1
    assert "Traceback" not in process.stderr


@pytest.mark.long
class TestTwoProcesses:
    DDP = ("trainer.devices=2", "+trainer.strategy=ddp_find_unused_parameters_true", "optim.n_dis=2")
    BROKEN = """
import os
from lit_gan.game import Regularizer

class Broken(Regularizer):
    def __init__(self, weight, update):
        super().__init__(weight)
        self.update = update

    def g(self, turn):
        mine = os.environ.get("LOCAL_RANK") == "1" and turn.game.global_step + 1 == self.update
        return turn.fake.logits.mean() * (float("nan") if mine else 0.0)
"""

    def test_counts_shares_and_stops_together(self, tmp_path):
        directory = tmp_path / "run"
        arguments = [*TINY, *self.DDP, "updates=100000", "updates_per_epoch=3"]
        process = subprocess.Popen(command(directory, *arguments), stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        while not (directory / "checkpoints" / "last.ckpt").exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 130, errors.decode()
        checkpoint = content(directory)
        d_state, g_state = (state["state"][0]["step"].item() for state in checkpoint["optimizer_states"])
        assert g_state == checkpoint["global_step"]
        assert d_state == 2 * g_state
        assert checkpoint["GANData"]["position"] == 2 * 8 * g_state
        assert json.loads((directory / "results.json").read_text())["status"] == "stopped"

    @pytest.mark.slow
    def test_scores_are_those_of_one_process_at_equal_total_batch(self, tmp_path):
        """Three seeds gave 0.0909 +- 0.0044 with one and 0.0929 +- 0.0015 with two; an untrained G has 0.87."""
        game = ["experiment=wgan_gp_gaussians", "model.width=64", "updates=400", "updates_per_epoch=400", "trainer=cpu"]
        scores = []
        for name, more in (("one", []), ("two", self.DDP[:2])):
            subprocess.run(command(tmp_path / name, *game, *more), check=True, capture_output=True, timeout=250)
            results = json.loads((tmp_path / name / "results.json").read_text())
            scores.append(results["final"]["scores"])
        assert scores[0]["modes/held"] == scores[1]["modes/held"] == 8
        assert scores[1]["modes/wasserstein"] == pytest.approx(scores[0]["modes/wasserstein"], abs=0.02)

    @pytest.mark.parametrize("update", [pytest.param(2, marks=pytest.mark.slow), 4])
    def test_nan_in_the_second_one_ends_both_with_one_sentence(self, tmp_path, update):
        (tmp_path / "broken.py").write_text(self.BROKEN)
        (tmp_path / "mine" / "reg").mkdir(parents=True)
        (tmp_path / "mine" / "reg" / "broken.yaml").write_text(
            "broken: {_target_: broken.Broken, weight: 1.0, update: 0}"
        )
        game = ["reg=[broken]", f"reg.broken.update={update}", "updates=8", "updates_per_epoch=4"]
        game += [f"hydra.searchpath=[file://{tmp_path / 'mine'}]", "trainer.log_every_n_steps=2"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
        arguments = command(tmp_path / "run", *TINY, *self.DDP, *game)
        process = subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=200)
        assert process.returncode == 1
        assert process.stderr.count("lit_gan: ") == 1
        assert f"generator update {update}" in process.stderr
        assert "Traceback" not in process.stderr
        results = json.loads((tmp_path / "run" / "results.json").read_text())
        assert results["status"] == "failed"
        assert f"generator update {update}" in results["error"]
        assert not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()
