"""Random games: any model, loss, labels and up to three regularizers on any data either train or are refused."""

import random

import pytest
import torch
from hydra.errors import InstantiationException
from omegaconf import OmegaConf

from lit_gan.build import build_data, build_gan, build_source
from lit_gan.catalogue.configs import choices
from lit_gan.cli.mistakes import explain
from lit_gan.errors import UserError
from test_choices import COMPANIONS
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
QUICK, ALL = 20, 200
ELSEWHERE = {"dirac", "text_resnet"}
FITTING = {
    "digits": [model for model in choices("model") if model not in ELSEWHERE],
    "stacked_digits": [model for model in choices("model") if model not in ELSEWHERE],
    "gaussians": ["mlp", "mlp", "autoencoder_mlp"],
    "swiss_roll": ["mlp", "mlp", "autoencoder_mlp"],
    "dirac": ["dirac"],
    "text": ["text_resnet"],
}
SMALL = {"model.depth": 2, "batch_size": 8, "data.n": 512, "trainer.accelerator": "cpu"}


def combination(number):
    """Overrides of the command line, the last of a group counts: nine times in ten with a model that fits the data, and
    as often with what a choice needs beside it.
    """
    draw = random.Random(number)
    data = draw.choices(list(FITTING), [8, 2, 3, 2, 1, 2])[0]
    model = draw.choice(FITTING[data] if draw.random() < 0.9 else choices("model"))
    regs = draw.sample([name for name in choices("reg") if name != "none"], draw.randint(0, 3))
    chosen = [
        f"data={data}",
        f"model={model}",
        f"loss={draw.choice(choices('loss'))}",
        f"labels={draw.choice(choices('labels')) if draw.random() < 0.6 else 'none'}",
        f"reg=[{','.join(regs)}]",
        f"order={draw.choice(['alternating', *choices('order')])}",
        f"ema={draw.choice(['null', '0.9'])}",
    ]
    needed = [word for choice in [*chosen, *(f"reg={reg}" for reg in regs)] for word in COMPANIONS.get(choice, [])]
    return chosen + needed if draw.random() < 0.9 else chosen


def three_updates(config):
    """The game after three updates of the real LightningModule on the real data, and its weights before them."""
    gan, data = build_gan(config), build_data(config, build_source(config))
    before = {name: parameter.detach().clone() for name, parameter in gan.named_parameters()}
    trainer = quiet_trainer(gan, 3, limit_train_batches=3, log_every_n_steps=1, max_epochs=3)
    trainer.fit(gan, data)
    return gan, before


def sentence_of(refusal):
    """The sentence with which a game is refused, which names a setting."""
    sentence = explain(refusal, "train")
    assert sentence is not None
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert "=" in sentence, "names no setting"
    assert "became" not in sentence, "diverged"
    return sentence


@pytest.mark.parametrize(
    "number", [pytest.param(number, marks=pytest.mark.slow if number >= QUICK else []) for number in range(ALL)]
)
def test_a_random_game_trains_or_is_refused_in_one_sentence(compose, number, record_property):
    overrides = combination(number)
    config = compose(*overrides, "metrics=none", "callbacks=none", "optim=adam")
    width = 32 if "mlp" in config.model.D._target_ else 4  # few ReLUs in a row may all be dead
    for name, value in (SMALL | {"model.width": width}).items():
        if OmegaConf.select(config, name) is not None:
            OmegaConf.update(config, name, value)
    try:
        gan, before = three_updates(config)
    except (UserError, InstantiationException) as refusal:
        sentence = sentence_of(refusal)
        record_property("refused", f"{' '.join(overrides)}: {sentence}")
        return
    for player in "GD":
        moved = [not torch.equal(p, before[n]) for n, p in gan.named_parameters() if n.startswith(f"{player}.")]
        assert any(moved), f"{player} did not move under {' '.join(overrides)}"
    assert all(parameter.isfinite().all() for parameter in gan.parameters())


def test_each_regularizer_trains_a_g_that_looks_at_no_latent_vector_or_is_refused(compose, reg_choice):
    config = compose("data=dirac", f"reg={reg_choice}", "callbacks=none", "batch_size=8", "trainer.accelerator=cpu")
    try:
        gan, _ = three_updates(config)
    except (UserError, InstantiationException) as refusal:
        sentence_of(refusal)
        return
    assert all(parameter.isfinite().all() for parameter in gan.parameters())
