"""Text: sequences and their alphabet, the networks, the divergences of n-grams, samples as files and in the loggers."""

import json
import math
import sys
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_gan.build import build_protocol, build_source
from lit_gan.cli.launch import launch
from lit_gan.data import GANData
from lit_gan.data.digits import Digits
from lit_gan.data.text import PAD, UNKNOWN, Text, cut_lines, cut_running, english, sentences
from lit_gan.errors import UserError
from lit_gan.layers import weight_layers
from lit_gan.metrics.ngrams import NGramMetrics, jensen_shannon, ngrams
from lit_gan.models import dcgan, sngan_cnn, sngan_resnet, text_resnet, wgan_gp_resnet
from lit_gan.records.directory import load_config
from lit_gan.tasks.analyze import analyze
from lit_gan.tasks.evaluate import evaluate
from lit_gan.tasks.sample import sample
from lit_gan.tasks.train import train

pytestmark = pytest.mark.usefixtures("no_curves")


def text(file=None, cut="lines", length=4, vocabulary=8, characters=None):
    return Text("text", (vocabulary, length), None, file and str(file), cut, length, vocabulary, characters)


@pytest.fixture
def write(tmp_path):
    def make(content):
        path = tmp_path / "some.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


@pytest.fixture
def small(write):
    """Eleven lines: the first and the last are "test"."""
    return text(write("zzzz\n" + "abca\n" * 5 + "ab\n" * 3 + "caqd\nzzzz"), vocabulary=5)


class TestSequences:
    def test_lines_are_cut_off_and_empty_ones_left_out(self):
        assert list(cut_lines("one\n\n  \nlonger\r\n in\n", 4)) == ["one", "long", " in"]

    def test_running_text_is_cut_between_words(self):
        assert list(cut_running("to be, or not\nto   be", 6)) == ["to be,", "or not", "to be"]

    def test_words_too_long_are_broken(self):
        assert list(cut_running("a wonderful day", 4)) == ["a", "wond", "erfu", "l", "day"]

    def test_running_text_loses_nothing_but_spaces(self):
        pieces = list(cut_running(english(), 17))
        assert max(map(len, pieces)) == 17
        assert "".join(" ".join(pieces).split()) == "".join(english().split())

    def test_one_in_ten_is_held_out(self, small):
        assert small.sequences["test"] == ["zzzz", "zzzz"]
        assert len(small.split("train")) == 9
        assert small.lines(small.samples(small.split("train").images[[0, 5, 8]])) == [
            "abca",
            "ab",
            f"ca{UNKNOWN}{UNKNOWN}",
        ]


class TestAlphabet:
    def test_the_most_frequent_of_the_training_split(self, write):
        source = text(write("zzzz\n" + "aab\n" * 3 + "caq!\n"), vocabulary=5)
        assert source.alphabet == PAD + UNKNOWN + "!ab"  # of c, q and !, each once, the first
        assert source.split("train").images.tolist() == [[3, 3, 4, 0]] * 3 + [[1, 3, 1, 2]]
        assert source.split("test").images.tolist() == [[1] * 4]

    def test_unused_numbers_are_unknown(self, write):
        source = text(write("abcd\n" * 3), vocabulary=9)
        assert source.alphabet == PAD + UNKNOWN + "abcd" + 3 * UNKNOWN
        assert source.lines(torch.eye(9)[None]) == [source.alphabet]

    def test_marks_of_the_text_itself(self, write):
        source = text(write(f"a{PAD}b{UNKNOWN}\n" * 3))
        assert source.alphabet.rstrip(UNKNOWN) == PAD + UNKNOWN + "ab"
        assert source.split("train").images[0].tolist() == [2, 0, 3, 1]

    def test_any_language(self, write):
        source = text(write("\ufeff" + "Ёж😀ß\n" * 3))
        assert source.sequences["test"] == ["Ёж😀ß"]
        assert source.lines(source.samples(source.split("train").images))[0] == "Ёж😀ß"


