"""What two processes of one training have in common is what one process with the whole batch has."""

import pytest
import torch
from torch import distributed, multiprocessing

from lit_gan.game import Discriminator, Generator, Turn, Verdict
from lit_gan.losses import BEGAN
from lit_gan.processes import as_the_first
from lit_gan.reg.outputs import LeCam

REAL, FAKE = torch.tensor([-3.0, -5.0, -1.0, -7.5]), torch.tensor([-1.0, -2.0, -0.5, -1.5])


def followed(part: slice) -> dict[str, float]:
    """BEGAN's k and LeCam's averages after two of D's turns on this part of the batch."""
    began, lecam = BEGAN(lambda_k=0.1), LeCam(decay=0.5)
    nothing, labels = torch.zeros(4, 1), torch.zeros(4, dtype=torch.long)
    turn = Turn("d", Generator([1], 1), Discriminator(), nothing, labels, nothing)
    turn.real, turn.fake = (Verdict(logits[part], logits[part, None]) for logits in (REAL, FAKE))
    for _ in range(2):
        began.d(turn)
        lecam.project(turn)
    return {"k": began.k.item(), "real": lecam.real.item(), "fake": lecam.fake.item()}


def one_of_two(rank: int, folder: str) -> None:
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    mine = torch.full((3,), float(rank + 1))
    as_the_first(mine)
    found = followed(slice(2 * rank, 2 * rank + 2)) | {"first": mine.tolist()}
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_are_one_with_the_whole_batch(tmp_path):
    multiprocessing.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    whole = followed(slice(None))
    assert whole["k"] == pytest.approx(2 * 0.1 * (0.5 * 4.125 - 1.25))
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found.pop("first") == [1, 1, 1]
        assert found == pytest.approx(whole)
