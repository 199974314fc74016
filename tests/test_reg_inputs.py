"""What D is shown: noise, augmentations, old samples and packs, against counts and sums done by hand.

From the same seed DiffAugment and the authors' PyTorch code differ by 1e-6 in colours, and translations and cutouts are
equal.
"""

from functools import partial

import pytest
import torch
from hydra.utils import instantiate
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lit_gan.errors import UserError
from lit_gan.game import Discriminator, Labelled, Layers, Turn
from lit_gan.losses import Hinge, Wasserstein
from lit_gan.models import dcgan, mlp, sngan_cnn, sngan_resnet
from lit_gan.module import GAN
from lit_gan.optim import Optimizers
from lit_gan.order import Alternating
from lit_gan.reg import inputs
from lit_gan.reg.inputs import DiffAugment, ExperienceReplay, FlipAndShift, InstanceNoise, PacGAN, Pack
from lit_gan.reg.weights import SpectralNorm
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
ADAM = partial(torch.optim.Adam, lr=0.01, betas=(0.5, 0.9))
IMAGE = (1, 16, 16)


def fit(gan, updates=2, batch=4, **settings):
    x = torch.randn(updates * batch * gan.optim.n_dis, *gan.G.shape).clamp(-1, 1)
    loader = DataLoader(TensorDataset(x, torch.zeros(len(x), dtype=torch.long)), batch * gan.optim.n_dis)
    quiet_trainer(gan, updates, **settings).fit(gan, loader)
    return gan


def images(regs, n_dis=1):
    G, D = dcgan.Generator(IMAGE, z_dim=3, width=2), dcgan.Discriminator(IMAGE, width=2)
    return GAN(G, D, Hinge(), regs, Optimizers(n_dis, ADAM, ADAM), Alternating())


# Instance noise


@pytest.mark.parametrize("player", ["d", "g"])
def test_instance_noise_has_its_variance_on_real_and_fake_in_both_turns(make_turn, linear_d, player):
    real, fake = torch.randn(20000, 2), torch.randn(20000, 2)
    turn = make_turn(player, linear_d([1.0, 1.0]), real, fake)
    InstanceNoise(sigma=0.3).stage(turn)
    noise = turn.x_real - real, turn.x_fake - fake
    for part in noise:
        assert part.mean().abs() < 0.01
        assert part.std().item() == pytest.approx(0.3, rel=0.02)
    assert abs((noise[0] * noise[1]).mean()) < 0.002  # independent


def test_instance_noise_falls_linearly_to_zero_in_generator_updates(make_turn, linear_d):
    reg, sizes = InstanceNoise(sigma=0.4, until=4), []
    for _ in range(6):
        sizes.append(reg.present.item())
        for player in "ddg":
            reg.project(make_turn(player, linear_d([1.0, 1.0]), torch.zeros(2, 2)))
    assert sizes == pytest.approx([0.4, 0.3, 0.2, 0.1, 0, 0])
    other = InstanceNoise(sigma=0.4, until=8)
    other.load_state_dict(reg.state_dict())
    assert other.present.item() == pytest.approx(0.1)


def test_constant_instance_noise_stays(make_turn, linear_d):
    reg = InstanceNoise(sigma=0.4)
    reg.project(make_turn("g", linear_d([1.0, 1.0]), torch.zeros(2, 2)))
    assert reg.present.item() == pytest.approx(0.4)


def test_what_d_has_said_of_other_samples_is_forgotten(make_turn, linear_d):
    turn = make_turn("g", linear_d([1.0, 1.0]), torch.zeros(4, 2), torch.zeros(4, 2))
    before = turn.real.logits, turn.fake.logits
    InstanceNoise(sigma=1.0).stage(turn)
    assert not torch.equal(turn.real.logits, before[0])
    assert not torch.equal(turn.fake.logits, before[1])


@pytest.mark.parametrize("settings", [{"sigma": -0.1}, {"until": 0}])
def test_impossible_instance_noise_is_refused(settings):
    with pytest.raises(UserError, match=rf"^InstanceNoise\.{next(iter(settings))}="):
        InstanceNoise(**settings)


# DiffAugment


@pytest.mark.parametrize("player", ["d", "g"])
@pytest.mark.parametrize("policy", [["color"], ["translation"], ["cutout"], ["color", "translation", "cutout"]])
def test_diff_augment_changes_both_kinds_in_both_turns_and_lets_gradients_through(make_turn, player, policy):
    D = dcgan.Discriminator((3, 16, 16), width=2)
    real, fake = torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16, requires_grad=player == "g")
    turn = make_turn(player, D, real, fake)
    DiffAugment(policy).stage(turn)
    assert not torch.equal(turn.x_real, real)
    assert not torch.equal(turn.x_fake, fake)
    assert turn.x_fake.requires_grad is (player == "g")
    if player == "g":
        turn.fake.logits.sum().backward()
        assert fake.grad.flatten(1).abs().sum(1).gt(0).all()


