"""What a window shows: the samples of `python -m lit_gan.sample`, walks between them, and sentences."""

import os
import shutil
import socket
import sys

import hydra
import numpy as np
import pytest
import torch
from PIL import Image

from explored_runs import trained_run
from lit_gan.cli.launch import launch
from lit_gan.data import to_uint8
from lit_gan.errors import UserError
from lit_gan.records.score_names import short_ends
from lit_gan.tasks import explore as command
from lit_gan.tasks.explored import Wish, explored_export, explored_run
from lit_gan.tasks.export import export
from lit_gan.tasks.sample import sample

LAST = "last, EMA weights"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return trained_run(tmp_path_factory.mktemp("plain") / "run", "metrics=none")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return trained_run(tmp_path_factory.mktemp("labelled") / "run", "metrics=none", "labels=projection")


def composed(run, *overrides):
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        return hydra.compose("explore", [f"run={run}", *overrides])


def explored(run, *overrides):
    return explored_run(composed(run, *overrides), run, torch.device("cpu"))


def run_command(name, task, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *arguments])
        launch(task, name)


def grid_of_sample(run, output, *settings):
    """The picture that `python -m lit_gan.sample` writes."""
    run_command("sample", sample, f"run={run}", "interpolations=0", f"output={output}", *settings)
    return np.array(Image.open(output / "grid.png"))


def shown(answer):
    return answer.made.pixels.numpy()


def cells(answer, columns):
    """The single images [rows, columns, 16, 16, 3] of a grid with lines of one pixel between them."""
    pixels = shown(answer)[1:, 1:]
    rows = len(pixels) // 17
    pixels = pixels.reshape(rows, 17, -1, 3)[:, :16, -17 * columns :]
    return pixels.reshape(rows, 16, columns, 17, 3)[:, :, :, :16].transpose(0, 2, 1, 3, 4)


class TestSamples:
    def test_they_are_those_of_the_command(self, plain, tmp_path):
        answer = explored(plain).samples(LAST, Wish(20, 3, truncation=0.4))
        settings = ["n=20", "seed=3", "truncation=0.4"]
        assert np.array_equal(shown(answer), grid_of_sample(plain, tmp_path, *settings))

    @pytest.mark.parametrize(("label", "settings"), [(None, []), (3, ["class=3"])])
    def test_so_are_those_of_classes(self, labelled, tmp_path, label, settings):
        answer = explored(labelled).samples(LAST, Wish(30, 1, label))
        assert np.array_equal(shown(answer), grid_of_sample(labelled, tmp_path, "n=30", "seed=1", *settings))

    def test_each_of_the_weights_has_its_own(self, plain, tmp_path):
        one = explored(plain)
        assert list(one.weights) == [LAST, "last, raw weights"]
        raw = one.samples("last, raw weights", Wish(9, 0))
        assert np.array_equal(shown(raw), grid_of_sample(plain, tmp_path, "n=9", "ema=false"))
        assert not np.array_equal(shown(raw), shown(one.samples(LAST, Wish(9, 0))))

    @pytest.mark.parametrize("batch_norm", ["running", "standing", "batch"])
    def test_the_command_that_is_shown_has_the_page_s_own_settings(self, labelled, batch_norm):
        shown = explored(labelled, f"batch_norm={batch_norm}", "batch_size=7")
        shown.drawing.data.root = "/elsewhere"  # which the data of this run would not take
        line = shown.command("last, raw weights", Wish(9, 5))
        words = [] if batch_norm == "running" else [f"batch_norm={batch_norm}", "batch_size=7"]
        assert line.split()[-len(words) - 1 :] == [*words, "data.root=/elsewhere"]

    def test_the_command_that_is_shown_writes_them(self, labelled):
        line = explored(labelled).command("last, raw weights", Wish(9, 5, 2, 0.5))
        words = f"-m lit_gan.sample run={labelled} checkpoint=last ema=false n=9 seed=5 class=2 truncation=0.5"
        assert line.endswith(words)

    def test_the_settings_say_what_is_shown_first(self, plain):
        shutil.copy(plain / "checkpoints" / "last.ckpt", plain / "checkpoints" / "best.ckpt")
        try:
            assert next(iter(explored(plain, "checkpoint=best", "ema=false").weights)) == "best, raw weights"
            assert len(explored(plain).weights) == 4
        finally:
            (plain / "checkpoints" / "best.ckpt").unlink()

    def test_a_checkpoint_that_changes_is_read_again(self, plain, tmp_path):
        run = shutil.copytree(plain, tmp_path / "run")
        one, path = explored(run), run / "checkpoints" / "last.ckpt"
        before = one.samples(LAST, Wish(4, 0))
        content = torch.load(path, weights_only=True)
        content["global_step"] = 40
        for name, value in content["state_dict"].items():
            content["state_dict"][name] = 2 * value
        torch.save(content, path)
        os.utime(path, ns=(1, 1))
        after = one.samples(LAST, Wish(4, 0))
        assert (before.update, after.update) == (4, 40)
        assert not np.array_equal(shown(before), shown(after))
        path.unlink()
        with pytest.raises(UserError, match="there is no"):
            one.samples(LAST, Wish(4, 0))


