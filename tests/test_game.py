"""The vocabulary: lazy verdicts, names, latent vectors, and shapes that are held to their annotations."""

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

from lit_gan import game
from lit_gan.errors import UserError
from lit_gan.game import Loss, Regularizer, Turn, Verdict
from lit_gan.layers import weight_layers
from lit_gan.losses import Hinge, LeastSquares, NonSaturating


class CountingD(game.Discriminator):
    def __init__(self):
        super().__init__()
        self.body, self.head, self.calls = nn.Flatten(), nn.Linear(2, 1), 0

    def forward(self, x, y=None):
        self.calls += 1
        return super().forward(x, y)


def test_a_turn_computes_nothing_until_asked_and_then_once(make_turn):
    turn = make_turn("d", CountingD(), torch.randn(3, 2))
    assert turn.D.calls == 0
    assert turn.real is turn.real
    assert turn.D.calls == 1
    assert turn.x_fake is turn.x_fake
    assert turn.D.calls == 1
    assert turn.fake is turn.fake
    assert turn.D.calls == 2


@pytest.mark.parametrize(("player", "graph"), [("d", False), ("g", True)])
def test_fakes_carry_a_graph_on_g_turn_only(make_turn, player, graph):
    turn = make_turn(player, CountingD(), torch.randn(3, 2))
    assert turn.x_fake.requires_grad is graph
    assert turn.fake.logits.requires_grad


@pytest.mark.parametrize("loss", [Hinge(), NonSaturating(), LeastSquares()])
def test_g_turn_of_a_plain_loss_asks_d_once(make_turn, loss):
    turn = make_turn("g", CountingD(), torch.randn(3, 2))
    loss.g(turn)
    assert turn.D.calls == 1


def test_what_a_stage_assigns_is_what_the_loss_sees(make_turn):
    turn = make_turn("d", CountingD(), torch.randn(3, 2))
    turn.x_fake = torch.ones(3, 2)
    expected = turn.D.head(torch.ones(3, 2)).squeeze(1)
    torch.testing.assert_close(turn.fake.logits, expected)


def test_verdict_features_are_the_heads_input_and_logits_its_output():
    D = CountingD()
    x = torch.randn(4, 2)
    verdict = D(x)
    assert isinstance(verdict, Verdict)
    torch.testing.assert_close(verdict.features, x)
    torch.testing.assert_close(verdict.logits, (x @ D.head.weight.T + D.head.bias)[:, 0])


@pytest.mark.parametrize("n", [1, 5])
def test_d_keeps_the_batch_dimension(n):
    assert CountingD()(torch.randn(n, 2)).logits.shape == (n,)


def test_names_are_snake_case():
    class DRAGAN(Regularizer):
        pass

    assert NonSaturating().name == "non_saturating"
    assert Hinge().name == "hinge"
    assert LeastSquares().name == "least_squares"
    assert DRAGAN().name == "dragan"


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_latents_follow_their_prior(affine_g, prior):
    z = affine_g(z_dim=50, prior=prior).draw(4000)
    assert z.shape == (4000, 50)
    # 200,000 numbers: standard errors of mean and variance below 0.004
    assert abs(z.mean().item()) < 0.02
    assert abs(z.var().item() - {"normal": 1, "uniform": 1 / 3}[prior]) < 0.02
    assert (z.abs().max().item() <= 1) is (prior == "uniform")


def test_latents_from_a_generator_are_reproducible_and_leave_the_global_one_alone(affine_g):
    G = affine_g()
    before = torch.get_rng_state()
    first = G.draw(3, torch.Generator().manual_seed(7))
    second = G.draw(3, torch.Generator().manual_seed(7))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(first, G.draw(3))


def test_a_regularizer_does_nothing_by_default(make_turn):
    reg, turn = Regularizer(), make_turn("d", CountingD(), torch.randn(3, 2))
    reg.attach(turn.G, turn.D)
    reg.stage(turn)
    reg.project(turn)
    assert reg.d(turn) is None
    assert reg.g(turn) is None
    assert turn.D.calls == 0
    assert reg.weight == 1


def test_a_loss_must_say_what_both_players_minimise(make_turn):
    turn = make_turn("d", CountingD(), torch.randn(3, 2))
    for player in "dg":
        with pytest.raises(UserError, match=r"Loss has no method [dg]\(turn\)"):
            getattr(Loss(), player)(turn)


def test_weight_layers_are_convolutions_and_linear_layers():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.ReLU(), nn.Linear(2, 1)))
    assert [name for name, _ in weight_layers(network)] == ["0", "2.1"]


def test_a_turn_refuses_labels_of_another_batch_size(affine_g):
    with pytest.raises(TypeCheckError, match="y"):
        Turn("d", affine_g(), CountingD(), torch.randn(4, 2), torch.zeros(3, dtype=torch.long), torch.randn(4, 2))


def test_a_turn_refuses_latents_of_another_batch_size(affine_g):
    with pytest.raises(TypeCheckError, match="z"):
        Turn("d", affine_g(), CountingD(), torch.randn(4, 2), torch.zeros(4, dtype=torch.long), torch.randn(3, 2))


def test_a_turn_refuses_what_is_no_game(affine_g):
    x, y, z = torch.randn(4, 2), torch.zeros(4, dtype=torch.long), torch.randn(4, 2)
    with pytest.raises(TypeCheckError, match="game"):
        Turn("d", affine_g(), CountingD(), x, y, z, nn.Linear(1, 1))


def test_latents_that_are_no_matrix_are_refused(affine_g, make_turn):
    turn = make_turn("d", CountingD(), torch.randn(3, 2))
    with pytest.raises(TypeCheckError, match="z"):
        Turn("d", turn.G, turn.D, turn.x_real, turn.y, torch.randn(3, 2, 1, 1))