def test_gradients_of_augmented_images_move_g():
    gan = images({"a": DiffAugment()}, n_dis=2)
    before = gan.G.body[0].weight.detach().clone()
    fit(gan, 2, precision="bf16-mixed")
    assert not torch.equal(gan.G.body[0].weight, before)
    assert gan.G.body[0].weight.isfinite().all()


def test_brightness_adds_one_number_to_each_image():
    shift = inputs.brightness(torch.zeros(4000, 3, 2, 2)).flatten(1)
    assert torch.equal(shift, shift[:, :1].expand_as(shift))
    assert -0.5 <= shift.min() < -0.49
    assert 0.49 < shift.max() < 0.5


def test_saturation_scales_the_distance_from_grey_and_leaves_grey_images(make_turn):
    x = torch.rand(3000, 3, 2, 2)
    grey, after = x.mean(1, keepdim=True), inputs.saturation(x)
    factor = ((after - grey) / (x - grey)).flatten(1)
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor), rtol=0.02, atol=0.02)
    assert 0 <= factor.median(1).values.min() < 0.02
    assert 1.98 < factor.median(1).values.max() <= 2
    torch.testing.assert_close(inputs.saturation(x[:, :1]), x[:, :1])


def test_contrast_scales_the_distance_from_the_mean():
    x = torch.rand(3000, 1, 4, 4)
    mean, after = x.mean((1, 2, 3), keepdim=True), inputs.contrast(x)
    factor = ((after - mean) / (x - mean)).flatten(1).median(1).values
    assert 0.5 <= factor.min() < 0.51
    assert 1.49 < factor.max() <= 1.5


def test_translation_moves_by_whole_pixels_up_to_an_eighth_and_zeros_enter():
    x = torch.zeros(4000, 2, 16, 8)
    x[:, 0, 8, 4], x[:, 1, 8, 4] = 1, 2
    y = inputs.translation(x)
    assert y.flatten(1).sum(1).eq(3).all()
    assert torch.equal(2 * y[:, 0], y[:, 1])
    rows, columns = y[:, 0].nonzero()[:, 1] - 8, y[:, 0].nonzero()[:, 2] - 4
    assert rows.unique().tolist() == [-2, -1, 0, 1, 2]
    assert columns.unique().tolist() == [-1, 0, 1]
    ones = inputs.translation(torch.ones(1000, 1, 16, 16))
    assert ones.flatten(1).sum(1).min() == 14 * 14


@pytest.mark.parametrize("size", [8, 9])
def test_cutout_hides_a_square_of_half_the_size_whose_centre_is_anywhere(size):
    y = inputs.cutout(torch.ones(6000, 3, size, size))
    assert torch.equal(y[:, 0], y[:, 2])
    hidden = y[:, 0].eq(0)
    heights, widths = hidden.any(2).sum(1), hidden.any(1).sum(1)
    assert torch.equal(hidden.flatten(1).sum(1), heights * widths)  # a rectangle
    length = int(size / 2 + 0.5)
    assert heights.max() == widths.max() == length
    assert heights.min() == length - length // 2 if size % 2 else length // 2
    assert hidden.any(0).all()


@pytest.mark.parametrize("policy", [["colour"], "color", ["color", "flip"]])
def test_an_unknown_policy_is_refused(policy):
    with pytest.raises(UserError, match=r"reg\.diff_augment\.policy has \w+: .*color, translation, cutout"):
        DiffAugment(policy)


def test_diff_augment_of_points_is_refused():
    with pytest.raises(UserError, match=r"diff_augment changes images"):
        DiffAugment().check(mlp.Generator((2,), width=2), mlp.Discriminator((2,), width=2))


# The T of consistency regularization


def test_flip_and_shift_mirrors_half_of_the_images():
    x = torch.arange(8.0).expand(4000, 1, 8, 8)
    flipped = FlipAndShift(pixels=0)(x)[:, 0, 0, 0].eq(7)
    assert abs(flipped.float().mean() - 0.5) < 0.03
    assert torch.equal(FlipAndShift(pixels=0, flip=False)(x), x)


def test_flip_and_shift_moves_up_to_so_many_pixels_and_reflects():
    x = torch.arange(8.0)[:, None].expand(3000, 1, 8, 8)
    first = FlipAndShift(pixels=2)(x)[:, 0, :, 3]
    assert {tuple(row.int().tolist()) for row in first} == {
        (2, 1, 0, 1, 2, 3, 4, 5),
        (1, 0, 1, 2, 3, 4, 5, 6),
        (0, 1, 2, 3, 4, 5, 6, 7),
        (1, 2, 3, 4, 5, 6, 7, 6),
        (2, 3, 4, 5, 6, 7, 6, 5),
    }


