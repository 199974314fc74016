"""Every choice of every group composes, instantiates and trains through the real command."""

import sys
from pathlib import Path

import hydra
import lit_gan.conf
import pytest
from hydra.utils import instantiate

from lit_gan.catalogue.configs import choices
from lit_gan.cli.launch import launch
from lit_gan.cli.resolvers import register_resolvers
from lit_gan.tasks.train import train

CONFIGS = Path(lit_gan.conf.__file__).parent
GROUPS = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir() and list(path.glob("*.yaml")))
SMALL = ["++model.width=4", "batch_size=4", "trainer.accelerator=cpu", "trainer.fast_dev_run=true"]
OWN = {"image_folder", "image_zip", "arrays", "hdf5", "webdataset", "hf"}
"""Sets of one's own, which say what they are once they are there: tests/test_own_data.py."""
ABSENT = {"mnist", "cifar10", "cifar100", "stl10", "svhn", "celeba", "lsun", "fashion_mnist", *OWN}
ABSENT |= {"stacked_mnist", "inception", "inception_clean", "dinov2", "cmmd", "gpu", "tf32", "bf16", "ddp"}
TRAINED = ["model", "loss", "labels", "reg", "optim", "order", "data", "metrics", "callbacks", "logger", "trainer"]
COMPANIONS = {
    "loss=began": ["model=autoencoder"],
    "loss=ebgan": ["model=autoencoder"],
    "loss=multi_hinge": ["labels=multi_hinge"],
    "model=dirac": ["data=dirac"],
    "model=r3gan": ["reg=[r1]"],
    "model=text_resnet": ["data=text"],
    "reg=path_length": ["model=stylegan2"],
    "reg=style_mixing": ["model=stylegan2"],
    "metrics=modes": ["data=gaussians"],
    "metrics=ngrams": ["data=text"],
    "metrics=stacked": ["data=stacked_digits"],
    "callbacks=histograms": ["logger=tensorboard"],
    "callbacks=vector_field": ["data=dirac"],
}
"""Choices that need another one beside them."""
ALONE = [f"{group}={choice}" for group in TRAINED for choice in choices(group) if choice not in ABSENT]
OTHERS = sorted({f"{group}={choice}" for group in GROUPS for choice in choices(group)} - {*ALONE})


def compose(config: str, *overrides: str):
    register_resolvers()
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        return hydra.compose(config, overrides=list(overrides))


@pytest.fixture
def fast_dev_run(monkeypatch, tmp_path):
    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["train", f"hydra.run.dir={tmp_path / 'run'}", *SMALL, *arguments])
        launch(train, "train")

    return run


@pytest.mark.parametrize("choice", OTHERS)
def test_every_choice_that_is_not_trained_here_composes(choice):
    if choice.startswith("analysis="):
        assert compose("analyze", "run=somewhere", choice.replace("=", "=[") + "]") is not None
    else:
        assert compose("train", choice) is not None


@pytest.mark.parametrize("command", sorted({path.stem for path in CONFIGS.glob("[!_]*.yaml")} - {"train"}))
def test_no_command_but_the_training_leaves_a_log_where_it_is_given(command):
    register_resolvers()
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        config = hydra.compose(command, return_hydra_config=True)
    assert list(config.hydra.job_logging.handlers) == ["console"]


@pytest.mark.parametrize("choice", sorted(set(choices("data")) - OWN))
def test_every_data_set_instantiates_and_says_its_shape(choice):
    config = compose("train", f"data={choice}")
    source = instantiate(config.data)
    assert source.shape == tuple(config.data.shape)
    assert source.name == choice


SHARED = ("reg=", "loss=", "optim=")
"""Groups of which every third choice trains by default: all others differ in the two turns, which test_devices.py plays
with each, and not in the command."""


def by_default(choice):
    group = [each for each in ALONE if each.startswith(choice.partition("=")[0] + "=")]
    return not choice.startswith(SHARED) or group.index(choice) % 3 == 0


@pytest.mark.parametrize(
    "choice", [pytest.param(choice, marks=[] if by_default(choice) else pytest.mark.slow) for choice in ALONE]
)
def test_every_choice_trains_alone(fast_dev_run, choice):
    measured = choice.startswith(("data=", "metrics="))
    quick = ["protocol.quick.real=64", "protocol.full.real=64"] if measured else ["metrics=none"]
    fast_dev_run(*COMPANIONS.get(choice, []), *quick, choice)


ROWS = [f"{group}={choice}" for group in ("experiment", "method") for choice in choices(group)]


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_a_table_trains(fast_dev_run, row):
    """On digits in place of images in a folder, which may not be there."""
    fast_dev_run(row, "metrics=none", *(["data=digits"] if "root" in compose("train", row).data else []))


@pytest.mark.gpu
@pytest.mark.parametrize("trainer", ["gpu", "tf32", "bf16", "ddp"])
def test_trainers_on_gpus(fast_dev_run, trainer):
    fast_dev_run(f"trainer={trainer}", "trainer.accelerator=gpu", "metrics=none")


def test_every_group_is_there():
    assert {*TRAINED, "experiment", "analysis", "protocol"} <= set(GROUPS)
    assert choices("nonsense") == []
