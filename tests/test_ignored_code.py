"""What one writes oneself and would be ignored without a word: it is refused, or said."""

import logging
import sys
from collections import deque
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from omegaconf import OmegaConf
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lit_gan.analysis.base import Analysis
from lit_gan.data.source import Source
from lit_gan.errors import UserError, is_own, is_shipped
from lit_gan.game import Discriminator, Generator, Layers, Regularizer
from lit_gan.losses import Hinge
from lit_gan.metrics.base import Suite
from lit_gan.module import GAN
from lit_gan.optim import Optimizers
from lit_gan.order import Alternating
from lit_gan.own_code.slips import check_slips
from lit_gan.parts import build_part
from lit_gan.reg.gradients import R1
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")


class OwnG(Generator):
    def __init__(self, **parts):
        super().__init__((2,), 3)
        self.body = Layers(nn.Linear(3, 2))
        vars(self).update(parts)


class OwnD(Discriminator):
    def __init__(self, **parts):
        super().__init__()
        self.body, self.head = nn.Flatten(), nn.Linear(2, 1)
        vars(self).update(parts)


class Keeps(Regularizer):
    def __init__(self, **parts):
        super().__init__()
        vars(self).update(parts)

    def d(self, turn):
        return turn.real.logits.square().mean()


def game(G=None, D=None, loss=None, **regs):
    sgd = partial(torch.optim.SGD, lr=0.1)
    return GAN(G or OwnG(), D or OwnD(), loss or Hinge(), regs, Optimizers(1, sgd, sgd), Alternating())


def play(gan, updates=1):
    data = TensorDataset(torch.randn(4, 2), torch.zeros(4, dtype=torch.long))
    quiet_trainer(gan, updates).fit(gan, DataLoader(data, batch_size=4))


def linear():
    return nn.Linear(3, 2)


class OwnBody(nn.Flatten):
    def __init__(self):
        super().__init__()
        self.mine = [linear()]


class Block:
    """Its author has forgotten to say that it is a module."""

    def __init__(self):
        self.layer, self.itself = linear(), self


class TestLayers:
    """Those in a plain list, tuple or dict are neither trained nor saved by torch."""

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ([nn.SiLU(), linear()], "holds a Linear in a plain list"),
            ((linear(),), "holds a Linear in a plain tuple"),
            ({"a": linear()}, "holds a Linear in a plain dict"),
            ({"a": [linear()]}, "holds a Linear in a plain dict"),
            ([[nn.Sequential(linear())]], "holds a Sequential in a plain list"),
            (deque([linear()]), "holds a Linear in a plain deque"),
            (Block(), "holds a Linear in a plain Block"),
            ([nn.BatchNorm1d(3, affine=False)], "holds a BatchNorm1d in a plain list"),
            ([nn.Dropout()], "holds a Dropout in a plain list"),
            ([nn.Parameter(torch.zeros(2))], "holds a Parameter that requires a gradient in a plain list"),
            (torch.zeros(2, requires_grad=True), "is a tensor that requires a gradient"),
        ],
    )
    def test_are_refused(self, value, words):
        with pytest.raises(
            UserError, match=rf"^test_ignored_code.OwnG.mine {words}, of which torch .* make (it|that) an nn\."
        ):
            game(G=OwnG(mine=value))

    def test_are_refused_wherever_they_lie(self):
        D = OwnD()
        D.body = OwnBody()
        for parts in ({"D": D}, {"D": OwnD(mine=[linear()])}, {"keeps": Keeps(mine=[linear()])}):
            with pytest.raises(UserError, match=r"\.mine holds a Linear in a plain list"):
                game(**parts)

    @pytest.mark.parametrize(
        "value",
        [
            [],
            [1, "a", None],
            [nn.SiLU(), nn.Flatten()],
            [linear().requires_grad_(False)],
            torch.zeros(2),
            [torch.zeros(2)],
            torch.zeros(2, requires_grad=True) * 2,
        ],
    )
    def test_that_learn_and_remember_nothing_are_not(self, value):
        game(G=OwnG(mine=value))

    def test_that_are_registered_too_are_not(self):
        G, D = OwnG(), OwnD()
        G.drop = nn.Dropout()
        G.mine = [G.body, G.body[0], G.drop, G.body[0].weight, D]
        game(G=G, D=D, keeps=Keeps(players=(G, D)))


class Nothing(Regularizer):
    def __init__(self, weight=1.0):
        super().__init__(weight)


class Penalty(Regularizer):
    def penalty(self, turn):
        return turn.real.logits.square().mean()


class OnlyAttaches(Regularizer):
    def attach(self, G, D):
        D.mine = nn.Identity()


class OnlySays(Regularizer):
    moves_d = True


class OtherWeight(R1):
    def __init__(self, weight=3.0):
        super().__init__(weight=weight)


class Forgets(Regularizer):
    def d(self, turn):
        """The author has forgotten to return it."""
        turn.real.logits.square().mean()


