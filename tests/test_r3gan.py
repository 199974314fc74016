"""R3GAN's networks and schedules: counts, what the networks are at the start, ends of the cosines.

With the weights of the authors' code the largest difference to its outputs was 5e-6 of their size for G and 0 for D.
"""

import json
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from commands import command
from lit_gan.build import build_gan
from lit_gan.callbacks.annealing import Annealing
from lit_gan.errors import UserError
from lit_gan.exporting.card import training
from lit_gan.game import Regularizer
from lit_gan.models import r3gan
from lit_gan.module import Average
from lit_gan.optim import TensorFlowRMSprop
from lit_gan.records.resume import check_same_game
from lit_gan.reg.adaptive import ADA, APA
from lit_gan.reg.gradients import R1
from lit_gan.reg.labels import ConditionalBatchNorm
from lit_gan.reg.weights import FrobeniusNorm, SpectralNorm, WeightNorm
from lit_gan.sweep.same_cell import check_same_cell
from lit_gan.tasks.evaluate import evaluate
from lit_gan.tasks.export import origin
from lit_gan.tasks.train import train


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


class TestNetworks:
    @pytest.mark.parametrize(("size", "of_g", "of_d"), [(32, 20_732_160, 20_683_776), (256, 23_057_952, 23_009_568)])
    def test_parameters_of_the_paper(self, size, of_g, of_d):
        with torch.device("meta"):
            G, D = r3gan.Generator((3, size, size)), r3gan.Discriminator((3, size, size))
        assert (count(G), count(D)) == (of_g, of_d)

    def test_parameters_of_the_papers_g_with_labels(self):
        with torch.device("meta"):
            G, D = r3gan.Generator((3, 32, 32)), r3gan.Discriminator((3, 32, 32))
            ConditionalBatchNorm(10).attach(G, D)
        assert count(G) == 20_781_952

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("size", r3gan.SIZES)
    def test_every_size_in_grey_and_in_colour(self, size, channels):
        with torch.device("meta"):
            G, D = (make((channels, size, size), width=8) for make in (r3gan.Generator, r3gan.Discriminator))
            x = G(torch.empty(2, 64))
            assert x.shape == (2, channels, size, size)
            assert D(x).logits.shape == (2,)

    def test_at_the_start_every_block_is_the_identity(self):
        block = next(
            layer for layer in r3gan.Generator((3, 16, 16), width=16).body if isinstance(layer, r3gan.GroupedBlock)
        )
        x = torch.randn(2, 16, 4, 4)
        assert torch.equal(block(x), x)
        assert block.residual[0].weight.any()

    def test_at_the_start_d_is_linear_and_r1_is_the_square_of_its_slope(self, make_turn):
        D = r3gan.Discriminator((1, 16, 16), width=16)
        a, b = torch.randn(2, 3, 1, 16, 16)
        torch.testing.assert_close(D(a + b).logits, D(a).logits + D(b).logits)
        slope = torch.autograd.functional.jacobian(lambda x: D(x).logits.sum(), a[:1]).square().sum()
        torch.testing.assert_close(R1(weight=2.0).objective(make_turn("d", D, a)), slope)

    def test_the_first_weights_keep_the_size_of_what_passes(self):
        torch.manual_seed(0)
        D = r3gan.Discriminator((3, 16, 16), width=64)
        first, _, second, *_ = next(layer for layer in D.body if isinstance(layer, r3gan.GroupedBlock)).residual
        gain = (2 / 1.04) ** 0.5 * 6**-0.25  # six blocks
        assert first.weight.std().item() == pytest.approx(gain / 64**0.5, rel=0.05)
        assert second.weight.std().item() == pytest.approx(gain / (16 * 9) ** 0.5, rel=0.05)

    @pytest.mark.parametrize(("resample", "size"), [(r3gan.Double(), 12), (r3gan.Halve(), 3)])
    def test_resampling_keeps_constants(self, resample, size):
        y = resample(torch.full((1, 2, 6, 6), 3.0))
        assert y.shape == (1, 2, size, size)
        torch.testing.assert_close(y[..., 1:-1, 1:-1], torch.full_like(y[..., 1:-1, 1:-1], 3.0))

    @pytest.mark.parametrize("reg", [SpectralNorm(), FrobeniusNorm(), WeightNorm()])
    def test_weights_of_zero_cannot_be_divided_by_their_norm(self, reg):
        G, D = (make((1, 16, 16), width=4) for make in (r3gan.Generator, r3gan.Discriminator))
        with pytest.raises(UserError, match=rf"^reg={reg.name} divides .* starts at 0: .*reg=\[r1,r2\]"):
            reg.attach(G, D)

    def test_another_size(self):
        with pytest.raises(UserError, match=r"model=r3gan cuts 56 channels.* multiple of 8"):
            r3gan.Discriminator((3, 16, 16), width=28)
        with pytest.raises(UserError, match=r"This model .*16, 32, 64, 128, 256"):
            r3gan.Generator((3, 48, 48))