class TestOneHot:
    def test_round_trip(self, small):
        images = small.split("train").images
        samples = small.samples(images)
        assert images.dtype == torch.int16
        assert samples.shape == (9, 5, 4)
        assert samples.dtype == torch.float32
        assert torch.equal(samples.argmax(1), images.long())
        assert torch.equal(samples.sum(1), torch.ones(9, 4))
        assert samples.unique().tolist() == [0, 1]

    def test_the_players_see_it(self, small):
        data = GANData(small, images_per_update=4, seed=0, dequantize=True)
        stored, labels = small.split("train").images, torch.zeros(9)
        x, _ = data.on_after_batch_transfer((stored, labels), 0)
        assert torch.equal(x, small.samples(stored))

    def test_padding_inside_stays(self, small):
        numbers = torch.tensor([[2, 0, 3, 0], [0, 0, 0, 0]])
        assert small.lines(small.samples(numbers)) == ["a`b", ""]


class TestEnglish:
    def test_is_plain_and_enough(self):
        found = english().splitlines()
        assert len(found) == len(set(found)) > 1000
        assert all(line[0].isupper() and line[-1] in ".!?" for line in found)
        assert set(english()) <= set("\n '(),-./0123456789:;_!?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

    def test_sentences_of_a_paragraph(self):
        paragraph = """   The "while" statement is a well-
   known *compound* statement.  It’s used
   in most programs.  Then [x, y] = {1, 2} assigns to two of them.  And so on.
   See PEP 8, 20, 257 and 3107, 3.9.1 or 3.10.
"""
        assert list(sentences(paragraph)) == [
            "The while statement is a well-known compound statement.",
            "It's used in most programs.",
        ]


class TestBadText:
    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ("abc", "is too short: its 3 characters do not make two sequences of data.length=4"),
            ("", "is too short: its 0 characters"),
            ("a\nb", "is too short: its 3 characters"),
            ("only one line", "is too short: its 13 characters"),
            (b"latin \xe9t\xe9 and so on\n" * 9, r"is not text in UTF-8 \(byte 6\)"),
        ],
    )
    def test_content(self, write, content, sentence):
        with pytest.raises(UserError, match=rf"^data\.file=.*some\.txt {sentence}"):
            text(write(content)).split("train")

    def test_missing(self, tmp_path):
        with pytest.raises(UserError, match=r"data\.file=.*nothing\.txt cannot be read \(No such file"):
            text(tmp_path / "nothing.txt").split("train")

    def test_folder(self, tmp_path):
        with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
            text(tmp_path).split("train")

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("length", 1),
            ("length", 2.5),
            ("length", "long"),
            ("vocabulary", 2),
            ("vocabulary", 2**15 + 1),
            ("cut", "words"),
        ],
    )
    def test_settings(self, setting, value):
        with pytest.raises(UserError, match=rf"^Text\.{setting}={value} "):
            text(**{setting: value})

    def test_what_is_not_found_out(self):
        with pytest.raises(UserError, match=r"^data\.n_classes=auto is not found out for data=text"):
            text().found(["characters", "n_classes"])

    @pytest.mark.parametrize("characters", ["aba", "abc`", "a" + UNKNOWN, "abcdefg"])
    def test_characters(self, characters):
        with pytest.raises(UserError, match=rf"^data\.characters={characters} must be different .*set it to auto"):
            text(characters=characters)

    def test_shape(self):
        with pytest.raises(UserError, match=r"data\.shape=\[8, 5\] contradicts data\.vocabulary=8 and data\.length=4"):
            Text("text", (8, 5), None, None, "lines", 4, 8)