class ForgetsToo(Regularizer):
    def g(self, turn):
        term = turn.fake.logits.square().mean()  # noqa: F841


class Adds(Regularizer):
    def d(self, turn):
        term = turn.real.logits.mean()
        term += turn.fake.logits.mean()


class Branches(Regularizer):
    def d(self, turn):
        if turn.player == "d":
            term = turn.real.logits.mean()  # noqa: F841


class LooksOn(Regularizer):
    def d(self, turn):
        turn.game.curves.add("d/mine", turn.real.logits)


class Idle(Regularizer):
    def d(self, turn):
        """No term for D."""


class Counts(Forgets):
    adds_term = False


class TestRegularizers:
    @pytest.mark.parametrize(
        ("reg", "words"),
        [
            (
                Penalty(),
                "Penalty has penalty, but none of the methods of a Regularizer, so that it does nothing",
            ),
            (Nothing(), "Nothing has none of the methods of a Regularizer, so that it does nothing. There are: att"),
        ],
    )
    def test_that_do_nothing_are_refused(self, reg, words):
        with pytest.raises(UserError, match=rf"^test_ignored_code.{words}"):
            game(reg=reg)

    @pytest.mark.parametrize("kind", [OnlyAttaches, OnlySays, OtherWeight, LooksOn, Idle, Counts, Keeps])
    def test_that_do_something_are_not(self, kind):
        game(reg=kind())

    @pytest.mark.parametrize("kind", [Forgets, ForgetsToo, Adds, Branches])
    def test_that_forget_their_return_are_said(self, kind, caplog):
        with caplog.at_level(logging.WARNING, "lit_gan"):
            game(reg=kind())
        assert [line.partition(",")[0] for line in caplog.messages] == [
            f"test_ignored_code.{kind.__name__}.{'g' if kind is ForgetsToo else 'd'} returns nothing"
        ]

    @pytest.mark.parametrize("kind", [LooksOn, Idle, Counts, Keeps])
    def test_that_return_or_compute_nothing_are_not_said(self, kind, caplog):
        with caplog.at_level(logging.WARNING, "lit_gan"):
            game(reg=kind())
        assert caplog.messages == []

    @pytest.mark.parametrize(
        ("method", "returned", "words"),
        [
            ("stage", lambda turn: turn.x_real, "stage returns a Tensor, at which nobody looks"),
            ("attach", lambda G, D: (G, nn.Sequential(D)), "attach returns another network than G and D"),
        ],
    )
    def test_whose_return_nobody_looks_at_are_refused(self, method, returned, words):
        reg = type("Returns", (Keeps,), {method: lambda self, *given: returned(*given)})()
        with pytest.raises(UserError, match=rf"Returns.{words}"):
            play(game(reg=reg))

    @pytest.mark.parametrize(
        ("method", "returned"),
        [
            ("stage", lambda turn: turn),
            ("attach", lambda G, D: D.apply(lambda layer: None)),
            ("project", lambda turn: torch.zeros(())),
        ],
    )
    def test_that_return_what_they_were_given_are_not(self, method, returned):
        play(game(reg=type("Returns", (Keeps,), {method: lambda self, *given: returned(*given)})()))

    def test_a_network_that_is_hidden_on_purpose_is_not_refused(self):
        def attach(self, G, D):
            object.__setattr__(self, "teacher", nn.Sequential(linear()))

        game(reg=type("Teacher", (Keeps,), {"attach": attach})())

    @pytest.mark.parametrize(
        ("player", "term"),
        [
            ("d", lambda _, turn: turn.real.logits.detach().square().mean()),
            ("g", lambda _, turn: turn.real.logits.square().mean()),
        ],
    )
    def test_whose_term_has_no_gradient_are_refused(self, player, term):
        reg = type("Still", (Regularizer,), {player: term})()
        with pytest.raises(UserError, match=rf"Still.{player} returns a number without a gradient, so that it moves"):
            play(game(reg=reg))

    def test_whose_term_loses_it_later_are_not(self):
        def d(self, turn):
            term = turn.real.logits.square().mean()
            return term.detach() if turn.game.global_step else term

        play(game(reg=type("Later", (Regularizer,), {"d": d})()), updates=3)

    def test_whose_term_is_zero_at_times_are_not(self):
        play(game(reg=type("Waits", (Regularizer,), {"d": lambda *_: torch.zeros(())})()))


class Capital(Hinge):
    def D(self, turn):
        return turn.real.logits.mean()


class Moves(Regularizer):
    move_d = True

    def project(self, turn): ...


class OwnCallback(Callback):
    def on_train_batch_ends(self, *_): ...


class OwnSuite(Suite):
    def measures_real(self, source, protocol): ...


class OwnAnalysis(Analysis):
    def checks(self, subject): ...


class OwnSource(Source):
    def sample(self, images): ...

    def __init__(self):
        super().__init__("own", (2,), None)


class Helps(Regularizer):
    def projected(self, w):
        return w

    def d(self, turn):
        return self.projected(turn.real.logits).mean()


