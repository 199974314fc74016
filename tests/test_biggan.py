"""Self-attention, BigGAN's networks and spectral normalisation of G: formulas, counts, what reads which part of z.

With the weights of the authors' PyTorch code the largest difference to its outputs was 9e-7 for both G, attention and
labels included, and 0 for both D; in double precision normalised weights differed by 4e-16 of their size after three
forward passes from the same vectors. Of SAGAN's networks at 128 px, as its TensorFlow code computes them, outputs
differed by 2e-14 of their size in double precision.
"""

from functools import partial

import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from lit_gan.build import build_gan
from lit_gan.errors import UserError
from lit_gan.layers import LatentNorm, operators, weight_layers, widen
from lit_gan.models import biggan, biggan_deep, sngan_resnet
from lit_gan.models.attention import SelfAttention
from lit_gan.models.layers import initialise_normal, initialise_orthogonal
from lit_gan.reg.codes import InfoGAN
from lit_gan.reg.labels import ClassNorm, ConditionalBatchNorm, ProjectionDiscriminator
from lit_gan.reg.virtual import VirtualBatchNorm
from lit_gan.reg.weights import SpectralNorm

SMALL = {"z_dim": 16, "width": 4}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def attention_layers(network):
    return [place for place, layer in enumerate(network.body) if isinstance(layer, SelfAttention)]