class Drift(Regularizer):
    """D's outputs to the power p, as somebody's own class has it."""

    p = 2

    def d(self, turn):
        return turn.real.logits.abs().pow(self.p).mean()


class TestAnnealing:
    @pytest.fixture
    def game(self):
        """A trainer at update n and a game with R1 and a moving average."""

        def make(n):
            optimizers = [torch.optim.Adam([nn.Parameter(torch.zeros(1))], 1.0, (0.0, 0.5)) for _ in range(2)]
            trainer = SimpleNamespace(global_step=n, optimizers=optimizers, lr_scheduler_configs=[])
            average = Average(r3gan.Generator((1, 16, 16), width=1), 0.9, start=0)
            return trainer, SimpleNamespace(regs={"r1": R1(), "ada": ADA(target=None)}, G_ema=average)

        return make

    @pytest.mark.parametrize(
        ("n", "words"),
        [
            (0, None),
            (100, "at update 100 its numbers go from 1 to 0.5 of their way"),
            (50, "at update 50 its numbers go from 0.5 to 0.146 of their way"),
            (300, None),
        ],
    )
    def test_another_end_is_said_where_the_numbers_jump(self, game, n, words, caplog):
        checkpoint, (trainer, gan) = {}, game(n)
        trainer.is_global_zero = True
        Annealing(100).on_save_checkpoint(trainer, gan, checkpoint)
        for updates, said in ((100, None), (200, words)):
            caplog.clear()
            resumed = Annealing(updates)
            resumed.on_load_checkpoint(trainer, gan, checkpoint)
            resumed.on_train_start(trainer, gan)
            assert [record.message.partition(": ")[2] for record in caplog.records] == [said] * (said is not None)

    def test_a_checkpoint_from_before_the_end_was_noted(self, game, caplog):
        trainer, gan = game(5)
        resumed = Annealing(100)
        resumed.on_load_checkpoint(trainer, gan, {})
        resumed.on_train_start(trainer, gan)
        assert not caplog.records

    @pytest.mark.parametrize(("n", "share"), [(0, 1.0), (50, 0.5), (25, 0.8535534), (100, 0.0), (1000, 0.0)])
    def test_everything_is_on_its_cosine(self, game, n, share):
        trainer, gan = game(n)
        Annealing(100, (2.0, 1.0), (0.9, 0.99), (0, 8), {"r1": (5.0, 0.5)}, {"ada": (0.0, 0.6)}).on_train_batch_start(
            trainer, gan
        )
        for optimizer in trainer.optimizers:
            assert optimizer.param_groups[0]["lr"] == pytest.approx(1 + share)
            assert optimizer.param_groups[0]["betas"] == pytest.approx((0.0, 0.99 - 0.09 * share))
        assert gan.regs["r1"].weight == pytest.approx(0.5 + 4.5 * share)
        assert gan.regs["ada"].p.item() == pytest.approx(0.6 * (1 - share))
        half_life = 8 * (1 - share)
        assert gan.G_ema.decay_at(n + 1) == pytest.approx(0.5 ** (1 / half_life) if half_life else 0)

    def test_what_is_not_named_stays(self, game):
        trainer, gan = game(5)
        Annealing(100).on_train_batch_start(trainer, gan)
        assert trainer.optimizers[0].param_groups[0]["lr"] == 1.0
        assert (gan.regs["r1"].weight, gan.G_ema.decay) == (R1().weight, 0.9)

    def test_what_the_game_has_not(self, game):
        trainer, gan = game(0)
        with pytest.raises(UserError, match=r"^callbacks\.annealing\.weights\.r2=.* names no regularizer"):
            Annealing(9, weights={"r2": (1, 2)}).on_fit_start(trainer, gan)
        gan.regs |= {"apa": APA(), "spectral": SpectralNorm()}
        for name in ("ada", "apa", "spectral"):
            with pytest.raises(UserError, match=rf"^callbacks\.annealing\.weights\.{name}=.* adds no term"):
                Annealing(9, weights={name: (0, 1)}).on_fit_start(trainer, gan)
        for name in ("r1", "r2", "apa"):
            with pytest.raises(UserError, match=rf"^callbacks\.annealing\.probabilities\.{name}=.* target to null"):
                Annealing(9, probabilities={name: (0, 1)}).on_fit_start(trainer, gan)
        gan.G_ema, trainer.lr_scheduler_configs = None, [object()]
        with pytest.raises(UserError, match=r"half_life=\(1, 2\) needs a moving average.*ema=0\.999"):
            Annealing(9, half_life=(1, 2)).on_fit_start(trainer, gan)
        with pytest.raises(UserError, match=r"rate=\(1, 2\) and optim\.decay_start"):
            Annealing(9, rate=(1, 2)).on_fit_start(trainer, gan)

    def test_a_regularizer_with_an_exponent_p_is_no_augmentation(self, game):
        trainer, gan = game(0)
        gan.regs["drift"] = Drift()
        Annealing(9, weights={"drift": (0, 1)}).on_fit_start(trainer, gan)
        with pytest.raises(UserError, match=r"^callbacks\.annealing\.probabilities\.drift=.* names no augmentation"):
            Annealing(9, probabilities={"drift": (0, 1)}).on_fit_start(trainer, gan)

    @pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.RMSprop, TensorFlowRMSprop])
    def test_beta2_of_an_optimizer_that_has_none(self, game, make):
        trainer, gan = game(0)
        Annealing(9, beta2=(0.9, 0.99)).on_fit_start(trainer, gan)
        trainer.optimizers[1] = make([nn.Parameter(torch.zeros(1))], 0.1)
        with pytest.raises(
            UserError, match=rf"beta2=\(0\.9, 0\.99\) needs Adam, and {make.__name__} .*: choose optim=adam"
        ):
            Annealing(9, beta2=(0.9, 0.99)).on_fit_start(trainer, gan)
        Annealing(9, rate=(0.1, 0.2)).on_fit_start(trainer, gan)

    @pytest.mark.parametrize("named", [{"rate": [1.0]}, {"weights": {"r1": [1.0, 2.0, 3.0]}}, {"beta2": 0.9}])
    def test_ends_are_two(self, named):
        with pytest.raises(UserError, match=r"^callbacks\.annealing\.[\w.]+=.*must be two numbers"):
            Annealing(9, **named)

    @pytest.mark.parametrize(
        ("named", "words"),
        [
            ({"probabilities": {"ada": (0, 1.5)}}, r"probabilities\.ada=1\.5 must be .*at most 1"),
            ({"beta2": (0.9, 1.0)}, r"beta2=1\.0 must be .*below 1"),
            ({"rate": (-1.0, 0.0)}, r"rate=-1\.0 must be .*0 or more"),
            ({"half_life": (0, "x")}, r"half_life=x must be a number"),
            ({"weights": {"r1": (float("nan"), 1.0)}}, r"weights\.r1=nan must be a number"),
        ],
    )
    def test_ends_are_such_as_they_should_be(self, named, words):
        with pytest.raises(UserError, match=rf"^callbacks\.annealing\.{words}"):
            Annealing(9, **named)


