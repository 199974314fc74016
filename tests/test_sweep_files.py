"""The papers' grids: every cell composes at every scale, and what a figure names is there."""

import functools
import re
import sys
from pathlib import Path

import hydra
import lit_gan.conf
import lit_gan.sweeps
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lit_gan.catalogue.configs import choices
from lit_gan.cli.launch import launch
from lit_gan.cli.resolvers import register_resolvers
from lit_gan.overrides import parse_overrides
from lit_gan.reporting.papers import read_paper
from lit_gan.reporting.view import read_view
from lit_gan.sweep.plan import as_path_part, single_settings
from lit_gan.tasks.train import train

FOLDER = Path(lit_gan.sweeps.__file__).parent / "sweep"
FILES = {str(path.relative_to(FOLDER).with_suffix("")): path for path in sorted(FOLDER.rglob("*.yaml"))}
METHODS = {name: Path(lit_gan.conf.__file__).parent / "method" / f"{name}.yaml" for name in choices("method")}
SMALL = [name for name in FILES if name.endswith("/small")]
MEDIUM = [name for name in FILES if name.endswith("/medium")]
GRIDS = [name for name in FILES if f"{name}/small" in FILES]
COMPOSED = {
    "digits_regularizers",
    "sngan_fig11/medium",
    "sngan_fig11/small",
    "sngan_table2_cifar10/small",
    "tricks/small",
}
"""Sweeps whose cells are composed even without --slow."""
EMBEDDED = {"digits", "gaussians", "gaussians_grid", "swiss_roll", "stacked_digits"}


@pytest.fixture(scope="module", autouse=True)
def configs():
    register_resolvers()
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        yield


@functools.cache
def axes(sweep):
    """The overrides along each axis of a sweep: {"seed": ["seed=0", "seed=1"]}."""
    params = hydra.compose("train", [f"sweep={sweep}"], return_hydra_config=True).hydra.sweeper.params
    return {name: single_settings(*parse_overrides([f"{name}={value}"])) for name, value in params.items()}


def cells(sweep):
    """Overrides of so few cells that every value of every axis is among them; the seed is always the first."""
    along = [steps[:1] if name == "seed" else steps for name, steps in axes(sweep).items()]
    return [[steps[index % len(steps)] for steps in along] for index in range(max(map(len, along)))]


@functools.cache
def compose(sweep, *overrides):
    return hydra.compose("train", [f"sweep={sweep}", *overrides])


@functools.cache
def row(method):
    """The settings of a method alone."""
    return hydra.compose("train", [f"method={method}"])


def check_cell(config):
    """A cell's settings are complete, and its networks can be made with them."""
    assert OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    for name, settings in config.reg.items():
        assert "_target_" in settings, f"reg.{name} has settings, but is not chosen"
    with torch.device("meta"):
        G, D = instantiate(config.model.G), instantiate(config.model.D)
    assert G.shape == tuple(config.data.shape)
    assert isinstance(D, torch.nn.Module)
    assert config.figure is None or config.metrics.suite is None or not missing_scores(config)


def missing_scores(config):
    """The scores of the figure that the cell's metrics do not measure."""
    named = {score.removeprefix("intra_") for score in config.figure.get("scores") or ()}
    return named - set(instantiate(config.metrics.suite).SCORES)


def test_every_grid_is_there_small_and_some_are_there_in_between():
    papers = ["sngan_fig1_cifar10", "sngan_fig1_stl10", "sngan_table2_cifar10", "sngan_table2_stl10", "sngan_fig4"]
    papers += ["sngan_fig10", "sngan_fig11", "sngan_gamma", "sngan_imagenet", "wgan_gp_architectures"]
    papers += ["wgan_gp_architectures_no_norm", "wgan_gp_toy", "losses", "tricks", "mode_collapse"]
    papers += ["biggan_cifar10", "augmentations_small_data", "losses_modern"]
    assert sorted(GRIDS) == sorted([*papers, "mode_collapse_stacked"])
    assert len(SMALL) == len(GRIDS)
    between = ["losses", "sngan_fig11", "sngan_fig1_cifar10", "sngan_fig4", "sngan_table2_cifar10"]
    between += ["biggan_cifar10", "augmentations_small_data", "losses_modern"]
    assert sorted(MEDIUM) == sorted(f"{name}/medium" for name in [*between, "wgan_gp_architectures"])


@pytest.mark.parametrize("path", [*FILES.values(), *METHODS.values()], ids=[*FILES, *METHODS])
def test_its_first_line_names_a_paper(path):
    package, first, *_ = path.read_text().splitlines()
    assert package == "# @package _global_"
    assert re.match(r"# .*et al\. \d{4}", first)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_a_label_and_complete_regularizers(name):
    assert row(name).label
    assert all("_target_" in settings for settings in row(name).reg.values())


