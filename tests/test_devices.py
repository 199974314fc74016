"""Nothing in an update waits for a GPU or strays to the CPU: shown without one, on devices that hold no numbers.

A tensor of torch's meta device, or a fake one of CUDA, has a shape, a type and a device. Whoever asks for its numbers,
by `.item()` or an `if`, is refused, and so is a computation with a tensor of another device.
"""

import copy
from contextlib import contextmanager
from functools import lru_cache

import hydra
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from lit_gan.build import build_data, build_gan, build_source
from lit_gan.callbacks.learning_rates import LearningRates
from lit_gan.callbacks.moving_average import MovingAverage
from lit_gan.catalogue.configs import choices
from lit_gan.losses import Hinge
from lit_gan.module import GAN
from test_choices import ABSENT, COMPANIONS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
SMALL = ["++model.width=4", "batch_size=4", "metrics=none", "callbacks=none", "ema=0.9", "ema_start=0"]
SMALL += ["optim.decay_start=0", "optim.decay_end=9"]
GROUPS = ("model", "loss", "labels", "reg", "order", "optim", "data")
ADAM = {f"sngan_{setting}" for setting in "bcdef"} | {"ttur"}
"""Choices that differ from `adam` and `sngan_a` in numbers alone."""
CHOICES = [f"{group}={choice}" for group in GROUPS for choice in choices(group) if choice not in ABSENT | ADAM]
PLAIN = {group: ["reg=none", "data.image_size=16"] for group in ("loss", "labels", "order", "optim")}
PLAIN |= {"data": ["reg=none"], "model": ["reg=none"], "reg": ["data.image_size=16"]}
"""Small games, in which the choices of a group show what they do."""
MORE = {"reg=top_k": ["reg.top_k.gamma=0.5", "reg.top_k.interval=1"], "data=digits": ["dequantize=true"]}
"""Settings with which a choice does all that it can do, or from the second update on."""
CUDA = torch.device("cuda", 0)


@lru_cache(maxsize=2)  # a choice is played twice in a row
def shared(choice):
    """The config, the game and the data of a choice, on the CPU; nobody trains this game itself."""
    words = [*PLAIN[choice.partition("=")[0]], *COMPANIONS.get(choice, []), choice, *MORE.get(choice, []), *SMALL]
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        config = hydra.compose("train", words)
    gan = build_gan(config)
    if "virtual_batch_norm" in gan.regs:
        # waits once, before the first update of a process: whether a resume has brought the reference batch along
        gan.regs["virtual_batch_norm"].waits = False
    return config, gan, build_data(config, build_source(config))


@pytest.fixture
def built():
    """The config, a game and the data of a choice: built("loss=hinge")."""

    def build(choice):
        config, gan, data = shared(choice)
        return config, copy.deepcopy(gan), data

    return build


class Meta(SingleDeviceStrategy):
    """Trains on the meta device."""

    def __init__(self):
        super().__init__(torch.device("meta"), accelerator=CPUAccelerator())

    def setup_environment(self):
        """Lightning's own expects another device of a CPU."""

    def reduce(self, tensor, *_, **__):
        """Lightning counts the batches before the first one, and waits for it."""
        return 1

    def teardown(self):
        """Lightning's own would bring the weights back, of which there are none."""


def train_on_meta(config, gan, data, monkeypatch):
    """Two whole updates, from the data to the moving average."""
    for maker in (gan.optim.d, gan.optim.g):
        if "fused" in maker.keywords:
            monkeypatch.setitem(maker.keywords, "fused", False)  # is for real devices, and for fake ones, only
    quiet = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    own = {"max_steps": 2, "max_epochs": -1, "limit_train_batches": 2, "logger": False}
    trainer = Trainer(strategy=Meta(), callbacks=[MovingAverage(), LearningRates()], **own, **quiet)
    trainer.fit(gan, data)
    assert trainer.global_step == 2
    assert {part.device.type for part in (*gan.parameters(), *gan.buffers())} == {"meta"}


class Lightnings:
    """An optimizer in as much of Lightning's wrapping as the game looks at."""

    def __init__(self, optimizer):
        self.optimizer, self.param_groups = optimizer, optimizer.param_groups
        self.step, self.zero_grad = optimizer.step, optimizer.zero_grad


