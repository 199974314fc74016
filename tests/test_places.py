"""A run is evaluated, sampled and gone on with from any folder: what it stores of places is absolute."""

import json
import shutil
import sys

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from PIL import Image

from lit_gan.cli.arguments import complete_arguments
from lit_gan.cli.launch import launch
from lit_gan.data.folder import ImageFolder
from lit_gan.data.torchvision_sets import TorchvisionSet
from lit_gan.errors import UserError
from lit_gan.metrics.extractors import Inception
from lit_gan.records.paths import COMMON_PATHS, absolute, path_settings
from lit_gan.tasks.evaluate import evaluate
from lit_gan.tasks.sample import sample
from lit_gan.tasks.train import train
from test_data import write_fashion_mnist

pytestmark = pytest.mark.usefixtures("no_curves")

TINY = ["data.image_size=16", "model.width=4", "batch_size=4", "trainer.accelerator=cpu", "updates=2", "metrics=none"]
SCORED = ["metrics=efficientnet_lite0", "generated=8", "protocol.full.inception_score=8", "protocol.full.splits=2"]


def call(monkeypatch, task, name, *arguments):
    """A command line, in this process."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    launch(task, name)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to train in, with data in it, and another one to go to."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    for number in range(8):
        path = tmp_path / "here" / "my photos" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.effect_noise((16, 16), 30 * number).save(path)
    (tmp_path / "here" / "set").mkdir()
    write_fashion_mnist(tmp_path / "here" / "set", "", n=8)
    (tmp_path / "here" / "text.txt").write_text("one two three four five six seven " * 40)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("LIT_GAN_DATA", raising=False)
    return tmp_path / "here"


FASHION = ["data=fashion_mnist", "data.dataset.packaged=/nowhere", "data.download=false", "data.pad=0"]
DATA = {
    "folder": (["data=image_folder", "data.root='my photos'"], "data.root", "my photos"),
    "added": (["data=image_folder", "++data.root='my photos'"], "data.root", "my photos"),
    "torchvision": ([*FASHION, "data.root=set"], "data.root", "set"),
    "environment": (FASHION, "data.root", "set"),
}


@pytest.mark.parametrize(
    "kind", ["folder", pytest.param("added", marks=pytest.mark.slow), "torchvision", "environment"]
)
def test_a_run_is_used_from_another_folder(here, kind, monkeypatch):
    choices, name, place = DATA[kind]
    if kind == "environment":
        monkeypatch.setenv("LIT_GAN_DATA", "set")
    call(monkeypatch, train, "train", f"hydra.run.dir={here / 'run'}", *TINY, *choices)
    run = here / "run"
    assert OmegaConf.select(OmegaConf.load(run / ".hydra" / "config.yaml"), name) == str(here / place)
    if kind != "environment":
        assert str(here / place) in " ".join(json.loads((run / "results.json").read_text())["overrides"])
        assert str(here / place) in " ".join(OmegaConf.load(run / ".hydra" / "overrides.yaml"))
    monkeypatch.chdir(here.parent / "there")
    call(monkeypatch, evaluate, "evaluate", f"run={run}", *SCORED)
    call(monkeypatch, sample, "sample", f"run={run}", "n=2")
    call(monkeypatch, train, "train", f"resume={run}", "updates=4")
    assert json.loads((run / "results.json").read_text())["updates"] == 4
    assert OmegaConf.load(run / ".hydra" / "config.yaml").data.root == str(here / place)


def test_a_text_is_found_from_another_folder(here, monkeypatch):
    data = ["data=text", "data.file=text.txt", "data.length=8", "metrics=none", "model.width=4"]
    call(monkeypatch, train, "train", f"hydra.run.dir={here / 'run'}", *TINY[2:], *data)
    monkeypatch.chdir(here.parent / "there")
    call(monkeypatch, train, "train", f"resume={here / 'run'}", "updates=4")
    assert OmegaConf.load(here / "run" / ".hydra" / "config.yaml").data.file == str(here / "text.txt")


OWN_DATA = """
from pathlib import Path
from typing import Annotated

