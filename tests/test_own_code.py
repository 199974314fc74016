"""Faults in classes of one's own: a sentence names the class or the line, or the traceback stays."""

import importlib
import json
import logging
import re
import sys
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from torch import nn

from lit_gan.analysis.base import Analysis, Finding, found
from lit_gan.build import build_protocol, build_source
from lit_gan.callbacks.checkpoints import AtomicCheckpointIO
from lit_gan.callbacks.soundness import Soundness
from lit_gan.cli.mistakes import explain
from lit_gan.curves import Curves
from lit_gan.data.source import DatasetPictures, ImageFiles, Source, StoredSplit
from lit_gan.errors import UserError, faulty_line
from lit_gan.game import Discriminator, Generator, LatentPart, Layers, Loss, Regularizer, Turn, Verdict, as_scalar
from lit_gan.layers import copied
from lit_gan.losses import Hinge
from lit_gan.metrics import FeatureMetrics
from lit_gan.metrics.base import Suite, check_suite
from lit_gan.metrics.extractors import Extractor, Features
from lit_gan.metrics.measure import as_recorded
from lit_gan.metrics.real import code_of
from lit_gan.module import GAN
from lit_gan.optim import optimizer
from lit_gan.order import Order
from lit_gan.parts import build_part, locate
from lit_gan.records.metrics_csv import MetricsCsv
from lit_gan.records.results import Results
from lit_gan.records.trace import RunLog
from lit_gan.tasks.failures import explaining

