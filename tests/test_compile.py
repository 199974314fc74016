"""compile=true: the same gradients, whatever differentiates them, and nothing that copies and checkpoints notice."""

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn
from torch.nn.utils import parametrize

from conftest import choices
from lit_gan.build import build_data, build_gan, build_source
from lit_gan.callbacks import essential_callbacks
from lit_gan.callbacks.compilation import Compilation
from lit_gan.compilation import compile_calls, compiler_of
from lit_gan.errors import UserError
from lit_gan.layers import LargestSingularValue
from trainers import quiet_trainer

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning"),
    pytest.mark.timeout(1800),  # where others keep the cores busy, a compiler takes minutes
]
GAMES = Path(__file__).parent / "compiled_games.py"
CPU = compiler_of(torch.device("cpu"))


def compared(compiler, *games):
    """What compiled_games.py says of each of these games."""
    command = [
        sys.executable,
        GAMES,
        compiler,
        json.dumps([[game] if isinstance(game, str) else game for game in games]),
    ]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


CALLS = {
    "reg=none": 10,  # G, D of real and D of generated samples, then G and D, and that twice
    "reg=spectral": 10,
    "reg=gradient_penalty": 10,  # besides, it asks for D's slope itself
    "reg=r1": 8,  # it asks for the slope of D's verdict on real samples
    "reg=unrolled": 8,  # G meets a copy of D
}
POINTS = ["data=gaussians", "model=mlp", "model.width=8"]
IMAGES = ["data.image_size=16", "model=sngan_cnn", "model.width=4"]


def test_games_have_the_same_gradients_and_what_is_differentiated_once_is_compiled():
    for (game, calls), found in zip(CALLS.items(), compared("aot", *([*POINTS, reg] for reg in CALLS)), strict=True):
        assert found["apart"] < 1, (game, found)
        assert found["calls"] == calls, game


CHOICES = [f"{group}={name}" for group in ("reg", "labels", "loss") for name in choices(group)]
NEEDS = {loss: ["model=autoencoder"] for loss in ("loss=began", "loss=ebgan")}
NEEDS |= {"loss=multi_hinge": ["labels=multi_hinge"]}
NEEDS |= {reg: ["model=stylegan2"] for reg in ("reg=path_length", "reg=style_mixing")}
PLACES = {"autoencoder_mlp": "gaussians", "mlp": "gaussians", "dirac": "dirac", "text_resnet": "text"}
MODELS = [[f"model={name}", f"data={PLACES.get(name, 'digits')}", "reg=none"] for name in choices("model")]


@pytest.mark.slow
def test_every_choice_has_the_same_gradients():
    """In the layout that torch.compile's stand-in for tests expects of group normalisation."""
    games = [[*IMAGES, choice, "channels_last=false", *NEEDS.get(choice, [])] for choice in CHOICES] + MODELS
    for game, found in zip(games, compared("aot", *games), strict=True):
        assert found["apart"] < 1, (game, found)
        assert found["calls"] >= (6 if "reg=logan" in game else 8), game  # where D's turn differentiates G, too


@pytest.mark.slow
def test_the_compiler_itself_has_the_same_gradients():
    names = ("spectral", "weight_norm", "batch_norm", "layer_norm", "instance_norm", "gradient_penalty", "unrolled")
    last = ("labels=projection", "reg=[minibatch_discrimination,spectral]")
    games = [[*IMAGES, choice] for choice in (*(f"reg={name}" for name in names), *last)]
    for game, found in zip(games, compared("inductor", *games), strict=True):
        assert found["apart"] < 1, (game, found)


class Judge(nn.Module):
    """A D whose logits are half the sum of squares of W x."""

    def __init__(self, compiler=None):
        super().__init__()
        self.layer = nn.Linear(3, 4, bias=False, dtype=torch.double)
        with torch.no_grad():
            self.layer.weight.copy_(torch.arange(12).view(4, 3) / 10)
        if compiler:
            compile_calls(self, **compiler)

    def forward(self, x, y=None):
        return self.layer(x).square().sum(1) / 2


AOT = {"backend": "aot_eager"}
X = torch.tensor([[1.0, -2.0, 3.0], [0.5, 1.0, -1.0]], dtype=torch.double)


def squared_slope(D):
    """Mean of |W^T W x|^2, differentiated by W."""
    x = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    return D.layer.weight.grad


def test_a_slope_is_differentiated_by_the_weights():
    assert torch.equal(squared_slope(Judge(AOT)), squared_slope(Judge()))


def test_what_differentiates_a_compiled_call_twice_is_refused():
    by_the_input = Judge(AOT).requires_grad_(False)
    x = X.clone().requires_grad_()
    with pytest.raises(UserError, match=r"compile=true does not go with .* set compile=false"):
        torch.autograd.grad(by_the_input(x).sum(), x, create_graph=True)
    by_the_weights = Judge(AOT)
    with pytest.raises(UserError, match="compile=true does not go with"):
        torch.autograd.grad(by_the_weights(X).sum(), by_the_weights.layer.weight, create_graph=True)