class TestNetworks:
    @pytest.mark.parametrize("shape", [(96, 32), (5, 2), (300, 7)])
    def test_any_alphabet_and_length(self, shape):
        G, D = text_resnet.Generator(shape, width=6, depth=2), text_resnet.Discriminator(shape, width=6, depth=2)
        x = G(G.draw(3))
        assert x.shape == (3, *shape)
        assert torch.allclose(x.sum(1), torch.ones(3, shape[1]))
        assert (x > 0).all()
        assert D(x).logits.shape == (3,)
        assert D(x).features.shape == (3, D.n_features) == (3, 6 * shape[1])

    def test_a_block_is_its_input_and_a_third_of_the_rest(self):
        block = text_resnet.Block(1, torch.nn.Identity)
        with torch.no_grad():
            for layer in (block.residual[2], block.residual[5]):
                layer.weight.zero_()[0, 0, 2] = 2.0  # times 2
                layer.bias.zero_()
        x = torch.tensor([[[-1.0, 0.5, 3.0]]])
        assert torch.allclose(block(x), torch.tensor([[[-1.0, 0.5 + 0.3 * 2, 3.0 + 0.3 * 12]]]))

    def test_the_papers_size(self):
        G, D = text_resnet.Generator((100, 32)), text_resnet.Discriminator((100, 32))
        blocks = 5 * 2 * (512 * 512 * 5 + 512)
        assert sum(p.numel() for p in G.parameters()) == 129 * 512 * 32 + blocks + 513 * 100
        assert sum(p.numel() for p in D.parameters()) == 101 * 512 + blocks + 512 * 32 + 1

    def test_first_weights_are_the_authors(self):
        G = text_resnet.Generator((64, 16), width=64, depth=1)
        variance = {name: layer.weight.var().item() for name, layer in weight_layers(G)}
        assert variance["body.0"] == pytest.approx(2 / (128 + 64 * 16), rel=0.05)
        assert variance["body.2.residual.2"] == pytest.approx(4 / (2 * 64 * 5), rel=0.05)
        assert variance["body.3"] == pytest.approx(4 / (64 + 64), rel=0.1)
        D = text_resnet.Discriminator((64, 16), width=64, depth=1)
        assert D.body[0].weight.var().item() == pytest.approx(4 / (64 + 64), rel=0.1)

    @pytest.mark.parametrize("shape", [(1, 32, 32), (2,)])
    def test_what_is_no_text_is_refused(self, shape):
        for network in (text_resnet.Generator, text_resnet.Discriminator):
            with pytest.raises(
                UserError, match=r"model=text_resnet makes text.*set data=text or choose another model\."
            ):
                network(shape)

    @pytest.mark.parametrize("model", [dcgan, sngan_cnn, sngan_resnet, wgan_gp_resnet])
    def test_networks_for_images_refuse_text(self, model):
        for network in (model.Generator, model.Discriminator):
            with pytest.raises(UserError, match=r"not samples of shape \[96, 32\]: text needs model=text_resnet\."):
                network((96, 32))


class TestDivergence:
    def test_on_paper(self):
        one, other = torch.tensor([0, 1]), torch.tensor([0, 0])
        # p = (1/2, 1/2), q = (1, 0), mean = (3/4, 1/4)
        kl_p = 0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25)
        assert jensen_shannon(one, other) == pytest.approx((kl_p + math.log2(1 / 0.75)) / 2)

    def test_nothing_in_common_is_1(self):
        assert jensen_shannon(torch.tensor([3, 5, 5]), torch.tensor([4, 2**62])) == pytest.approx(1)

    def test_same_frequencies_are_0_whatever_the_number(self):
        assert jensen_shannon(torch.tensor([3, 5, 5]), torch.tensor([5, 3, 5, 3, 5, 5])) == pytest.approx(0)

    def test_ngrams_of_a_text(self):
        texts = torch.tensor([[1, 2, 1, 2], [0, 0, 1, 2]], dtype=torch.int16)
        assert ngrams(texts, 1, 3).tolist() == [1, 2, 1, 2, 0, 0, 1, 2]
        pairs = ngrams(texts, 2, 3)
        assert len(pairs) == 6
        assert (pairs == pairs[0]).tolist() == [True, False, True, False, False, True]  # (1, 2)
        assert len(ngrams(texts, 4, 3).unique()) == 2

    def test_long_ngrams_of_large_alphabets_do_not_collide(self):
        texts = torch.full((2, 5), 2047, dtype=torch.int16)
        texts[1, 0] = 2046
        assert len(ngrams(texts, 5, 2048).unique()) == 2
        carried = torch.tensor([[2047, 0], [0, 1]], dtype=torch.int16)
        assert len(ngrams(carried, 2, 2048).unique()) == 2