MODULES = {
    "own_division": "x = 1 / 0\n",
    "own_absent": "import no_such_package\n",
    "own_name": "from lit_gan.game import Los\n",
    "own_grammar": "def f(:\n",
}
CONSTRUCTORS = """
import torch, yaml
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


class Misfit(Loss):
    def d(self):
        return 0

    @torch.no_grad()
    def g(self):
        return 0


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

    def test_of_a_package_that_pip_has_put_into_a_folder_of_any_name_there_is_none(self, tmp_path, monkeypatch):
        (tmp_path / "theirs-1.0.dist-info").mkdir()
        (tmp_path / "theirs").mkdir()
        (tmp_path / "theirs" / "__init__.py").write_text("def fails():\n    raise ValueError('no')\n")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ValueError, match="no") as error:
            importlib.import_module("theirs").fails()
        error.value.__traceback__ = error.value.__traceback__.tb_next  # without the line of this file
        assert faulty_line(error.value) is None

    @pytest.mark.parametrize("name", ["Opens", "Parses"])
    def test_an_error_that_a_setting_could_have_is_told_with_it(self, own, name):
        with pytest.raises(Exception) as error:  # noqa: PT011
            made(target=f"own_constructors.{name}").d(None)
        assert re.match(r"own_constructors.py, line \d+", faulty_line(error.value))
        assert explain(error.value, "train").startswith(f"{faulty_line(error.value)}: {error.typename}: ")

    @pytest.mark.parametrize(
        ("method", "arguments", "declared", "line"),
        [("d", ["turn"], "Loss.d(self, turn)", 28), ("g", ["turn"], "Loss.g(self, turn)", 31)],
    )
    def test_of_a_method_that_takes_other_arguments(self, own, method, arguments, declared, line):
        with pytest.raises(TypeError) as error:
            getattr(made(target="own_constructors.Misfit"), method)(*arguments)
        error.value.__traceback__ = None  # as its own line is none of it where lit_gan calls the method
        sentence = explain(error.value, "train")
        assert sentence.startswith(f"own_constructors.py, line {line}: TypeError: Misfit.{method}() takes 1 positional")
        assert f"; declare it as {declared} is, and debug=true" in sentence

    def test_a_fault_in_a_training_stays_itself_and_its_traceback_is_logged(self, own, tmp_path, monkeypatch):
        log = RunLog(str(tmp_path / "train.log"))
        log.begin()
        monkeypatch.setattr(logging.getLogger(), "handlers", [log])
        with pytest.raises(FileNotFoundError), explaining(OmegaConf.create({"workers": 0}), None, 1):
            made(target="own_constructors.Opens").d(None)
        written = (tmp_path / "train.log").read_text()
        assert "own_constructors.py, line 19: FileNotFoundError: " in written
        assert "Traceback (most recent call last)" in written
        assert 'open("/no/such/file")' in written

    def test_a_fault_is_recorded_with_its_line(self, own, tmp_path):
        results = Results(tmp_path)
        results.start(0)
        with pytest.raises(FileNotFoundError), results.ending():
            made(target="own_constructors.Opens").d(None)
        error = json.loads((tmp_path / "results.json").read_text())["error"]
        assert error.startswith("own_constructors.py, line 19: FileNotFoundError: ")

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


class WithoutHead(Discriminator):
    """Its forward is its own."""


def turn(player="d", G=None, D=None):
    G = G or OwnG()
    return Turn(player, G, D or OwnD(), torch.randn(4, 2), torch.zeros(4, dtype=torch.long), G.draw(4))


class TestNetworks:
    def test_samples_of_another_shape(self):
        with pytest.raises(UserError, match=r"G, a test_own_code.OwnG, gives .* of shape \[4, 3\] .* give \[4, 2\]"):
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

    @pytest.mark.parametrize(("samples", "kind"), [(lambda x: (x, x), "tuple"), (lambda x: None, "NoneType")])
    def test_samples_that_are_no_tensor(self, samples, kind):
        G = OwnG()
        G.forward = lambda z, y=None: samples(z)
        with pytest.raises(UserError, match=f"test_own_code.OwnG, returns a {kind}, but it must return its samples"):
            turn(G=G).fake  # noqa: B018

    def test_one_logit_for_all_samples(self):
        D = OwnD()
        D.forward = lambda x, y=None: Verdict(torch.zeros(1), x)
        with pytest.raises(UserError, match=r"logits of shape \[1\], but it must give one for each of 4 samples"):
            turn(D=D).real  # noqa: B018

    def test_torchs_own_sequential_is_a_body(self):
        G = OwnG()
        G.body = nn.Sequential(nn.Linear(3, 2))
        assert turn(G=G).x_fake.shape == (4, 2)

    def test_a_head_of_several_layers_has_no_number_of_features(self):
        D = OwnD()
        D.head = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
        with pytest.raises(UserError, match=r"OwnD, does not say how many features .* one nn.Linear"):
            D.n_features  # noqa: B018

    def test_what_is_looked_for_in_a_network_and_not_there_is_named_with_it(self):
        with pytest.raises(AttributeError) as error:
            WithoutHead().head  # noqa: B018
        error.value.__traceback__ = None  # as its own line is none of it where lit_gan asks
        assert explain(error.value, "train").startswith(
            "AttributeError: 'WithoutHead' object has no attribute 'head', which is looked for in it: give "
            "test_own_code.WithoutHead one, and"
        )
        with pytest.raises(UserError, match="does not say how many features"):
            WithoutHead().n_features  # noqa: B018

    def test_a_tensor_of_a_batch_cannot_be_copied(self):
        G = OwnG()
        G.last = turn("g", G=G).x_fake
        with pytest.raises(UserError, match=r"OwnG cannot be copied .* detach what it keeps of a batch"):
            copied(G)

    def test_an_error_within_names_the_network(self):
        with pytest.raises(RuntimeError) as error:
            turn(D=OwnD(reads=5)).real  # noqa: B018
        assert explain(error.value, "train").endswith(
            "This was raised in the forward of test_own_code.OwnD, asked about [4, 2]; mend that class, and debug=true "
            "shows the whole way there."
        )
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
            (StoredSplit(torch.zeros(3, 2, dtype=torch.int16)), "samples of int16, but images must be uint8"),
        ],
    )
    def test_what_is_no_split(self, split, words):
        with pytest.raises(UserError, match=rf"^data=own: test_own_code.OwnSource.load returns {words}.*correct"):
            OwnSource(split).split("train")

    def test_images_of_another_range(self):
        source = OwnSource(StoredSplit(torch.full((3, 1, 4, 4), 200.0)), None)
        source.shape = (1, 4, 4)
        with pytest.raises(UserError, match=r"returns images from 200 to 200, but they must be uint8, or floats in"):
            source.split("train")

    @pytest.mark.parametrize(
        ("images", "words"),
        [
            (torch.linspace(0, 1, 16), "float images from 0 to 1, and black is -1"),
            (torch.linspace(0, 1, 16).round().to(torch.uint8), "uint8 images from 0 to 1, and white is 255"),
            (torch.linspace(-1, 1, 16), None),
            (torch.linspace(0, 255, 16).to(torch.uint8), None),
            (torch.zeros(16), None),
        ],
    )
    def test_images_of_half_the_range_are_said(self, images, words, caplog):
        source = OwnSource(StoredSplit(images.reshape(1, 1, 4, 4)), None)
        source.shape = (1, 4, 4)
        source.split("train")
        said = [f"data=own: test_own_code.OwnSource.load returns {words}: stretch them, if that is not meant."]
        assert caplog.messages == (said if words else [])

    @pytest.mark.parametrize("splits", [(), ("training",), "train"])
    def test_splits_without_the_one_to_train_on(self, splits):
        source = OwnSource(StoredSplit(torch.zeros(3, 2)), None)
        source.splits = splits
        with pytest.raises(UserError, match=r"OwnSource.splits is .*, but it must be a tuple of names with 'train'"):
            source.split("train")

    def test_pictures_without_a_length_are_to_be_listed(self):
        with pytest.raises(UserError, match=r"data=own: a builtins.generator has no length .* make a list"):
            DatasetPictures((each for each in ()), "data=own")

    @pytest.mark.parametrize(("given", "kind"), [(torch.zeros(3), "Tensor"), ((torch.zeros(3), 0), "Tensor and int")])
    def test_pictures_that_are_none(self, given, kind):
        files = ImageFiles(DatasetPictures([given], "data=own"), (3, 4, 4), labelled=False)
        with pytest.raises(UserError, match=rf"image 0 cannot be read \(TypeError: it is {kind}, and must be \(PIL"):
            files[0]

    def test_labels_that_nobody_reads_may_be_of_any_kind(self):
        assert len(OwnSource(StoredSplit(torch.zeros(3, 2), torch.zeros(3)), n_classes=None).split("train")) == 3

    def test_samples_of_ones_own_are_stored_in_any_form(self):
        source = OwnSource(StoredSplit(torch.zeros(3, 7)))
        type(source).samples, before = lambda self, stored: stored[:, :2], type(source).samples
        try:
            assert len(source.split("train")) == 3
        finally:
            type(source).samples = before


class Penalty(Regularizer):
    def d(self, turn):
        return turn.real.logits.square().mean()


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

    @pytest.mark.parametrize("name", ["update", 3])
    def test_what_is_no_name_of_a_curve(self, name):
        with pytest.raises(UserError, match="a curve needs a name, and 'update' is that of the column of updates"):
            Curves().add(name, torch.zeros(()))

    def test_a_tensor_in_the_table_is_a_number(self, tmp_path):
        table = MetricsCsv(tmp_path)
        table.log_metrics({"mine/y": torch.tensor(1.5)}, 1)
        assert table.path.read_text().split() == ["update,mine/y", "1,1.5"]

    def test_a_regularizer_with_the_name_of_the_loss(self):
        with pytest.raises(UserError, match=r"reg.hinge has the name of the loss, lit_gan.losses.Hinge, whose term"):
            GAN(OwnG(), OwnD(), Hinge(), {"hinge": Penalty()}, None, None).terms(turn())

    def test_a_regularizer_without_a_term_may_have_the_name_of_the_loss(self):
        assert GAN(OwnG(), OwnD(), Hinge(), {"hinge": Regularizer()}, None, None).terms(turn()).keys() == {"hinge"}

    def test_a_complex_objective(self):
        with pytest.raises(UserError, match=r"Hinge.d returns a complex tensor of shape \[\], but .* one real number"):
            as_scalar(torch.tensor(1j), Hinge(), "d")


FINDINGS = [
    (None, "a NoneType, but it must return a lit_gan.analysis.Finding"),
    (Finding("none", [], Figure()), "rows are no list"),
    (Finding("a dict", {"a": 1}, Figure()), "rows are no list"),
    (Finding("uneven", [{"a": 1}, {"b": 1}], Figure()), "dicts with the same keys"),
    (Finding("no figure", [{"a": 1}], None), "figure is a NoneType, and no matplotlib.figure.Figure"),
]


class Returns(Analysis):
    def __init__(self, value):
        self.value = value

    def find(self, _):
        return self.value


@pytest.mark.parametrize(("value", "words"), FINDINGS)
def test_what_is_no_finding(value, words):
    with pytest.raises(UserError, match=rf"test_own_code.Returns.find returns .*{words}"):
        found(Returns(value), None)


class Seen(Extractor):
    name, input_size, resize = "seen", 8, "none"

    def __init__(self, network=None, features=None):
        super().__init__()
        self.made, self.given = network, features

    def load(self, source, device):
        return self.made

    def see(self, images):
        return self.given


class TestExtractors:
    def test_a_network_that_is_none(self):
        with pytest.raises(UserError, match=r"Seen.load returns a NoneType, but it must return a torch.nn.Module"):
            Seen().prepare(OwnSource(None))

    def test_a_network_without_parameters_is_one(self):
        extractor = Seen(nn.Flatten(), Features(torch.zeros(2, 3), torch.zeros(2, 5)))
        extractor.prepare(OwnSource(None))
        assert extractor(torch.zeros(2, 1, 8, 8)).pool.shape == (2, 3)

    @pytest.mark.parametrize(
        ("features", "words"),
        [
            (torch.zeros(2, 3), r"a Tensor, but it must return lit_gan.metrics.extractors.Features"),
            (Features(torch.zeros(2, 3, 4), None), r"features of shape \[2, 3, 4\] for 2 images"),
            (Features(torch.zeros(2, 3), None), "no logits, so that the class needs has_logits = False"),
        ],
    )
    def test_features_that_are_none(self, features, words):
        extractor = Seen(nn.Flatten(), features)
        extractor.prepare(OwnSource(None))
        with pytest.raises(UserError, match=f"Seen.see returns {words}"):
            extractor(torch.zeros(2, 1, 8, 8))

    def test_a_name_that_is_missing(self):
        with pytest.raises(UserError, match=r"extractors.Extractor has no attribute name"):
            Extractor().prefix(None)

    def test_real_images_are_measured_anew_after_each_change_of_its_file(self, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(tmp_path)
        file, found = tmp_path / "own_extractor.py", []
        for text in ("see = 1", "see = 2"):
            file.write_text(f"from lit_gan.metrics.extractors import Extractor\nclass Mine(Extractor):\n    {text}\n")
            found.append(code_of(importlib.import_module("own_extractor").Mine()))
        assert found[0]["code"] != found[1]["code"]
        assert code_of(Extractor()) == {}
        sys.modules.pop("own_extractor")

    def test_real_images_are_measured_anew_where_its_settings_differ(self):
        first, second, third = (Seen(nn.Flatten(), Features(torch.zeros(2, 3), None)) for _ in range(3))
        first.layer, second.layer, third.layer = 1, 1, 2
        first.prepare(OwnSource(None))
        assert code_of(first) == code_of(second)
        assert code_of(second)["code"] == code_of(third)["code"]
        assert code_of(second) != code_of(third)

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (nn.AdaptiveAvgPool2d(4), nn.AdaptiveAvgPool2d(8)),
            ({"size": 4}, {"size": 8}),
            (Path("a"), Path("b")),
            (np.int64(4), np.int64(8)),
            (None, 8),
        ],
    )
    def test_settings_of_any_kind_are_told_apart(self, first, second):
        found = []
        for setting in (first, first, second):
            extractor = Eighth()
            extractor.setting = setting
            found.append(code_of(extractor))
        assert found[0] == found[1] != found[2]
        extractor = Eighth()
        extractor.setting = object()
        assert code_of(extractor) is None

    @pytest.mark.parametrize("in_file", [True, False])
    def test_real_images_are_cached_where_a_change_of_its_file_is_noticed(
        self, in_file, tmp_path, monkeypatch, compose, caplog
    ):
        monkeypatch.setenv("LIT_GAN_CACHE", str(tmp_path))
        if not in_file:
            monkeypatch.setattr(Eighth, "__module__", "__main__")
            monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace())
        config = compose("data=digits", "protocol.quick.real=8")
        source, protocol = build_source(config), build_protocol(config, "quick")
        means = []
        for factor in (1, 3):  # the second as if it had been changed in between, in the notebook alone
            monkeypatch.setattr(Eighth, "factor", factor)
            suite = FeatureMetrics(Eighth())
            suite.prepare(source)
            with caplog.at_level(logging.INFO):
                means.append(suite.real.reference(source, protocol).mean)
        assert torch.equal(means[1], means[0] * (1 if in_file else 3))
        assert bool(list(tmp_path.glob("*.pt"))) == in_file
        assert ("for this run alone, as its class or a setting cannot be told" in caplog.text) == (not in_file)


class Eighth(Extractor):
    name, input_size, resize, has_logits, factor = "eighth", 8, "none", False, 1

    def load(self, source, device):
        return nn.Flatten()

    def see(self, images):
        return Features(self.factor * images.float().flatten(1)[:, :4] / 8, None)


class OwnSuite(Suite):
    SCORES = MappingProxyType({"x": "min"})

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

    @pytest.mark.parametrize("ends", [{}, {"x": "lowest"}])
    def test_without_a_good_end(self, ends, monkeypatch):
        monkeypatch.setattr(OwnSuite, "SCORES", ends)
        with pytest.raises(UserError, match=r"OwnSuite.SCORES is {.*}, but it must give the good end of each score"):
            check_suite(OwnSuite({}), None)

    @pytest.mark.parametrize("prefix", [None, "", "a/b"])
    def test_that_begin_with_no_word(self, prefix):
        suite = OwnSuite({})
        suite.prefix = lambda source: prefix
        with pytest.raises(UserError, match=r"OwnSuite.prefix returns .*, but it must return a word without a slash"):
            check_suite(suite, None)

    def test_described_by_what_no_record_holds(self):
        suite = OwnSuite({})
        suite.describe = lambda source, protocol: {"x": torch.zeros(())}
        with pytest.raises(UserError, match=r"OwnSuite.describe returns what no record can hold \(.*Tensor"):
            as_recorded(suite, None, None)


class Unwritten(torch.optim.Optimizer):
    def __init__(self, parameters):
        super().__init__(parameters, {})


class TestOptimizers:
    def test_without_a_step(self):
        with pytest.raises(UserError, match=r"Unwritten has no method step\(closure=None\)"):
            optimizer("d", Unwritten, OwnD())

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
