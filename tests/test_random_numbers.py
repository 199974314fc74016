"""What seeds torch for its own purpose leaves a training's random numbers alone, on Apple's GPUs too."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import lit_gan
from lit_gan.callbacks import RandomState
from lit_gan.system.random_numbers import keeping_random_state


@pytest.fixture
def apple(monkeypatch):
    """The random state of an Apple GPU that is not there: the seed that it had last, in a tensor."""
    gpu = SimpleNamespace(state=torch.tensor([7]))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "manual_seed", lambda seed: setattr(gpu, "state", torch.tensor([seed])))
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: gpu.state.clone())
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state: setattr(gpu, "state", state))
    return gpu


@pytest.mark.parametrize("fails", [False, True])
def test_a_block_that_seeds_leaves_the_random_numbers(apple, fails):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    try:
        with keeping_random_state("mps"):
            torch.manual_seed(3)
            assert apple.state == 3
            if fails:
                raise ValueError
    except ValueError:
        assert fails
    assert apple.state == 7
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_else_forks_the_random_numbers():
    root = Path(lit_gan.__file__).parent
    forking = [path.name for path in root.rglob("*.py") if "fork_rng" in path.read_text(encoding="utf-8")]
    assert forking == ["random_numbers.py"]


def test_a_checkpoint_holds_the_random_numbers_of_an_apple_gpu(apple):
    saved, alone = RandomState(0).state_dict(), SimpleNamespace(world_size=1, global_rank=0)
    for content, state in ((saved, 7), ({name: saved[name] for name in ("cpu", "gpu", "seed")}, 3)):
        torch.manual_seed(3)
        resumed = RandomState(0)
        resumed.load_state_dict(content)
        resumed.on_train_start(alone, None)
        assert apple.state == state