@pytest.mark.parametrize(
    "sweep", [name if name in COMPOSED else pytest.param(name, marks=pytest.mark.slow) for name in FILES]
)
def test_every_value_of_every_axis_composes(sweep):
    for overrides in cells(sweep):
        check_cell(compose(sweep, *overrides))


@pytest.mark.parametrize("sweep", [*GRIDS, *SMALL, *MEDIUM])
def test_what_the_figure_names_is_there(sweep):
    config, along = compose(sweep), axes(sweep)
    view = read_view(config.figure, list(along), sweep)
    assert re.search(r"et al\. \d{4}", view.title)
    places = {as_path_part(step.partition("=")[2]) for steps in along.values() for step in steps}
    assert view.names.keys() <= places | {*along} or sweep in SMALL
    assert {number.at("method") for number in read_paper(view.paper)} <= {*METHODS, None}


@pytest.mark.parametrize("sweep", GRIDS)
def test_the_paper_has_a_number_of_a_method(sweep):
    paper = read_paper(compose(sweep).figure.paper)
    methods = {step.removeprefix("method=") for step in axes(sweep).get("method", [])}
    assert not paper or methods & {number.at("method") for number in paper}


@pytest.mark.parametrize("sweep", GRIDS)
def test_methods_of_a_sweep_have_different_labels(sweep):
    labels = [row(step.removeprefix("method=")).label for step in axes(sweep).get("method", [])]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("sweep", SMALL)
def test_a_small_sweep_needs_no_download(sweep):
    for overrides in cells(sweep):
        config = compose(sweep, *overrides)
        assert config.data.name in EMBEDDED


@pytest.mark.parametrize(
    "sweep", [name if name in COMPOSED else pytest.param(name, marks=pytest.mark.slow) for name in MEDIUM]
)
def test_a_medium_sweep_is_of_colour_photographs_and_a_quarter_of_the_width(sweep):
    for overrides in cells(sweep):
        config = compose(sweep, *overrides)
        assert (config.data.name, list(config.data.shape)) == ("cifar10", [3, 32, 32])
        assert 4 * config.model.width == compose(sweep.removesuffix("/medium"), *overrides).model.width
        assert "EfficientNetLite0" in config.metrics.suite.extractor._target_
        assert config.batch_size == 64


def test_the_small_figure_has_all_cells_of_the_paper():
    sweep = "sngan_fig1_cifar10"
    large, small = axes(sweep), axes(f"{sweep}/small")
    assert (len(large["method"]), len(large["optim"])) == (8, 6)
    assert (small["method"], small["optim"]) == (large["method"], large["optim"])
    assert small["seed"] == ["seed=0", "seed=1"]