class Played(GAN):
    """A game without a Trainer, in the middle of a training, whose gradients hold no numbers.

    torch's backward passes do not start for a CUDA device that is not there.
    """

    global_step, world_size = 5000, 1

    @property
    def trainer(self):
        return self

    def optimizers(self):
        return self.made

    def manual_backward(self, objective):
        assert (objective.device, objective.shape, objective.requires_grad) == (CUDA, (), True)
        for parameter in self.parameters():
            parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None

    def uncounted_step(self, optimizer):
        optimizer.step()


class Apart(TorchDispatchMode):
    """Refuses to copy tensors from one device to another, at which a GPU is waited for."""

    def __torch_dispatch__(self, operation, types, arguments=(), settings=None):
        out = operation(*arguments, **(settings or {}))
        if operation in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            devices = {each.device for each in (*arguments, out) if isinstance(each, Tensor)}
            assert len(devices) == 1, f"{operation} goes from one device to another"
        return out


def gradient_without_numbers(outputs, inputs, **_):
    """In place of torch.autograd.grad: the shapes, with a graph."""
    inputs = [inputs] if isinstance(inputs, Tensor) else inputs
    return tuple(torch.empty_like(each) + 0 * outputs for each in inputs)


@contextmanager
def fake_cuda(gan):
    """A copy of a game on a CUDA device that is not there."""
    mode = FakeTensorMode()
    with FakeCopyMode(mode):
        gan = copy.deepcopy(gan)
    for part in (*gan.parameters(), *gan.buffers()):
        part.fake_device = CUDA
    with mode, FakeCopyMode(mode):  # the second for games that copy their players
        yield gan


def play_on_fake_cuda(config, gan, data, monkeypatch):
    """One update with the optimizers as chosen, fused ones too."""
    stored = data.source.split("train").images
    n = config.batch_size * config.optim.n_dis
    monkeypatch.setattr(torch.autograd, "grad", gradient_without_numbers)
    with fake_cuda(gan) as gan:
        gan.__class__ = Played
        gan.made = [Lightnings(optimizer) for optimizer in gan.configure_optimizers()[0]]
        x = torch.zeros(n, *stored.shape[1:], dtype=stored.dtype, device=CUDA)
        y = torch.zeros(n, dtype=torch.long, device=CUDA)
        with Apart():
            gan.training_step(data.on_after_batch_transfer((x, y), 0), 0)
            gan.G_ema.update_from(gan.G, 1)
    assert {part.device for part in (*gan.parameters(), *gan.buffers())} == {CUDA}


@pytest.mark.parametrize("play", [train_on_meta, play_on_fake_cuda])
@pytest.mark.parametrize(
    "choice", [pytest.param(each, marks=pytest.mark.slow if each == "model=resnet101" else []) for each in CHOICES]
)
def test_an_update_waits_for_nothing_and_leaves_nothing_on_the_cpu(built, choice, play, monkeypatch):
    play(*built(choice), monkeypatch)


class Waiting(Hinge):
    """Looks at a number."""

    def g(self, turn):
        return super().g(turn) * (1 if turn.fake.logits.mean().item() > 0 else 2)


class Astray(Hinge):
    """Computes with a tensor of the CPU."""

    def g(self, turn):
        return super().g(turn) + (turn.fake.logits * torch.ones(len(turn.fake.logits))).mean()


class Copying(Hinge):
    """Sends a tensor to the device."""

    def g(self, turn):
        return super().g(turn) + (turn.fake.logits * torch.ones(len(turn.fake.logits)).to(turn.fake.logits)).mean()


@pytest.mark.parametrize(
    ("loss", "play"),
    [(Waiting, train_on_meta), (Astray, train_on_meta)]
    + [(loss, play_on_fake_cuda) for loss in (Waiting, Astray, Copying)],
)
def test_an_update_that_waits_or_strays_is_seen(built, loss, play, monkeypatch):
    config, gan, data = built("order=alternating")
    gan.loss = loss()
    with pytest.raises((RuntimeError, AssertionError), match=r"item\(\)|_local_scalar_dense|device"):
        play(config, gan, data, monkeypatch)
