"""How samples are drawn from a trained G: truncated latent vectors, statistics of batch normalisation."""

import math

import pytest
import torch
from scipy import stats
from torch import nn

from lit_gan import game
from lit_gan.errors import UserError
from lit_gan.game import truncated
from lit_gan.metrics import EvalProtocol
from lit_gan.models import mlp, stylegan2
from lit_gan.reg.codes import InfoGAN
from lit_gan.reg.weights import SpectralNorm
from lit_gan.sampling import STANDING, Sampler, latents_and_labels
from lit_gan.tasks.sample import draw_samples


class Normalised(game.Generator):
    """Points 3 z + 5, normalised over the batch."""

    def __init__(self, prior="normal"):
        super().__init__((2,), 2, prior)
        self.dense, self.norm = nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False)
        with torch.no_grad():
            self.dense.weight.copy_(3 * torch.eye(2)), self.dense.bias.fill_(5)

    def forward(self, z, y=None):
        return self.norm(self.dense(z))


@pytest.mark.parametrize("limit", [0.1, 1.0, 2.0])
def test_truncated_numbers_have_the_truncated_distribution(limit):
    z = truncated(torch.randn(20_000), limit).numpy()
    assert abs(z).max() <= limit
    assert stats.kstest(z, stats.truncnorm(-limit, limit).cdf).pvalue > 0.01
    tail = 2 * limit * stats.norm.pdf(limit) / (2 * stats.norm.cdf(limit) - 1)
    assert z.var() == pytest.approx(1 - tail, rel=0.05)


def test_a_wide_limit_changes_nothing_and_the_order_stays():
    z = torch.randn(100)
    torch.testing.assert_close(truncated(z, 9.0), z)
    assert torch.equal(truncated(z, 0.5).argsort(), z.argsort())


def test_only_normal_latent_variables_are_truncated():
    G, D = mlp.Generator((2,), z_dim=3, width=4, depth=1), mlp.Discriminator((2,), width=4, depth=1)
    InfoGAN(categorical=[4], continuous=2).attach(G, D)
    plain, cut = (Sampler(G, truncation=limit).vectors(50) for limit in (None, 0.5))
    assert cut[:, :3].abs().max() <= 0.5 < plain[:, :3].abs().max()
    assert torch.equal(cut[:, 3:], plain[:, 3:])


def test_samples_of_whole_batches_do_not_depend_on_how_many_are_drawn():
    few, many = (draw_samples(Sampler(Normalised(), batch_norm="batch"), n, None, 8) for n in (10, 30))
    assert torch.equal(few, many[:10])
    sampler = Sampler(Normalised(), batch_norm="batch")
    assert not torch.equal(few, sampler.generate_all(*latents_and_labels(sampler, 10, None), 8))
    assert draw_samples(Sampler(Normalised(), batch_norm="batch"), 9, None, 8).shape == (9, 2)


def test_a_generator_without_normal_latent_variables():
    with pytest.raises(UserError, match=r"^truncation=0\.5 needs normal latent variables"):
        Sampler(Normalised("uniform"), truncation=0.5)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_what_a_truncation_changes_depends_on_the_generator(prior):
    plain = mlp.Generator((2,), width=2, prior=prior)
    styled = stylegan2.Generator((1, 16, 16), z_dim=4, w_dim=4, width=4, depth=1, prior=prior)
    assert plain.truncatable == ("latent vectors" if prior == "normal" else None)
    assert styled.truncatable == "styles"


@pytest.mark.parametrize(("limit", "spread"), [(None, 3.0), (1.0, 3 * math.sqrt(0.2911))])
def test_standing_statistics_are_those_of_the_samples(limit, spread):
    G = Normalised()
    with torch.no_grad():
        G.norm.running_mean.fill_(100)
    norm = Sampler(G, batch_norm="standing", truncation=limit).G.norm
    error = 5 * spread / math.sqrt(math.prod(STANDING))
    torch.testing.assert_close(norm.running_mean, torch.full((2,), 5.0), atol=error, rtol=0)
    torch.testing.assert_close(norm.running_var.sqrt(), torch.full((2,), spread), atol=error, rtol=0)
    assert G.norm.running_mean.eq(100).all()


def test_with_standing_statistics_a_sample_depends_on_no_other():
    draw = Sampler(Normalised(), batch_norm="standing")
    z, y = draw.latents(8)
    torch.testing.assert_close(draw.generate(z, y)[:1], draw.generate(z[:1], y[:1]))
    batch = Sampler(Normalised(), batch_norm="batch")
    assert not torch.allclose(batch.generate(z, y)[:2], batch.generate(z[:2], y[:2]))


@pytest.mark.parametrize("kind", ["batch", "standing"])
def test_nothing_but_batch_normalisation_is_as_in_training(kind):
    G, D = Normalised(), mlp.Discriminator((2,), width=4, depth=1)
    SpectralNorm(networks=["g"]).attach(G, D)
    G.dense = nn.Sequential(G.dense, nn.Dropout(0.5))
    draw = Sampler(G.train(), batch_norm=kind)
    modes = {name: layer.training for name, layer in draw.G.named_modules() if not name.startswith("norm")}
    assert not any(modes.values())
    assert draw.G.norm.training == (kind == "batch")
    before = {name: value.clone() for name, value in draw.G.state_dict().items() if not name.startswith("norm")}
    z, y = draw.latents(8)
    assert torch.equal(draw.generate(z, y), draw.generate(z, y))
    assert all(torch.equal(value, draw.G.state_dict()[name]) for name, value in before.items())


def test_the_latent_vectors_of_a_seed_are_the_same_with_every_kind_of_statistics():
    drawn = [Sampler(Normalised(), 3, kind).vectors(4) for kind in ("running", "batch", "standing")]
    assert all(torch.equal(drawn[0], each) for each in drawn)


def test_records_say_of_a_truncation_only_where_there_is_one(compose):
    settings = dict(compose().protocol.full)
    assert "truncation" not in EvalProtocol(**settings).facts()
    assert EvalProtocol(**settings | {"truncation": 0.7}).facts()["truncation"] == 0.7
    with pytest.raises(UserError, match=r"protocol\.full\.truncation=0"):
        EvalProtocol(**settings | {"truncation": 0.0})


def test_samples_of_unequal_shares_wait_for_no_other_process():
    G = game.Generator([2], 2)
    G.body = nn.SyncBatchNorm(2)
    G.forward = lambda z, y=None: G.body(z)
    batch = Sampler(G, batch_norm="batch")
    assert not any(isinstance(layer, nn.SyncBatchNorm) for layer in batch.G.modules())
    assert isinstance(G.body, nn.SyncBatchNorm)
    assert batch.by_batch
    x = torch.randn(8, 2)
    assert torch.allclose(batch.G.body(x).mean(0), torch.zeros(2), atol=1e-6)
