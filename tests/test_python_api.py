"""What `import lit_gan` offers to notebooks and other programs."""

import math
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
import torch

import lit_gan
from commands import command
from lit_gan.tasks.sample import sample
from lit_gan.tasks.train import train

pytestmark = pytest.mark.usefixtures("no_curves")

TINY = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "updates=4", "ema=0.5"]
TINY += ["updates_per_epoch=2", "protocol.quick.generated=32", "metrics.final=quick", "trainer.log_every_n_steps=1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose players look at labels."""
    directory = tmp_path_factory.mktemp("trained")
    command(train, *TINY, "labels=cgan", f"hydra.run.dir={directory}")
    return directory


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """A run on points in the plane, without labels and metrics."""
    directory = tmp_path_factory.mktemp("points")
    command(train, "data=gaussians", "model.width=4", "updates=1", "metrics=none", f"hydra.run.dir={directory}")
    return directory


class TestPackage:
    def test_the_import_is_quick(self):
        heavy = "{'torch', 'numpy', 'lightning', 'hydra', 'omegaconf', 'matplotlib', 'PIL', 'rich'}"
        code = f"import sys, lit_gan; sys.exit(sorted({heavy} & set(sys.modules)) or 0)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_says_its_version(self):
        assert lit_gan.__version__ == version("lit_gan")

    @pytest.mark.parametrize("name", lit_gan.__all__)
    def test_every_exported_name_is_there(self, name):
        assert getattr(lit_gan, name).__name__ == name
        assert name in dir(lit_gan)

    def test_the_exported_names_are_those_of_the_modules(self):
        assert set(lit_gan.__all__) == set(lit_gan.MODULES)

    def test_another_name_is_refused(self):
        with pytest.raises(AttributeError, match="no attribute 'lode'"):
            _ = lit_gan.lode


class TestLoad:
    def test_samples_images_and_the_same_ones_again(self, run):
        G = lit_gan.load(run)
        images = G.sample(3, seed=1)
        assert images.shape == (3, 1, 16, 16)
        assert images.abs().max() <= 1
        assert torch.equal(images, lit_gan.load(str(run)).sample(3, seed=1))
        torch.testing.assert_close(images, G.sample(5, seed=1)[:3])
        assert (images - G.sample(3, seed=2)).abs().max() > 1e-4
        assert G.update == 4

    def test_samples_are_those_of_the_command(self, points):
        command(sample, f"run={points}", "n=300", "seed=3", "npz=true", "interpolations=0")
        written = torch.from_numpy(np.load(points / "generated" / "samples.npz")["arr_0"])
        torch.testing.assert_close(lit_gan.load(points).sample(300, seed=3), written)

    def test_takes_the_moving_average_where_there_is_one(self, run):
        assert not torch.equal(lit_gan.load(run).sample(2), lit_gan.load(run, ema=False).sample(2))

    def test_takes_the_best_checkpoint(self, run):
        assert lit_gan.load(run, checkpoint="best").update in (2, 4)

    def test_is_a_module(self, run):
        G = lit_gan.load(run).to(torch.float32)
        assert not G.training
        z = torch.zeros(2, G.network.z_dim)
        assert G(z, torch.tensor([0, 1])).shape == (2, 1, 16, 16)

    def test_a_class_by_its_number_or_its_name(self, run):
        G = lit_gan.load(run)
        G.class_names = [f"digit {number}" for number in range(10)]  # the set itself names none
        assert torch.equal(G.sample(2, label=7), G.sample(2, label="digit 7"))
        assert not torch.equal(G.sample(2, label=7), G.sample(2, label=8))

    def test_a_grid_is_a_picture(self, run, points):
        assert lit_gan.load(run).grid(4).size == (35, 35)  # 2 x 16 pixels and three lines between and around them
        assert lit_gan.load(points).grid(4).size == (500, 500)

    def test_points(self, points):
        assert lit_gan.load(points).sample(3).shape == (3, 2)

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            ({"n": 0}, "n=0 must be a whole number, 1 or more"),
            ({"n": 2.5}, "n=2.5 must be a whole number"),
            ({"n": 1, "seed": -1}, "seed=-1 must be"),
            ({"n": 1, "label": 10}, "class=10 is none of this generator's: they are 0 to 9"),
            ({"n": 1, "label": "boat"}, "class=boat"),
        ],
    )
    def test_what_cannot_be_sampled_is_refused(self, run, arguments, sentence):
        with pytest.raises(lit_gan.UserError, match=sentence):
            lit_gan.load(run).sample(**arguments)

    def test_a_class_of_a_generator_without_labels_is_refused(self, points):
        with pytest.raises(lit_gan.UserError, match="trained with no labels"):
            lit_gan.load(points).sample(1, label=0)

    def test_random_numbers_go_on_as_if_nothing_had_been_loaded(self, run):
        torch.manual_seed(3)
        lit_gan.load(run).sample(2)
        drawn = torch.rand(4)
        assert torch.equal(drawn, torch.rand(4, generator=torch.Generator().manual_seed(3)))

    def test_a_switch_is_true_or_false(self, run):
        with pytest.raises(lit_gan.UserError, match="ema=no must be true or false"):
            lit_gan.load(run, ema="no")

    def test_what_is_no_run_is_refused(self, run, tmp_path):
        with pytest.raises(lit_gan.UserError, match="is no run directory"):
            lit_gan.load(tmp_path)
        with pytest.raises(lit_gan.UserError, match="the checkpoints of this run: best, last"):
            lit_gan.load(run, checkpoint="first")