class TestResume:
    """A finished run whose rates are annealed until its end."""

    GAME = ("data=gaussians", "model.width=4", "batch_size=4", "trainer.accelerator=cpu", "metrics=none")
    ANNEALED = ("callbacks=[default,annealing]", "callbacks.annealing.rate=[2e-4,5e-5]")

    @pytest.fixture
    def place(self, tmp_path, no_curves):
        command(train, f"hydra.run.dir={tmp_path}", *self.GAME, *self.ANNEALED, "updates=2", "updates_per_epoch=2")
        return tmp_path

    @pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
    def test_it_is_the_same_and_a_later_end_is_said(self, place):
        for change in (["callbacks.annealing.rate=[2e-4,1e-4]"], ["callbacks.annealing.updates=9"], ["callbacks=none"]):
            with pytest.raises(SystemExit) as refused:
                command(train, f"resume={place}", "updates=4", *change)
            assert "made with callbacks.annealing" in str(refused.value.code)
        words = "callbacks.annealing.updates=4 is not where the annealing ended before this resume: at update 2"
        assert words not in (place / "train.log").read_text()
        command(train, f"resume={place}", "updates=4", "callbacks=[default,annealing,gradient_norms]")
        assert words in (place / "train.log").read_text()

    def test_a_resume_and_a_cell_agree(self, compose, tmp_path):
        plain, annealed = compose(*self.GAME), compose(*self.GAME, *self.ANNEALED)
        longer = compose(*self.GAME, *self.ANNEALED, "updates=999999")
        (tmp_path / ".hydra").mkdir()
        (tmp_path / "results.json").touch()
        for old, new, same in ((plain, annealed, False), (annealed, plain, False), (annealed, longer, True)):
            OmegaConf.save(old, tmp_path / ".hydra" / "config.yaml")
            for check in (partial(check_same_game, old, new), partial(check_same_cell, config=new)):
                with nullcontext() if same else pytest.raises(UserError, match=r"made with callbacks\.annealing="):
                    check(directory=tmp_path)