def test_a_negative_shift_is_refused():
    with pytest.raises(UserError, match="pixels=-1"):
        FlipAndShift(-1)


# Experience replay


@pytest.fixture
def replay(linear_d, affine_g):
    """A replay of so many samples, and a turn of D on generated samples that are all one number."""
    G, D = affine_g(), linear_d([1.0, 1.0])

    def make(capacity):
        reg = ExperienceReplay(capacity)
        reg.check(G, D)
        return reg

    def show(reg, number, n=4, player="d"):
        turn = Turn(player, G, D, torch.zeros(n, 2), torch.zeros(n, dtype=torch.long), torch.zeros(n, 2))
        turn.x_fake = torch.full((n, 2), float(number))
        reg.stage(turn)
        return sorted(turn.x_fake[:, 0].tolist())

    return make, show


def test_replay_shows_half_old_half_new_and_replaces_half_a_batch(replay):
    make, show = replay
    reg = make(6)
    assert show(reg, 1) == [1, 1, 1, 1]  # nothing old yet
    assert show(reg, 2) == [1, 1, 2, 2]
    assert reg.filled == 4
    assert sorted(reg.past[:4, 0].tolist()) == [1, 1, 2, 2]
    assert sum(number == 3 for number in show(reg, 3)) == 2
    assert (reg.filled, sorted(reg.past[:, 0].tolist())) == (6, [1, 1, 2, 2, 3, 3])
    for number in range(4, 40):
        shown = show(reg, number)
        assert shown.count(number) == 2
        assert (reg.past[:, 0] == number).sum() == 2
        assert set(shown) - {number} <= set(range(1, number))
    assert reg.filled == 6


def test_replay_replaces_exactly_half_a_batch_of_random_entries(replay):
    make, show = replay
    reg, places = make(6), torch.zeros(6)
    for number in range(1, 400):
        before = reg.past.clone()
        show(reg, number)
        changed = (reg.past != before)[:, 0]
        assert changed.sum() == 2
        places += changed
    assert places.min() > 0.7 * places.max()


@pytest.mark.parametrize(("n", "capacity"), [(3, 5), (5, 7), (8, 3), (1, 4), (2, 1)])
def test_replay_recalls_nothing_that_was_never_generated(replay, n, capacity):
    make, show = replay
    reg = make(capacity)
    for number in range(1, 30):
        assert min(show(reg, number, n)) >= 1


def test_replay_leaves_g_turns_alone(replay):
    make, show = replay
    reg = make(6)
    show(reg, 1)
    assert show(reg, 2, player="g") == [2, 2, 2, 2]
    assert reg.filled == 2


def test_replay_loads_strictly_and_trains():
    gan = fit(images({"r": ExperienceReplay(5)}, n_dis=2), 3, precision="bf16-mixed")
    assert gan.regs["r"].past.shape == (5, *IMAGE)
    other = images({"r": ExperienceReplay(5)}, n_dis=2)
    other.load_state_dict(gan.state_dict())
    assert torch.equal(other.regs["r"].past, gan.regs["r"].past)
    assert other.regs["r"].filled == 5