class TestResults:
    def test_scores_have_a_row_for_each_evaluation(self, run):
        scores = lit_gan.results(run).scores
        assert scores["update"] == [2, 4, 4]
        assert scores["protocol"] == ["quick"] * 3
        assert all(value > 0 for value in scores["digits/fid"])

    def test_curves_are_numbers(self, run):
        _, curves = lit_gan.results(str(run))
        assert curves["update"] == [1, 2, 3, 4]
        assert all(isinstance(value, float) and math.isfinite(value) for value in curves["d/hinge"])
        assert math.isnan(curves["digits/fid"][0])

    def test_rows_are_what_pandas_takes(self, run):
        curves = lit_gan.results(run).curves
        assert len(curves) == len(list(curves)) == 4
        assert all(list(row) == list(curves.columns) for row in curves)

    def test_converts_to_pandas_where_it_is_installed(self, run):
        curves = lit_gan.results(run).curves
        try:
            import pandas
        except ImportError:
            with pytest.raises(lit_gan.UserError, match="pip install pandas"):
                curves.to_pandas()
        else:
            assert isinstance(curves.to_pandas(), pandas.DataFrame)

    def test_shows_itself_as_text_and_in_a_notebook(self, run):
        found = lit_gan.results(run)
        assert "digits/fid" in repr(found)
        assert "<th>d/hinge</th>" in found._repr_html_()
        assert found.scores._repr_html_().count("<tr>") == 4

    def test_a_long_table_is_shown_by_its_ends(self):
        from lit_gan.records.frame import Frame

        text = repr(Frame(["update"], [{"update": update} for update in range(100)]))
        assert text.splitlines()[10:13] == ["     9", "   ...", "    90"]
        assert text.endswith("[100 rows]")

    def test_a_run_without_metrics_has_no_scores(self, points):
        scores, curves = lit_gan.results(points)
        assert len(scores) == 0
        assert len(curves) == 1

    def test_a_wrong_column_and_a_wrong_directory_are_refused(self, run, tmp_path):
        with pytest.raises(KeyError, match="the columns are update"):
            lit_gan.results(run).curves["fid"]
        with pytest.raises(lit_gan.UserError, match="is no run directory"):
            lit_gan.results(tmp_path)
