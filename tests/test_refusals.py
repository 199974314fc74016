"""A command that is refused changes nothing on disk, byte for byte."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch.loggers import Logger
from PIL import Image

from lit_gan.callbacks import Checkpoints
from lit_gan.cli.launch import launch
from lit_gan.records.lock import sole_use
from lit_gan.tasks.analyze import analyze
from lit_gan.tasks.evaluate import evaluate
from lit_gan.tasks.sample import sample
from lit_gan.tasks.train import train
from test_files import full_disk

pytestmark = pytest.mark.usefixtures("no_curves")

TINY = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "updates_per_epoch=2"]
FEW = [f"protocol.{name}.{key}=32" for name in ("quick", "full") for key in ("generated", "inception_score")]
FEW += ["protocol.full.splits=2", "protocol.quick.splits=2"]
TASKS = {"train": train, "evaluate": evaluate, "sample": sample, "analyze": analyze}


class Unstartable(Logger):
    """A logger whose service is not there, after it has written something."""

    def __init__(self, folder):
        super().__init__()
        self.folder = Path(folder)

    name = version = "unstartable"

    def log_metrics(self, metrics, step=None):
        raise AssertionError("it has not started")

    def log_hyperparams(self, *_):
        (self.folder / "service" / "log").mkdir(parents=True)
        raise ConnectionError("nobody answers")


def photos(folder: Path) -> Path:
    """Twelve images of two classes."""
    for number in range(12):
        path = folder / "train" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    return folder


def run(monkeypatch, name: str, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    launch(TASKS[name], name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs to go on with: finished, stopped in the middle of an epoch, and finished on a folder of images."""
    folder = tmp_path_factory.mktemp("runs")
    photos(folder / "photos")
    images = ["data=image_folder", f"data.root={folder / 'photos'}", "metrics=none", "workers=0"]
    with pytest.MonkeyPatch.context() as patch:
        run(patch, "train", f"hydra.run.dir={folder / 'finished'}", *TINY, *FEW, "updates=2")
        run(patch, "train", f"hydra.run.dir={folder / 'images'}", *TINY, *images, "updates=2")
        patch.setattr(Checkpoints, "on_train_batch_start", stop_in_update_3)
        with pytest.raises(SystemExit):
            run(patch, "train", f"hydra.run.dir={folder / 'stopped'}", *TINY, *FEW, "updates=4")
    return folder


def stop_in_update_3(checkpoints, trainer, *_) -> None:
    if trainer.global_step == 2:
        checkpoints.request(2, None)


