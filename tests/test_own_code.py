"""Faults in classes of one's own: a sentence names the class or the line, or the traceback stays."""

import re
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from lit_gan.analysis.base import Analysis
from lit_gan.callbacks.checkpoints import AtomicCheckpointIO
from lit_gan.callbacks.soundness import Soundness
from lit_gan.cli.mistakes import explain
from lit_gan.curves import Curves
from lit_gan.data.source import Source, StoredSplit
from lit_gan.errors import UserError, faulty_line
from lit_gan.game import Discriminator, Generator, LatentPart, Layers, Loss, Regularizer, Turn, Verdict
from lit_gan.layers import copied
from lit_gan.metrics.base import Suite
from lit_gan.metrics.extractors import Extractor
from lit_gan.optim import optimizer
from lit_gan.order import Order
from lit_gan.parts import build_part, locate

MODULES = {
    "own_division": "x = 1 / 0\n",
    "own_absent": "import no_such_package\n",
    "own_name": "from lit_gan.game import Los\n",
    "own_grammar": "def f(:\n",
}
CONSTRUCTORS = """
import yaml
from lit_gan.game import Loss, Regularizer


class Key(Loss):
    def __init__(self):
        super().__init__()
        {}["nope"]


class Forgetful(Regularizer):
    def __init__(self, weight=1.0):
        self.mine = weight


class Opens(Loss):
    def d(self, turn):
        open("/no/such/file")


class Parses(Loss):
    def d(self, turn):
        yaml.safe_load("a: [")


class Plain(Loss):
    def __init__(self, margin=1.0):
        super().__init__()
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Modules of one's own, on Python's path."""
    for name, content in (MODULES | {"own_constructors": CONSTRUCTORS}).items():
        (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_constructors", None)


def made(**part):
    return build_part(
        OmegaConf.create({"loss": {"_target_": part.pop("target"), **part}}).loss, part.pop("kind", object)
    )


class TestLines:
    """What is wrong in a file of one's own is said with its line."""

    @pytest.mark.parametrize("module", MODULES)
    def test_of_a_module_that_cannot_be_imported(self, own, module):
        with pytest.raises(
            UserError, match=rf"loss._target_={module}.A cannot be imported: .*; mend {module}.py, line 1\."
        ):
            made(target=f"{module}.A")
        with pytest.raises(UserError, match=rf"mend {module}.py, line 1\."):
            locate(f"{module}.A")

    def test_of_a_module_that_is_not_there_there_is_none(self, own):
        with pytest.raises(UserError, match=r"correct the name, or say where own_nowhere.py lies"):
            made(target="own_nowhere.A")

    def test_of_a_constructor(self, own):
        with pytest.raises(UserError, match=r"'nope' \(KeyError in own_constructors.py, line 9\).*debug=true"):
            made(target="own_constructors.Key")

    def test_of_a_wrong_argument_there_is_none(self, own):
        with pytest.raises(UserError, match="unexpected keyword argument 'marginn', so correct the one named"):
            made(target="own_constructors.Plain", marginn=2)

    @pytest.mark.parametrize("name", ["Opens", "Parses"])
    def test_an_error_that_a_setting_could_have_keeps_its_traceback(self, own, name):
        with pytest.raises(Exception) as error:  # noqa: PT011
            made(target=f"own_constructors.{name}").d(None)
        assert re.match(r"own_constructors.py, line \d+", faulty_line(error.value))
        assert explain(error.value, "train") is None

    def test_an_error_of_the_packages_own_has_none(self, tmp_path):
        with pytest.raises(UserError) as error:
            Order().play(None, [])
        assert faulty_line(error.value) is None


class OwnG(Generator):
    def __init__(self, size=2):
        super().__init__((2,), 3)
        self.body = Layers(nn.Linear(3, size))


class OwnD(Discriminator):
    def __init__(self, logits=1, reads=2):
        super().__init__()
        self.body, self.head = nn.Flatten(), nn.Linear(reads, logits)


class Bare(OwnD):
    def forward(self, x, y=None):
        return self.head(x)


def turn(player="d", G=None, D=None):
    G = G or OwnG()
    return Turn(player, G, D or OwnD(), torch.randn(4, 2), torch.zeros(4, dtype=torch.long), G.draw(4))


class TestNetworks:
    def test_samples_of_another_shape(self):
        with pytest.raises(UserError, match=r"G, a test_own_code.OwnG, gives samples of shape \[3\], .* give \[2\]"):
            turn(G=OwnG(3)).fake  # noqa: B018

    @pytest.mark.parametrize("verdict", ["real", "fake"])
    def test_no_verdict(self, verdict):
        with pytest.raises(UserError, match=r"D, a test_own_code.Bare, returns a Tensor, .* a lit_gan.Verdict"):
            getattr(turn(D=Bare()), verdict)

    def test_two_logits_of_a_sample(self):
        D = OwnD()
        D.forward = lambda x, y=None: Verdict(torch.zeros(4, 2), x)
        with pytest.raises(UserError, match=r"logits of shape \[4, 2\].*one for each of 4 samples"):
            turn(D=D).real  # noqa: B018

    def test_an_error_within_names_the_network(self):
        with pytest.raises(RuntimeError) as error:
            turn(D=OwnD(reads=5)).real  # noqa: B018
        assert error.value.__notes__ == ["This was raised in the forward of test_own_code.OwnD, asked about [4, 2]."]

    def test_what_cannot_be_copied(self):
        G = OwnG()
        G.numbers = (number for number in range(3))
        with pytest.raises(UserError, match=r"test_own_code.OwnG cannot be copied .*generator"):
            copied(G)

    def test_a_copy_has_weights_of_its_own(self):
        G = OwnG()
        mine = copied(G)
        assert torch.equal(mine.body[0].weight, G.body[0].weight)
        assert mine.body[0].weight is not G.body[0].weight


class OwnSource(Source):
    def __init__(self, split, n_classes=3):
        super().__init__("own", (2,), n_classes)
        self.load = lambda which: split


class TestData:
    @pytest.mark.parametrize(
        ("split", "words"),
        [
            (None, "a NoneType, but it must be a lit_gan.data.source.StoredSplit"),
            ((torch.zeros(3, 2), torch.zeros(3)), "a tuple"),
            (StoredSplit(np.zeros((3, 2))), "images as a ndarray"),
            (StoredSplit(torch.zeros(3, 2), [0, 1, 2]), "labels as a list"),
            (StoredSplit(torch.zeros(3, 4)), r"samples of shape \[4\], not of \[2\]"),
            (StoredSplit(torch.zeros(3, 2), torch.zeros(3)), r"float32 labels of shape \[3\]"),
            (
                StoredSplit(torch.zeros(3, 2), torch.zeros(2, dtype=torch.long)),
                r"int64 labels of shape \[2\].*\[3\], one for each",
            ),
            (StoredSplit(torch.tensor([[0.0, float("nan")]])), "samples some of which are not finite"),
        ],
    )
    def test_what_is_no_split(self, split, words):
        with pytest.raises(UserError, match=rf"^data=own: test_own_code.OwnSource.load returns {words}.*correct"):
            OwnSource(split).split("train")

    def test_labels_that_nobody_reads_may_be_of_any_kind(self):
        assert len(OwnSource(StoredSplit(torch.zeros(3, 2), torch.zeros(3)), n_classes=None).split("train")) == 3

    def test_samples_of_ones_own_are_stored_in_any_form(self):
        source = OwnSource(StoredSplit(torch.zeros(3, 7)))
        type(source).samples, before = lambda self, stored: stored[:, :2], type(source).samples
        try:
            assert len(source.split("train")) == 3
        finally:
            type(source).samples = before


class TestMethods:
    @pytest.mark.parametrize(
        ("call", "method"),
        [
            (lambda: Loss().d(turn()), r"game.Loss has no method d\(turn\)"),
            (lambda: Loss().g(turn()), r"g\(turn\)"),
            (lambda: Order().play(None, []), r"play\(game, moves\)"),
            (lambda: Source("own", (2,), None).split("train"), r"load\(which\)"),
            (lambda: Suite().prefix(None), r"prefix\(source\)"),
            (lambda: Suite().compute(None, None, None, None), r"compute\(draw, source, protocol, device\)"),
            (lambda: Extractor().load(None, "cpu"), r"load\(source, device\)"),
            (lambda: Extractor().see(None), r"see\(images\)"),
            (lambda: Analysis().find(None), r"find\(subject\)"),
            (lambda: LatentPart(2).draw(1, torch.device("cpu"), None), r"draw\(n, device, generator\)"),
        ],
    )
    def test_that_is_not_written(self, call, method):
        with pytest.raises(UserError, match=method):
            call()

    @pytest.mark.parametrize("kind", [Loss, Regularizer, Generator, Discriminator, Source])
    def test_a_constructor_that_is_not_called(self, kind, monkeypatch):
        own = type("Own", (kind,), {"__init__": lambda self: None})
        monkeypatch.setattr(sys.modules[__name__], "Own", own, raising=False)
        part = OmegaConf.create({"part": {"_target_": f"{__name__}.Own"}}).part
        with pytest.raises(UserError, match=rf"part._target_=\S+Own never calls the constructor of {kind.__name__}: "):
            build_part(part, kind)

    def test_a_number_is_no_curve(self):
        curves = Curves()
        with pytest.raises(UserError, match=r'curves.add\("g/mine", 0.5\) takes a tensor'):
            curves.add("g/mine", 0.5)
        curves.close(1, 1)
        assert curves.latest == {}


class OwnSuite(Suite):
    def __init__(self, scores):
        self.scores = scores

    def prefix(self, source):
        return "own"

    def compute(self, *_):
        return self.scores


class TestScores:
    @pytest.mark.parametrize("value", [2.0, np.float32(2), torch.tensor(2.0), torch.tensor([2])])
    def test_of_any_library_become_pythons_numbers(self, value):
        score = OwnSuite({"x": value}).evaluate(None, None, None)["own/x"]
        assert score == 2
        assert type(score) in (int, float)

    @pytest.mark.parametrize(
        ("scores", "words"),
        [
            (1.0, "returns a float, but it must return a dict"),
            ({"x": "good"}, "returns x='good', but a score must be one number"),
            ({"x": torch.zeros(2)}, r"returns x=tensor\(\[0., 0.\]\), but"),
        ],
    )
    def test_that_are_none(self, scores, words):
        with pytest.raises(UserError, match=rf"test_own_code.OwnSuite.compute {words}"):
            OwnSuite(scores).evaluate(None, None, None)


class TestOptimizers:
    def test_what_is_none(self):
        with pytest.raises(UserError, match=r"optim.d._target_ makes a builtins.list, which is no optimizer"):
            optimizer("d", list, OwnD())

    def test_a_network_without_parameters(self):
        with pytest.raises(UserError, match=r"model.G has no parameters .*game.Generator"):
            optimizer("g", torch.optim.SGD, Generator((2,), 3))


class Still(Order):
    def play(self, game, moves):
        game.differentiate(next(iter(moves)))


class TestOrders:
    @pytest.mark.parametrize(("updates", "refused"), [(3, True), (4, False), (5, True)])
    def test_an_update_of_g_in_each_step(self, updates, refused):
        trainer = SimpleNamespace(global_step=3, is_last_batch=False, max_steps=9)
        gan, soundness = SimpleNamespace(order=Still(), optim=SimpleNamespace(n_dis=1, accumulate=1)), Soundness()
        soundness.on_train_batch_start(trainer, gan, (torch.zeros(2),), 0)
        trainer.global_step = updates
        expected = (
            pytest.raises(UserError, match=rf"Still.play has made {updates - 3} updates") if refused else nullcontext()
        )
        with expected:
            soundness.on_train_batch_end(trainer, gan)


class Kept:
    """No data."""


class TestCheckpoints:
    @pytest.mark.parametrize(
        ("state", "reason"),
        [
            (Kept(), "test_own_code.Kept"),
            (np.float32(1), "numpy"),
            (lambda: 0, "lambda"),
            ((i for i in ()), "generator"),
        ],
    )
    def test_what_no_resume_could_read_is_refused(self, tmp_path, state, reason):
        path, io = tmp_path / "last.ckpt", AtomicCheckpointIO()
        io.save_checkpoint({"callbacks": {"mine": {"value": 1}}}, path)
        with pytest.raises(UserError, match=f"the state of mine .*{reason}.*tensors, numbers"):
            io.save_checkpoint({"callbacks": {"theirs": {"a": 1}, "mine": {"value": state}}}, path)
        assert torch.load(path, weights_only=True)["callbacks"]["mine"] == {"value": 1}
        assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