class TestWalk:
    def test_a_long_one_is_made_in_several_passes(self, labelled):
        one, sizes = explored(labelled), []
        one.weights[LAST].current()[0].register_forward_pre_hook(lambda G, inputs: sizes.append(len(inputs[0])))
        one.walk(LAST, Wish(30, 0), 0, 1, 100)
        assert (max(sizes), sum(sizes)) == (256, 1000)

    def test_it_leads_from_one_sample_to_another_on_a_straight_line(self, plain):
        one = explored(plain)
        grid = cells(one.samples(LAST, Wish(9, 2)), 3).reshape(9, 16, 16, 3)
        walk = cells(one.walk(LAST, Wish(9, 2), 4, 7, 3), 3)[0]
        assert np.array_equal(walk[0], grid[4])
        assert np.array_equal(walk[2], grid[7])
        sampler, _ = one.sampler(LAST, Wish(9, 2))
        z = sampler.vectors(256)
        middle = sampler.generate((z[4, None] + z[7, None]) / 2, torch.zeros(1, dtype=torch.long))
        of_middle = to_uint8(middle)[0].permute(1, 2, 0).expand(16, 16, 3).numpy()
        assert np.abs(walk[1].astype(int) - of_middle.astype(int)).max() <= 1

    def test_without_a_class_it_leads_from_column_to_column_in_each(self, labelled):
        one = explored(labelled)
        grid = cells(one.samples(LAST, Wish(30, 2)), 3)
        walk = cells(one.walk(LAST, Wish(30, 2), 2, 0, 4), 4)
        assert walk.shape[:2] == (10, 4)
        assert np.array_equal(walk[:, 0], grid[:, 2])
        assert np.array_equal(walk[:, 3], grid[:, 0])

    def test_in_one_class(self, labelled):
        one = explored(labelled)
        grid = cells(one.samples(LAST, Wish(4, 2, 6)), 2).reshape(4, 16, 16, 3)
        walk = cells(one.walk(LAST, Wish(4, 2, 6), 0, 3, 5), 5)
        assert walk.shape[:2] == (1, 5)
        assert np.array_equal(walk[0, 0], grid[0])
        assert np.array_equal(walk[0, 4], grid[3])

    def test_truncation_moves_its_ends(self, plain):
        one = explored(plain)
        grid = cells(one.samples(LAST, Wish(4, 2, truncation=0.3)), 2).reshape(4, 16, 16, 3)
        walk = cells(one.walk(LAST, Wish(4, 2, truncation=0.3), 0, 3, 2), 2)[0]
        assert np.array_equal(walk, grid[[0, 3]])

    @pytest.mark.parametrize(("start", "end", "said"), [(0, 9, "to=9"), (-1, 0, "from=-1"), (None, 0, "from=None")])
    def test_a_place_outside_of_the_grid(self, plain, start, end, said):
        with pytest.raises(UserError, match=f"{said}: this grid has the latent points 0 to 8"):
            explored(plain).walk(LAST, Wish(9, 0), start, end, 5)


