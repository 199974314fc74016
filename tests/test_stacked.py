"""Stacked digits: what a stack is, and that the thousand modes are counted."""

import math
from types import SimpleNamespace

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lit_gan.build import build_protocol
from lit_gan.data import to_unit
from lit_gan.data.digits import Digits
from lit_gan.data.gaussians import SwissRoll
from lit_gan.data.stacked import Stacked
from lit_gan.errors import UserError
from lit_gan.metrics.stacked import expected, kl_divergence
from lit_gan.tasks.chosen_run import moved_source


@pytest.fixture(scope="module")
def digits():
    return Digits("digits", 32, 1, (1, 32, 32), 10, 2**30)


@pytest.fixture(scope="module")
def stacked(digits):
    return Stacked("stacked_digits", (3, 32, 32), 1000, digits, n=5000, seed=0)


@pytest.fixture
def suite(compose):
    return instantiate(compose("data=stacked_digits").metrics.suite)


@pytest.fixture
def protocol(compose):
    return build_protocol(compose("data=stacked_digits"), "full").with_generated(2000)


def test_channels_are_digits_and_the_label_names_them(stacked, digits):
    stacks, singles = stacked.split("train"), digits.split("train")
    assert stacks.images.shape == (5000, 3, 32, 32)
    for stack, label in zip(stacks.images[:5], stacks.labels[:5].tolist(), strict=True):
        for channel, digit in zip(stack, f"{label:03d}", strict=True):
            same = (singles.images[:, 0] == channel).all((1, 2))
            assert int(digit) in singles.labels[same].tolist()


def test_a_base_that_is_decoded_on_access(stacked):
    base = Digits("digits", 32, 1, (1, 32, 32), 10, 0)
    found = Stacked("stacked_digits", (3, 32, 32), 1000, base, n=5000, seed=0).split("train")
    assert torch.equal(found.images, stacked.split("train").images)


def test_other_seeds_stack_otherwise(digits, stacked):
    other = Stacked("stacked_digits", (3, 32, 32), 1000, digits, n=5000, seed=1).split("train")
    assert not torch.equal(other.labels, stacked.split("train").labels)


def test_real_stacks_hold_almost_all_modes(stacked, suite, protocol):
    images = iter(stacked.split("train").images.split(protocol.batch_size))
    scores = suite.evaluate(lambda n: to_unit(next(images))[:n], stacked, protocol)
    # 2,000 draws of 1,000 modes leave a share of e^-2 out and have a KL of 1000 / (2 * 2000), if evenly drawn
    assert scores["stacked_digits/held"] == pytest.approx(1000 * (1 - math.exp(-2)), abs=25)
    assert scores["stacked_digits/kl"] == pytest.approx(0.25, abs=0.06)


def test_one_image_is_one_mode(stacked, suite, protocol):
    split = stacked.split("train")
    image = to_unit(split.images[:1])
    scores = suite.evaluate(lambda n: image.repeat(n, 1, 1, 1), stacked, protocol)
    assert scores["stacked_digits/held"] == 1
    assert scores["stacked_digits/kl"] == pytest.approx(-expected(stacked, "train")[split.labels[0]].log().item())


def test_divergence_on_paper():
    share = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    assert kl_divergence(torch.tensor([0, 0, 1, 2]), share) == pytest.approx(0)
    assert kl_divergence(torch.tensor([0, 1]), share) == pytest.approx(0.5 * math.log(1) + 0.5 * math.log(2))


def test_the_expected_share_of_a_mode_is_the_product_of_those_of_its_digits():
    labels = torch.tensor([0] * 5 + [1] * 3 + [9] * 2)
    base = SimpleNamespace(split=lambda which: SimpleNamespace(labels=labels))
    shares = expected(SimpleNamespace(base=base), "train")
    assert [shares[mode].item() for mode in (0, 9, 190, 100, 2)] == pytest.approx([0.125, 0.05, 0.03, 0.075, 0])


def test_expected_shares_are_a_distribution(stacked):
    assert expected(stacked, "train").sum().item() == pytest.approx(1)


def test_points_cannot_be_stacked():
    with pytest.raises(UserError, match=r"data\.base=swiss_roll"):
        Stacked("stacked", (3, 32, 32), 1000, SwissRoll("swiss_roll", (2,), None, 0.1, 1.0, 10, 0), 10, 0)


def test_only_stacks_are_counted(suite, digits):
    with pytest.raises(UserError, match="data=digits has none: set data=stacked_digits"):
        suite.prepare(digits)


def test_the_papers_set_composes(compose):
    config = compose("data=stacked_mnist")
    assert config.data.base.name == "mnist"
    assert list(config.data.shape) == [3, 32, 32]


def test_the_digits_of_a_run_may_have_moved(compose, tmp_path):
    trained = compose("data=stacked_mnist")
    source = moved_source(OmegaConf.create({"data": {"root": str(tmp_path), "file": None}}), trained)
    assert source.base.root == tmp_path
    moved = {"data": {"root": None, "file": "/x"}}
    for data, advice in (("stacked_mnist", r"set data\.root instead"), ("stacked_digits", "leave it out")):
        with pytest.raises(UserError, match=rf"^data\.file=/x is no setting of data={data}: {advice}"):
            moved_source(OmegaConf.create(moved), compose(f"data={data}"))