def test_copies_are_not_compiled_and_names_stay():
    D = Judge(AOT)
    assert D._compiled_call_impl is not None
    for other in (copy.deepcopy(D), pickle.loads(pickle.dumps(D))):
        assert other._compiled_call_impl is None
        assert torch.equal(other(X), D(X))
    assert D.state_dict().keys() == Judge().state_dict().keys()


def test_what_torch_cannot_compile_is_said_in_a_sentence():
    def broken(graph, inputs):
        raise OSError("no compiler\n\nin any folder")

    with pytest.raises(
        UserError, match=r"compile=true cannot be had here, .*no compiler.*: set compile=false"
    ) as caught:
        Judge({"backend": broken})(X)
    assert "\n" not in str(caught.value)


def test_what_a_network_refuses_it_says_itself():
    class Strict(Judge):
        def forward(self, x, y=None):
            if len(x) == 1:
                raise UserError("batch_size=1 is too small.")
            return super().forward(x)

    with pytest.raises(UserError, match="batch_size=1 is too small"):
        Strict(AOT)(X[:1])


class Divided(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.norm = LargestSingularValue(weight)

    def forward(self, weight):
        return weight / self.norm(weight)


def test_vectors_that_move_in_each_pass_leave_the_gradient_right():
    """With torch's own choice of what a backward pass computes anew it would be wrong, and two passes be refused."""
    D = Judge()
    parametrize.register_parametrization(D.layer, "weight", Divided(D.layer.weight.detach()), unsafe=True)
    other = copy.deepcopy(D)
    compile_calls(other, **CPU)
    for network in (D, other):
        (network(X).sum() + 2 * network(2 * X).sum()).backward()
    for mine, theirs in zip(other.parameters(), D.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)
    for mine, theirs in zip(other.buffers(), D.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_only_a_game_that_wants_it_is_compiled(compose):
    default, on = (build_gan(compose(*words)) for words in ((), ("compile=true",)))
    assert not any(isinstance(callback, Compilation) for callback in essential_callbacks(default))
    first, *_ = essential_callbacks(on)
    first.on_fit_start(None, on)
    assert all(network._compiled_call_impl is not None for network in (on.G, on.D))


TINY = ["data.image_size=16", "model.width=4", "batch_size=8", "metrics=none", "updates_per_epoch=3", "ema=0.9"]


def train(directory, *words, **environment):
    command = [
        sys.executable,
        "-m",
        "lit_gan.train",
        "trainer.accelerator=cpu",
        f"hydra.run.dir={directory}",
        *TINY,
        *words,
    ]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, encoding="utf-8", check=False)


@torch.no_grad()
def outputs(directory):
    """What the players of the last checkpoint make of the same numbers: images, those of the average, and logits."""
    gan = build_gan(OmegaConf.load(directory / ".hydra" / "config.yaml"))
    gan.load_state_dict(torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])
    torch.manual_seed(2)
    players = gan.eval()
    return players.G(gan.G.draw(8)), players.G_ema.G(gan.G.draw(8)), players.D(torch.randn(8, *gan.G.shape)).logits


@pytest.mark.slow
def test_a_run_is_gone_on_with_compiled_or_not(tmp_path):
    for name, words in {"on": "true", "off": "false"}.items():
        ended = train(tmp_path / name, "updates=6", f"compile={words}")
        assert ended.returncode == 0, ended.stderr
    for before, after in (("true", "true"), ("true", "false"), ("false", "true")):
        place = tmp_path / f"{before} {after}"
        assert train(place, "updates=3", f"compile={before}").returncode == 0
        resumed = [sys.executable, "-m", "lit_gan.train", f"resume={place}", "updates=6", f"compile={after}"]
        subprocess.run(resumed, check=True)
        undisturbed = outputs(tmp_path / ("on" if after == "true" else "off"))
        for mine, theirs in zip(outputs(place), undisturbed, strict=True):
            assert torch.equal(mine, theirs) if before == after else torch.allclose(mine, theirs, rtol=0, atol=2e-3)


@pytest.mark.slow
def test_without_a_compiler_a_training_is_refused(tmp_path):
    nowhere = {"CXX": "/nowhere/g++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    ended = train(tmp_path / "run", "updates=3", "compile=true", **nowhere)
    assert ended.returncode == 1
    assert "compile=true cannot be had here" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_two_processes_compile(tmp_path):
    ended = train(tmp_path, "updates=3", "compile=true", "trainer.devices=2")
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "results.json").read_text())["status"] == "finished"


@pytest.mark.gpu
@pytest.mark.parametrize("order", ["alternating", "simultaneous", "extragradient"])
def test_cuda_graphs_train_as_calls_do(compose, order):
    after = []
    for on in ("true", "false"):
        config = compose("data.channels=3", f"order={order}", "ema=0.9", "trainer=gpu", f"compile={on}")
        gan = build_gan(config)
        quiet_trainer(gan, 5, accelerator="gpu").fit(gan, build_data(config, build_source(config)))
        after.append(gan.cpu())
    for mine, theirs in zip(after[0].parameters(), after[1].parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-2, atol=1e-3)