class TestSuite:
    @pytest.fixture(scope="class")
    def source(self):
        return text(cut="running", length=16, vocabulary=96)

    @pytest.fixture
    def protocol(self, compose):
        return build_protocol(compose("data=text"), "quick").with_generated(500)

    @staticmethod
    def drawn(source, split, n):
        """A generator that repeats real text."""
        samples = iter(source.samples(source.split(split).images[:n]).split(100))
        return lambda size: next(samples)[:size]

    def test_the_data_itself_scores_0(self, source, protocol):
        n = len(source.split("train"))
        everything = replace(protocol, generated=n, real=None)
        scores = NGramMetrics().evaluate(self.drawn(source, "train", n), source, everything)
        assert scores == {f"ngrams/jsd{n}": pytest.approx(0) for n in (1, 2, 3, 4)}

    def test_noise_scores_near_1(self, source, protocol):
        scores = NGramMetrics([1, 4]).evaluate(lambda n: torch.rand(n, 96, 16), source, protocol)
        assert scores["ngrams/jsd4"] > 0.999
        assert 0.3 < scores["ngrams/jsd1"] < 0.6

    def test_held_out_text_scores_what_the_record_says(self, source, protocol):
        suite = NGramMetrics([2, 3])
        record = suite.describe(source, protocol)
        n = record["held_out"]["sequences"]
        assert n == 500
        order = torch.randperm(len(source.split("test")), generator=torch.Generator().manual_seed(0))[:n]
        samples = iter(source.samples(source.split("test").images[order]).split(protocol.batch_size))
        scores = suite.evaluate(lambda size: next(samples), source, protocol)
        assert {f"ngrams/{key}": record["held_out"][key] for key in ("jsd2", "jsd3")} == pytest.approx(scores)
        assert record["real"] == min(protocol.real, len(source.split("train")))
        assert json.dumps(record)

    def test_what_can_be_monitored(self):
        assert NGramMetrics([4, 6]).SCORES == {"jsd4": "min", "jsd6": "min"}

    @pytest.mark.parametrize("sizes", [[], [0], [1.5], ["two"]])
    def test_impossible_sizes(self, sizes):
        with pytest.raises(UserError, match=r"metrics\.suite\.sizes=\["):
            NGramMetrics(sizes)

    def test_longer_than_a_sequence(self):
        with pytest.raises(
            UserError, match=r"metrics\.suite\.sizes=\[3, 5\] has more than 4, the most for data\.length=4"
        ):
            NGramMetrics([3, 5]).prepare(text())

    def test_too_many(self):
        with pytest.raises(UserError, match="has more than 5"):
            NGramMetrics([6]).prepare(text(length=32, vocabulary=2048))

    def test_images_are_refused(self):
        with pytest.raises(UserError, match="metrics=ngrams compares characters, and data=digits has none"):
            NGramMetrics().prepare(Digits("digits", 32, 1, (1, 32, 32), 10, 2**30))


TINY = ["data=text", "data.length=16", "model.width=8", "model.depth=1", "batch_size=8", "trainer.accelerator=cpu"]


@pytest.fixture
def call(monkeypatch):
    """A command line, in this process."""

    def run(task, *arguments):
        monkeypatch.setattr(sys, "argv", [task.__name__, *map(str, arguments)])
        launch(task, task.__name__)

    return run


def test_fast_dev_run(call, tmp_path):
    call(train, f"hydra.run.dir={tmp_path}", "experiment=wgan_gp_text", *TINY, "trainer.fast_dev_run=true")
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results["final"]["scores"]) == {f"ngrams/jsd{n}" for n in (1, 2, 3, 4)}
    assert results["best"]["metric"] == "ngrams/jsd4"