class TestExport:
    @pytest.fixture(scope="class")
    def exported(self, labelled):
        pytest.importorskip("safetensors")
        run_command("export", export, f"run={labelled}", "format=safetensors")
        return labelled / "export"

    def test_it_has_the_samples_of_its_run_and_nothing_of_its_course(self, labelled, exported):
        one = explored_export(composed(exported), exported, torch.device("cpu"))
        assert list(one.weights) == ["exported weights"]
        for wish in (Wish(30, 4), Wish(9, 4, 8)):
            of_run = explored(labelled).samples(LAST, wish)
            assert np.array_equal(shown(one.samples("exported weights", wish)), shown(of_run))
        assert (one.lines(), one.curves(), one.command("exported weights", Wish(9, 0))) == ([], None, None)

    def test_texts_cannot_be_read_without_their_letters(self, exported):
        one = explored_export(composed(exported), exported, torch.device("cpu"))
        with pytest.raises(UserError, match="name its run's own directory"):
            one.render(torch.zeros(2, 3, 4))


class TestCourse:
    def test_it_is_a_figure_and_lines(self, plain):
        one = explored(plain)
        assert b"<svg" in one.curves()
        assert any(line.startswith("finished update 4 of 4") for line in one.lines())

    def test_nothing_yet(self, plain, tmp_path):
        run = shutil.copytree(plain, tmp_path / "run")
        (run / "metrics.csv").unlink()
        assert explored(run).curves() is None

    def test_the_good_ends_of_scores(self):
        record = {"ends": {"digits/fid": "min", "digits/is": "max"}}
        assert short_ends({"course": [record], "final": {"ends": {"kl": "min"}}}) == {
            "fid": "min",
            "is": "max",
            "kl": "min",
        }
        assert short_ends({"course": [{}], "final": None}) == {}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n": 0}, "n=0 must be a whole number, 1 or more"),
        ({"n": 257}, "n=257: a grid has at most 256 samples"),
        ({"seed": None}, "seed=null must be a whole number"),
        ({"truncation": 0}, "truncation=0 must be a number or null, above 0"),
    ],
)
def test_an_impossible_wish(settings, said):
    with pytest.raises(UserError, match=said):
        Wish(**{"n": 9, "seed": 0} | settings)


class TestCommand:
    def said(self, capsys, *arguments):
        with pytest.raises(SystemExit) as end:
            run_command("explore", command.explore, *map(str, arguments))
        return str(end.value.code)

    def test_without_gradio(self, plain, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "gradio", None)
        said = self.said(capsys, f"run={plain}")
        assert said == "lit_gan: The window needs gradio: pip install 'lit_gan[explore]'."

    @pytest.mark.parametrize("port", [0, 65536, "http"])
    def test_no_port(self, plain, capsys, port):
        assert f"port={port} must be a whole number or null" in self.said(capsys, f"run={plain}", f"port={port}")

    def test_a_port_in_use(self, plain, monkeypatch, capsys):
        monkeypatch.setattr(command, "require_gradio", lambda: None)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            said = self.said(capsys, f"run={plain}", f"port={port}")
            monkeypatch.setattr(command, "PORTS", range(port, port + 1))
            none = self.said(capsys, f"run={plain}")
        assert f"port={port} is in use or forbidden" in said
        assert f"none of {port} to {port} is free" in none

    def test_the_first_free_port(self, monkeypatch):
        monkeypatch.setattr(command, "can_listen", lambda port: port == 7862)
        assert command.chosen_port(None) == 7862

    @pytest.mark.parametrize(("before", "after"), [(None, "127.0.0.1"), ("example.org", "example.org,127.0.0.1")])
    def test_its_own_page_is_asked_without_a_proxy(self, monkeypatch, before, after):
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        if before:
            monkeypatch.setenv("NO_PROXY", before)
        monkeypatch.setenv("no_proxy", "")
        command.reach_without_proxy()
        assert os.environ["no_proxy"] == after

    def test_no_run(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(command, "require_gradio", lambda: None)
        assert "is no run directory" in self.said(capsys, f"run={tmp_path}")
