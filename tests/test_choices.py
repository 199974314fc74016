"""Every choice of every group composes, instantiates and trains; so do combinations."""

import sys
from pathlib import Path

import hydra
import lit_gan.conf
import pytest
from hydra.utils import instantiate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lit_gan.launch import choices, launch, register_resolvers
from lit_gan.train import train

CONFIGS = Path(lit_gan.conf.__file__).parent
GROUPS = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir() and list(path.glob("*.yaml")))
SMALL = ["model.width=4", "batch_size=4", "trainer.accelerator=cpu", "trainer.fast_dev_run=true", "callbacks=default"]
ABSENT = {"mnist", "cifar10", "cifar100", "stl10", "svhn", "celeba", "lsun", "fashion_mnist", "image_folder"}
REGS = [name for name in choices("reg") if name != "none"]


def compose(*overrides: str):
    register_resolvers()
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        return hydra.compose("train", overrides=list(overrides))


@pytest.fixture
def fast_dev_run(monkeypatch, tmp_path):
    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["train", f"hydra.run.dir={tmp_path / 'run'}", *SMALL, *arguments])
        launch(train, "train")

    return run


@pytest.mark.parametrize(("group", "choice"), [(group, choice) for group in GROUPS for choice in choices(group)])
def test_every_choice_composes(group, choice):
    assert compose(f"{group}={choice}") is not None


@pytest.mark.parametrize("choice", sorted(set(choices("data")) - {"image_folder"}))
def test_every_data_set_instantiates_and_says_its_shape(choice):
    config = compose(f"data={choice}")
    source = instantiate(config.data)
    assert source.shape == tuple(config.data.shape)
    assert source.name == choice


class TestAlone:
    @pytest.mark.parametrize("loss", choices("loss"))
    def test_loss(self, fast_dev_run, loss):
        fast_dev_run(f"loss={loss}", "metrics=none")

    @pytest.mark.parametrize("reg", choices("reg"))
    def test_reg(self, fast_dev_run, reg):
        fast_dev_run(f"reg={reg}", "metrics=none")

    @pytest.mark.parametrize("optim", choices("optim"))
    def test_optim(self, fast_dev_run, optim):
        fast_dev_run(f"optim={optim}", "metrics=none")

    @pytest.mark.parametrize("model", choices("model"))
    def test_model(self, fast_dev_run, model):
        fast_dev_run(f"model={model}", "metrics=none")

    @pytest.mark.parametrize("data", sorted(set(choices("data")) - ABSENT))
    def test_data_with_its_own_metrics(self, fast_dev_run, data):
        fast_dev_run(f"data={data}")

    @pytest.mark.parametrize("metrics", ["classifier", "efficientnet_lite0", "none"])
    def test_metrics(self, fast_dev_run, metrics):
        fast_dev_run(f"metrics={metrics}", "protocol.quick.real=64", "protocol.full.real=64")

    @pytest.mark.parametrize("logger", choices("logger"))
    def test_logger(self, fast_dev_run, logger):
        fast_dev_run(f"logger={logger}", "metrics=none")

    @pytest.mark.parametrize("callbacks", choices("callbacks"))
    def test_callbacks(self, fast_dev_run, callbacks):
        fast_dev_run("metrics=none", f"callbacks={callbacks}")

    @pytest.mark.parametrize("trainer", ["default", "cpu"])
    def test_trainer(self, fast_dev_run, trainer):
        fast_dev_run(f"trainer={trainer}", "metrics=none")

    @pytest.mark.gpu
    @pytest.mark.parametrize("trainer", ["bf16", "ddp"])
    def test_trainer_on_gpus(self, fast_dev_run, trainer):
        fast_dev_run(f"trainer={trainer}", "trainer.accelerator=gpu", "metrics=none")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    model=st.sampled_from(choices("model")),
    loss=st.sampled_from(choices("loss")),
    regs=st.lists(st.sampled_from(REGS), max_size=3, unique=True),
    optim=st.sampled_from(choices("optim")),
    data=st.sampled_from(["digits", "gaussians"]),
    ema=st.sampled_from(["null", "0.9"]),
)
def test_combinations_train_or_are_refused_in_one_sentence(fast_dev_run, model, loss, regs, optim, data, ema):
    arguments = [f"model={model}", f"loss={loss}", f"reg=[{','.join(regs)}]", f"optim={optim}", f"data={data}"]
    try:
        fast_dev_run(*arguments, f"ema={ema}", "metrics=none")
    except SystemExit as end:
        sentence = str(end.code)
        assert sentence.startswith("lit_gan: ")
        assert "\n" not in sentence
        assert any(word in sentence for word in (*REGS, f"model={model}"))


def test_every_group_is_there():
    assert set(GROUPS) >= {"model", "loss", "reg", "optim", "data", "metrics", "trainer", "logger", "callbacks"}
    assert choices("nonsense") == []
