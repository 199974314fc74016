"""channels_last: the layout from the batch to D's last convolution, and that it changes nothing but the speed."""

import copy

import pytest
import torch
from torch import nn

from lit_gan.build import build_data, build_gan, build_source
from lit_gan.callbacks import RandomState
from lit_gan.game import Turn
from lit_gan.layers import as_matrix, operators, out_axis
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
SMALL = ("data.image_size=32", "data.channels=3", "model.width=16", "batch_size=8", "trainer.accelerator=cpu")
IMAGE_MODELS = ("dcgan", "sngan_cnn", "sngan_resnet", "wgan_gp_resnet", "upsample_dcgan", "autoencoder")
REGS = ("spectral", "[gradient_penalty,orthonormal]", "[batch_norm,diff_augment]", "[layer_norm,weight_norm]")
BEHIND_LINEAR = dict.fromkeys(IMAGE_MODELS, 1) | {"sngan_resnet": 2, "wgan_gp_resnet": 2, "autoencoder": 2}
"""Convolutions that read what a linear layer gives: two in a residual block, in an autoencoder that of its decoder."""


def in_channels_last(x):
    return x.is_contiguous(memory_format=torch.channels_last)


def turns(gan, x):
    y = torch.zeros(len(x), dtype=torch.long)
    return [Turn(player, gan.G, gan.D, x, y, gan.G.draw(len(x)), gan) for player in ("d", "g")]


@pytest.mark.parametrize("reg", REGS)
@pytest.mark.parametrize("model", IMAGE_MODELS)
def test_no_convolution_has_to_copy_its_input(compose, model, reg):
    """But for those behind a linear layer, which are the first of G and of a decoder."""
    loss = "began" if model == "autoencoder" else "hinge"
    gan = build_gan(compose(f"model={model}", f"loss={loss}", f"reg={reg}", *SMALL))
    copied = set()

    def look(name, layer):
        def before(_, args):
            if not in_channels_last(args[0]):
                copied.add(name)

        layer.register_forward_pre_hook(before)

    for network in (gan.G, gan.D):
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                assert in_channels_last(layer.weight), name
                look(f"{type(network).__module__}.{type(network).__name__}.{name}", layer)
    for move in moves_of(gan, (torch.randn(8, 3, 32, 32), torch.zeros(8, dtype=torch.long))):
        for reg in gan.regs.values():
            reg.stage(move[0])
        sum(gan.terms(move[0]).values()).backward()
    assert len(copied) <= BEHIND_LINEAR[model], copied


def moves_of(gan, batch):
    """The moves of an update, without a trainer."""
    x, y = batch
    return [gan.move(player, x.to(gan.dtype, memory_format=gan.layout), y) for player in ("d", "g")]


@pytest.mark.parametrize("reg", REGS)
@pytest.mark.parametrize("model", IMAGE_MODELS)
def test_it_changes_no_gradient_but_by_rounding(compose, model, reg):
    loss = "began" if model == "autoencoder" else "hinge"
    overrides = (f"model={model}", f"loss={loss}", f"reg={reg}", *SMALL)
    gradients = []
    for on in ("true", "false"):
        gan = build_gan(compose(*overrides, f"channels_last={on}")).double()
        torch.manual_seed(1)
        for turn in turns(gan, torch.randn(8, 3, 32, 32).double()):
            for reg in gan.regs.values():
                reg.stage(turn)
            sum(gan.terms(turn).values()).backward()
        gradients.append({name: p.grad for name, p in gan.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-6, atol=1e-9, msg=name)


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(3, 8, 4), nn.ConvTranspose2d(3, 8, 4), nn.Linear(3, 8), nn.Conv1d(3, 8, 4)]
)
def test_a_weight_is_a_matrix_without_a_copy(layer):
    layer.to(memory_format=torch.channels_last)
    matrix = as_matrix(layer.weight, out_axis(layer))
    assert matrix.shape == (8, layer.weight.numel() // 8)
    assert matrix.data_ptr() == layer.weight.data_ptr()
    rows = layer.weight.movedim(out_axis(layer), 0).flatten(1)
    torch.testing.assert_close(matrix @ matrix.T, rows @ rows.T)


def test_what_it_is_turned_off_by(compose):
    layouts = [build_gan(compose("data.channels=3", f"channels_last={on}")).layout for on in ("true", "false")]
    assert layouts == [torch.channels_last, torch.contiguous_format]
    assert build_gan(compose("experiment=wgan_gp_gaussians")).layout is torch.contiguous_format


def trained(config, updates, checkpoint=None, path=None):
    gan, data = build_gan(config), build_data(config, build_source(config))
    trainer = quiet_trainer(gan, updates, RandomState(0), limit_train_batches=1000)
    trainer.fit(gan, data, ckpt_path=checkpoint, weights_only=True)
    if path:
        trainer.save_checkpoint(path)
    return gan, trainer


@pytest.mark.parametrize(("before", "after"), [("false", "true"), ("true", "false"), ("true", "true")])
@pytest.mark.parametrize("optim", ["adam", "rmsprop"])
def test_a_checkpoint_of_either_layout_is_gone_on_with_in_either(compose, tmp_path, optim, before, after):
    """The fused steps of Adam go through weight and memory as they lie, and nothing would say that these differ."""
    overrides = ("reg=spectral", "ema=0.9", f"optim={optim}", *SMALL)
    configs = [compose(*overrides, f"channels_last={on}") for on in (before, after)]
    trained(configs[0], 3, path=tmp_path / "a.ckpt")
    gan, trainer = trained(configs[1], 6, checkpoint=tmp_path / "a.ckpt")
    undisturbed, _ = trained(configs[1], 6)
    for optimizer in trainer.optimizers:
        for parameter, state in optimizer.state.items():
            layouts = {value.stride() for value in state.values() if value.dim() == 4}
            assert layouts <= {parameter.stride()}
    for mine, theirs in zip(outputs(gan), outputs(undisturbed), strict=True):
        if before == after:
            assert torch.equal(mine, theirs)
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def outputs(gan):
    """A bias that batch normalisation takes out again moves at random, and changes no output."""
    torch.manual_seed(2)
    return gan.G.eval()(gan.G.draw(8)), gan.D.eval()(torch.randn(8, *gan.G.shape)).logits


def test_the_memory_of_the_optimizers_is_laid_out_as_the_weights_are(compose):
    gan = build_gan(compose("data.channels=3"))
    saved = torch.randn(8, 3, 4, 4), torch.tensor(3.0), 1, torch.randn(2, 3)
    checkpoint = {"optimizer_states": [{"state": {0: dict(enumerate(saved))}}]}
    gan.on_load_checkpoint(checkpoint)
    images, *others = checkpoint["optimizer_states"][0]["state"][0].values()
    assert in_channels_last(images)
    assert torch.equal(images, saved[0])
    assert all(other is before for other, before in zip(others, saved[1:], strict=True))


def test_a_copy_and_a_save_keep_it(compose, tmp_path):
    gan = build_gan(compose("data.channels=3", "ema=0.9"))
    torch.save(gan.state_dict(), tmp_path / "weights")
    for network in (copy.deepcopy(gan.G), gan.G_ema.G):
        assert all(in_channels_last(layer.weight) for layer in operators(network) if layer.weight.dim() == 4)
    assert all(in_channels_last(value) for value in torch.load(tmp_path / "weights").values() if value.dim() == 4)
