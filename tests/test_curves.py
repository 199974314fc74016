"""The curves of a training, kept between one closing of an interval and the next."""

import math

import pytest
import torch

from lit_gan.curves import Curves, Diverged

CPU = torch.device("cpu")


def kept(*vectors: torch.Tensor) -> Curves:
    curves = Curves()
    for vector in vectors:
        curves.add("d/real", vector)
    return curves


def test_an_interval_goes_on_with_batches_of_another_size():
    before = kept(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    resumed = Curves()
    resumed.load_state_dict(before.state_dict(), CPU)
    resumed.add("d/real", torch.tensor([4.0, 6.0]))
    resumed.close(1, 2)
    assert resumed.latest == {"d/real": 4.0}


def test_an_interval_of_an_earlier_version_held_whole_vectors():
    resumed = Curves()
    resumed.load_state_dict({"d/real": [torch.tensor([1.0, 2.0, 3.0, 6.0])], "d/hinge": [torch.tensor(2.0)]}, CPU)
    resumed.add("d/real", torch.tensor([4.0, 6.0]))
    resumed.add("d/hinge", torch.tensor(3.0))
    resumed.close(1, 2)
    assert resumed.latest == {"d/real": 4.0, "d/hinge": 2.5}


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_one_broken_sample_is_seen(broken):
    curves = kept(torch.zeros(3), torch.tensor([0.0, broken, 0.0]))
    with pytest.raises(Diverged, match=f"d/real became {broken} at generator update 12"):
        curves.close(11, 12)


def test_a_mean_of_half_precision_is_of_single_precision():
    large, fine = torch.full((3,), 60000.0).half(), torch.tensor([1.0, 1.0, 1.03125]).bfloat16()
    curves = kept(large, fine)
    first, second = curves.checked(1, 2)["d/real"].tolist()
    assert first == 60000
    assert second == pytest.approx(1 + 0.03125 / 3, rel=1e-6)


def test_nothing_waits_for_the_device_until_the_interval_closes():
    curves = kept(torch.ones(3, device="meta"))
    curves.load_state_dict(curves.state_dict(), torch.device("meta"))
    assert [value.shape for value in curves.history["d/real"]] == [()]
