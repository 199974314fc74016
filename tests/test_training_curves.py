"""The figure that a run leaves of its course."""

import signal
import sys

import pytest
import torch
from PIL import Image

from lit_gan.callbacks import Checkpoints, curves_figure
from lit_gan.cli.launch import launch
from lit_gan.figures.training_curves import draw_panels, read_panels, save_training_curves
from lit_gan.module import GAN
from lit_gan.tasks.train import train

TABLE = """update,d/hinge,d/real,d/fake,g/hinge,digits/fid,final/digits/fid,sigma/head,digits/precision,digits/recall,x
1,2.0,0.1,-0.1,0.5,,,1.0,,,
2,nan,0.2,-0.2,0.25,30.0,,1.0,0.5,0.25,7
4,1.5,0.3,-0.3,0.125,20.0,25.0,1.0,0.75,0.5,
"""
TINY = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "metrics=none"]
LENGTH = ["updates=4", "updates_per_epoch=2", "trainer.log_every_n_steps=1"]


@pytest.fixture
def table(tmp_path):
    """Writes a metrics.csv, and gives its panels by their titles."""

    def write(text):
        path = tmp_path / "metrics.csv"
        path.write_text(text)
        return {panel.title: panel for panel in read_panels(path)}

    return write


class TestPanels:
    def test_losses_outputs_and_scores(self, table):
        panels = table(TABLE)
        assert list(panels) == ["losses", "D's mean outputs", "digits: FID", "digits: precision and recall", "x"]
        assert list(panels["losses"].curves) == ["D: hinge", "G: hinge"]
        assert panels["D's mean outputs"].curves == {
            "real": ([1, 2, 4], [0.1, 0.2, 0.3]),
            "generated": ([1, 2, 4], [-0.1, -0.2, -0.3]),
        }
        assert panels["digits: FID"].curves == {"fid": ([2, 4], [30.0, 20.0])}
        assert list(panels["digits: precision and recall"].curves) == ["precision", "recall"]

    def test_density_and_coverage_share_a_panel(self, table):
        panels = table("update,digits/density,digits/coverage\n1,1.25,0.5\n2,1.0,0.75\n")
        assert {title: list(panel.curves) for title, panel in panels.items()} == {
            "digits: density and coverage": ["density", "coverage"]
        }

    def test_values_that_are_not_finite_are_gaps(self, table):
        assert table(TABLE)["losses"].curves["D: hinge"] == ([1, 4], [2.0, 1.5])
        assert table("update,d/hinge\n1,inf\n") == {}

    def test_many_losses_have_a_panel_for_each_player(self, table):
        names = [f"{player}/{name}" for player in "dg" for name in ("hinge", "r1", "lecam")]
        panels = table(f"update,{','.join(names)}\n1,{','.join('123456')}\n")
        assert {title: list(panel.curves) for title, panel in panels.items()} == {
            "D's losses": ["hinge", "r1", "lecam"],
            "G's losses": ["hinge", "r1", "lecam"],
        }

    def test_nothing_to_draw(self, table, tmp_path):
        assert read_panels(tmp_path / "metrics.csv") == []
        assert table("update\n") == {}
        assert save_training_curves(tmp_path, "", {}) is None
        assert not (tmp_path / "curves.png").exists()

    def test_a_loss_that_explodes_is_drawn_on_a_logarithmic_axis(self, table):
        rows = "\n".join(f"{update},{value}" for update, value in enumerate([1, 2, 1, -3, 1e9], start=1))
        exploded = draw_panels([*table(f"update,d/hinge\n{rows}\n").values()], "", {})
        assert exploded.axes[0].get_yscale() == "symlog"
        assert draw_panels([*table(TABLE).values()], "", {}).axes[0].get_yscale() == "linear"

    def test_the_figure_is_a_whole_file_or_none(self, table, tmp_path, monkeypatch):
        table(TABLE)
        path = save_training_curves(tmp_path, "a title", {"fid": "min"})
        before = path.read_bytes()
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **_: path.write_bytes(b"half") / 0)
        with pytest.raises(ZeroDivisionError):
            save_training_curves(tmp_path, "a title", {})
        assert path.read_bytes() == before
        assert {file.name for file in tmp_path.iterdir()} == {"metrics.csv", "curves.png"}


class TestRuns:
    @pytest.fixture
    def run(self, monkeypatch, tmp_path):
        def call(*arguments):
            monkeypatch.setattr(sys, "argv", ["train", f"hydra.run.dir={tmp_path}", *TINY, *arguments])
            launch(train, "train")

        return call

    def test_a_finished_run_and_a_longer_one(self, run, tmp_path, capsys):
        run(*LENGTH)
        first = (tmp_path / "curves.png").read_bytes()
        assert Image.open(tmp_path / "curves.png").width > 1000
        assert str(tmp_path / "curves.png") in capsys.readouterr().out.replace("\n", "")
        run(*LENGTH, "updates=6")
        assert (tmp_path / "curves.png").read_bytes() != first

    def test_a_stopped_run(self, run, tmp_path, monkeypatch, capsys):
        def stop(checkpoints, trainer, *_):
            if trainer.global_step == 3:
                checkpoints.request(signal.SIGINT, None)

        monkeypatch.setattr(Checkpoints, "on_train_batch_start", stop, raising=False)
        with pytest.raises(SystemExit, match="130"):
            run(*LENGTH)
        assert (tmp_path / "curves.png").exists()
        assert str(tmp_path / "curves.png") in capsys.readouterr().out.replace("\n", "")

    def test_a_run_that_diverges(self, run, tmp_path, monkeypatch):
        def broken(gan, turn):
            terms = losses(gan, turn)
            return terms if gan.global_step < 3 else {name: value * torch.nan for name, value in terms.items()}

        losses = GAN.terms
        monkeypatch.setattr(GAN, "terms", broken)
        with pytest.raises(SystemExit, match="lower the learning rate"):
            run(*LENGTH)
        assert f"{tmp_path / 'curves.png'} shows the course until then" in (tmp_path / "train.log").read_text()
        assert (tmp_path / "curves.png").exists()

    def test_what_cannot_be_drawn_takes_no_run_with_it(self, run, tmp_path, monkeypatch):
        def broken(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(curves_figure, "save_training_curves", broken)
        run(*LENGTH)
        assert "curves.png could not be drawn" in (tmp_path / "train.log").read_text()
        assert '"finished"' in (tmp_path / "results.json").read_text()
