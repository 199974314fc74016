"""What D says of classes in place of the projection: formulas by hand, sample by sample, and known limits.

On the same features and weights, in double precision, the largest differences to the authors' code (of TAC-GAN, and
StudioGAN for the others) were 9e-16 in the terms of TAC, ADC, 2C and multi-hinge, and 4e-17 in gradients. D2D-CE
differs by 2 of 7, where the code subtracts the largest n_j from the n_j alone, and by 9e-16 once it is put back.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lit_gan.errors import UserError
from lit_gan.game import Layers
from lit_gan.layers import ClassMargins
from lit_gan.losses import Hinge, MultiHinge
from lit_gan.models import mlp
from lit_gan.reg import class_heads
from lit_gan.reg.class_heads import (
    ConditionalContrast,
    DataToDataCrossEntropy,
    DiscriminativeClassifier,
    MultiHingeHead,
    TwinAuxiliaryClassifier,
)
from lit_gan.reg.minibatch import MinibatchDiscrimination
from lit_gan.reg.targets import FeatureMatchingL1
from lit_gan.reg.weights import SpectralNorm

K, N = 3, 6
G = mlp.Generator((2,), z_dim=2, width=3, depth=1)
HEADS = [TwinAuxiliaryClassifier, DiscriminativeClassifier, ConditionalContrast, DataToDataCrossEntropy]


@pytest.fixture
def played(make_turn):
    """A head on a small D and a turn of a player with labels: played(reg, "d")."""

    def play(reg, player):
        D = mlp.Discriminator((2,), width=5, depth=1)
        reg.attach(G, D)
        turn = make_turn(player, D, torch.randn(N, 2), torch.randn(N, 2, requires_grad=True))
        turn.y, turn.y_fake = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([2, 2, 1, 0, 0, 0])
        return turn

    return play


def cross_entropy(logits, y):
    """By hand."""
    return torch.stack([row.logsumexp(0) - row[label] for row, label in zip(logits, y, strict=True)]).mean()


class TestTwin:
    def test_the_classifier_learns_from_real_samples_and_the_twin_from_generated(self, played):
        reg = TwinAuxiliaryClassifier(K, weight=2.0)
        turn = played(reg, "d")
        head = turn.D.heads[reg.name]
        real, fake = turn.real.features @ head.classifier.weight.T, turn.fake.features @ head.twin.weight.T
        expected = cross_entropy(real, turn.y) + cross_entropy(fake, turn.y_fake)
        torch.testing.assert_close(reg.objective(turn), 2 * expected)

    def test_a_twin_of_the_same_opinion_leaves_g_alone(self, played):
        reg = TwinAuxiliaryClassifier(K)
        turn = played(reg, "g")
        head = turn.D.heads[reg.name]
        assert reg.objective(turn) != 0
        head.twin.weight.data.copy_(head.classifier.weight)
        value = reg.objective(turn)
        (gradient,) = torch.autograd.grad(value, turn.x_fake)
        assert value == 0
        torch.testing.assert_close(gradient, torch.zeros_like(gradient))

    def test_spectral_norm_bounds_each_by_itself(self, played):
        reg = TwinAuxiliaryClassifier(K)
        D = played(reg, "d").D
        SpectralNorm(warm_up=50).attach(G, D)
        norms = [torch.linalg.matrix_norm(head.weight, 2).item() for head in D.heads[reg.name].children()]
        assert norms == pytest.approx([1, 1], abs=1e-3)


@pytest.mark.parametrize("head", [ConditionalContrast, DataToDataCrossEntropy, MultiHingeHead])
def test_cosines_and_margins_of_a_mixed_precision_are_in_full_precision(played, head):
    D = played(head(K), "d").D
    features, y = torch.randn(N, 5), torch.arange(N) % K
    with torch.autocast("cpu", torch.bfloat16):
        last = D.head if head is MultiHingeHead else D.heads[head(K).name]
        found = last(features, y)
    assert all(value.dtype == torch.float32 for value in (found if isinstance(found, tuple) else (found,)))
    if head is MultiHingeHead:
        with torch.autocast("cpu", torch.bfloat16):
            assert last.generated(features).dtype == torch.float32
    else:
        assert found[1].diagonal().tolist() == pytest.approx([1] * N, abs=1e-6)


class TestDiscriminative:
    def test_d_tells_2k_classes_apart(self, played):
        reg = DiscriminativeClassifier(K)
        turn = played(reg, "d")
        real, fake = (verdict.features @ turn.D.heads[reg.name].weight.T for verdict in (turn.real, turn.fake))
        expected = cross_entropy(real, turn.y) + cross_entropy(fake, turn.y_fake + K)
        torch.testing.assert_close(reg.objective(turn), expected)

    def test_g_minimises_the_log_of_how_much_likelier_generated_is(self, played):
        reg = DiscriminativeClassifier(K)
        turn = played(reg, "g")
        p = torch.softmax(turn.D.heads[reg.name](turn.fake.features), 1)
        ratios = torch.stack([p[i, K + y] / p[i, y] for i, y in enumerate(turn.y_fake)])
        torch.testing.assert_close(reg.objective(turn), ratios.log().mean())


@torch.no_grad()
def cosines(turn, verdict, y, name):
    """By hand: of each sample with its class, and of two samples."""
    head = turn.D.heads[name]
    e, v = head.linear(verdict.features), head.embedding.weight
    own = [F.cosine_similarity(e[i], v[label], dim=0) for i, label in enumerate(y)]
    pairs = [[F.cosine_similarity(a, b, dim=0) for b in e] for a in e]
    return own, pairs


class TestContrast:
    @pytest.mark.parametrize(("player", "name"), [("d", "real"), ("g", "fake")])
    def test_2c_by_hand(self, played, player, name):
        reg = ConditionalContrast(K, weight=3.0, temperature=0.7, size=4)
        turn = played(reg, player)
        y = turn.y if player == "d" else turn.y_fake
        own, pairs = cosines(turn, getattr(turn, name), y, reg.name)
        terms = []
        for i in range(N):
            others = [j for j in range(N) if j != i]
            proxy = math.exp(own[i] / 0.7)
            alike = sum(math.exp(pairs[i][j] / 0.7) for j in others if y[j] == y[i])
            terms.append(-math.log((proxy + alike) / (proxy + sum(math.exp(pairs[i][j] / 0.7) for j in others))))
        assert reg.objective(turn).item() == pytest.approx(3 * sum(terms) / N, rel=1e-5)

    def test_2c_is_nothing_where_all_are_of_one_class(self, played):
        reg = ConditionalContrast(K)
        turn = played(reg, "d")
        turn.y = torch.zeros_like(turn.y)
        assert reg.objective(turn).item() == pytest.approx(0, abs=1e-6)

    @pytest.mark.parametrize(("player", "name"), [("d", "real"), ("g", "fake")])
    def test_d2d_ce_by_hand(self, played, player, name):
        reg = DataToDataCrossEntropy(K, weight=3.0, temperature=0.4, margin=0.6, size=4)
        turn = played(reg, player)
        y = turn.y if player == "d" else turn.y_fake
        own, pairs = cosines(turn, getattr(turn, name), y, reg.name)
        terms = []
        for i in range(N):
            near = math.exp(min(own[i] - 0.6, 0) / 0.4)
            far = [math.exp(max(pairs[i][j] - 0.4, 0) / 0.4) for j in range(N) if y[j] != y[i]]
            terms.append(-math.log(near / (near + sum(far))))
        assert reg.objective(turn).item() == pytest.approx(3 * sum(terms) / N, rel=1e-5)

    def test_easy_pairs_do_not_push(self):
        reg = DataToDataCrossEntropy(K)
        own = torch.full((4,), 0.99, requires_grad=True)
        pairs = torch.full((4, 4), 0.01, requires_grad=True)
        y = torch.tensor([0, 0, 1, 2])
        terms = reg.compare(own, pairs, y[:, None] == y)
        torch.testing.assert_close(terms, torch.tensor([3.0, 3, 4, 4]).log())
        assert not any(each.any() for each in torch.autograd.grad(terms.sum(), (own, pairs)))

    def test_hard_negatives_are_weighed_as_they_are(self):
        reg = DataToDataCrossEntropy(K, temperature=0.01)
        y = torch.tensor([0, 1])
        terms = reg.compare(torch.tensor([0.98, 0.98]), torch.ones(2, 2), y[:, None] == y)
        torch.testing.assert_close(terms, torch.full((2,), 98.0))


class TestMultiHinge:
    def head(self):
        head = ClassMargins(4, K)
        features = torch.randn(5, 4)
        return head, features, features @ head.linear.weight.T + head.linear.bias

    def test_margins_by_hand(self):
        head, features, scores = self.head()
        y = torch.tensor([0, 1, 2, 0, 1])
        ahead = [row[t] - max(row[k] for k in range(K + 1) if k != t) for row, t in zip(scores, y, strict=True)]
        torch.testing.assert_close(head(features, y)[:, 0], torch.stack(ahead))
        torch.testing.assert_close(head.generated(features), scores[:, K] - scores[:, :K].amax(1))

    def test_of_one_class_it_is_the_hinge_loss_of_the_difference(self, make_turn):
        D = mlp.Discriminator((2,), width=5, depth=1)
        class_heads.MultiHingeHead(1).attach(G, D)
        for player in ("d", "g"):
            turn = make_turn(player, D, torch.randn(4, 2), torch.randn(4, 2))
            expected = Hinge().objective(turn) if player == "d" else F.relu(1 - turn.fake.logits).mean()
            torch.testing.assert_close(MultiHinge().objective(turn), expected)

    def test_beyond_all_margins_nothing_is_left(self):
        head = ClassMargins(K + 1, K)
        with torch.no_grad():
            head.linear.weight.copy_(2 * torch.eye(K + 1)), head.linear.bias.zero_()
        sure = torch.eye(K + 1)
        assert (head(sure[:K], torch.arange(K)) >= 1).all()
        assert (head.generated(sure[K:]) >= 1).all()

    def test_features_that_are_added_are_read(self):
        head, features, _ = self.head()
        head.widen(2)
        assert head.in_features == 6
        assert head(torch.cat([features, torch.randn(5, 2)], 1), torch.zeros(5, dtype=torch.long)).shape == (5, 1)

    def test_a_d_that_names_no_classes(self):
        with pytest.raises(UserError, match=r"^loss=multi_hinge .*labels=multi_hinge"):
            MultiHinge().check(G, mlp.Discriminator((2,)))


def test_feature_matching_in_absolute_distance(played):
    turn = played(FeatureMatchingL1(), "g")
    real, fake = (verdict.features for verdict in (turn.real, turn.fake))
    expected = sum(abs(real[:, k].mean() - fake[:, k].mean()) for k in range(real.shape[1])) / real.shape[1]
    torch.testing.assert_close(FeatureMatchingL1().objective(turn), expected)


@pytest.mark.parametrize("make", HEADS)
def test_data_without_labels(make):
    with pytest.raises(UserError, match=r"data\.n_classes=null.*labels=none"):
        make(None)


@pytest.mark.parametrize("make", [*HEADS, class_heads.MultiHingeHead])
def test_a_head_reads_features_that_are_added_to_ds(make):
    D = mlp.Discriminator((2,), width=5, depth=1)
    for reg in (make(K), MinibatchDiscrimination(n_kernels=4)):
        reg.attach(G, D)
    widths = [layer.in_features for layer in (D.head, *D.heads.modules()) if hasattr(layer, "in_features")]
    assert set(widths) == {9}


@pytest.mark.parametrize("make", HEADS)
def test_what_reg_does_to_weights_it_does_to_the_head(make):
    D = mlp.Discriminator((2,), width=5, depth=1)
    reg = make(K)
    reg.attach(G, D)
    assert isinstance(D.body, Layers)
    assert [layer for layer in D.heads[reg.name].modules() if isinstance(layer, nn.Linear)]
