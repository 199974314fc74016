"""The commands of README and docs/ and README's example of a method are run as they stand there, made small."""

import re
import shlex
import shutil
import sys
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

from lit_gan.cli.launch import launch
from lit_gan.tasks.train import train

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [TEXT, *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))]
LINES = [line for page in PAGES for line in re.findall(r"^    (python -m lit_gan.*)$", page, re.MULTILINE)]
COMMANDS = [line.split("   #")[0].strip() for line in LINES if "--config-dir" not in line]
SMALL = ["++model.width=4", "batch_size=4", "trainer.accelerator=cpu", "protocol.quick.generated=16"]
SMALL += ["protocol.quick.inception_score=16", "protocol.full.generated=16", "protocol.full.inception_score=16"]
SMALL += ["protocol.quick.real=64", "protocol.full.real=64"]
SHORT = {
    "train": [*SMALL, "trainer.fast_dev_run=true", "apart=false"],
    "evaluate": SMALL[3:],
    "sample": ["interpolations=1"],
    "analyze": [],
    "status": [],
    "report": [],
}
CELLS = ["method=spectral_norm,weight_clipping", "optim=sngan_c", "seed=0"]
MORE = {
    "experiment=sngan_cifar10": ["data=digits", "metrics=none"],
    "resume=DIR": ["updates=4"],
    "analysis=[spectra,weights,neighbours]": ["analysis.neighbours.samples=8", "analysis.neighbours.images=64"],
    "sweep=sngan_fig1_cifar10": CELLS,
    "hydra/sweeper=optuna": ["hydra.sweeper.n_trials=1"],
}
LONG = ("hydra/launcher=joblib", "hydra/launcher=submitit_local", "hydra/launcher=ray")
"""Engines, which tests/test_grid.py runs."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the commands are typed: with the finished runs DIR and OTHER and a folder PHOTOS."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "PHOTOS").mkdir()
    for number in range(40):
        Image.new("RGB", (70, 64), (number, 2 * number, 3 * number)).save(folder / "PHOTOS" / f"{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train", *SMALL, "updates=2", "hydra.run.dir=DIR"])
        launch(train, "train")
    shutil.copytree(folder / "DIR", folder / "OTHER")
    return folder


@pytest.mark.parametrize(
    "command", [command for command in dict.fromkeys(COMMANDS) if not any(engine in command for engine in LONG)]
)
def test_command(command, folder, monkeypatch):
    _, _, module, *arguments = shlex.split(command)
    name = module.removeprefix("lit_gan.")
    small = [] if {"--help", "resume=DIR"} & set(arguments) else SHORT[name]
    more = next((more for key, more in MORE.items() if key in arguments), [])
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [name, *arguments, *small, *more])
    assert not exit_code(import_module(module).main)


def exit_code(main):
    """How a command ends: None, a number, or the sentence of a refusal."""
    try:
        main()
    except SystemExit as end:
        return end.code
    return None


def test_there_are_commands():
    assert len(COMMANDS) > 10
    assert len(TEXT.splitlines()) <= 150


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)", TEXT, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_files_named_exist():
    for name in re.findall(r"\]\((docs/[^)]+)\)", TEXT) + re.findall(r"`((?:src|conf)/[\w/]+\.\w+)`", TEXT):
        assert (ROOT / name).exists(), name


def test_a_method_of_ones_own(tmp_path, monkeypatch):
    code = re.search(r"^    from lit_gan.game import Regularizer\n.*?(?=\n\nand)", TEXT, re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "tricks.py").write_text(re.sub(r"^    ", "", code, flags=re.MULTILINE))
    (tmp_path / "mine" / "reg").mkdir(parents=True)
    (tmp_path / "mine" / "reg" / "drift.yaml").write_text(re.search(r"drift: \{_target_.*\}", TEXT)[0])
    arguments = re.search(r"python -m lit_gan.train (--config-dir .*)", TEXT)[1]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    length = ["updates=2", "trainer.log_every_n_steps=1", "metrics=none", "hydra.run.dir=run"]
    monkeypatch.setattr(sys, "argv", ["train", *shlex.split(arguments), *SMALL, *length])
    launch(train, "train")
    assert "d/drift" in (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0]