def test_a_run_and_its_samples_are_text(call, tmp_path):
    run = tmp_path / "run"
    (tmp_path / "mine.txt").write_text("Wer reitet so spät durch Nacht und Wind?\n" * 99)
    mine = [f"data.file={tmp_path / 'mine.txt'}", "data.cut=lines"]
    call(train, f"hydra.run.dir={run}", *TINY, *mine, "metrics=none", "updates=2", "logger=tensorboard")
    page = (run / "samples" / "000002.txt").read_text()
    assert len(page.splitlines()) == 64
    assert set(page) <= set(f"Wer reitet so spät durch Nacht und Wind?\n{PAD}{UNKNOWN}")
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    (shown,) = events.Tensors("samples/text_summary")
    assert shown.step == 2
    assert shown.tensor_proto.string_val[0].decode() == f"```\n{page}```"

    call(sample, f"run={run}", "n=70", "npz=true", "interpolations=3", "steps=4")
    lines = (run / "generated" / "samples.txt").read_text().split("\n")
    assert lines[:64] == page.split("\n")[:64]
    assert np.load(run / "generated" / "samples.npz")["arr_0"].tolist() == lines[:-1]
    assert len(lines[:-1]) == 70
    groups = (run / "generated" / "interpolation.txt").read_text().rstrip("\n").split("\n\n")
    assert len(groups) == 3
    assert sorted(path.name for path in (run / "generated").iterdir()) == [
        "interpolation.txt",
        "samples.npz",
        "samples.txt",
    ]


def test_a_text_that_has_moved_is_found(call, tmp_path):
    run, old, new = (tmp_path / name for name in ("run", "old.txt", "new.txt"))
    old.write_text("Wer reitet so spät durch Nacht und Wind?\n" * 99)
    scored = ["metrics.final=quick", "protocol.quick.generated=50", "updates=1"]
    call(train, f"hydra.run.dir={run}", *TINY, f"data.file={old}", *scored)
    old.rename(new)
    for task, scarce in ((sample, ["n=2"]), (evaluate, ["generated=50"]), (analyze, ["analysis=gradients"])):
        with nullcontext() if task is sample else pytest.raises(SystemExit, match=f"data.file={old} cannot be read"):
            call(task, f"run={run}", *scarce)
        call(task, f"run={run}", *scarce, f"data.file={new}")
        with pytest.raises(SystemExit, match=r"data\.root=/x is no setting of data=text: set data\.file instead\."):
            call(task, f"run={run}", *scarce, "data.root=/x")


def test_a_run_keeps_its_letters_whatever_its_text_becomes(call, tmp_path):
    run, file = tmp_path / "run", tmp_path / "some.txt"
    file.write_text("Ab ${x} cd.\n" * 99)
    arguments = [f"hydra.run.dir={run}", *TINY, f"data.file={file}", "metrics=none"]
    call(train, *arguments, "updates=1")
    before = (read_samples(call, run), letters(run))
    assert before[1] == "".join(sorted(set("Ab ${x} cd.")))
    file.write_text("Zyx! ab ${x} cd.\n" * 99)
    assert (read_samples(call, run), letters(run)) == before
    call(train, *arguments, "updates=2", f"resume={run}")
    assert letters(run) == before[1]


def letters(run):
    return build_source(load_config(run)).alphabet.strip(PAD + UNKNOWN)


def read_samples(call, run):
    call(sample, f"run={run}", "n=8")
    return (run / "generated" / "samples.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_it_learns_to_spell(call, tmp_path):
    """Letters, then pairs of letters, come to be as frequent as in the text."""
    small = ["data.length=8", "model.width=16", "model.depth=1", "batch_size=32", "protocol.quick.generated=500"]
    arguments = ["experiment=wgan_gp_text", "trainer.accelerator=cpu", *small, "metrics.final=quick"]
    call(train, f"hydra.run.dir={tmp_path}", *arguments, "updates=100", "updates_per_epoch=10")
    course = json.loads((tmp_path / "results.json").read_text())["course"]
    first, last = (course[place]["scores"] for place in (0, -1))
    assert last["ngrams/jsd1"] < first["ngrams/jsd1"] - 0.25
    assert last["ngrams/jsd2"] < first["ngrams/jsd2"] - 0.25