class Embedded(Labelled):
    """Looks at labels."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10, 2)

    def forward(self, x, y):
        return x + self.embedding(y)


@pytest.mark.parametrize("player", ["G", "D"])
def test_replay_with_labels_is_refused(player):
    networks = {"G": mlp.Generator((2,), width=2), "D": mlp.Discriminator((2,), width=2)}
    networks[player].body.insert(0, Embedded())
    with pytest.raises(UserError, match=r"experience_replay.*labels=none"):
        ExperienceReplay().check(**networks)


def test_an_empty_replay_is_refused():
    with pytest.raises(UserError, match=r"^ExperienceReplay\.capacity=0"):
        ExperienceReplay(0)


# PacGAN


def test_a_pack_is_consecutive_samples_channel_by_channel():
    x = torch.arange(24.0).view(4, 2, 3)
    packs = Pack(2)(x)
    assert packs.shape == (2, 4, 3)
    assert torch.equal(packs[1], torch.cat([x[2], x[3]]))
    assert torch.equal(Pack(2)(torch.arange(8).view(4, 2)), torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7]]))


DS = {
    "dcgan": lambda: dcgan.Discriminator(IMAGE, width=2),
    "sngan_cnn": lambda: sngan_cnn.Discriminator((3, 32, 32), width=2),
    "sngan_resnet": lambda: sngan_resnet.Discriminator((3, 32, 32), width=2),
    "mlp on points": lambda: mlp.Discriminator((2,), width=16),
    "mlp on images": lambda: mlp.Discriminator((3, 4, 4), width=16),
}
SHAPES = {"dcgan": IMAGE, "mlp on points": (2,), "mlp on images": (3, 4, 4)}


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("name", DS)
def test_pacgan_gives_one_logit_for_each_pack_and_sees_all_of_it(name, m):
    D, x = DS[name](), torch.randn(6, *SHAPES.get(name, (3, 32, 32)))
    reg = PacGAN(m)
    reg.attach(mlp.Generator((2,), width=2), D)
    reg.check(mlp.Generator((2,), width=2), D)
    x.requires_grad_()
    logits, features = D(x)
    assert logits.shape == (6 // m,)
    assert len(features) == 6 // m
    (gradient,) = torch.autograd.grad(logits[0], x)
    assert gradient[:m].flatten(1).abs().sum(1).gt(0).all()
    assert gradient[m:].abs().sum() == 0


def test_pacgan_adds_weights_for_the_other_samples_and_no_others():
    plain, packed = DS["mlp on points"](), DS["mlp on points"]()
    PacGAN(3).attach(mlp.Generator((2,), width=2), packed)
    assert packed.body[2].weight.shape == (16, 6)
    extra = sum(p.numel() for p in packed.parameters()) - sum(p.numel() for p in plain.parameters())
    assert extra == 16 * 4


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(UserError, match=r"reg\.pacgan\.m=3 does not divide the 4 samples.*batch_size") as stop:
        fit(images({"p": PacGAN(3)}))
    assert "\n" not in str(stop.value)


def test_pacgan_behind_spectral_norm_is_refused_and_before_it_normalised():
    G, D = mlp.Generator((2,), width=2), DS["dcgan"]()
    SpectralNorm().attach(G, D)
    with pytest.raises(UserError, match="reparametrised"):
        PacGAN(2).attach(G, D)
    fit(images({"p": PacGAN(2), "s": SpectralNorm()}, n_dis=2))


def test_pacgan_with_labels_is_refused():
    G, D = mlp.Generator((2,), width=2), DS["mlp on points"]()
    D.head = nn.Sequential(Embedded(), D.head)
    with pytest.raises(UserError, match=r"pacgan.*labels=none"):
        PacGAN(2).check(G, D)
    D = DS["mlp on points"]()
    D.heads["code"] = nn.Linear(16, 3)
    with pytest.raises(UserError, match=r"pacgan"):
        PacGAN(2).check(G, D)


def test_blocks_that_only_pass_labels_on_do_not_look_at_them():
    assert not inputs.looks_at_labels(DS["sngan_resnet"]())
    assert inputs.looks_at_labels(Layers(nn.Linear(2, 2), Embedded()))


class Own(Discriminator):
    """Judges by a forward of its own."""

    def __init__(self):
        super().__init__()
        self.body = Layers(nn.Linear(2, 2))

    def forward(self, x, y=None):
        return x


def test_pacgan_of_a_d_with_its_own_forward_is_refused():
    with pytest.raises(UserError, match=r"reg=pacgan.*another model"):
        PacGAN(2).attach(mlp.Generator((2,), width=2), Own())


def test_no_sample_in_a_pack_is_refused():
    with pytest.raises(UserError, match=r"^PacGAN\.m=0"):
        PacGAN(0)


# All


REGS = [InstanceNoise, DiffAugment, partial(ExperienceReplay, 8), PacGAN]


def test_nobody_builds_a_graph_through_g_on_d_turn(make_turn):
    D, seen = DS["dcgan"](), []
    regs = [reg() for reg in REGS]
    for hook in ("attach", "check"):
        for reg in regs:
            getattr(reg, hook)(dcgan.Generator(IMAGE, z_dim=2, width=2), D)
    turn = make_turn("d", D, torch.rand(4, *IMAGE))
    turn.G = dcgan.Generator(IMAGE, z_dim=2, width=2)
    for reg in regs:
        reg.stage(turn)
        seen.append(turn.x_fake.requires_grad)
    assert seen == [False] * 4
    Wasserstein().d(turn).backward()
    assert all(parameter.grad is None for parameter in turn.G.parameters())
    assert D.body[1].weight.grad is not None


@pytest.mark.parametrize("name", ["instance_noise", "diff_augment", "experience_replay", "pacgan"])
def test_the_configs_build_what_they_name(compose, name):
    config = compose(f"reg={name}").reg
    assert list(config) == [name]
    assert type(instantiate(config[name])).__name__.lower() == name.replace("_", "")