import torch
from lit_gan.data import Images, Source
from lit_gan.ranges import Count, HowRead, ReadsPath


class Table(Source):
    def __init__(self, name, shape, n_classes, table: Annotated[str, ReadsPath()], at_once: Annotated[int, HowRead()]):
        super().__init__(name, shape, n_classes)
        self.table = table

    def load(self, which):
        return Images(torch.tensor([[float(word) for word in Path(self.table).read_text().split()]] * 64))


class Base(Source):
    def __init__(self, name, shape, n_classes, table: Path, at_once: Annotated[int, HowRead()] = 1):
        super().__init__(name, shape, n_classes)
        self.table = table


class Handing(Base):
    def __init__(self, name, n: Count = 2, **others):
        super().__init__(name, **others)

    load = Table.load
"""
OWN_YAML = "_target_: {}\nname: table\nshape: [2]\nn_classes: null\ntable: table.txt\nat_once: 1\n"
OWN = ["data=table", "model=mlp", *TINY[1:]]


@pytest.fixture
def own_data(here, monkeypatch):
    """The classes of data sets of one's own, and their files, in the folder to train in."""
    (here / "mine" / "data").mkdir(parents=True)
    (here / "own_tables.py").write_text(OWN_DATA)
    for name in ("Table", "Handing"):
        text = OWN_YAML.format(f"own_tables.{name}")
        (here / "mine" / "data" / f"{name.lower()}.yaml").write_text(text)
    (here / "table.txt").write_text("1 2")
    monkeypatch.setattr(sys, "path", [*sys.path, str(here)])
    yield here
    sys.modules.pop("own_tables", None)


@pytest.mark.parametrize("name", ["table", "handing"])
@pytest.mark.parametrize("typed", [[], ["data.table=./table.txt"]])
def test_the_path_of_a_data_set_of_ones_own_is_found_from_another_folder(own_data, name, typed, monkeypatch):
    """It is marked where it is declared, in the class, in one that it inherits from, or by the type `Path`."""
    run = own_data / "run"
    settings = [f"data={name}", *OWN[1:], *typed]
    call(monkeypatch, train, "train", "--config-dir", "mine", f"hydra.run.dir={run}", *settings)
    monkeypatch.chdir(own_data.parent / "there")
    call(monkeypatch, train, "train", f"resume={run}", "updates=4")
    assert json.loads((run / "results.json").read_text())["updates"] == 4
    assert OmegaConf.load(run / ".hydra" / "config.yaml").data.table == str(own_data / "table.txt")
    recorded = " ".join(OmegaConf.load(run / ".hydra" / "overrides.yaml"))
    assert (f"data.table={own_data}/table.txt" in recorded) == bool(typed)


def test_where_and_how_data_of_ones_own_are_read_may_change_on_a_resume(own_data, monkeypatch):
    run = own_data / "run"
    call(monkeypatch, train, "train", "--config-dir", "mine", f"hydra.run.dir={run}", *OWN)
    (own_data / "table.txt").rename(own_data / "moved.txt")
    call(monkeypatch, train, "train", f"resume={run}", "updates=4", "data.table=moved.txt", "data.at_once=2")
    assert json.loads((run / "results.json").read_text())["updates"] == 4
    with pytest.raises(SystemExit, match=r"was made with data\.shape"):
        call(monkeypatch, train, "train", f"resume={run}", "updates=6", "data.shape=[3]")


