"""Mistakes: each ends in one sentence that names the setting, its value and the way out, with exit code 1."""

import ctypes
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import hydra
import lit_gan.conf
import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from PIL import Image

from forks import run_fork
from lit_gan import settings
from lit_gan.catalogue.configs import choices
from lit_gan.cli.launch import launch
from lit_gan.cli.mistakes import causes, explain, is_from_a_cell
from lit_gan.errors import UserError
from lit_gan.metrics.classifier import SHIPPED
from lit_gan.overrides import as_override_value, parse_override, quote_typed
from lit_gan.ranges import Allowed, Count, Range, Switch
from lit_gan.records import results
from lit_gan.records.metrics_csv import MetricsCsv
from lit_gan.records.results import Results
from lit_gan.settings import check_settings
from lit_gan.sweep.plan import add_to_plan
from lit_gan.system.shell import interpreter
from lit_gan.tasks.classify import classify
from lit_gan.tasks.evaluate import evaluate
from lit_gan.tasks.sample import sample
from lit_gan.tasks.summary import course_table, run_command
from lit_gan.tasks.train import train

pytestmark = pytest.mark.usefixtures("no_curves")

CONF = Path(lit_gan.conf.__file__).parent
TINY = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "metrics=none", "updates=2"]
TASKS = {"train": train, "evaluate": evaluate, "sample": sample, "classify": classify}


