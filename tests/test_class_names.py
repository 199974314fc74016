"""Which number is which class: names from the folders of a data set to its grids and samples."""

import json
import shutil
import sys

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from lit_gan.build import build_protocol, build_source
from lit_gan.cli.launch import launch
from lit_gan.data.digits import Digits
from lit_gan.errors import UserError
from lit_gan.figures.pictures import render
from lit_gan.records.directory import load_config
from lit_gan.sampling import class_number
from lit_gan.tasks.analyze import analyze
from lit_gan.tasks.evaluate import evaluate, save_class_grid
from lit_gan.tasks.loading import load_gan
from lit_gan.tasks.sample import sample
from lit_gan.tasks.train import train

pytestmark = pytest.mark.usefixtures("no_curves")

TINY = ["data.image_size=16", "model.width=4", "batch_size=4", "trainer.accelerator=cpu", "metrics=none"]


def call(monkeypatch, task, name, *arguments):
    """A command line, in this process."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    launch(task, name)


class TestClassNames:
    @pytest.fixture
    def animals(self, tmp_path):
        """A folder of three classes: bird, cat, dog."""
        for number, name in enumerate(("cat", "dog", "bird")):
            for image in range(4):
                path = tmp_path / "animals" / name / f"{image}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (16, 16), (80 * number, 40 * image, 0)).save(path)
        return tmp_path / "animals"

    @pytest.fixture
    def run(self, animals, tmp_path, monkeypatch):
        data = ["data=image_folder", f"data.root={animals}", "data.n_classes=3", "labels=projection"]
        call(monkeypatch, train, "train", f"hydra.run.dir={tmp_path / 'run'}", *TINY, *data, "updates=2")
        return tmp_path / "run"

    def test_a_run_records_them_and_samples_by_them(self, run, monkeypatch, capsys, tmp_path):
        assert json.loads((run / "results.json").read_text())["class_names"] == ["bird", "cat", "dog"]
        assert "the classes are 0=bird, 1=cat, 2=dog" in (run / "train.log").read_text()
        shutil.rmtree(tmp_path / "animals")  # sampling needs none
        for wanted in ("cat", "1"):
            call(monkeypatch, sample, "sample", f"run={run}", "n=3", f"class={wanted}", f"output={tmp_path / wanted}")
            assert "3 samples of class 1, cat, of update 2" in capsys.readouterr().out
        images = [sorted((tmp_path / wanted).rglob("*.png")) for wanted in ("cat", "1")]
        assert [path.read_bytes() for path in images[0]] == [path.read_bytes() for path in images[1]]
        with pytest.raises(SystemExit, match=r"class=bid is no class of this run; did you mean bird\? Its classes are"):
            call(monkeypatch, sample, "sample", f"run={run}", "class=bid")

    def test_other_class_folders_are_refused_on_a_resume_and_by_an_evaluation(self, run, animals, monkeypatch):
        (animals / "bird").rename(animals / "worm")
        refused = "class 0 of the run is bird, and of its data now cat"
        with pytest.raises(SystemExit, match=refused):
            call(monkeypatch, evaluate, "evaluate", f"run={run}", "metrics=efficientnet_lite0")
        with pytest.raises(SystemExit, match=refused):
            call(monkeypatch, analyze, "analyze", f"run={run}", "analysis=ms_ssim")
        with pytest.raises(SystemExit, match=refused):
            call(monkeypatch, train, "train", f"resume={run}", "updates=4")

    def test_a_run_from_before_they_were_counted_naturally_keeps_its_order(
        self, animals, tmp_path, monkeypatch, capsys
    ):
        for name, number in (("bird", "2"), ("cat", "10"), ("dog", "1")):
            (animals / name).rename(animals / number)
        data = ["data=image_folder", f"data.root={animals}", "data.n_classes=3", "labels=projection"]
        old = ["data.class_order=alphabetical", "data.split_folders=true"]
        run = tmp_path / "run"
        call(monkeypatch, train, "train", f"hydra.run.dir={run}", *TINY, *data, *old, "updates=2")
        make_old(run)
        call(monkeypatch, sample, "sample", f"run={run}", "n=3", "class='2'", f"output={tmp_path / 'two'}")
        call(monkeypatch, train, "train", f"resume={run}", "updates=4")
        assert json.loads((run / "results.json").read_text())["class_names"] == ["1", "10", "2"]
        with pytest.raises(SystemExit, match=r"was made with data\.class_order=null, not with"):
            call(monkeypatch, train, "train", f"resume={run}", "updates=6", "data.class_order=natural")

    def test_they_stand_beside_the_rows_of_a_grid(self):
        source, samples = Digits("digits", 16, 1, (1, 16, 16), 10, 2**30), torch.zeros(6, 3, 16, 16)
        plain, named = (render(source, samples, 3, rows).pixels for rows in (None, ["cat", "dog"]))
        assert torch.equal(named[:, -plain.shape[1] :], plain)
        margin = named[:, : -plain.shape[1]]
        assert (margin[:17] > 200).any()
        assert (margin[17:] > 200).any()
        assert torch.equal(
            render(source, samples[..., :4, :4], 3, ["cat", "dog"]).pixels[0, 0], torch.tensor([128] * 3)
        )

    def test_every_grid_of_a_run_shows_them(self, run, monkeypatch, tmp_path):
        call(monkeypatch, sample, "sample", f"run={run}", "n=6", "interpolations=0", f"output={tmp_path / 'drawn'}")
        config = load_config(run)
        protocol = build_protocol(config, "quick")
        save_class_grid(load_gan(config, run)[0], build_source(config), protocol, tmp_path / "scored")
        (of_training,) = (run / "samples").glob("*.png")
        for path, columns in ((of_training, 21), (tmp_path / "drawn" / "grid.png", 2), (tmp_path / "scored.png", 10)):
            shown = Image.open(path)
            margin = shown.crop((0, 0, shown.width - (17 * columns + 1), shown.height))
            assert margin.width > 4, path
            assert max(margin.convert("L").getextrema()) > 200, path

    def test_a_name_that_is_a_number_is_a_name(self):
        assert [class_number(wanted, ["2", "1", "10"]) for wanted in (2, 10, "1", 0)] == [0, 2, 1, 0]
        assert class_number(7, None) == 7
        with pytest.raises(UserError, match="class=cat cannot be asked for: the classes of this run have no names"):
            class_number("cat", None)


def make_old(run):
    """Takes out of a run what was not recorded before there were names of classes."""
    config = OmegaConf.load(run / ".hydra" / "config.yaml")
    for name in ("class_order", "split_folders", "endings"):
        del config.data[name]
    OmegaConf.save(config, run / ".hydra" / "config.yaml")
    overrides = OmegaConf.load(run / ".hydra" / "overrides.yaml")
    kept = [each for each in overrides if not each.startswith(("data.class_order", "data.split_folders"))]
    OmegaConf.save(OmegaConf.create(kept), run / ".hydra" / "overrides.yaml")
    results = json.loads((run / "results.json").read_text())
    del results["class_names"]
    (run / "results.json").write_text(json.dumps(results))
    for path in (run / "checkpoints").glob("*.ckpt"):
        content = torch.load(path, weights_only=True)
        del content["GANData"]["class_names"]
        torch.save(content, path)