@pytest.mark.parametrize(
    ("game", "width", "widths"),
    [
        ("method=wgan_gp_resnet", 64, (32, 64)),
        ("method=wgan_gp_spectral_norm_resnet", 64, (32, 64)),
        ("method=wgan_gp_spectral_norm_resnet_wide", 64, (32, 96)),
        ("method=acgan_wgan_gp_spectral_norm_wide", 64, (32, 96)),
        ("experiment=biggan_studiogan_cifar10", 96, (96, 48)),
    ],
)
def test_where_the_players_differ_in_width_they_do_so_at_every_width(game, width, widths):
    model = hydra.compose("train", [game]).model
    assert (model.width, model.G.width, model.D.width) == (width, *widths)
    quarter = hydra.compose("train", [game, f"model.width={width // 4}"]).model
    assert (quarter.G.width, quarter.D.width) == tuple(each // 4 for each in widths)


def test_clipping_is_of_convolutions_and_normalisations_have_no_gamma():
    sweep = "sngan_fig1_cifar10"
    clipping = compose(sweep, "method=weight_clipping").reg.weight_clip
    assert (clipping.convolutions_only, clipping.limit) == (True, 0.01)
    for method in ("batch_norm", "layer_norm", "weight_norm"):
        assert compose(sweep, f"method={method}").reg[method].gamma is False


def test_all_methods_but_wgan_gp_have_the_standard_loss():
    for step in axes("sngan_fig1_cifar10")["method"]:
        wasserstein = compose("sngan_fig1_cifar10", step).loss._target_ == "lit_gan.losses.Wasserstein"
        assert wasserstein == (step == "method=wgan_gp")


def test_rows_of_a_table_keep_what_is_theirs():
    resnet = compose("sngan_table2_cifar10", "method=spectral_norm_hinge_resnet")
    assert "sngan_resnet" in resnet.model.D._target_
    assert (resnet.updates, resnet.optim.n_dis, resnet.g_batch_size) == (50000, 5, 128)
    assert compose("sngan_table2_stl10", "method=spectral_norm_2x").updates == 200000
    assert compose("sngan_table2_stl10", "method=spectral_norm").updates == 100000


def test_one_architecture_and_one_game_but_for_what_is_compared():
    """Kang et al. 2023: the rows differ in what D says of classes; ReACGAN has batches and rates of its own."""
    rows = [compose("biggan_cifar10", step) for step in ("method=acgan", "method=reacgan", "method=mhgan")]
    heads = [set(config.reg) - {"spectral", "conditional_batch_norm"} for config in rows]
    assert heads == [{"acgan"}, {"data_to_data_cross_entropy"}, {"multi_hinge", "feature_matching_l1"}]
    assert [config.batch_size for config in rows] == [64, 128, 64]
    assert all(config.model == rows[0].model and config.reg.spectral.networks == ["d", "g"] for config in rows)
    acgan = rows[0].reg.acgan
    assert (acgan.d_real, acgan.d_fake, acgan.g_fake, acgan.shared_labels) == (1, 0, 1, False)


@pytest.mark.parametrize("scale", ["", pytest.param("/medium", marks=pytest.mark.slow), "/small"])
def test_parts_of_the_data_are_a_tenth_a_fifth_and_all_and_the_scores_are_of_all(scale):
    sweep = f"augmentations_small_data{scale}"
    config = compose(sweep, "train_images=180")
    n = [int(step.partition("=")[2]) for step in axes(sweep)["train_images"]]
    assert [round(each / n[-1], 2) for each in n] == [0.1, 0.2, 1]
    assert n[-1] == (1797 if scale == "/small" else 50_000)
    assert [config.figure.names[str(each)] for each in n] == ["10 %", "20 %", "100 %"]
    protocol = config.protocol[config.metrics.final]
    assert (protocol.generated, protocol.real) == (10_000, None)


@pytest.mark.parametrize("sweep", FILES)
def test_the_last_scores_are_those_of_a_protocol_under_its_own_name(sweep):
    """The report sets a paper's numbers beside ours by that name, and looks up what it stands for."""
    config = hydra.compose("train", [f"sweep={sweep}"])
    name = config.metrics.final
    assert config.protocol[name].name == name


NOISE = [
    pytest.param(name, marks=[] if name in ("sngan_table2_cifar10", "sngan_fig1_stl10") else pytest.mark.slow)
    for name in GRIDS
    if name.startswith("sngan_")
]
"""A table of the standard CNN and the ResNets, a figure of the CNN alone, and with --slow the others."""


@pytest.mark.parametrize("sweep", NOISE)
def test_the_images_have_noise_for_the_resnets_and_none_for_the_standard_cnn(sweep):
    """Miyato et al. 2018: noise is in the code of the ResNets (sngan_projection), not in that of the CNN."""
    for overrides in cells(sweep):
        config = compose(sweep, *overrides)
        assert config.dequantize == ("sngan_resnet" in config.model.D._target_), overrides


@pytest.mark.parametrize(
    "name", [name for name in choices("experiment") if name.endswith(("cifar10", "_hinge", "_resnet"))]
)
def test_experiments_have_noise_as_their_code(name):
    config = hydra.compose("train", [f"experiment={name}"])
    assert config.dequantize == (name == "sngan_cifar10_resnet")


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("biggan_cifar10", ("diff_augment_code", 10_000, "test", "batch")),
        ("biggan_studiogan_cifar10", ("studiogan", 50_000, "train", "standing")),
        ("r3gan_cifar10", ("modern", 50_000, "train", "running")),
        ("sagan_imagenet", ("modern", 50_000, "train", "running")),
        ("sngan_cifar10", ("sngan_paper", 5_000, "test", "running")),
        ("stylegan2_ada_cifar10", ("modern", 50_000, "train", "running")),
        ("wgan_gp_cifar10", ("sngan_paper", 5_000, "test", "running")),
    ],
)
def test_experiments_end_in_a_score_of_their_papers_protocol(name, protocol):
    config = hydra.compose("train", [f"experiment={name}"])
    final = config.protocol[config.metrics.final]
    assert (final.name, final.generated, final.real_split, final.batch_norm) == protocol


@pytest.mark.parametrize("sweep", ["augmentations_small_data", "biggan_cifar10"])
def test_sweeps_of_an_experiment_end_in_its_score(sweep):
    config = compose(sweep, *next(iter(cells(sweep))))
    assert config.protocol[config.metrics.final].name == {"biggan_cifar10": "studiogan"}.get(sweep, "diff_augment_code")


CELLS = [(sweep, 0) for sweep in SMALL] + [("sngan_fig1_cifar10/small", index) for index in range(1, 8)]


@pytest.mark.slow
@pytest.mark.parametrize(("sweep", "index"), CELLS)
def test_a_small_cell_trains(monkeypatch, tmp_path, sweep, index):
    quick = ["hydra.mode=RUN", f"hydra.run.dir={tmp_path / 'run'}", "trainer.fast_dev_run=true", "trainer=cpu"]
    arguments = [f"sweep={sweep}", *cells(sweep)[index], *quick]
    hydra.core.global_hydra.GlobalHydra.instance().clear()
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    try:
        launch(train, "train")
    finally:
        hydra.core.global_hydra.GlobalHydra.instance().clear()
        hydra.initialize_config_module("lit_gan.conf", version_base="1.3")
