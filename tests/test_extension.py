"""A user's own trick: one class and one YAML outside the package, named on the command line like any other."""

import csv
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from omegaconf import DictConfig

from forks import run_fork
from lit_gan.cli.arguments import complete_arguments
from lit_gan.errors import UserError
from lit_gan.records.files import read_yaml
from lit_gan.records.search_path import check_modules, find_modules_of
from lit_gan.reporting.findings import sweep_command
from lit_gan.system.shell import interpreter

TRICK = '''
from lit_gan.game import Regularizer


class LogitPenalty(Regularizer):
    """E D(x)^2: D's outputs stay small. Karras et al. 2018 (progressive growing), appendix A.1."""

    def d(self, turn):
        return turn.real.logits.square().mean()
'''
LOSS = '''
from lit_gan.losses import Wasserstein


class Margin(Wasserstein):
    """A loss of one's own."""
'''
PARTS = '''
from typing import Annotated

import torch
from lit_gan.data import Images, Source
from lit_gan.losses import Wasserstein
from lit_gan.metrics import ModeMetrics
from lit_gan.models import mlp
from lit_gan.ranges import Count, Range
from lit_gan.reg.gradients import R1


class Drift(R1):
    """A regularizer.

    Args:
        weight: epsilon.
    """

    def __init__(self, weight: Annotated[float, Range(0, below=10)] = 0.1):
        super().__init__(weight)
        if weight == 9:
            raise ValueError("nine is too much")


class Scaled(Wasserstein):
    """A loss.

    Args:
        scale: of its logits.
    """

    def __init__(self, scale: Annotated[float, Range(above=0)] = 1.0):
        super().__init__()


class Small(mlp.Generator):
    """A network.

    Args:
        width: neurons.
    """

    def __init__(self, shape, width: Count = 4):
        super().__init__(shape, width=width)


class Ones(Source):
    """A data set.

    Args:
        n: points.
    """

    splits = ("train", "test")

    def __init__(self, name, shape, n_classes, n: Count):
        super().__init__(name, shape, n_classes)
        self.n = n

    def load(self, which):
        return Images(torch.ones(self.n, 2))


class Spread(ModeMetrics):
    """Scores.

    Args:
        directions: lines.
    """

    def __init__(self, directions: Count = 8):
        super().__init__()
'''
YAML = {
    "reg/drift": "# A drift. Me 2030.\ndrift: {_target_: parts.Drift, weight: 0.1}\n",
    "loss/scaled": "# A loss. Me 2030.\n_target_: parts.Scaled\nscale: 1.0\n",
    "model/small": """# A model. Me 2030.
width: 4
G: {_target_: parts.Small, shape: "${data.shape}", width: "${..width}"}
D: {_target_: lit_gan.models.mlp.Discriminator, shape: "${data.shape}", width: "${..width}"}
""",
    "data/ones": "# Ones. Me 2030.\n_target_: parts.Ones\nname: ones\nshape: [2]\nn_classes: null\nn: 64\n",
    "metrics/spread": """# Scores. Me 2030.
suite: {_target_: parts.Spread, directions: 8}
during: quick
final: quick
monitor: wasserstein
""",
}
"""One of each: a class with an annotated argument in parts.py, and its file."""
TINY = ["metrics=none", "model.width=4", "batch_size=4", "updates=2", "updates_per_epoch=2", "trainer=cpu"]
OWN = ["reg=[spectral,logit_penalty]", "loss=margin"]


def write_project(folder: Path) -> Path:
    """A folder with a trick, a loss and their YAML files."""
    for group in ("reg", "loss"):
        (folder / "my_conf" / group).mkdir(parents=True)
    (folder / "my_tricks.py").write_text(TRICK + LOSS)
    (folder / "my_conf/reg/logit_penalty.yaml").write_text(
        "logit_penalty:\n  _target_: my_tricks.LogitPenalty\n  weight: 0.001\n"
    )
    (folder / "my_conf/loss/margin.yaml").write_text("_target_: my_tricks.Margin\n")
    return folder


