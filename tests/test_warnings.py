"""What a run says of itself although it came to its end: signs of a collapse, and numbers that its paper has not."""

import json
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from lit_gan.cli.launch import launch
from lit_gan.sweep.cells import Cell
from lit_gan.sweep.same_cell import check_same_cell
from lit_gan.system.shell import shell_command
from lit_gan.tasks.cells_view import cells_view, print_whole
from lit_gan.tasks.collapse import equal_samples, exploded_loss, lost_score
from lit_gan.tasks.first_record import without_effect
from lit_gan.tasks.prescribed import departures
from lit_gan.tasks.summary import closing_lines
from lit_gan.tasks.train import train

TINY = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "metrics=none"]
SUMMARY = {"updates": 3, "course": [], "final": None, "best": None, "seconds": {"training": 1, "evaluation": 1}}


class TestLoss:
    @pytest.mark.parametrize(
        ("rows", "named"),
        [
            ("1,0.5,0.1\n2,-2e6,3e7\n", "d/real"),
            ("1,0.5,0.1\n2,2e6,\n3,,\n", "g/hinge"),
            ("1,2e9,0\n2,3,-25\n", None),
            ("1,nan,\n", None),
            ("", None),
        ],
    )
    def test_the_last_values_count(self, tmp_path, rows, named):
        (tmp_path / "metrics.csv").write_text(f"update,g/hinge,d/real\n{rows}")
        sentence = exploded_loss(tmp_path / "metrics.csv")
        assert sentence is None if named is None else sentence.startswith(f"{named} is ")

    def test_scores_are_no_losses(self, tmp_path):
        (tmp_path / "metrics.csv").write_text("update,inception/fid\n1,1e9\n")
        assert exploded_loss(tmp_path / "metrics.csv") is None
        assert exploded_loss(tmp_path / "none.csv") is None


class TestScore:
    @pytest.mark.parametrize(
        ("mode", "values", "lost"),
        [
            ("min", [64, 300, 849], True),
            ("min", [500, 201.6, 624.1], True),
            ("min", [43.71, 642.3], True),
            ("min", [500, 9.07, 16.1], False),
            ("min", [500, 9, 30], False),
            ("min", [62, 20, 5, 8], False),
            ("min", [0.5, 0.001, 0.004], False),
            ("min", [0.01, -0.001, 0.02], False),
            ("min", [700], False),
            ("max", [1.1, 6.0, 1.5], True),
            ("max", [0, 8, 0], True),
            ("max", [1.1, 2.2, 2.0], False),
            ("max", [0, 0, 0], False),
            ("min", [], False),
            ("min", [None, 5, None], False),
        ],
    )
    def test_a_score_several_times_worse_than_its_best(self, mode, values, lost):
        course = [{"scores": {"x/fid": value}, "update": update} for update, value in enumerate(values, start=1)]
        assert bool(lost_score(course, "x/fid", mode)) == lost

    def test_scores_of_another_protocol_are_not_compared(self):
        course = [
            {"scores": {"x/fid": value}, "update": update, "protocol": {"generated": generated}}
            for update, value, generated in ((1, 60, 1000), (2, 50, 1000), (3, 400, 16))
        ]
        assert lost_score(course, "x/fid", "min") is None

    def test_names_the_best_update(self):
        course = [{"scores": {"x/fid": value}, "update": update} for update, value in ((10, 43.71), (20, 642.3))]
        assert "ends at 642.3, after 43.71 at update 10" in lost_score(course, "x/fid", "min")


class Fixed(torch.nn.Module):
    """Samples of a given spread about 0."""

    shape, z_dim = (2,), 2

    def __init__(self, spread):
        super().__init__()
        self.spread = torch.nn.Parameter(torch.tensor(spread))

    def draw(self, n, generator=None):
        return torch.randn(n, 2, generator=generator)

    def forward(self, z, y=None):
        return self.spread * z


@pytest.mark.parametrize(("spread", "equal"), [(0.0, True), (0.05, True), (0.3, False), (1.0, False)])
def test_samples_that_are_all_alike(compose, spread, equal):
    from lit_gan.build import build_source

    source = build_source(compose("data=gaussians"))  # of variance 1
    assert bool(equal_samples(Fixed(spread), source)) == equal