class TestSelfAttention:
    @pytest.fixture
    def layer(self):
        layer = SelfAttention(16).double()
        nn.init.constant_(layer.gamma, 0.7)
        return layer

    x = torch.randn(2, 16, 6, 4, dtype=torch.double, generator=torch.Generator().manual_seed(0))

    def test_is_the_identity_at_first_and_only_gamma_learns(self):
        layer, x = SelfAttention(16), self.x.float()
        y = layer(x)
        assert torch.equal(y, x)
        y.square().sum().backward()
        assert layer.gamma.grad != 0
        assert all(not part.weight.grad.any() for part in (layer.theta, layer.phi, layer.g, layer.out))

    def test_as_the_authors_code_has_it_position_by_position(self, layer):
        flat = self.x.flatten(2)
        theta, phi, g, out = (part.weight[:, :, 0, 0] for part in (layer.theta, layer.phi, layer.g, layer.out))
        pooled = [nn.functional.max_pool2d((w @ flat).view(2, -1, 6, 4), 2).flatten(2) for w in (phi, g)]
        for image in range(2):
            for place in range(24):
                scores = (theta @ flat[image, :, place]) @ pooled[0][image]
                attended = sum(a * pooled[1][image, :, j] for j, a in enumerate(scores.exp() / scores.exp().sum()))
                expected = self.x[image, :, place // 4, place % 4] + 0.7 * out @ attended
                torch.testing.assert_close(layer(self.x)[image, :, place // 4, place % 4], expected)

    def test_each_position_attends_to_pooled_ones_with_weights_that_sum_to_one(self, layer):
        weights = layer.weights(self.x)
        assert weights.shape == (2, 24, 6)
        torch.testing.assert_close(weights.sum(2), torch.ones(2, 24, dtype=torch.double))

    def test_without_queries_all_attend_to_the_mean(self, layer):
        nn.init.zeros_(layer.theta.weight)
        mean = layer.pool(layer.g(self.x)).mean((2, 3), keepdim=True)
        torch.testing.assert_close(layer(self.x), self.x + 0.7 * layer.out(mean).expand_as(self.x))

    def test_has_second_derivatives(self, layer):
        assert torch.autograd.gradgradcheck(layer, self.x[:1, :, :2, :2].clone().requires_grad_())

    @pytest.mark.parametrize("model", [sngan_resnet, biggan])
    def test_stands_once_after_the_first_maps_of_its_side(self, model):
        G = model.Generator((3, 32, 32), attention=[8, 16], **SMALL)
        D = model.Discriminator((3, 32, 32), width=4, attention=[8])
        assert attention_layers(G) == [3, 5]
        assert attention_layers(D) == [2]  # of three blocks with maps of 8

    @pytest.mark.parametrize("model", [sngan_resnet, biggan])
    def test_maps_that_there_are_not(self, model):
        with pytest.raises(UserError, match=r"^model\.G\.attention=\[4\]: .* side 4; there are 8, 16, 32\.$"):
            model.Generator((3, 32, 32), attention=[4], **SMALL)
        with pytest.raises(UserError, match=r"^model\.D\.attention=\[32\]: .* side 32; there are 16, 8\.$"):
            model.Discriminator((3, 32, 32), attention=[32])

    def test_sagan_has_it_in_both_players(self, compose):
        config = compose("model=sagan", "data.image_size=128", "model.width=1", "model.G.attention=[32]")
        G, D = instantiate(config.model.G), instantiate(config.model.D)
        assert (attention_layers(G), attention_layers(D)) == ([5], [2])

    def test_parameters_of_sagan_at_128_px(self, compose):
        """Sums over the variables of the authors' generator_test and discriminator_test."""
        config = compose("experiment=sagan_imagenet")
        with torch.device("meta"):
            G, D = instantiate(config.model.G), instantiate(config.model.D)
            for labels in (ConditionalBatchNorm(1000), ProjectionDiscriminator(1000)):
                labels.attach(G, D)
        assert (count(G), count(D)) == (42_078_852, 39_463_618)


class TestBigGAN:
    def test_parameters_of_the_paper_at_128_px(self):
        with torch.device("meta"):
            G = biggan.Generator((3, 128, 128), z_dim=120, width=96, attention=[64])
            D = biggan.Discriminator((3, 128, 128), width=96, attention=[64])
            for labels in (ConditionalBatchNorm(1000), ProjectionDiscriminator(1000)):
                labels.attach(G, D)
        assert (count(G), count(D)) == (70_433_988, 87_982_370)

    def test_parameters_of_the_code_at_64_px(self):
        with torch.device("meta"):
            G = biggan.Generator((3, 64, 64), z_dim=120, width=64, attention=[64])
            D = biggan.Discriminator((3, 64, 64), width=64)
            for labels in (ConditionalBatchNorm(200), ProjectionDiscriminator(200)):
                labels.attach(G, D)
        assert (count(G), count(D)) == (31_805_700, 19_747_521)

    def test_parameters_of_the_code_for_cifar10(self, compose):
        config = compose("experiment=biggan_cifar10")
        with torch.device("meta"):
            G, D = instantiate(config.model.G), instantiate(config.model.D)
            for labels in (ConditionalBatchNorm(10), ProjectionDiscriminator(10)):
                labels.attach(G, D)
        assert (count(G), count(D)) == (4_304_387, 4_207_361)

    def test_parameters_of_studiogan_for_cifar10(self, compose):
        config = compose("experiment=biggan_studiogan_cifar10")
        with torch.device("meta"):
            G, D = instantiate(config.model.G), instantiate(config.model.D)
            for labels in (ConditionalBatchNorm(10), ProjectionDiscriminator(10)):
                labels.attach(G, D)
        assert (count(G), count(D)) == (9_416_196, 2_415_170)

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("size", biggan.PLANS)
    def test_every_size_in_grey_and_in_colour(self, size, channels):
        parts = len(biggan.PLANS[size].up)
        with torch.device("meta"):
            G = biggan.Generator((channels, size, size), z_dim=2 * parts, width=1)
            D = biggan.Discriminator((channels, size, size), width=1)
            x = G(torch.empty(2, 2 * parts))
            assert x.shape == (2, channels, size, size)
            assert D(x).logits.shape == (2,)

    @pytest.mark.parametrize("part", range(4))
    def test_a_part_of_z_is_read_by_one_block_alone(self, part):
        G = biggan.Generator((3, 32, 32), **SMALL).eval()
        first, second = torch.randn(2, 1, 16)
        other = torch.cat([(second if place == part else first)[:, 4 * place : 4 * place + 4] for place in range(4)], 1)
        seen = {}
        blocks = [G.body[1], *(layer for layer in G.body if isinstance(layer, biggan.UpBlock))]
        for place, block in enumerate(blocks):
            block.register_forward_hook(lambda *call, place=place: seen.setdefault(place, []).append(call[-1]))
        G(first), G(other)
        same = [torch.equal(*pair) for pair in seen.values()]
        assert same == [place < part for place in range(4)]

    def test_the_norms_gain_and_bias_are_linear_in_the_code(self):
        norm = LatentNorm(3, 2)
        x, code = torch.randn(8, 3, 5, 5), torch.randn(8, 2)
        gain, bias = (code @ linear.weight.T for linear in (norm.gain, norm.bias))
        normal = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
        torch.testing.assert_close(norm(x, code), (1 + gain)[..., None, None] * normal + bias[..., None, None])

    def test_starts_with_orthogonal_weights(self):
        D = biggan.Discriminator((3, 32, 32), width=4)
        for layer in operators(D):
            matrix = layer.weight.flatten(1)
            gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
            torch.testing.assert_close(gram, torch.eye(len(gram)), atol=1e-5, rtol=0)

    def test_the_first_relu_of_a_block_leaves_the_shortcut_its_negative_numbers(self):
        block = biggan.WideDownBlock(4, 4, halve=False)
        nn.init.zeros_(block.residual[-1].weight), nn.init.zeros_(block.residual[-1].bias)
        x = torch.randn(1, 4, 3, 3)
        torch.testing.assert_close(block(x.clone()), x)

    def test_a_widened_block_reads_more_channels(self):
        block = biggan.WideDownBlock(4, 4, halve=False)
        block.widen(2)
        assert block(torch.randn(1, 6, 3, 3)).shape == (1, 4, 3, 3)

    @pytest.mark.parametrize("width", [4, 16])  # narrower than its source a layer starts larger, but for the first ones
    @pytest.mark.parametrize("place", range(4))
    def test_a_widened_block_starts_as_its_network_does(self, width, place):
        D = biggan.Discriminator((3, 32, 32), width=width, initialise=partial(initialise_normal, gamma=False))
        before = {name: layer.weight.std() for name, layer in weight_layers(D.body[place])}
        widen(D.body[place], 40)
        after = {name: layer.weight.std() for name, layer in weight_layers(D.body[place])}
        assert after.keys() >= before.keys()
        for name, std in after.items():
            torch.testing.assert_close(std, before.get(name, [*before.values()][1]), rtol=0.3, atol=0)

    def test_a_latent_vector_that_cannot_be_cut(self):
        with pytest.raises(UserError, match=r"z_dim=17 cannot be cut into 4 equal parts.*z_dim=16 or 20"):
            biggan.Generator((3, 32, 32), z_dim=17, width=4)
        assert biggan.Generator((3, 32, 32), z_dim=17, width=4, hierarchical=False).z_dim == 17


class TestBigGANDeep:
    def players(self):
        G = biggan_deep.Generator((3, 32, 32), z_dim=6, width=4, label_size=3)
        return G, biggan_deep.Discriminator((3, 32, 32), width=4)

    @pytest.mark.parametrize(
        ("size", "attention", "of_g", "of_d"), [(32, None, 7_561_987, 3_088_129), (128, [64], 50_244_484, 34_590_210)]
    )
    def test_parameters_of_the_authors_code(self, size, attention, of_g, of_d):
        shape = (3, size, size)
        with torch.device("meta"):
            G, D = (
                biggan_deep.Generator(shape, attention=attention),
                biggan_deep.Discriminator(shape, attention=attention),
            )
            for labels in (ConditionalBatchNorm(1000), ProjectionDiscriminator(1000)):
                labels.attach(G, D)
        assert (count(G), count(D)) == (of_g, of_d)

    def test_all_layers_read_the_whole_latent_vector_and_the_label(self):
        G, D = self.players()
        ConditionalBatchNorm(10).attach(G, D)
        assert [layer.gain.in_features for layer in G.modules() if isinstance(layer, LatentNorm)] == [9] * 24
        assert G.body[0].in_features == 9
        G.eval()
        z = torch.randn(1, 6)
        assert not torch.equal(G(z, torch.tensor([1])), G(z, torch.tensor([2])))

    def test_without_residuals_a_block_of_g_drops_channels_and_doubles_pixels(self):
        block = biggan_deep.UpBottleneck(8, 4, code=2, double=True)
        nn.init.zeros_(block.residual[-1].weight), nn.init.zeros_(block.residual[-1].bias)
        x = torch.randn(2, 8, 3, 3)
        expected = x[:, :4].repeat_interleave(2, 2).repeat_interleave(2, 3)
        torch.testing.assert_close(block(x, torch.randn(2, 2)), expected)

    def test_without_residuals_a_block_of_d_pools_and_adds_channels(self):
        block = biggan_deep.DownBottleneck(4, 8, halve=True)
        nn.init.zeros_(block.residual[-1].weight), nn.init.zeros_(block.residual[-1].bias)
        x = torch.randn(2, 4, 6, 6)
        pooled = nn.functional.avg_pool2d(x, 2)
        torch.testing.assert_close(block(x.clone()), torch.cat([pooled, block.more(pooled)], 1))


class TestLabels:
    def players(self, **settings):
        return biggan.Generator((3, 32, 32), label_size=3, **SMALL | settings), biggan.Discriminator(
            (3, 32, 32), width=4
        )

    def test_all_blocks_read_one_vector_of_the_label(self):
        G, D = self.players()
        ConditionalBatchNorm(10).attach(G, D)
        G.eval()
        z, y = torch.randn(1, 16), torch.tensor([2])
        assert not torch.equal(G(z, y), G(z, torch.tensor([3])))
        G.embedding.weight.data[3] = G.embedding.weight.data[2]
        assert torch.equal(G(z, y), G(z, torch.tensor([3])))
        assert [layer.gain.in_features for layer in G.modules() if isinstance(layer, LatentNorm)] == [7] * 6

    def test_norms_of_their_own_have_tables_of_the_classes(self):
        G, D = self.players(hierarchical=False)
        ConditionalBatchNorm(10).attach(G, D)
        assert [type(layer.residual[0]) for layer in G.body if isinstance(layer, biggan.UpBlock)] == [ClassNorm] * 3
        assert G(torch.randn(2, 16), torch.tensor([0, 1])).shape == (2, 3, 32, 32)

    def test_a_reference_batch_would_bring_no_latent_vectors_for_the_blocks(self):
        with pytest.raises(UserError, match=r"^reg\.virtual_batch_norm\.network=g finds no normalisation"):
            VirtualBatchNorm().attach(*self.players())

    def test_codes_after_the_latent_vector_are_read_by_the_first_layer(self):
        G, D = self.players()
        InfoGAN(categorical=[10], continuous=2).attach(G, D)
        z = G.draw(2)
        assert (z.shape, G.body[0].in_features) == ((2, 28), 4 + 12)
        z.requires_grad_()
        G(z).sum().backward()
        assert z.grad[:, 16:].any()


class TestSpectralNormOfG:
    def attached(self, **settings):
        G, D = biggan.Generator((3, 32, 32), **SMALL), biggan.Discriminator((3, 32, 32), width=4)
        ConditionalBatchNorm(10).attach(G, D)
        for network in (G, D):
            initialise_orthogonal(network, gain=3.0)
        SpectralNorm(warm_up=50, **settings).attach(G, D)
        return G.eval(), D.eval()

    @staticmethod
    def largest(network):
        layers = [layer for layer in operators(network) if not isinstance(layer, nn.Embedding)]
        return {round(torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item(), 2) for layer in layers}

    @pytest.mark.parametrize(
        ("networks", "of_g", "of_d"), [(None, 3, 1), (["d"], 3, 1), (["g"], 1, 3), (["d", "g"], 1, 1), ([], 3, 3)]
    )
    def test_divides_the_weights_of_the_networks_named(self, networks, of_g, of_d):
        G, D = self.attached(networks=networks)
        assert (self.largest(G), self.largest(D)) == ({of_g}, {of_d})

    def test_leaves_gs_vectors_of_labels(self):
        G, _ = self.attached(networks=["g"])
        assert not nn.utils.parametrize.is_parametrized(G.embedding)

    @pytest.mark.parametrize(("networks", "text"), [("g", "g"), (["d", "x"], r"\[d,x\]")])
    def test_other_networks(self, networks, text):
        with pytest.raises(UserError, match=rf"^reg\.spectral\.networks={text} must be a list of d and g"):
            SpectralNorm(networks=networks)

    def test_a_game_notes_that_g_needs_it(self, compose):
        words = ["model=sagan", "data.image_size=32", "model.width=2", "ema=0.9", "reg.spectral.networks=[d,g]"]
        assert build_gan(compose(*words)).regs_of_G == ["spectral"]