class Features(OwnD):
    def features(self, x):
        """A method, where `n_features` is a number."""


class State(Callback):
    """Holds what another callback looks at."""

    def latest(self):
        return 0


class KeepsBack(Regularizer):
    def __init__(self, weight=1.0, target=0.0):
        super().__init__()
        self.target = target

    def d(self, turn):
        return turn.real.logits.mean()


class Fixes(Regularizer):
    """Hands an argument on with a value of its own."""

    def __init__(self, weight=1.0):
        super().__init__(weight=2.0)


class Halves(KeepsBack):
    def __init__(self, weight=1.0):
        Regularizer.__init__(self, weight / 2)


class TestNames:
    @pytest.mark.parametrize(
        ("kind", "name", "meant"),
        [
            (Capital, "D", "d"),
            (Moves, "move_d", "moves_d"),
            (OwnCallback, "on_train_batch_ends", "on_train_batch_end"),
            (OwnSuite, "measures_real", "measure_real"),
            (OwnAnalysis, "checks", "check"),
            (OwnSource, "sample", "samples"),
        ],
    )
    def test_that_are_nearly_inherited_ones_are_said(self, kind, name, meant, caplog):
        with caplog.at_level(logging.WARNING, "lit_gan"):
            check_slips(kind())
        (said,) = caplog.messages
        assert said.startswith(f"test_ignored_code.{kind.__name__}.{name} is no name of the class")
        assert said.endswith(f"did you mean '{meant}'?")

    @pytest.mark.parametrize("kind", [Helps, Features, State, Halves, Fixes, Hinge, Nothing, LooksOn])
    def test_that_are_used_or_unlike_any_are_not(self, kind, caplog):
        with caplog.at_level(logging.WARNING, "lit_gan"):
            check_slips(kind())
        assert caplog.messages == []

    def test_an_argument_that_is_not_handed_on_is_refused_as_a_part_of_a_config(self, monkeypatch):
        config = OmegaConf.create({"reg": {"mine": {"_target_": f"{__name__}.KeepsBack", "weight": 0.1}}})
        with pytest.raises(UserError, match=r"constructor of test_ignored_code.KeepsBack takes weight and "):
            build_part(config.reg.mine, Regularizer)

    def test_of_a_class_without_a_source_are_left_alone(self, monkeypatch, caplog):
        made = type("Made", (Regularizer,), {"projct": lambda self: 0})
        with caplog.at_level(logging.WARNING, "lit_gan"):
            check_slips(made())
        assert "did you mean 'project'?" in caplog.text
        caplog.clear()
        monkeypatch.setattr(made, "__module__", "__main__")
        monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace())
        check_slips(made())
        assert caplog.messages == []


class Remembers(Keeps):
    def d(self, turn):
        mean = turn.real.logits.mean()
        old = mean.detach() if self.mean is None else self.mean
        self.mean = 0.9 * old + 0.1 * mean.detach()
        return (mean - old).square()


class InPlace(Keeps):
    def d(self, turn):
        self.mean.add_(1)
        return super().d(turn)


class Buffered(Remembers):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))


class OwnHead(Regularizer):
    def __init__(self, **settings):
        super().__init__()
        self.head = nn.Linear(2, 1).requires_grad_(settings.get("learns", True))

    def d(self, turn):
        return self.head(turn.real.features).square().mean() + turn.real.logits.mean() * 0


class TestWarnings:
    @pytest.mark.parametrize("reg", [Remembers(mean=None), Remembers(mean=0.0), InPlace(mean=torch.zeros(()))])
    def test_of_state_that_a_resume_begins_anew(self, caplog, reg):
        with caplog.at_level(logging.WARNING, "lit_gan"):
            play(game(reg=reg), updates=2)
        assert [line.partition(":")[0] for line in caplog.messages] == [f"test_ignored_code.{type(reg).__name__}.mean"]

    def test_of_parameters_that_no_optimizer_has(self, caplog):
        with caplog.at_level(logging.WARNING, "lit_gan"):
            play(game(mine=OwnHead()))
        assert caplog.messages[0].startswith("reg.mine.head.weight, reg.mine.head.bias: no player's optimizer has")

    @pytest.mark.parametrize("reg", [Buffered(), OwnHead(learns=False), Keeps(size=3, fixed=torch.ones(2), none=None)])
    def test_of_nothing_else(self, caplog, reg):
        with caplog.at_level(logging.WARNING, "lit_gan"):
            play(game(mine=reg), updates=2)
        assert caplog.messages == []


def test_whose_a_class_is(monkeypatch):
    assert (is_shipped(Hinge), is_own(Hinge)) == (True, False)
    assert (is_shipped(Capital), is_own(Capital)) == (False, True)
    assert (is_shipped(Callback), is_own(Callback), is_own(int)) == (False, False, False)
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace())
    assert is_own(type("Cell", (), {"__module__": "__main__"}))
