"""What only a GPU can show: that no update waits for it, and how exactly it computes."""

import pytest
import torch
from lightning.pytorch import Callback

from lit_gan.build import build_data, build_gan, build_source
from lit_gan.callbacks import essential_callbacks
from lit_gan.catalogue.configs import choices
from lit_gan.tasks.trainer import build_trainer
from test_choices import ABSENT, COMPANIONS

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")]
SMALL = ["++model.width=4", "batch_size=8", "metrics=none", "callbacks=none", "ema=0.9", "optim.decay_start=0"]
SMALL += ["updates=6", "updates_per_epoch=6", "trainer.enable_progress_bar=false"]
GROUPS = ("model", "loss", "labels", "reg", "order", "optim", "data")
CHOICES = [f"{group}={choice}" for group in GROUPS for choice in choices(group) if choice not in ABSENT]
WARM, LAST = 3, 5
"""Updates without a wait, after those in which libraries choose their algorithms and before the one that ends an epoch,
whose curves are brought to the CPU."""


class NoWaiting(Callback):
    """Makes every wait for the GPU an error, from the fetching of a batch to all that follows its update."""

    def on_train_batch_end(self, trainer, *_):
        torch.cuda.set_sync_debug_mode("error" if WARM <= trainer.global_step < LAST else "default")


@pytest.fixture(autouse=True)
def _waiting():
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.fixture
def played(compose, tmp_path):
    def play(*words, callbacks=()):
        config = compose(*words, *SMALL)
        gan, data = build_gan(config), build_data(config, build_source(config))
        trainer = build_trainer(config, tmp_path, False, [*essential_callbacks(gan), *callbacks])
        trainer.fit(gan, data)
        return trainer

    return play


@pytest.mark.parametrize("choice", [*CHOICES, "trainer=tf32", "trainer=bf16"])
def test_no_update_waits_for_the_gpu(played, choice):
    words = ["trainer=gpu", *COMPANIONS.get(choice, []), choice]
    assert played(*words, callbacks=[NoWaiting()]).global_step == 6


def test_an_update_that_waits_is_seen(played):
    class Waiting(Callback):
        def on_before_optimizer_step(self, *_):
            torch.ones((), device="cuda").item()

    with pytest.raises(RuntimeError, match="synchronizing CUDA operation"):
        played("trainer=gpu", callbacks=[NoWaiting(), Waiting()])


class Products(Callback):
    """How far products of matrices and convolutions are from exact, in and behind the training steps."""

    def __init__(self):
        self.errors = {"in": [], "behind": []}

    def on_before_optimizer_step(self, *_):
        self.errors["in"].append(relative_errors())

    def on_train_batch_end(self, *_):
        self.errors["behind"].append(relative_errors())


def relative_errors():
    x = torch.randn(64, 64, 8, 8, device="cuda")
    weight = torch.randn(64, 64, 3, 3, device="cuda")
    pairs = [(torch.mm, x.flatten(1)[:, :64], weight[..., 0, 0]), (torch.conv2d, x, weight)]
    exact = [product(one.double(), other.double()) for product, one, other in pairs]
    found = [product(one, other) for product, one, other in pairs]
    return [((a - b).norm() / b.norm()).item() for a, b in zip(found, exact, strict=True)]


@pytest.mark.parametrize(("trainer", "least", "most"), [("gpu", 0, 1e-6), ("tf32", 5e-5, 1e-3)])
def test_tf32_is_in_the_steps_that_ask_for_it_and_nowhere_else(played, trainer, least, most):
    products = Products()
    played(f"trainer={trainer}", callbacks=[products])
    assert all(least <= error < most for errors in products.errors["in"] for error in errors)
    assert all(error < 1e-6 for errors in products.errors["behind"] for error in errors)
    assert {len(errors) > 0 for errors in products.errors.values()} == {True}
