"""What `lit_gan.sample` writes, in the hands of the tools that score folders of images."""

import sys

import pytest
import torch_fidelity
from PIL import Image

from lit_gan.cli.launch import launch
from lit_gan.tasks.sample import sample
from lit_gan.tasks.train import train

pytestmark = pytest.mark.usefixtures("no_curves")

TINY = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "metrics=none", "updates=1"]


class MeanColour(torch_fidelity.FeatureExtractorBase):
    """The three mean colours of an image."""

    def __init__(self, name, features_list, **_):
        super().__init__(name, features_list)

    @staticmethod
    def get_provided_features_list():
        return ("mean",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "mean"

    @staticmethod
    def can_be_compiled():
        return False

    def forward(self, images):
        return (images.float().mean((2, 3)),)


torch_fidelity.register_feature_extractor("mean-colour", MeanColour)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten samples, with a grid and an interpolation."""
    directory = tmp_path_factory.mktemp("sampled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train", *TINY, f"hydra.run.dir={directory}"])
        launch(train, "train")
        patch.setattr(sys, "argv", ["sample", f"run={directory}", "n=10"])
        launch(sample, "sample")
    return directory / "generated"


def test_torch_fidelity_scores_the_singles(folder):
    scores = torch_fidelity.calculate_metrics(
        input1=str(folder / "images"),
        input2=str(folder / "images"),
        feature_extractor="mean-colour",
        cuda=False,
        fid=True,
        batch_size=4,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    assert scores["frechet_inception_distance"] == pytest.approx(0, abs=1e-6)


def test_the_folder_of_singles_holds_all_of_them_and_nothing_else(folder):
    paths = torch_fidelity.utils.glob_samples_paths(
        str(folder),
        samples_find_deep=True,
        samples_find_ext="png,jpg,jpeg",
        samples_ext_lossy="jpg,jpeg",
        verbose=False,
    )
    assert len(paths) == 12
    sizes = {Image.open(path).size for path in (folder / "images").iterdir()}
    assert len(list((folder / "images").iterdir())) == 10
    assert sizes == {(16, 16)}


def test_another_file_among_the_singles_is_refused(folder, monkeypatch):
    (folder / "images" / "photo.jpg").touch()
    monkeypatch.setattr(sys, "argv", ["sample", f"run={folder.parent}", "n=10"])
    with pytest.raises(SystemExit, match=r"photo\.jpg the first: remove them or choose another folder"):
        launch(sample, "sample")
    (folder / "images" / "photo.jpg").unlink()


@pytest.mark.parametrize(("left", "word"), [("samples.npz", "n=10"), ("interpolation.png", "interpolations=0")])
def test_another_draw_s_file_beside_the_new_samples_is_refused(folder, monkeypatch, left, word):
    there = (folder / left).exists()
    (folder / left).touch()
    monkeypatch.setattr(sys, "argv", ["sample", f"run={folder.parent}", "n=10", word])
    with pytest.raises(SystemExit, match=rf"{left} is of an earlier draw .*choose another folder"):
        launch(sample, "sample")
    if not there:
        (folder / left).unlink()
