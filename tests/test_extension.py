"""A user's own trick: one class and one YAML outside the package, named on the command line like any other."""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

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
    command = [sys.executable, "-P", "-m", f"lit_gan.{module}", *arguments]
    environment = os.environ | {"PYTHONSAFEPATH": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The folder of a project, with a run that was begun in it."""
    folder = write_project(tmp_path_factory.mktemp("pro ject"))
    run = call(folder, "train", "--config-dir", "my_conf", "hydra.run.dir=run", *TINY, *OWN)
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
    assert shlex.split(line) == [interpreter(), "-m", "lit_gan.train", "--multirun", *words, "reg=drift"]


def test_samples_need_no_code_but_that_of_the_generator(project, elsewhere):
    copy = shutil.copytree(project / "run", elsewhere / "copy")
    (copy / ".hydra" / "search_path.yaml").write_text("configs: [file:///gone]\nmodules: [/gone]\n")
    run = call(elsewhere, "sample", f"run={copy}", "n=2", "device=cpu")
    assert run.returncode == 0, run.stderr
    run = call(elsewhere, "evaluate", f"run={copy}", "metrics=classifier")
    assert run.returncode == 1
    assert "loss._target_=my_tricks.Margin cannot be imported: No module named 'my_tricks'" in run.stderr
    assert "where my_tricks.py lies: start in its folder, or set PYTHONPATH=FOLDER" in run.stderr
