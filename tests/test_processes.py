"""What two processes of one training have in common is what one process with the whole batch has."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import hydra
import pytest
import torch
from lightning.pytorch import seed_everything
from lightning_utilities.core.rank_zero import rank_zero_only
from torch import distributed, multiprocessing

from lit_gan.build import build_gan
from lit_gan.callbacks import RandomState
from lit_gan.callbacks.random_state import mixed
from lit_gan.cli.launch import launch
from lit_gan.game import Discriminator, Generator, Layers, Turn, Verdict
from lit_gan.losses import BEGAN
from lit_gan.reg import styles
from lit_gan.reg.inputs import ExperienceReplay
from lit_gan.reg.outputs import LeCam
from lit_gan.reg.styles import PathLength
from lit_gan.reg.virtual import Referenced, fill
from lit_gan.styles import StyledGenerator
from lit_gan.system.processes import as_the_first, average_over_processes
from trainers import quiet_trainer

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


def reference(part: slice) -> list[float]:
    """Virtual batch norm's reference batch of five numbers and their labels, from this part of a first batch of
    four."""
    body = Referenced(Layers(), torch.zeros(5, 1))
    fill(body, LENGTHS[part, None], LENGTHS[part].long())
    return [*body.reference.flatten().tolist(), *body.labels.tolist()]


def mean_style(part: slice) -> list[float]:
    """The mean style after two batches, of which a process has this part."""
    torch.manual_seed(0)
    G, z = StyledGenerator([1], 3, "normal", 2, 1), torch.randn(2, 4, 3)
    G.n_styles = 1
    for batch in z:
        G.styles(batch[part])
    average_over_processes([G.w_mean])
    return G.w_mean.tolist()


def one_of_two(rank: int, folder: str) -> None:
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    mine = torch.full((3,), float(rank + 1))
    as_the_first(mine)
    found = followed(slice(2 * rank, 2 * rank + 2)) | {"first": mine.tolist()}
    with pytest.MonkeyPatch.context() as patch:
        found["length"] = path_length(LENGTHS[2 * rank :][:2], patch)
    found["reference"], found["style"] = reference(slice(rank, None, 2)), mean_style(slice(rank, None, 2))
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
        assert found.pop("reference") == reference(slice(None)) == [1, 2, 4, 9, 1, 1, 2, 4, 9, 1]
        assert found.pop("style") == pytest.approx(mean_style(slice(None)))
        memories.append([found.pop(f"past {update}") for update in range(4)])
        assert found == pytest.approx(whole)
    assert memories[0] == memories[1]
    assert [sorted(past) for past in memories[0][:1]] == [[0, 0, 0, 0, 1, 1]]
    for update, past in enumerate(memories[0]):
        assert (past.count(10 * update), past.count(10 * update + 1)) == ((2, 2) if update else (4, 2))


SMALL = ["data.image_size=16", "model.width=4", "ema=0.9", "optim.n_dis=2"]
KEEPS_MUCH = [
    "model=dcgan",
    "reg=[experience_replay,virtual_batch_norm,lecam,historical_averaging,apa,spectral]",
    *("reg.virtual_batch_norm.network=d", "reg.virtual_batch_norm.n_reference=16"),
    *("reg.apa.ramp=100", "reg.apa.interval=1", "reg.experience_replay.capacity=6"),
]
STYLED = [
    *("model=stylegan2", "reg=[r1,style_mixing,path_length,ada]", "reg.path_length.every=2", "reg.r1.every=2"),
    *("reg.ada.ramp=100", "reg.ada.interval=1", "optim.accumulate=2"),
]
NOTHING_RANDOM = {
    "in_turns": [
        *("model=mlp", "model.G.z_dim=3", "reg=[lecam,historical_averaging,r1,spectral]", "loss=hinge"),
        *("optim=sgd", "optim.n_dis=2", "optim.accumulate=2", "optim.d_clip=0.5", "model.width=32"),
    ],
    "extragradient": [
        *("model=autoencoder_mlp", "loss=began", "loss.lambda_k=0.1", "order=extragradient"),
        *("optim=sgd", "optim.n_dis=1", "model.width=32"),
    ],
}


class Shares:
    """Batches without end, from an update on, of which a process has every so many-th sample."""

    def __init__(self, update: int, rank: int, world: int):
        self.update, self.mine = update, slice(rank, None, world)

    def __iter__(self):
        for update in itertools.count(self.update):
            x = torch.rand(16, 1, 16, 16, generator=torch.Generator().manual_seed(update))
            yield 2 * x[self.mine] - 1, torch.zeros(len(x[self.mine]), dtype=torch.long)


def small_game(*choices: str):
    """A small game, the same in all processes at the start."""
    seed_everything(0, verbose=False)
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        return build_gan(hydra.compose("train", [*SMALL, *choices]))


def draw_shares(gan, rank: int, world: int) -> None:
    """Has G draw every so many-th of the latent vectors that are the same for all."""
    generator, size = torch.Generator().manual_seed(0), gan.G.z_dim
    gan.G.draw = lambda n, _=None: torch.randn(n * world, size, generator=generator)[rank::world]


def play(gan, updates: int, rank: int, world: int, start: int = 0, path: str | None = None):
    """Plays a game up to an update, from the beginning or from a checkpoint."""
    strategy = {"devices": world, "strategy": "ddp_find_unused_parameters_true"} if world > 1 else {}
    trainer = quiet_trainer(gan, updates, RandomState(0), use_distributed_sampler=False, **strategy)
    trainer.fit(gan, Shares(start, rank, world), ckpt_path=path, weights_only=True)
    return trainer


def state(gan, trainer) -> dict[str, torch.Tensor]:
    """All that the next update of a process depends on, but for its random numbers, and those."""
    moments = [moment for optimizer in trainer.optimizers for moment in optimizer.state.values()]
    steps = {f"{number} {name}": value for number, part in enumerate(moments) for name, value in part.items()}
    return gan.state_dict() | steps | {"random": torch.get_rng_state()}


def player_of_two(rank: int, folder: str) -> None:
    """Plays whole games, and one in two parts."""
    os.environ["LOCAL_RANK"] = str(rank)
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    for name, choices in (("much", KEEPS_MUCH), ("styled", STYLED)):
        gan = small_game(*choices)
        torch.save(state(gan, play(gan, 4, rank, 2)), f"{folder}/{name}_{rank}.pt")
        play(small_game(*choices), 2, rank, 2).save_checkpoint(f"{folder}/{name}.ckpt")
        gan = small_game(*choices)
        resumed = play(gan, 4, rank, 2, start=2, path=f"{folder}/{name}.ckpt")
        torch.save(state(gan, resumed), f"{folder}/{name}_resumed_{rank}.pt")
    for name, choices in NOTHING_RANDOM.items():
        gan = small_game(*choices)
        draw_shares(gan, rank, 2)
        torch.save(state(gan, play(gan, 3, rank, 2)), f"{folder}/{name}_{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def games_of_two(tmp_path_factory):
    """What two processes have after their games, by its name."""
    folder = tmp_path_factory.mktemp("games")
    multiprocessing.start_processes(player_of_two, (str(folder),), nprocs=2, start_method="fork")
    return {path.stem: torch.load(path) for path in folder.glob("*.pt")}


def different(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    """The names of what is not the same to the last bit."""
    return [name for name in one | other if not torch.equal(one[name], other[name])]


@pytest.mark.parametrize("name", ["much", "styled"])
def test_processes_differ_in_their_random_numbers_alone(games_of_two, name):
    assert different(games_of_two[f"{name}_0"], games_of_two[f"{name}_1"]) == ["random"]


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("name", ["much", "styled"])
def test_two_processes_resume_bit_for_bit(games_of_two, name, rank):
    assert different(games_of_two[f"{name}_{rank}"], games_of_two[f"{name}_resumed_{rank}"]) == []


@pytest.mark.parametrize("name", NOTHING_RANDOM)
def test_two_processes_play_the_game_of_one(games_of_two, name):
    gan = small_game(*NOTHING_RANDOM[name])
    draw_shares(gan, 0, 1)
    alone = state(gan, play(gan, 3, 0, 1))
    for part, start in small_game(*NOTHING_RANDOM[name]).state_dict().items():
        moved = alone[part] - start
        assert moved.abs().max() > 1e-5, part
        for rank in (0, 1):
            found = games_of_two[f"{name}_{rank}"][part] - start
            torch.testing.assert_close(found, moved, rtol=1e-3, atol=1e-3 * moved.abs().max().item())


@pytest.mark.parametrize(("seed", "others"), [(0, 0), (0, 2), (1, 1)])
def test_random_numbers_of_other_processes_or_of_another_seed_are_not_taken_up(seed, others):
    first, *rest = (RandomState(0).state_dict() for _ in range(1 + others))
    resumed, second = RandomState(seed), SimpleNamespace(world_size=2, global_rank=1, global_step=3)
    resumed.load_state_dict(first | {"others": rest})
    resumed.on_train_start(second, None)
    assert torch.initial_seed() == mixed(seed, 1, 3)


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
