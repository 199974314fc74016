"""What is computed in double precision is computed on the CPU where a device, as Apple's, has none."""

import pytest
import torch
from torch import Tensor, nn

from lit_gan.analysis.gradients import joint_norm
from lit_gan.callbacks.histograms import histogram
from lit_gan.game import in_float64, truncated
from lit_gan.layers import singular_values
from lit_gan.reg.targets import adam
from lit_gan.tasks.collapse import variance


class Apple(Tensor):
    """A tensor of a device without float64, which is not there."""

    device = torch.device("mps")

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        found = super().__torch_function__(function, types, args, kwargs or {})
        if function is Tensor.cpu:
            return found.as_subclass(Tensor)
        if isinstance(found, Apple) and found.dtype == torch.float64:
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
            )
        return found


X = torch.tensor([[-1.5, 0.25], [0.5, 2.0]])


def stepped(x: Tensor) -> Tensor:
    group = {"lr": 0.1, "betas": (0.0, 0.9), "eps": 1e-8, "weight_decay": 0.0}
    moments = {"step": x.flatten()[3], "exp_avg": torch.ones(2), "exp_avg_sq": torch.ones(2)}
    return adam(torch.zeros(2), torch.ones(2), moments, group)[0]


@pytest.mark.parametrize(
    "computed",
    [
        in_float64,
        lambda x: truncated(x, 1.0),
        lambda x: torch.as_tensor(histogram(x, 3)[2]),
        lambda x: torch.as_tensor(variance(x)),
        lambda x: torch.as_tensor(joint_norm([x, None])),
        stepped,
    ],
)
def test_the_result_is_that_of_a_cpu(computed):
    found = computed(X.as_subclass(Apple))
    assert torch.equal(found.as_subclass(Tensor), computed(X))


def test_singular_values_of_such_a_weight(monkeypatch):
    layer = nn.Linear(2, 2)
    expected = singular_values(nn.Sequential(layer))["0"]
    monkeypatch.setattr("lit_gan.layers.as_matrix", lambda weight, _: weight.detach().as_subclass(Apple))
    assert torch.equal(singular_values(nn.Sequential(layer))["0"], expected)
