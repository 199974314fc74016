"""What two processes of one training have in common is what one process with the whole batch has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning_utilities.core.rank_zero import rank_zero_only
from torch import distributed, multiprocessing

from lit_gan.callbacks.random_state import mixed
from lit_gan.cli.launch import launch
from lit_gan.game import Discriminator, Generator, Turn, Verdict
from lit_gan.losses import BEGAN
from lit_gan.reg import styles
from lit_gan.reg.inputs import ExperienceReplay
from lit_gan.reg.outputs import LeCam
from lit_gan.reg.styles import PathLength
from lit_gan.system.processes import as_the_first

REAL, FAKE = torch.tensor([-3.0, -5.0, -1.0, -7.5]), torch.tensor([-1.0, -2.0, -0.5, -1.5])
LENGTHS = torch.tensor([1.0, 2.0, 4.0, 9.0])


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


def path_length(lengths: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> float:
    """The mean of StyleGAN2's path lengths after one turn of G with these."""
    reg = PathLength(decay=0.5)
    z = torch.zeros(2 * len(lengths), 1)
    turn = Turn("g", Generator([1], 1), Discriminator(), z, torch.zeros(len(z), dtype=torch.long), z)
    turn.G.draw, turn.G.styles = lambda n: z[:n], lambda z, y: z
    monkeypatch.setattr(styles, "path_lengths", lambda *_: lengths)
    reg.g(turn)
    return reg.mean.item()


def shared_memory(rank: int) -> dict[str, list[float]]:
    """What experience replay remembers of one number in each process; full, it replaces entries at random."""
    torch.manual_seed(rank)
    reg, seen = ExperienceReplay(6), {}
    reg.check(Generator([1], 1), Discriminator())
    for update in range(4):
        reg.remember(torch.full((2, 1), 10.0 * update + rank))
        seen[f"past {update}"] = reg.past.flatten().tolist()
    return seen


def one_of_two(rank: int, folder: str) -> None:
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    mine = torch.full((3,), float(rank + 1))
    as_the_first(mine)
    found = followed(slice(2 * rank, 2 * rank + 2)) | {"first": mine.tolist()}
    with pytest.MonkeyPatch.context() as patch:
        found["length"] = path_length(LENGTHS[2 * rank :][:2], patch)
    torch.save(found | shared_memory(rank), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_are_one_with_the_whole_batch(tmp_path):
    multiprocessing.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    with pytest.MonkeyPatch.context() as patch:
        whole = followed(slice(None)) | {"length": path_length(LENGTHS, patch)}
    assert whole["k"] == pytest.approx(2 * 0.1 * (0.5 * 4.125 - 1.25))
    memories = []
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found.pop("first") == [1, 1, 1]
        memories.append([found.pop(f"past {update}") for update in range(4)])
        assert found == pytest.approx(whole)
    assert memories[0] == memories[1]
    assert [sorted(past) for past in memories[0][:1]] == [[0, 0, 0, 0, 1, 1]]
    for update, past in enumerate(memories[0]):
        assert (past.count(10 * update), past.count(10 * update + 1)) == ((2, 2) if update else (4, 2))


TINY = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "metrics=none", "updates=2"]
TRAIN = ["-m", "lit_gan.train", *TINY, "updates_per_epoch=1", "trainer.log_every_n_steps=1"]


def train(*command: str, **environment: str) -> subprocess.CompletedProcess:
    """A training in processes of its own."""
    return subprocess.run([*command], env=os.environ | environment, capture_output=True, encoding="utf-8", check=False)


def assert_finished(directory: Path) -> None:
    """One process has written everything, once."""
    assert json.loads((directory / "results.json").read_text(encoding="utf-8"))["status"] == "finished"
    rows = (directory / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows] == ["update", "1", "2"]
    assert {"config.yaml", "lock", "run_id"} <= {path.name for path in (directory / ".hydra").iterdir()}


OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("RANK", "LOCAL_RANK", "JSM_NAMESPACE_RANK")]


@pytest.mark.parametrize("name", ["SLURM_PROCID", *OTHERS])
def test_a_rank_that_is_left_in_the_environment_is_not_that_of_a_single_process(tmp_path, name):
    ended = train(sys.executable, *TRAIN, f"hydra.run.dir={tmp_path}", **{name: "1"})
    assert ended.returncode == 0, ended.stderr
    assert_finished(tmp_path)


def test_every_command_is_the_first_process(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "argv", ["sample"])
    monkeypatch.setattr(rank_zero_only, "rank", 3, raising=False)  # Lightning, if it has been imported, has set it
    launch(lambda config: seen.append(rank_zero_only.rank), "sample")
    assert seen == [0]


@pytest.mark.parametrize(
    "strategy",
    [pytest.param([], id="auto"), pytest.param(["+trainer.strategy=ddp"], id="ddp", marks=pytest.mark.slow)],
)
def test_two_devices_on_a_cpu(tmp_path, strategy):
    ended = train(sys.executable, *TRAIN, f"hydra.run.dir={tmp_path}", "trainer.devices=2", *strategy)
    assert ended.returncode == 0, ended.stderr
    assert_finished(tmp_path)


@pytest.mark.slow
def test_two_processes_of_torchrun(tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    ended = train(*torchrun, *TRAIN, f"hydra.run.dir={tmp_path}", "trainer.devices=2")
    assert ended.returncode == 0, ended.stderr
    assert_finished(tmp_path)


def test_no_process_of_any_run_draws_what_another_one_does():
    seeds = [mixed(seed, rank, step) for seed in range(5) for rank in range(4) for step in range(0, 40, 10)]
    assert len(set(seeds)) == len(seeds)