def call(monkeypatch, name: str, *arguments: str) -> None:
    """A command line, in this process."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    launch(TASKS[name], name)


@pytest.fixture
def refusal(monkeypatch, capsys, tmp_path):
    """The sentence with which a command line is refused, without any traceback."""

    def refuse(name: str, *arguments: str) -> str:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as end:
            call(monkeypatch, name, *arguments)
        sentence = end.value.code
        assert isinstance(sentence, str), f"exit code {sentence}"
        assert re.fullmatch(r"lit_gan: [^\n]{10,420}\.", sentence), sentence
        assert "full_key" not in sentence
        assert "Traceback" not in capsys.readouterr().err
        return sentence

    return refuse


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run without metrics, in a folder with a space and an accent in its name."""
    directory = tmp_path_factory.mktemp("runs") / "r q é"
    with pytest.MonkeyPatch.context() as patch:
        call(patch, "train", *TINY, f"hydra.run.dir={as_override_value(str(directory))}")
    return directory


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """A copy of that run, to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def without(defaults: list[str], arguments: list[str]) -> list[str]:
    """The defaults that the arguments do not set themselves."""
    given = {argument.split("=")[0] for argument in arguments}
    return [default for default in defaults if default.split("=")[0] not in given]


class TestTrain:
    @pytest.mark.parametrize(
        "argument",
        [
            *("ema=abc", "ema=[0.9]", "ema=1", "ema=nan", "seed=-1", "seed=null", "seed=abc", "seed=4294967296"),
            *("optim.n_dis=1.5", "optim.n_dis=abc", "optim.d.lr=-1", "optim.g.lr=abc", "optim.d.lr=inf"),
            *("model.width=0", "model.width=-1", "model.width=abc", "model.kernel_size=0", "model.G.z_dim=0"),
            *("reg.spectral.n_power_iterations=0", "device_memory=abc", "workers=-1", "workers=abc", "updates=-2"),
            *(
                "callbacks.samples.count=0",
                "callbacks.samples.count=-4",
                "callbacks.samples.points=0",
                "protocol.quick.generated=abc",
            ),
            *("protocol.quick.batch_size=abc", "protocol.full.ema=maybe", "protocol.modern.generated=1"),
            *("dequantize=maybe", "data.n_classes=abc", "data.image_size=abc", "trainer.fast_dev_run=maybe"),
            *("updates=true", "updates=1.5", "optim.decay_start=abc", "debug=maybe"),
        ],
    )
    def test_a_setting_and_its_value(self, refusal, argument):
        sentence = refusal("train", *without(TINY, [argument]), argument)
        name, value = argument.split("=")
        assert f"{name}={value} " in sentence
        assert "must be" in sentence

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["optim.g.betas=[1,2]"], ["optim.g", "beta"]),
            (["optim.d.betas=[0,1]"], ["optim.d", "beta"]),
            (["optim.d.betas=[zero,0.9]"], ["optim.d", "zero"]),
            (["optim.d.betas=0.9"], ["optim.d.betas=0.9 must be a list of 2 values in brackets, such as [0.9,0.999]"]),
            (["optim.d.betas=[0.9]"], ["optim.d.betas=[0.9] must be a list of 2 values"]),
            (["reg.spectral.networks=3"], ["reg.spectral.networks=3 must be a list in brackets"]),
            (["reg=ada", "reg.ada.multipliers=3"], ["reg.ada.multipliers=3 must be a mapping in braces"]),
            (["data.shape=16"], ["data.shape=16 must be a list in brackets"]),
            (["--config-name=mine"], ["--config-name=mine", "--config-dir FOLDER experiment=mine"]),
            (["--config-path=mine"], ["--config-path=mine", "--config-dir mine"]),
            (["~loss"], ["~loss", "write loss=NAME, one of", "wasserstein"]),
            (["~reg"], ["~reg", "write reg=none"]),
            (["~metrics"], ["~metrics", "write metrics=none"]),
            (["~logger"], ["~logger", "write logger=[]"]),
            (["~updates"], ["~updates", "write updates=VALUE"]),
            (["~metrics.during"], ["~metrics.during removes", "write metrics.during=VALUE"]),
            (["hydra.foo=3"], ["'hydra.foo'", "--cfg hydra"]),
            (["hydra.job.nam=3"], ["'hydra.job.nam'", "--cfg hydra"]),
            (["hydra.job.chdir=maybe"], ["hydra.job.chdir=maybe must be true or false"]),
            (["hydra.job.num=x"], ["hydra.job.num=x must be a whole number"]),
            (["hydra.mode=SOME"], ["hydra.mode=SOME must be one of RUN, MULTIRUN"]),
            (["+optim.d.foo=1"], ["optim.d", "foo"]),
            (["reg=weight_clip", "reg.weight_clip.limit=-1"], ["reg.weight_clip.limit=-1", "0 or more"]),
            (["callbacks.samples._target_=foo"], ["callbacks.samples._target_=foo", "No module named 'foo'"]),
            (["callbacks.samples._target_=lit_gan.callbacks.Foo"], ["lit_gan.callbacks.Foo", "cannot be imported"]),
            (["+loss.margin=1"], ["loss cannot be made", "margin"]),
            (["metrics=classifier", "metrics.during=null"], ["'null'", "quick", "sngan_paper"]),
            (["metrics.during=fulll"], ["metrics.during=fulll", "there are quick"]),
            (["metrics.final=fulll"], ["metrics.final=fulll", "there are quick"]),
            (["protocol.quick.name=full"], ["protocol.quick.name=full must be quick"]),
            (["metrics=classifier", "protocol=[]"], ["'quick'", "none"]),
            (["~protocol.quick.seed"], ["protocol.quick", "seed"]),
            (["optim.accumulate=3"], ["batch_size=8", "optim.accumulate=3", "multiple of 3"]),
            (["train_images=0"], ["train_images=0", "1 or more"]),
            (["train_images=1798"], ["train_images=1798", "1797 training images of data=digits", "null"]),
            (["scale=smal"], ["scale=smal", "sweep=NAME"]),
            (["sweep=foo"], ["sweep=foo", "digits_regularizers"]),
            (["--multirun", "seed=0,1", "hydra/launcher=nonesuch"], ["hydra/launcher=nonesuch", "does not exist"]),
            (["sweep=digits_regularizers", "scale=tiny"], ["scale=tiny", "there are paper."]),
            (["data.root=/x/a b é"], ["""data.root='"/x/a b é"'"""]),
            (["foo"], ["foo is no setting", "NAME=VALUE"]),
            (["data=image_folder", "data.foo=1"], ["There is no setting 'data.foo'", "on_broken"]),
            (["reg=none,spectral"], ["reg=[none,spectral]", "--multirun"]),
            (["--multirun", "reg=none,spectral", "modle=x"], ["modle", "did you mean 'model'"]),
        ],
    )
    def test_words_of_the_sentence(self, refusal, arguments, words):
        sentence = refusal("train", *arguments, *without(TINY, arguments))
        for word in words:
            assert word in sentence

    def test_a_bad_switch_of_tracebacks_is_one_sentence(self, monkeypatch, capsys, tmp_path):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit, match="debug=maybe must be true or false"):
            call(monkeypatch, "train", *TINY, "debug=maybe")
        assert "Error executing job" not in capsys.readouterr().err

    @pytest.mark.parametrize("setting", ["resume", "init"])
    def test_what_lies_inside_a_run_names_the_run(self, refusal, finished, setting):
        for inside in ("checkpoints/last.ckpt", "checkpoints"):
            words = [*without(TINY, []), f"{setting}={as_override_value(str(finished / inside))}"]
            assert f"write {setting}={finished}." in refusal("train", *words)

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (
                ["hydra/launcher=submitit_slurm"],
                "hydra/launcher=submitit_slurm needs SLURM.* hydra/launcher=submitit_local",
            ),
            (["hydra/launcher=joblib", "hydra.launcher.n_jobs=0"], r"n_jobs == 0 .*: correct hydra\.launcher"),
            (["hydra/launcher=joblib", "hydra.launcher.n_jobs=x"], r"hydra\.launcher\.n_jobs=x must be a whole number"),
        ],
    )
    def test_what_a_launcher_refuses(self, monkeypatch, refusal, words, sentence):
        pytest.importorskip(f"hydra_plugins.hydra_{words[0].partition('=')[2].split('_')[0]}_launcher")
        monkeypatch.setenv("PATH", "")
        place = ["--multirun", "seed=0,1", "hydra.sweep.dir=engine"]
        assert re.search(sentence, refusal("train", *TINY, *place, *words))

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["optim.d.lr=interval(1e-2,1e-5)"], r"`low` value must be smaller.*, or the values to search in"),
            (["seed=choice(0,1)", "hydra.sweeper.n_trials=x"], r"hydra\.sweeper\.n_trials=x must be a whole number"),
            (["seed=choice(0,1)", "hydra.sweeper.n_trials=0"], r"hydra\.sweeper\.n_trials=0 must be 1 or more"),
            (["seed=choice(0,1)", "hydra.sweeper.n_jobs=-1"], r"hydra\.sweeper\.n_jobs=-1 must be 1 or more"),
        ],
    )
    def test_what_a_sweeper_refuses(self, refusal, words, sentence):
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
        place = ["--multirun", "hydra/sweeper=optuna", "hydra.sweep.dir=engine"]
        assert re.search(sentence, refusal("train", *without(TINY, ["metrics=auto"]), *place, *words))

    def test_the_directory_of_a_sweep_is_none_of_a_run(self, refusal, tmp_path):
        add_to_plan(tmp_path, None, ["seed"], {"seed=0": 4})
        before = sorted(tmp_path.rglob("*"))
        sentence = refusal("train", *TINY, f"hydra.run.dir={tmp_path}")
        assert f"hydra.run.dir={tmp_path} is the directory of a sweep" in sentence
        assert sorted(tmp_path.rglob("*")) == before

    def test_the_directory_of_a_run_is_none_of_a_sweep(self, refusal, copy):
        before = sorted(copy.rglob("*"))
        words = ["--multirun", "seed=0,1", f"hydra.sweep.dir={copy}"]
        assert f"hydra.sweep.dir={copy} is the directory of a single run" in refusal("train", *TINY, *words)
        assert sorted(copy.rglob("*")) == before

    def test_finished_run_does_not_excuse_a_bad_setting(self, refusal, finished):
        assert "updates=-2 " in refusal("train", f"resume={finished}", "updates=-2")

    @pytest.mark.parametrize(
        "change",
        [
            "data.name=other",
            "data.pad=1",
            "flips=true",
            "dequantize=true",
            "train_images=99",
            "trainer.precision=bf16-mixed",
        ],
    )
    def test_resume_of_another_experiment(self, refusal, finished, change):
        change = "+" * (change == "data.pad=1") + change
        sentence = refusal("train", f"resume={finished}", "updates=4", change)
        assert change.lstrip("+").split("=")[0] in sentence

    def test_resume_with_other_points(self, refusal, monkeypatch, tmp_path):
        points = ["data=gaussians", "metrics=none", "updates=1", "batch_size=8", "trainer.accelerator=cpu"]
        call(monkeypatch, "train", *points, "data.n=64", f"hydra.run.dir={tmp_path / 'points'}")
        for name, old, new in (("data.seed", 0, 1), ("data.std", 0.02, 0.5), ("data.n", 64, 128)):
            sentence = refusal("train", f"resume={tmp_path / 'points'}", "updates=2", f"{name}={new}")
            assert f"{name}={old}, not with {name}={new}" in sentence

    def test_a_score_that_these_data_have_not(self, refusal):
        roll = ["data=swiss_roll", "model.width=4", "batch_size=8", "updates=1", "metrics.monitor=held"]
        sentence = refusal("train", *roll, "trainer.accelerator=cpu", "protocol.quick.generated=16")
        assert "metrics.monitor=held is not measured on data=swiss_roll: choose one of wasserstein" in sentence

    def test_a_truncation_that_g_cannot_have_is_refused_before_the_training(self, refusal, tmp_path):
        few = ["protocol.full.generated=20", "protocol.full.inception_score=20", "protocol.full.truncation=0.7"]
        cut = [*TINY, "metrics=classifier", *few, "model.G.prior=uniform", f"hydra.run.dir={tmp_path / 'cut'}"]
        assert "truncation=0.7 needs normal latent variables" in refusal("train", *cut)
        assert not (tmp_path / "cut" / "checkpoints").exists()

    def test_one_class_is_none_that_a_classifier_could_tell(self, refusal, tmp_path):
        (tmp_path / "photos" / "cat").mkdir(parents=True)
        for number in range(8):
            Image.new("L", (16, 16), number).save(tmp_path / "photos" / "cat" / f"{number}.png")
        data = ["data=image_folder", f"data.root={tmp_path / 'photos'}", "data.n_classes=1"]
        sentence = refusal("train", *TINY, "metrics=classifier", *data)
        assert "metrics=classifier needs labels of two classes or more" in sentence

    def test_fewer_updates_than_there_were(self, refusal, copy):
        content = json.loads((copy / "results.json").read_text())
        (copy / "results.json").write_text(json.dumps(content | {"status": "stopped"}))
        sentence = refusal("train", f"resume={copy}", "updates=1")
        assert re.search(r"updates=1 is less than the 2 of .*last\.ckpt: set it to 2 or more", sentence)
        assert json.loads((copy / "results.json").read_text())["updates"] == content["updates"]


class TestDamagedFiles:
    @pytest.mark.parametrize("content", ["", "[]", "{", '{"status": "finished"}', '{"course": [{"scores": {}}]}'])
    def test_results(self, refusal, copy, content):
        (copy / "results.json").write_text(content)
        assert "results.json is damaged" in refusal("train", f"resume={copy}", "updates=4")
        asked = ["metrics=classifier", "protocols=quick"]
        assert "results.json is damaged" in refusal("evaluate", f"run={copy}", *asked)

    @pytest.mark.parametrize(
        "content", ["", "a,b\n1,2\n", "update,x\nabc,1\n3,4\n", "update,x\n1,2,3\n", "update\n\0\n"]
    )
    def test_metrics(self, refusal, copy, content):
        (copy / "metrics.csv").write_text(content)
        assert "metrics.csv is damaged" in refusal("train", f"resume={copy}", "updates=4")

    def test_a_row_that_a_kill_cut_off_is_no_damage(self, tmp_path):
        (tmp_path / "metrics.csv").write_text("update,x\n1,2\n2,3\n3")
        table = MetricsCsv(tmp_path)
        table.resume(7)
        table.rewrite()
        assert (tmp_path / "metrics.csv").read_text().split() == ["update,x", "1,2", "2,3"]

    @pytest.mark.parametrize("content", ["", "a: [", "5", "- x", "\0", "model: null\nloss: 3\n"])
    @pytest.mark.parametrize(("name", "setting"), [("train", "resume"), ("sample", "run"), ("evaluate", "run")])
    def test_config(self, refusal, copy, content, name, setting):
        (copy / ".hydra" / "config.yaml").write_text(content)
        assert "config.yaml is damaged" in refusal(name, f"{setting}={copy}")

    @pytest.mark.parametrize("content", ["", "a: [", "a: b"])
    def test_overrides(self, refusal, copy, content):
        (copy / ".hydra" / "overrides.yaml").write_text(content)
        assert "overrides.yaml is damaged" in refusal("train", f"resume={copy}")

    @pytest.mark.parametrize("content", [[1], {}, {"state_dict": {}, "global_step": 2}, "text"])
    @pytest.mark.parametrize(("name", "setting"), [("train", "resume"), ("sample", "run")])
    def test_checkpoint(self, refusal, copy, content, name, setting):
        torch.save(content, copy / "checkpoints" / "last.ckpt")
        sentence = refusal(name, f"{setting}={copy}")
        assert "last.ckpt is damaged" in sentence
        assert "best.ckpt" not in sentence  # there is none
        (copy / "checkpoints" / "best.ckpt").touch()
        assert "copy best.ckpt over it" in refusal(name, f"{setting}={copy}")


class TestEvaluate:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["run=null"], ["run=DIR is missing"]),
            (["generated=abc"], ["generated=abc"]),
            (["generated=1"], ["generated=1 ", "2 or more"]),
            (["ema=maybe"], ["ema=maybe", "true or false"]),
            ([], ["metrics=none", "choose metrics="]),
            (
                ["metrics=none"],
                ["the command line comes to metrics=none", "choose metrics=NAME, one of classifier, cmmd"],
            ),
            (["metrics=classifier", "protocols=[quick,foo]"], ["foo", "quick", "modern"]),
            (["metrics=classifier", "protocols=[quick,sngan_paper]"], ["digits", "test"]),
            (["metrics=classifier", "checkpoint=[last,foo]"], ["checkpoint=foo", "last"]),
            (["metrics=classifier", "protocols=[]"], ["protocols=[]"]),
            (["metrics=classifier", "checkpoint=[]"], ["checkpoint=[]"]),
            (["metrics=classifier", "checkpoint=null"], ["checkpoint=null"]),
            (["device=foo"], ["device=foo"]),
        ],
    )
    def test_is_refused_before_the_first_score(self, refusal, finished, arguments, words):
        before = (finished / "results.json").read_bytes()
        run = [] if "run=null" in arguments else [f"run={as_override_value(str(finished))}"]
        sentence = refusal("evaluate", *run, *arguments)
        for word in words:
            assert word in sentence
        assert (finished / "results.json").read_bytes() == before

    def test_several_runs_one_after_the_other(self, finished, monkeypatch, tmp_path, capsys):
        runs = [shutil.copytree(finished, tmp_path / name) for name in "ab"]
        monkeypatch.chdir(tmp_path)
        asked = ["metrics=classifier", "protocols=quick", "generated=16", "device=cpu"]
        with pytest.raises(SystemExit, match="run=nix is no run directory"):
            call(monkeypatch, "evaluate", *asked, "run=a,nix,b,nox", "-m")
        assert [len(json.loads((run / "results.json").read_text())["evaluations"]) for run in runs] == [1, 1]
        assert "run=nox is no run directory" in capsys.readouterr().err
        call(monkeypatch, "sample", "--multirun", "run=a,b", "n=2", "interpolations=0", "device=cpu")
        assert all((run / "generated" / "grid.png").exists() for run in runs)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]

    def test_jobs_are_of_a_sweep(self, refusal, finished):
        words = [f"run={as_override_value(str(finished))}", "metrics=classifier", "jobs=4"]
        assert "jobs=4 is of a sweep" in refusal("evaluate", *words)

    @pytest.mark.parametrize("name", ["evaluate", "sample"])
    def test_without_run(self, refusal, name):
        assert "run=DIR is missing" in refusal(name)

    @pytest.mark.parametrize(
        ("command", "group"), [("evaluate", "metrics"), ("evaluate", "protocol"), ("analyze", "analysis")]
    )
    def test_help_names_what_there_is_also_of_ones_own(self, command, group, tmp_path):
        """Each choice by its file alone, and an analysis with the first comment in it."""
        (tmp_path / "mine" / group).mkdir(parents=True)
        (tmp_path / "mine" / group / "of_mine.yaml").write_text("# Says what is mine.\nof_mine: {}\n")
        text = run_fork(tmp_path, command, "--config-dir", "mine", "--help").stdout
        listed = {*re.findall(r"\w+", text)}
        assert {*choices(group), "of_mine"} - {"none"} <= listed
        assert ("Says what is mine." in text) == (command == "analyze")


class TestSample:
    @pytest.mark.parametrize(
        "argument",
        [
            *(
                "n=0",
                "n=-1",
                "n=abc",
                "batch_size=0",
                "steps=0",
                "steps=-2",
                "interpolations=-1",
                "seed=abc",
                "seed=-1",
            ),
            *("npz=maybe", "ema=maybe", "checkpoint=[best,foo]", "output=null", "device=foo"),
        ],
    )
    def test_a_setting_and_its_value(self, refusal, finished, argument):
        assert f"{argument} " in refusal("sample", f"run={as_override_value(str(finished))}", argument)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
    def test_a_gpu_that_is_not_there_is_not_offered(self, refusal, finished):
        for device in ("cuda", "cuda:1"):
            sentence = refusal("sample", f"run={as_override_value(str(finished))}", f"device={device}")
            assert sentence.endswith(
                f"device={device} cannot be used here, for there is no CUDA GPU: choose auto or cpu."
            )

    def test_a_checkpoint_names_its_run(self, refusal, finished):
        for name, choice in (("last", ""), ("best", " checkpoint=best")):
            place = as_override_value(str(finished / "checkpoints" / f"{name}.ckpt"))
            assert f"write run={finished}{choice}." in refusal("sample", f"run={place}")

    def test_no_interpolation(self, finished, monkeypatch, tmp_path):
        arguments = ["n=2", "interpolations=0", f"output={tmp_path / 'out'}"]
        call(monkeypatch, "sample", f"run={as_override_value(str(finished))}", *arguments)
        files = {path.name for path in (tmp_path / "out").rglob("*.png")}
        assert files == {"grid.png", "00000.png", "00001.png"}

    def test_folder_that_is_a_file(self, refusal, finished, tmp_path):
        (tmp_path / "file").touch()
        sentence = refusal("sample", f"run={as_override_value(str(finished))}", f"output={tmp_path / 'file'}")
        assert str(tmp_path / "file") in sentence
        assert "hydra.run.dir" not in sentence


def give_up_overriding() -> None:
    """Takes from root its right to write where the permissions forbid it: CAP_DAC_OVERRIDE, the second bit."""
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capget(header, sets) == 0, os.strerror(ctypes.get_errno())
    for number in (0, 1):  # what is effective and, which os.access asks for, what is permitted
        sets[number] &= ~(1 << 1)
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())


class TestUnwritable:
    """Directories that only others may write."""

    @pytest.fixture
    def run(self, copy):
        copy.chmod(0o555)
        yield copy
        copy.chmod(0o755)

    @pytest.fixture
    def sentence(self, tmp_path):
        """What a command without the right to write everywhere, which root has, is refused with."""
        if os.geteuid() == 0 and not sys.platform.startswith("linux"):
            pytest.skip("root, whose rights only Linux takes one by one")
        first = give_up_overriding if os.geteuid() == 0 else lambda: None
        home = tmp_path / "home"
        home.mkdir(mode=0o555)

        def refuse(module: str, *arguments: str) -> str:
            process = run_fork(home, module, *arguments, first=first, HOME=str(home), MPLCONFIGDIR=str(tmp_path))
            assert process.returncode == 1
            assert "Traceback" not in process.stderr
            return process.stderr.splitlines()[-1]

        return refuse

    def test_train_here(self, sentence):
        assert sentence("train", *TINY).startswith("lit_gan: runs: Permission denied; hydra.run.dir=DIR")

    def test_sample(self, sentence, run):
        assert f"lit_gan: {run / 'generated'}: Permission denied" in sentence("sample", f"run={run}")

    @pytest.mark.parametrize(
        "folder", ["checkpoints", *(pytest.param(name, marks=pytest.mark.slow) for name in (".hydra", "samples"))]
    )
    def test_resume_before_anything_is_trained(self, sentence, copy, folder):
        (copy / folder).chmod(0o555)
        refused = sentence("train", f"resume={copy}", "updates=4")
        (copy / folder).chmod(0o755)
        assert f"lit_gan: {copy / folder} cannot be written" in refused
        assert json.loads((copy / "results.json").read_text())["status"] == "finished"

    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("unexpected pos 704")])
    def test_full_disk_keeps_the_old_checkpoint(self, refusal, copy, monkeypatch, error):
        before = (copy / "checkpoints" / "last.ckpt").read_bytes()

        def full(content, file):
            file.write(b"half")
            raise error

        monkeypatch.setattr(torch, "save", full)
        assert "last.ckpt cannot be written" in refusal("train", f"resume={copy}", "updates=4")
        assert (copy / "checkpoints" / "last.ckpt").read_bytes() == before
        assert [path.name for path in (copy / "checkpoints").iterdir()] == ["last.ckpt"]


class TestClassify:
    @pytest.mark.parametrize(
        ("argument", "words"),
        [
            ("data=gaussians", ["gaussians", "no images"]),
            ("data=text", ["text", "no images"]),
            ("data=dirac", ["data=dirac also chooses loss=NAME", "lit_gan.classify", "choose another data"]),
            ("updates=0", ["updates=0 "]),
            ("updates=abc", ["updates=abc "]),
            ("seed=abc", ["seed=abc "]),
            ("data.n_classes=abc", ["data.n_classes=abc "]),
            ("output={folder}", ["output=", "is a folder"]),
            ("output=null", ["output=null", "output=FILE"]),
        ],
    )
    def test_is_refused(self, refusal, tmp_path, argument, words):
        sentence = refusal("classify", argument.format(folder=tmp_path))
        for word in words:
            assert word in sentence

    def test_leaves_the_package_as_it_is(self, monkeypatch, tmp_path, capsys):
        monkeypatch.chdir(tmp_path)
        shipped = SHIPPED / "digits.pt"
        before = shipped.read_bytes()
        call(monkeypatch, "classify", "data=digits", "updates=1")
        assert shipped.read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["digits_classifier.pt"]
        assert f"a copy to {shipped} would replace" in capsys.readouterr().out


class TestPaths:
    def test_resume_of_a_path_with_space_and_accent(self, copy, monkeypatch):
        place = copy.rename(copy.with_name("x y ü"))
        for spelling in (f"resume={place}", f'resume="{place}"', f"resume='{place}'"):
            call(monkeypatch, "train", spelling, "updates=3")
        assert json.loads((place / "results.json").read_text())["updates"] == 3

    @pytest.mark.parametrize(
        "path", ["/plain/path-1.5", "/a b", "/é", "/it's", '/say "x"', "/a,b=[c](d)", "~x", "/a b\\", "/a\\", '/a\\"b']
    )
    def test_quoting_is_hydras(self, path):
        (override,) = OverridesParser.create().parse_overrides([f"run={as_override_value(path)}"])
        assert override.value() == path
        assert parse_override(quote_typed(f"run={as_override_value(path)}")).value() == path

    def test_commands_are_for_a_shell(self):
        assert run_command("train", "resume", Path("/a/b")) == f"{interpreter()} -m lit_gan.train resume=/a/b"
        _, _, module, argument = shlex.split(run_command("sample", "run", Path("/it's é")))
        (override,) = OverridesParser.create().parse_overrides([argument])
        assert (module, override.value()) == ("lit_gan.sample", "/it's é")


class TestInterrupt:
    @pytest.mark.parametrize(
        ("debug", "ending"), [("false", SystemExit), ("true", KeyboardInterrupt), ("True", KeyboardInterrupt)]
    )
    def test_outside_of_training(self, monkeypatch, capsys, tmp_path, debug, ending):
        def interrupted(config):
            raise KeyboardInterrupt

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["sample", f"debug={debug}"])
        with pytest.raises(ending) as end:
            launch(interrupted, "sample")
        if debug == "false":
            assert end.value.code == 130
            assert capsys.readouterr().err == "lit_gan: interrupted\n"


class TestOurOwnFaults:
    """They keep their traceback."""

    @pytest.mark.parametrize(
        ("modules", "message"),
        [
            (["hydra_plugins.hydra_x_launcher.x", "lit_gan.tasks.train"], "one of a cell in this process"),
            (["hydra_plugins.hydra_x_sweeper.x", "hydra.core.utils"], "one of a cell of another process"),
            (["hydra_plugins.hydra_x_launcher.x", "x"], "FailedJobError: Traceback (most recent call last)"),
        ],
    )
    def test_an_error_of_a_cell_that_a_launcher_hands_on(self, modules, message):
        assert is_from_a_cell(modules, message)
        assert not is_from_a_cell(modules[:1], "n_jobs == 0")

    def test_an_error_while_a_mistake_is_handled(self):
        error = ZeroDivisionError()
        error.__context__ = UserError("seed=x must be y.")
        assert list(causes(error)) == [error]
        assert explain(error, "train") is None

    def test_a_missing_file_deep_inside(self):
        error = RuntimeError()
        error.__cause__ = FileNotFoundError(2, "No such file", "x")
        assert explain(error, "train") is None
        assert "hydra.run.dir" in explain(error.__cause__, "train")
        assert "hydra.run.dir" not in explain(error.__cause__, "sample")


class TestAllowed:
    def test_values(self):
        whole, decay, switch = map(Allowed.by, (Count, Annotated[float | None, Range(0, below=1)], Switch))
        assert [value in whole for value in (1, 0, True, 1.0, "1", None)] == [True] + [False] * 5
        assert [value in decay for value in (0, 0.5, None, 1, -0.1, float("nan"), "0", False)] == [True] * 3 + [
            False
        ] * 5
        assert [value in switch for value in (True, False, 1, 0, "true", None)] == [True] * 2 + [False] * 4

    def test_words(self):
        assert str(Allowed.by(Count)) == "a whole number, 1 or more"
        assert str(Allowed.by(Annotated[float | None, Range(0, below=1)])) == "a number or null, at least 0 and below 1"

    def test_every_row_of_the_tables_is_a_setting(self):
        every = [f"reg=[{','.join(choices('reg'))}]", "logger=wandb"]
        every += [f"{group}={name}" for group in ("model", "data", "labels") for name in choices(group)]
        with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
            trained = [hydra.compose("train", [override]) for override in every]
            others = [
                (name, [hydra.compose(name)])
                for name in ("evaluate", "sample", "export", "explore", "classify", "pack", "score")
            ]
        tables = {"train": settings.TRAIN, "evaluate": settings.EVALUATE, "sample": settings.SAMPLE, "classify": {}}
        tables |= {"pack": settings.PACK, "export": settings.EXPORT, "explore": settings.EXPLORE}
        tables["score"] = settings.SCORE
        for name, configs in [("train", trained), *others]:
            for setting in tables[name]:
                owner, _, leaf = setting.rpartition(".")
                owners = [OmegaConf.select(config, owner) if owner else config for config in configs]
                assert any(leaf in node for node in owners if node is not None), f"{name}: {setting}"

    def test_a_setting_that_is_not_there_is_not_looked_for(self, compose):
        check_settings(compose("model=mlp").model, {"kernel_size": Count})


def record(update: int, protocol: str = "quick", **scores: float | None) -> dict:
    return {"update": update, "scores": scores, "protocol": {"name": protocol}, "weights": "ema"}


class TestResults:
    def test_best_says_where_it_comes_from(self, tmp_path):
        results = Results(tmp_path)
        results.content = {"course": [], "best": None}
        course = [record(1, fid=3.0), record(2, fid=2.0), record(3, fid=None), record(4, kid=0.0), record(5, fid=2.0)]
        for evaluation in course:
            results.add_to_course(evaluation, "fid", "min")
        origin = {"update": 2, "scores": {"fid": 2.0}, "protocol": {"name": "quick"}, "weights": "ema"}
        assert results.content["best"] == {"metric": "fid", "value": 2.0} | origin
        assert results.content["course"] == course

    def test_best_of_another_metric_starts_anew(self, tmp_path):
        results = Results(tmp_path)
        results.content = {"course": [record(1, kid=1.0)], "best": None}
        best = []
        for evaluation in (record(2, fid=2.0, kid=3.0), record(3, fid=1.0, kid=2.0), record(4, fid=0.0, kid=2.5)):
            results.add_to_course(evaluation, "fid" if evaluation["update"] == 2 else "kid", "max")
            best.append(results.content["best"]["update"])
        assert best == [2, 3, 4]

    def test_best_under_another_protocol_starts_anew(self, tmp_path):
        results = Results(tmp_path)
        results.content, best = {"course": [], "best": None}, []
        for evaluation in (record(1, "full", fid=1.0), record(2, fid=8.0), record(3, fid=9.0), record(4, fid=7.0)):
            results.add_to_course(evaluation, "fid", "min")
            best.append(results.content["best"]["update"])
        assert best == [1, 2, 2, 4]

    def test_a_best_of_a_version_without_protocols_stays_a_rival(self, tmp_path):
        results = Results(tmp_path)
        results.content = {"course": [], "best": {"metric": "fid", "value": 1.0, "update": 1}}
        results.add_to_course(record(2, fid=8.0), "fid", "min")
        assert results.content["best"]["update"] == 1

    def test_table_shows_one_kind_of_scores(self):
        quick = record(1, fid=3.0), record(2, kid=3.0)
        table = course_table([*quick, record(3, "full", kid=2.0), record(4, "full", kid=1.0)])
        assert [column.header for column in table.columns] == ["update", "kid"]
        assert list(table.columns[0].cells) == ["3", "4"]
        assert "protocol full" in table.title

    def test_commit_is_that_of_a_tracked_file(self, tmp_path, monkeypatch):
        package = tmp_path / "results.py"
        package.touch()
        monkeypatch.setattr(results, "__file__", str(package))
        author = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        for arguments in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "x"]):
            subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
        assert results.git_commit() is None
        for arguments in (["add", "."], [*author, "commit", "-q", "-m", "y"]):
            subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
        assert len(results.git_commit()) == 40