def test_data_without_variance_accuse_no_sample(compose):
    from lit_gan.build import build_gan, build_source

    config = compose("data=dirac")
    assert equal_samples(build_gan(config).G, build_source(config)) is None


def test_a_single_image_accuses_no_sample(compose, tmp_path):
    from lit_gan.build import build_gan, build_source, complete_data

    Image.new("L", (16, 16)).save(tmp_path / "only.png")
    config = compose("data=image_folder", f"data.root={tmp_path}", "model.width=4")
    complete_data(config)
    assert equal_samples(build_gan(config).G, build_source(config)) is None


def test_the_same_text_over_and_over(compose, tmp_path):
    from lit_gan.build import build_gan, build_source

    (tmp_path / "text").write_text("all work and no play makes jack a dull boy\n" * 200)
    config = compose("data=text", f"data.file={tmp_path / 'text'}", "data.length=8", "model.width=8")
    source, G = build_source(config), build_gan(config).G
    assert equal_samples(G, source) is None
    with torch.no_grad():
        for parameter in G.parameters():
            parameter.zero_()
    assert "the same text" in equal_samples(G, source)


OF_EACH = [f"optim.{player}.{setting}" for player in "dg" for setting in ("lr=1e-4", "betas=[0.5,0.9]")]


class TestPrescribed:
    @pytest.fixture
    def found(self, compose):
        def compare(*arguments):
            method = next((each.removeprefix("method=") for each in arguments if each.startswith("method=")), None)
            return departures(compose(*arguments), {"method": method, "optim@prescribed.optim": "THEIRS"})

        return compare

    @pytest.mark.parametrize(
        "arguments",
        [
            ["method=wgan_gp", "optim=sngan_a"],
            ["method=wgan_gp", "optim.n_dis=5", *OF_EACH],
            ["method=wgan_gp", "optim=sngan_a", "optim.d.betas=[0.0,0.9]", "optim.g.betas=[0.0,0.9]"],
            ["method=wgan"],
            ["method=wgan_no_norm"],
            ["method=wgan_batch_norm"],
            ["method=wgan_gp_layer_norm"],
            ["method=wgan_gp_resnet"],
            ["method=dcgan"],
            ["method=spectral_norm", "optim=sngan_f"],
            ["loss=wasserstein", "reg=gradient_penalty"],
        ],
    )
    def test_nothing_is_said_of_the_papers_numbers(self, found, arguments):
        assert found(*arguments) == []

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["method=wgan_gp"], ["optim.n_dis=1 (5)", "optim.d.lr=0.0004 (0.0001)", "Set optim=THEIRS to"]),
            (["method=wgan", "optim=adam"], ["optim.d._target_=torch.optim.Adam (torch.optim.RMSprop)"]),
            (["method=wgan", "batch_size=8"], ["batch_size=8 (64)", "Set batch_size=64 to"]),
            (["method=wgan_no_norm", "optim=rmsprop"], ["optim.d._target_=torch.optim.RMSprop (lit_gan."]),
            (["method=dcgan", "optim=sngan_d", "batch_size=8"], ["optim.d.lr=0.001 (0.0002)"]),
        ],
    )
    def test_other_numbers_are_named_with_the_way_to_the_papers(self, found, arguments, words):
        (sentence,) = found(*arguments)
        assert all(word in sentence for word in words), sentence

    def test_a_cell_from_before_there_was_such_a_setting_is_the_same_cell(self, compose, tmp_path):
        config = compose("method=wgan_gp")
        old = OmegaConf.masked_copy(config, [name for name in config if name != "prescribed"])
        (tmp_path / ".hydra").mkdir()
        OmegaConf.save(old, tmp_path / ".hydra" / "config.yaml")
        (tmp_path / "results.json").touch()
        check_same_cell(tmp_path, config)