def call(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess:
    """A command in a folder, in which Python does not look for modules, as a console script does not."""
    assert not {"", str(folder)} & set(sys.path)
    return run_fork(folder, module, *arguments, COLUMNS="200")


def call_new(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess:
    """Such a command in a new interpreter, which has imported nothing yet."""
    command = [sys.executable, "-P", "-m", f"lit_gan.{module}", *arguments]
    environment = os.environ | {"PYTHONSAFEPATH": "1", "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The folder of a project, with a run that was begun in it."""
    folder = write_project(tmp_path_factory.mktemp("pro ject"))
    run = call_new(folder, "train", "--config-dir", "my_conf", "hydra.run.dir=run", *TINY, *OWN)
    assert run.returncode == 0, run.stderr
    return folder


@pytest.fixture
def elsewhere(tmp_path):
    """Another folder."""
    return tmp_path


def test_a_trick_from_outside_the_package_trains_combined_with_shipped_ones(project):
    with (project / "run/metrics.csv").open() as file:
        columns = next(csv.reader(file))
    assert {"d/logit_penalty", "d/margin"} <= set(columns)


def test_own_code_is_looked_for_where_one_stands_and_beside_and_in_the_folder_of_configs(tmp_path, monkeypatch):
    """A console script, unlike `python -m`, does not look into the present folder by itself."""
    folders = [tmp_path / name for name in ("here", "project", "project/conf")]
    for folder in folders:
        folder.mkdir()
    monkeypatch.chdir(folders[0])
    monkeypatch.setattr(sys, "path", list(sys.path))
    complete_arguments(["--config-dir", str(folders[2])], "train")
    assert sys.path[-3:] == [str(folder) for folder in folders]


def test_a_run_knows_where_its_own_code_lies(project):
    places = yaml.safe_load((project / "run" / ".hydra" / "search_path.yaml").read_text())
    assert places == {"configs": [f"file://{project / 'my_conf'}"], "modules": [str(project)]}


@pytest.mark.parametrize("more", [[], ["--config-dir", "my_conf"], ["hydra.searchpath=[file://my_conf]"]])
def test_its_directory_is_enough_to_resume_it(project, elsewhere, more):
    copy = shutil.copytree(project / "run", elsewhere / "copy")
    if more:
        write_project(elsewhere)
    run = call(elsewhere, "train", f"resume={copy}", "updates=4", *more)
    assert run.returncode == 0, run.stderr
    assert json.loads((copy / "results.json").read_text())["updates"] == 4
    places = yaml.safe_load((copy / ".hydra" / "search_path.yaml").read_text())
    assert f"file://{project / 'my_conf'}" in places["configs"]


@pytest.fixture
def two_runs(tmp_path, monkeypatch):
    """The directories of two runs, whose classes lie in different files of one name; one stands in the project of
    the second."""
    monkeypatch.setattr(sys, "path", [str(tmp_path / "b"), *sys.path])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    for name in ("a", "b"):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / "tricks_of_two.py").write_text(f"class Mine:\n    name = '{name}'\n")
        config = "{loss: {_target_: tricks_of_two.Mine}, reg: {}, model: {}, data: {}, optim: {}}"
        (tmp_path / name / ".hydra" / "config.yaml").write_text(config)
        (tmp_path / name / ".hydra" / "search_path.yaml").write_text(f"{{configs: [], modules: [{tmp_path / name}]}}")
    monkeypatch.chdir(tmp_path / "b")
    return tmp_path / "a", tmp_path / "b"


class TestCodeOfOneName:
    @pytest.mark.parametrize(("flags", "project"), [([], "a"), (["--config-dir", "mine"], "b")])
    def test_that_of_the_run_counts_unless_configs_here_are_named(self, two_runs, flags, project):
        complete_arguments([*flags, f"run={two_runs[0]}"], "evaluate")
        assert importlib.import_module("tricks_of_two").Mine.name == project

    def test_that_of_the_run_counts_in_a_notebook(self, two_runs):
        find_modules_of(two_runs[0])
        assert importlib.import_module("tricks_of_two").Mine.name == "a"

    def test_that_of_another_run_is_refused(self, two_runs):
        a, b = two_runs
        find_modules_of(a)
        importlib.import_module("tricks_of_two")
        check_modules(a, read_yaml(a / ".hydra" / "config.yaml", DictConfig))
        with pytest.raises(UserError, match=rf"run={b} was made with {b}/\S+, and this process has {a}/\S+ under"):
            check_modules(b, read_yaml(b / ".hydra" / "config.yaml", DictConfig))
        (b / "tricks_of_two.py").write_text((a / "tricks_of_two.py").read_text())
        check_modules(b, read_yaml(b / ".hydra" / "config.yaml", DictConfig))

    def test_that_of_a_run_whose_folder_is_gone_is_what_is_here(self, two_runs):
        a, _ = two_runs
        (a / ".hydra" / "search_path.yaml").write_text("{configs: [], modules: [/no/such/folder]}")
        complete_arguments([f"run={a}"], "evaluate")
        assert importlib.import_module("tricks_of_two").Mine.name == "b"


@pytest.mark.parametrize("record", ["search_path.yaml", "hydra.yaml"])
def test_its_directory_is_enough_to_evaluate_and_analyze_it(project, elsewhere, record):
    copy = shutil.copytree(project / "run", elsewhere / "copy")
    if record == "hydra.yaml":  # of a run from before its places were recorded
        (copy / ".hydra" / "search_path.yaml").unlink()
    asked = ["evaluate", f"run='{copy}'", "metrics=classifier", "protocols=quick", "generated=64", "device=cpu"]
    run = call(elsewhere, *asked)
    assert run.returncode == 0, run.stderr
    assert len(json.loads((copy / "results.json").read_text())["evaluations"]) == 1
    run = call(elsewhere, "analyze", f"run='{copy}'", "analysis=spectra", "device=cpu")
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("sources", "overrides", "words"),
    [
        ([], [], []),
        ([{"provider": "command-line", "schema": "file", "path": "/a b"}], [], ["--config-dir", "/a b"]),
        ([], ["hydra.searchpath=[file:///c]", "hydra.mode=MULTIRUN"], ["hydra.searchpath=[file:///c]"]),
    ],
)
def test_the_command_in_a_report_names_the_folders_of_own_configs(tmp_path, sources, overrides, words):
    hydra = {"overrides": {"task": ["reg=drift", "axes=[reg]"], "hydra": overrides}}
    hydra["runtime"] = {"config_sources": [{"provider": "main", "schema": "pkg", "path": "lit_gan.conf"}, *sources]}
    (tmp_path / "multirun.yaml").write_text(yaml.dump({"hydra": hydra}))
    line = sweep_command(SimpleNamespace(directory=tmp_path))
    ends = ["reg=drift", f"hydra.sweep.dir={tmp_path}"]  # without it the command would begin another sweep
    assert shlex.split(line) == [interpreter(), "-m", "lit_gan.train", "--multirun", *words, *ends]


def test_samples_need_no_code_but_that_of_the_generator(project, elsewhere):
    copy = shutil.copytree(project / "run", elsewhere / "copy")
    (copy / ".hydra" / "search_path.yaml").write_text("configs: [file:///gone]\nmodules: [/gone]\n")
    run = call(elsewhere, "sample", f"run={copy}", "n=2", "device=cpu")
    assert run.returncode == 0, run.stderr
    run = call(elsewhere, "evaluate", f"run={copy}", "metrics=classifier")
    assert run.returncode == 1
    assert "loss._target_=my_tricks.Margin cannot be imported: No module named 'my_tricks'" in run.stderr
    assert "where my_tricks.py lies: start in its folder, or set PYTHONPATH=FOLDER" in run.stderr


OF_EACH = ["reg=[drift]", "loss=scaled", "model=small", "data=ones", "metrics=spread"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder with a regularizer, a loss, a model, a data set and metrics of one's own."""
    folder = tmp_path_factory.mktemp("parts")
    (folder / "parts.py").write_text(PARTS)
    for name, text in YAML.items():
        path = folder / "mine" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_one_of_each_from_outside_the_package_trains(parts):
    few = ["protocol.quick.generated=32", "protocol.quick.batch_size=32", "callbacks=none"]
    length = ["updates=2", "updates_per_epoch=2", "batch_size=8", "trainer=cpu"]
    run = call(parts, "train", "--config-dir", "mine", "hydra.run.dir=run", *length, *few, *OF_EACH)
    assert run.returncode == 0, run.stderr
    results = json.loads((parts / "run/results.json").read_text())
    assert results["status"] == "finished"
    assert "modes/wasserstein" in results["final"]["scores"]


def test_help_lists_one_of_each_and_no_file_that_others_share(parts):
    run = call(parts, "train", "--config-dir", "mine", "--help")
    listed = dict(
        line.split(": ", 1)
        for line in run.stdout.splitlines()
        if re.match(r"(reg|loss|model|data|metrics|optim): ", line)
    )
    choices = {f"{group}/{name}" for group, names in listed.items() for name in names.split(", ")}
    assert set(YAML) <= choices
    assert not [choice for choice in choices if "/_" in choice]
    assert "\nanalysis: " not in run.stdout, "which a training does not have"


@pytest.mark.parametrize(
    ("setting", "allowed"),
    [
        ("reg.drift.weight=10", "a number, at least 0 and below 10"),
        ("loss.scale=0", "a number, above 0"),
        ("model.width=0", "a whole number, 1 or more"),
        ("data.n=0", "a whole number, 1 or more"),
        ("metrics.suite.directions=few", "a whole number, 1 or more"),
    ],
)
def test_an_impossible_argument_is_refused_like_one_of_the_package(parts, setting, allowed):
    run = call(parts, "train", "--config-dir", "mine", *OF_EACH, setting)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == f"lit_gan: {setting} must be {allowed}."


def test_an_error_of_ones_own_constructor_has_the_key_of_the_part(parts):
    run = call(parts, "train", "--config-dir", "mine", *OF_EACH, "reg.drift.weight=9")
    assert run.returncode == 1
    assert "lit_gan: reg.drift cannot be made with its present settings: nine is too much" in run.stderr


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("reg=drift", ["A drift.", "epsilon", "a number, at least 0 and below 10"]),
        ("loss=scaled", ["of its logits", "a number, above 0"]),
        ("model=small", ["neurons", "a whole number, 1 or more"]),
        ("data=ones", ["points", "a whole number, 1 or more"]),
        ("metrics=spread", ["lines", "a whole number, 1 or more"]),
    ],
)
def test_the_documentation_shows_the_arguments_and_their_ranges(parts, choice, words):
    run = call(parts, "options", choice, "--config-dir", "mine")
    assert run.returncode == 0, run.stderr
    text = " ".join(run.stdout.split())
    assert all(word in text for word in words), run.stdout