def test_an_old_run_with_a_relative_place_works_from_its_folder(here, monkeypatch):
    run = here / "run"
    call(monkeypatch, train, "train", f"hydra.run.dir={run}", *TINY, "data=image_folder", "data.root='my photos'")
    config = OmegaConf.load(run / ".hydra" / "config.yaml")
    config.data.root = "my photos"
    OmegaConf.save(config, run / ".hydra" / "config.yaml")
    overrides = [*TINY, "data=image_folder", "data.root='my photos'"]
    OmegaConf.save(OmegaConf.create(overrides), run / ".hydra" / "overrides.yaml")
    call(monkeypatch, evaluate, "evaluate", f"run={run}", *SCORED)
    call(monkeypatch, train, "train", f"resume={run}", "updates=4")
    assert OmegaConf.load(run / ".hydra" / "config.yaml").data.root == str(here / "my photos")


def test_data_that_has_moved_is_found_where_the_environment_says(here, monkeypatch):
    """As on the machine to which a run has been copied."""
    run = here / "run"
    call(monkeypatch, train, "train", f"hydra.run.dir={run}", *TINY, *FASHION, "data.root=set")
    shutil.move(here / "set", here.parent / "there" / "moved")
    with pytest.raises(SystemExit, match=rf"was not found in data\.root={here}/set"):
        call(monkeypatch, evaluate, "evaluate", f"run={run}", *SCORED)
    call(monkeypatch, evaluate, "evaluate", f"run={run}", *SCORED, f"data.root={here.parent}/there/moved")
    monkeypatch.setenv("LIT_GAN_DATA", str(here.parent / "there" / "moved"))
    call(monkeypatch, evaluate, "evaluate", f"run={run}", *SCORED)


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("data.root=a", "data.root={}/a"),
        ("data.root='a b'", 'data.root="{}/a b"'),
        ("+data.file=../a", "+data.file={}/a"),
        ("init=./a", "init={}/a"),
        ("data.root=/x/y", "data.root=/x/y"),
        ("data.root=null", "data.root=null"),
        ("data.root=${oc.env:HOME}", "data.root=${oc.env:HOME}"),
        ("data.root=a,b", "data.root=a,b"),
        ("label=a", "label=a"),
    ],
)
def test_what_is_typed_is_completed(tmp_path, monkeypatch, typed, stored):
    monkeypatch.chdir(tmp_path)
    place = tmp_path.parent if ".." in typed else tmp_path
    assert stored.replace("{}", str(place), 1) in complete_arguments([typed], "train")


@pytest.mark.parametrize("name", ["data.root", "data.file", "init"])
def test_a_home_directory_that_there_is_not_is_named(name):
    with pytest.raises(UserError, match=rf"{name}=~nouser/x: there is no home directory ~nouser"):
        complete_arguments([f"{name}=~nouser/x"], "train")
    with pytest.raises(UserError, match=rf"{name}=~nouser/x"):
        absolute(name, "~nouser/x")


def test_data_sets_name_the_setting_of_a_home_directory_that_there_is_not():
    sizes = ("a", 8, 3, (3, 8, 8), None)
    with pytest.raises(UserError, match=r"data\.root=~nouser/x"):
        ImageFolder(*sizes, root="~nouser/x", on_broken="error", in_memory=0)
    with pytest.raises(UserError, match=r"data\.root=~nouser/x"):
        TorchvisionSet(*sizes, dataset=None, splits={}, root="~nouser/x", download=False, in_memory=0)
    with pytest.raises(UserError, match=r"metrics\.weights=~nouser/x"):
        Inception(weights="~nouser/x").load(None, "cpu")


def test_every_path_of_a_shipped_choice_is_marked():
    """No name of a setting stands for a path by itself, but for those that commands have."""
    choices = [["data=fashion_mnist", "metrics=inception"], ["data=stacked_mnist"], ["data=text"], ["data=image_zip"]]
    with initialize_config_module("lit_gan.conf", version_base="1.3"):
        found = {name for each in choices for name in path_settings(compose("train", each))}
    assert found == {*COMMON_PATHS, "data.dataset.packaged", "metrics.weights", "data.base.root"}