class TestRuns:
    @pytest.fixture
    def run(self, monkeypatch, tmp_path, capsys):
        def call(*arguments):
            monkeypatch.setattr(sys, "argv", ["train", f"hydra.run.dir={tmp_path}", *TINY, *arguments])
            launch(train, "train")
            return json.loads((tmp_path / "results.json").read_text()), " ".join(capsys.readouterr().out.split())

        return call

    def test_a_collapse_is_said_at_the_end_and_recorded(self, run):
        results, output = run(*COLLAPSE)
        assert results["status"] == "finished"
        (sentence,) = results["warnings"]
        assert "all samples are alike" in sentence
        assert f"warning {sentence}" in output
        assert "curves.png" in output
        assert "analysis=ms_ssim" in output

    def test_a_sound_run_says_nothing(self, run):
        results, output = run("updates=100", "updates_per_epoch=100")
        assert results["warnings"] == []
        assert "warning" not in output

    def test_a_run_of_a_few_updates_is_not_accused(self, run):
        results, _ = run("method=wgan_gp", "optim=sngan_a", "updates=2")
        assert results["warnings"] == []

    def test_another_optimizer_than_the_papers_is_said_at_the_start(self, run, tmp_path):
        results, _ = run("method=wgan_gp", "updates=2")
        (sentence,) = results["warnings"]
        assert "Set optim=sngan_a to have them" in sentence
        log = (tmp_path / "train.log").read_text()
        assert log.index(sentence) < log.index("update 2/2")
        assert not [name for name in results["choices"] if "prescribed" in name]

    def test_a_decay_that_never_begins_is_said(self, run):
        results, output = run("optim.decay_end=1", "updates=2")
        (sentence,) = results["warnings"]
        assert sentence.startswith("optim.decay_end=1 changes nothing without optim.decay_start")
        assert sentence in output

    @pytest.mark.parametrize("words", [["optim.decay_end=3"], []])
    def test_a_decay_that_begins_or_ends_with_the_run_is_not_accused(self, compose, words):
        assert without_effect(compose("optim.decay_start=1", *words)) == []
        assert without_effect(compose("updates=7", "optim.decay_end=7")) == []

    def test_an_average_that_never_begins_is_said(self, compose):
        (sentence,) = without_effect(compose("ema=0.9", "ema_start=7", "updates=7"))
        assert sentence.startswith("ema_start=7 is not before updates=7")
        assert without_effect(compose("ema=0.9", "ema_start=6", "updates=7")) == []

    @pytest.mark.parametrize("later", ["prescribed", "flips"])
    def test_an_old_run_without_the_setting_goes_on(self, run, tmp_path, later):
        run("method=wgan_gp", "updates=2")
        path = tmp_path / ".hydra" / "config.yaml"
        config = OmegaConf.load(path)
        del config[later]
        OmegaConf.save(config, path)
        results, _ = run("method=wgan_gp", "updates=4")
        assert results["updates"] == 4


COLLAPSE = ["updates=100", "updates_per_epoch=100", "model=mlp_dcgan", "optim.g.lr=0.5"]


def test_the_closing_lines_and_status_show_warnings(tmp_path, capsys):
    results = SUMMARY | {"status": "finished", "warnings": ["d/hinge is 3e+09 at the end"]}
    assert "warning  d/hinge is 3e+09 at the end" in closing_lines(tmp_path, results, (1, 16, 16))
    cell = Cell("seed=0", Path("x"), "finished", results)
    print_whole(cells_view([cell], False))
    assert "1 of the finished ones with warnings, which --all shows" in capsys.readouterr().out
    print_whole(cells_view([cell], True))
    assert "d/hinge is 3e+09" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("choices", "analysis"),
    [
        ([], "ms_ssim"),
        (["data=digits", "data.image_size=8"], "spectra"),
        (["data=gaussians"], "level_sets"),
        (["data=dirac"], "spectra"),
        (["data=text", "data.file=x"], "spectra"),
        (["data=stacked_digits"], "ms_ssim"),
    ],
)
def test_the_closing_lines_lead_to_an_analysis_that_fits_the_data(compose, tmp_path, choices, analysis):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    lines = closing_lines(tmp_path, SUMMARY | {"status": "finished"}, compose(*choices).data.shape)
    assert f"{shell_command('analyze', f'run={tmp_path}')} analysis={analysis} " in lines[-1]