@pytest.fixture
def place(runs, tmp_path, monkeypatch):
    """A copy of those runs, from whose folder the commands are given."""
    copied = tmp_path / "copy"
    shutil.copytree(runs, copied)
    for text in copied.rglob("*.yaml"):
        text.write_text(text.read_text().replace(str(runs), str(copied)))
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(copied)
    return copied


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every file with its content, and every folder."""
    paths = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


@pytest.fixture
def refused(monkeypatch, place):
    """A command that must be refused in a sentence, and what must then be as it was."""

    def refuse(name: str, *arguments: str) -> str:
        before = snapshot(place)
        with pytest.raises(SystemExit) as end:
            run(monkeypatch, name, *arguments)
        sentence = str(end.value.code)
        assert sentence.startswith("lit_gan: ")
        after = snapshot(place)
        assert {path for path in {**before, **after} if before.get(path, "") != after.get(path, "")} == set()
        return sentence

    return refuse


SETTINGS = {
    "another learning rate": ["optim.d.lr=1", "optim.d.lr"],
    "another network": ["model.width=8", "model.width"],
    "another size of the images": ["data.image_size=32", "data.image_size"],
    "no weights of the metrics": ["metrics=inception", "metrics.weights=/nonexistent", "/nonexistent"],
    "metrics for other data": ["metrics=modes", "modes"],
    "no such protocol": ["metrics.during=fast", "fast"],
    "no such split": ["metrics.final=sngan_paper", "test"],
    "an impossible protocol": ["protocol.quick.generated=0", "protocol.quick.generated"],
    "no such score": ["metrics.monitor=foo", "metrics.monitor=foo"],
    "a setting that Lightning does not know": ["+trainer.max_step=7", "max_step"],
    "an accelerator that is not there": ["trainer.accelerator=tpuu", "tpuu"],
    "a strategy that does not exist": ["+trainer.strategy=nonsense", "nonsense"],
    "what Lightning refuses when it begins": ["+trainer.gradient_clip_val=1", "gradient_clip_val"],
    "a callback that does not exist": ["+callbacks.mine._target_=nowhere.Mine", "nowhere.Mine"],
    "a callback for another game": ["callbacks=vector_field", "callbacks=vector_field"],
    "no key": ["logger=wandb", "logger=wandb cannot start"],
    "a service that is not there": [
        "+logger.mine._target_=test_refusals.Unstartable",
        "+logger.mine.folder=${hydra:runtime.output_dir}",
        "logger=mine cannot start",
    ],
}


@pytest.mark.parametrize("case", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("name", ["finished", pytest.param("stopped", marks=pytest.mark.slow)])
def test_a_resume_with_impossible_settings(refused, place, name, case):
    *arguments, words = case
    assert words in refused("train", f"resume={place / name}", "updates=8", *arguments)


NEW = {
    "a setting": ["updates=0", "updates=0"],
    "the data": ["data=image_folder", "data.root=/nowhere", "/nowhere"],
    "too few images": ["data=image_folder", "data.root=photos", "metrics=none", "batch_size=16", "12 training images"],
    "the networks": ["reg=[spectral,weight_norm]", "weight_norm"],
    "the optimizer": ["optim.d.betas=[2.0,2.0]", "optim.d"],
    **{name: case for name, case in SETTINGS.items() if "another" not in name},
}


@pytest.mark.parametrize("case", NEW.values(), ids=NEW)
def test_a_new_run(refused, case):
    *arguments, words = case
    chosen = {argument.split("=")[0] for argument in arguments}
    default = [argument for argument in TINY if argument.split("=")[0] not in chosen]
    assert words in refused("train", "hydra.run.dir=new/run", *default, "updates=4", *arguments)


def test_a_new_run_in_an_empty_folder(refused, place):
    (place / "mine").mkdir()
    refused("train", "hydra.run.dir=mine", *TINY, "updates=0")


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50] + b"\xff{")


@pytest.mark.parametrize(
    "file", ["results.json", "metrics.csv", "checkpoints/last.ckpt", ".hydra/config.yaml", ".hydra/overrides.yaml"]
)
def test_a_resume_of_a_damaged_run(refused, place, file):
    damage(place / "finished" / file)
    assert "damaged" in refused("train", "resume=finished", "updates=4")


def test_a_resume_whose_data_have_moved(refused, place):
    (place / "photos").rename(place / "moved")
    assert "photos" in refused("train", "resume=images", "updates=4")


def test_a_resume_whose_data_are_broken(refused, place):
    (place / "photos" / "train" / "a" / "0.png").write_bytes(b"no image")
    assert "0.png" in refused("train", "resume=images", "updates=4")


def test_a_resume_whose_data_have_become_too_few(refused, place):
    shutil.rmtree(place / "photos" / "train" / "a")
    assert "or null for no labels" in refused("train", "resume=images", "updates=4")
    assert "6 training images" in refused("train", "resume=images", "updates=4", "data.n_classes=null")


@pytest.mark.parametrize("name", ["finished", "stopped"])
def test_a_resume_on_a_full_disk(refused, name):
    with full_disk(4096):  # its config is longer
        assert "cannot be written (File too large)" in refused("train", f"resume={name}", "updates=8")


def test_a_resume_of_a_run_in_training(refused, place):
    with sole_use(place / "finished"):
        assert "another process" in refused("train", "resume=finished", "updates=4")


def test_a_resume_of_a_run_that_came_without_its_lock(refused, place):
    (place / "finished" / ".hydra" / "lock").unlink(missing_ok=True)
    refused("train", "resume=finished", "updates=4", "metrics.monitor=foo")


def interrupt(*_, **__) -> None:
    raise KeyboardInterrupt


def test_a_stop_before_the_first_update_is_none(monkeypatch, place):
    before = snapshot(place)
    monkeypatch.setattr(Checkpoints, "setup", interrupt)
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, "train", "resume=finished", "updates=4")
    assert end.value.code == 130
    assert snapshot(place) == before


OTHERS = {
    "evaluate: no such metrics": ["evaluate", "metrics=inception", "metrics.weights=/nonexistent"],
    "evaluate: no such protocol": ["evaluate", "protocols=fast"],
    "evaluate: no such split": ["evaluate", "protocols=[full,sngan_paper]"],
    "evaluate: one of two checkpoints": ["evaluate", "checkpoint=[last,other]"],
    "evaluate: a damaged second checkpoint": ["evaluate", "checkpoint=[last,broken]"],
    "evaluate: too few images": ["evaluate", "generated=1"],
    "evaluate: a device": ["evaluate", "device=gpuu"],
    "sample: a number": ["sample", "n=0"],
    "sample: a class": ["sample", "class=3"],
    "sample: a checkpoint": ["sample", "checkpoint=other"],
    "analyze: none": ["analyze"],
    "analyze: one of two": ["analyze", "analysis=[interpolation,level_sets]"],
    "analyze: a checkpoint": ["analyze", "analysis=interpolation", "checkpoint=other"],
}


@pytest.mark.parametrize("case", OTHERS.values(), ids=OTHERS)
def test_a_command_about_a_run(refused, place, case):
    name, *arguments = case
    (place / "finished" / ".hydra" / "lock").unlink(missing_ok=True)
    (place / "finished" / "checkpoints" / "broken.ckpt").write_bytes(b"broken")
    refused(name, "run=finished", *arguments)


def test_a_cell_of_other_settings(monkeypatch, place):
    sweep = ["hydra.mode=MULTIRUN", "hydra.sweep.dir=sweep", "apart=false", "metrics=none", *TINY, "updates=2"]
    run(monkeypatch, "train", *sweep, "seed=0,1")
    before = snapshot(place / "sweep" / "seed=0")
    with pytest.raises(SystemExit, match="was made with batch_size=8, not with batch_size=4"):
        run(monkeypatch, "train", *sweep, "seed=0,1", "batch_size=4")
    assert snapshot(place / "sweep" / "seed=0") == before


@pytest.mark.parametrize("apart", ["false", pytest.param("true", marks=pytest.mark.slow)])
def test_a_cell_that_is_to_go_on_with_impossible_settings(monkeypatch, place, apart):
    sweep = ["hydra.mode=MULTIRUN", "hydra.sweep.dir=sweep", f"apart={apart}", *TINY, "metrics=none", "seed=0,1"]
    run(monkeypatch, "train", *sweep, "updates=2")
    before = snapshot(place / "sweep" / "seed=0")
    with pytest.raises(SystemExit, match="tpuu"):
        run(monkeypatch, "train", *sweep, "updates=4", "trainer.accelerator=tpuu")
    assert snapshot(place / "sweep" / "seed=0") == before
