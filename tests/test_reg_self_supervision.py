"""Tasks for D without labels: turned images and local features, against sums done by hand.

On the same features as mimicry the term of SSGAN differs by 6e-7, as it is taken in single precision, and that of
InfoMax-GAN by 4e-6, for which the image's own other positions stay in mimicry's sum, and by nothing with them.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from lit_gan.errors import UserError
from lit_gan.game import Turn
from lit_gan.models import autoencoder, biggan_deep, dcgan, mlp, r3gan, sngan_resnet
from lit_gan.reg.adaptive import ADA, APA
from lit_gan.reg.inputs import DiffAugment
from lit_gan.reg.minibatch import MinibatchDiscrimination
from lit_gan.reg.self_supervision import SSGAN, InfoMax, info_nce, turned
from lit_gan.reg.virtual import VirtualBatchNorm
from lit_gan.reg.weights import SpectralNorm

IMAGE = (1, 16, 16)


def players(*regs):
    G, D = dcgan.Generator(IMAGE, z_dim=3, width=2), dcgan.Discriminator(IMAGE, width=2)
    for reg in regs:
        reg.attach(G, D)
    return G, D


def turn_of(player, G, D, n=6):
    return Turn(player, G, D, torch.rand(n, *G.shape), torch.zeros(n, dtype=torch.long), G.draw(n))


# SSGAN


def test_every_fourth_image_is_turned_by_each_angle():
    x, y = torch.rand(6, 2, 3, 3), torch.arange(6)
    images, labels, quarters = turned(x, y)
    assert quarters.tolist() == [0, 0, 1, 1, 2, 3]
    assert labels.tolist() == [0, 4, 1, 5, 2, 3]
    for image, label, quarter in zip(images, labels, quarters, strict=True):
        expected = x[label]
        for _ in range(quarter):
            expected = expected.transpose(1, 2).flip(1)
        assert torch.equal(image, expected)


def test_who_does_not_know_pays_log_4_and_each_player_its_own_weight():
    reg = SSGAN(d_weight=2, g_weight=0.5)
    G, D = players(reg)
    torch.nn.init.zeros_(D.heads["ssgan"].weight)
    torch.nn.init.zeros_(D.heads["ssgan"].bias)
    assert reg.objective(turn_of("d", G, D)).item() == pytest.approx(2 * math.log(4))
    assert reg.objective(turn_of("g", G, D)).item() == pytest.approx(0.5 * math.log(4))


def test_d_learns_of_real_images_and_g_of_its_own():
    reg = SSGAN()
    G, D = players(reg)
    reg.objective(turn_of("d", G, D)).backward()
    assert D.body[0].weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in G.parameters())
    reg.objective(turn_of("g", G, D)).backward()
    assert all(parameter.grad is not None for parameter in G.parameters())
    turn = turn_of("g", G, D)
    turn.x_real = None  # G's turn asks for none
    assert reg.objective(turn).isfinite()


def test_turns_of_an_image_with_a_corner_are_learned():
    torch.manual_seed(0)
    reg = SSGAN()
    G, D = players(reg)
    optimizer = torch.optim.Adam(D.parameters(), 0.01)
    for _ in range(60):
        turn = turn_of("d", G, D, 16)
        turn.x_real = torch.rand(16, *IMAGE) / 2
        turn.x_real[..., :4, :4] = 1
        optimizer.zero_grad()
        term = reg.objective(turn)
        term.backward()
        optimizer.step()
    assert term < 0.2


def test_what_is_not_square_is_refused():
    with pytest.raises(UserError, match=r"reg=ssgan turns square images .*\[2\]"):
        SSGAN().attach(mlp.Generator((2,), width=2), mlp.Discriminator((2,), width=2))


def quarters_by_corner(policy, multipliers=None):
    """How often a corner that was on top on the left is in each of the four, by the quarter that D is to tell."""
    reg = ADA(policy, multipliers, p=1, target=None)
    x = torch.zeros(4000, 1, 16, 16)
    x[..., 4:6, 4:6] = 1
    images, _, quarters = turned(reg.augmented(x), torch.zeros(4000, dtype=torch.long))
    halves = images.unflatten(2, (2, 8)).unflatten(4, (2, 8)).sum((1, 3, 5)).flatten(1)
    counts = torch.zeros(4, 4)
    return counts.index_put_((quarters, halves.argmax(1)), torch.ones(4000), accumulate=True) / 1000


@pytest.mark.parametrize("word", ["rotate_90", "rotation"])
def test_an_augmentation_that_turns_images_leaves_d_nothing_to_tell_and_is_refused(word):
    torch.testing.assert_close(quarters_by_corner(["x_flip", word]), torch.full((4, 4), 0.25), atol=0.08, rtol=0)
    reg, ada = SSGAN(), ADA(["x_flip", word])
    ada.name = "ada"
    with pytest.raises(UserError, match=r"reg=ssgan .* reg=ada .*: leave rotate_90 and rotation out of reg.ada.policy"):
        reg.check_others({"ada": ada, "ssgan": reg})


def test_an_augmentation_that_leaves_images_upright_goes_with_ssgan():
    for policy, multipliers in ((["integer_shift", "hue"], None), (["rotate_90", "hue"], {"rotate_90": 0})):
        shares = quarters_by_corner(policy, multipliers)
        assert torch.equal(shares.amax(1), torch.ones(4))
        reg = SSGAN()
        reg.check_others({"ada": ADA(policy, multipliers), "apa": APA(), "ssgan": reg, "cut": DiffAugment()})


# InfoMax-GAN


def test_equal_features_pay_the_log_of_how_many_there_are():
    for n, positions in ((4, 9), (2, 1), (3, 16)):
        loss = info_nce(torch.ones(n, 5, positions), torch.ones(n, 5))
        assert loss.item() == pytest.approx(math.log(1 + (n - 1) * positions), rel=1e-5)


def test_a_single_image_pays_nothing_and_has_a_gradient():
    local = torch.randn(1, 5, 4, requires_grad=True)
    loss = info_nce(local, torch.randn(1, 5))
    loss.backward()
    assert loss == 0
    assert torch.equal(local.grad, torch.zeros_like(local))


def test_the_term_is_the_sum_over_pairs_written_out():
    local, whole = torch.randn(3, 4, 2), torch.randn(3, 4)
    terms = []
    for i in range(3):
        for p in range(2):
            own = (local[i, :, p] @ whole[i]).exp()
            others = sum((local[j, :, q] @ whole[i]).exp() for j in range(3) if j != i for q in range(2))
            terms.append(-(own / (own + others)).log())
    torch.testing.assert_close(info_nce(local, whole), torch.stack(terms).mean())


@pytest.mark.parametrize("player", ["d", "g"])
def test_local_and_whole_features_are_ds_own(player):
    reg = InfoMax(d_weight=1, g_weight=1, size=8)
    G, D = players(reg)
    turn = turn_of(player, G, D)
    verdict, x = (turn.real, turn.x_real) if player == "d" else (turn.fake, turn.x_fake)
    local = D.local_projector(F.leaky_relu(D.body[0](x), 0.2)).flatten(2)
    torch.testing.assert_close(reg.objective(turn), info_nce(local, D.heads["info_max"](verdict.features)))
    reg.objective(turn).backward()
    learned = [D] if player == "d" else [D, G]
    assert all(
        p.grad is not None
        for net in learned
        for p in net.parameters()
        if p is not D.head.weight and p is not D.head.bias
    )
    assert player == "g" or all(p.grad is None for p in G.parameters())


@pytest.mark.parametrize(("reg", "look"), [(SSGAN(), "error"), (InfoMax(size=4), "contrast")])
@pytest.mark.parametrize("player", ["d", "g"])
def test_d_sees_samples_with_their_own_labels(reg, look, player, monkeypatch):
    G, D = players(reg)
    turn, seen = turn_of(player, G, D), []
    turn.y_fake = turn.y + 1
    original = getattr(reg, look)
    monkeypatch.setattr(reg, look, lambda turn, x, y: seen.append((x, y)) or original(turn, x, y))
    reg.objective(turn)
    ((x, y),) = seen
    assert (x is turn.x_real, x is turn.x_fake) == (player == "d", player == "g")
    assert set(y.tolist()) == ({0} if player == "d" else {1})


def test_it_goes_with_residual_blocks_spectral_norm_and_closeness():
    for name in ("resnet", "dcgan"):
        shape = (3, 32, 32) if name == "resnet" else IMAGE
        G = dcgan.Generator(shape, z_dim=3, width=2)
        D = sngan_resnet.Discriminator(shape, width=2) if name == "resnet" else dcgan.Discriminator(shape, width=2)
        for reg in (info := InfoMax(size=4), MinibatchDiscrimination(3, 2), SpectralNorm()):
            reg.attach(G, D)
        assert info.objective(turn_of("d", G, D)).isfinite()


@pytest.mark.parametrize("D", [r3gan.Discriminator(IMAGE, width=8), biggan_deep.Discriminator((1, 32, 32), width=4)])
def test_it_finds_local_features_before_the_last_block(D):
    G, reg = (
        dcgan.Generator((1, 32, 32) if isinstance(D, biggan_deep.Discriminator) else IMAGE, width=2),
        InfoMax(size=4),
    )
    reg.attach(G, D)
    assert reg.objective(turn_of("d", G, D)).isfinite()


def test_a_reference_batch_in_d_is_refused():
    reg, reference = InfoMax(size=4), VirtualBatchNorm(network="d", n_reference=2)
    G, D = players(reference, reg)
    with pytest.raises(UserError, match=r"reg=info_max .* reg\.virtual_batch_norm\.network=g"):
        reg.check(G, D)


def test_the_term_of_a_mixed_precision_is_in_full_precision():
    local, whole = torch.randn(3, 16, 4).bfloat16(), torch.randn(3, 16).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = info_nce(local, whole)
    torch.testing.assert_close(mixed, info_nce(local.float(), whole.float()))


@pytest.mark.parametrize("D", [mlp.Discriminator(IMAGE, width=4), autoencoder.Discriminator(IMAGE, width=2)])
def test_a_d_without_a_map_is_refused(D):
    with pytest.raises(UserError, match="reg=info_max compares"):
        InfoMax().attach(dcgan.Generator(IMAGE, z_dim=3, width=2), D)