class TestRecords:
    """What is said of an annealed moving average: how it was made, and not its decay at some update."""

    GAME = ("data=gaussians", "model.width=4", "batch_size=4", "trainer.accelerator=cpu", "ema=0.9", "ema_start=0")
    ANNEALED = ("callbacks=[default,annealing]", "callbacks.annealing.half_life=[10,20]", "updates=2")
    MADE: ClassVar = {"half_life": [10, 20], "updates": 2}

    @pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
    def test_a_training_and_an_evaluation_agree(self, no_curves, tmp_path):
        few = ["updates_per_epoch=2", "protocol.quick.generated=16", "metrics.final=quick"]
        command(train, f"hydra.run.dir={tmp_path}", *self.GAME, *self.ANNEALED, *few)
        command(evaluate, f"run={tmp_path}", "protocols=quick", "generated=32")
        results = json.loads((tmp_path / "results.json").read_text())
        records = [results["final"], *results["course"], *results["evaluations"]]
        assert [record["ema"] for record in records] == [self.MADE | {"start": 0}] * 3

    @pytest.mark.parametrize(
        ("words", "made"),
        [
            ([*ANNEALED, "ema_start=null"], MADE | {"warm_up": "(1 + n) / (10 + n)"}),
            ([*ANNEALED, "callbacks.annealing.half_life=null"], {"decay": 0.9, "start": 0}),
            (["+callbacks.annealing.half_life=[10,20]"], {"decay": 0.9, "start": 0}),  # of an experiment; not chosen
            (["callbacks=none"], {"decay": 0.9, "start": 0}),
        ],
    )
    def test_what_is_not_annealed_has_its_decay(self, compose, words, made):
        assert build_gan(compose(*self.GAME, *words)).G_ema.describe() == made

    def test_an_export(self, compose):
        for words, setting in ((self.ANNEALED, "callbacks.annealing.half_life=[10,20]"), ((), "ema=0.9")):
            description = origin(OmegaConf.create({"ema": True, "checkpoint": "last"}), compose(*self.GAME, *words), {})
            assert f"| ema, a moving average (`{setting}`) |" in training(description | {"update": 2}, {})
