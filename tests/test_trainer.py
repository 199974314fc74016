"""What of the config group `trainer` Lightning can do here, and what is said where it cannot."""

import re
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
import wandb
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import OmegaConf
from torch import nn

from lit_gan.build import build_data, build_gan, build_source
from lit_gan.callbacks import RandomState
from lit_gan.callbacks.soundness import check_processes
from lit_gan.data.module import GANData
from lit_gan.errors import UserError
from lit_gan.tasks.trainer import (
    HALF_WEIGHTS,
    TF32,
    build_trainer,
    check_precision,
    check_shares,
    is_refusal,
    refusal,
    trainer_arguments,
)
from trainers import quiet_trainer

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
LEFT_BY_SRUN = {
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "3",
    "SLURM_NODEID": "0",
    "SLURM_JOB_ID": "4711",
}
LEFT_BY_TORCHRUN = {"RANK": "3", "LOCAL_RANK": "3", "WORLD_SIZE": "4", "GROUP_RANK": "0", "NODE_RANK": "1"}


def arguments(**settings) -> dict:
    return trainer_arguments(OmegaConf.create({"accelerator": "cpu", "devices": 1, "precision": "32-true"} | settings))


@pytest.fixture(autouse=True)
def rank(monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 0)


@pytest.mark.parametrize(
    ("settings", "named", "reason"),
    [
        ({"accelerator": "tpu"}, "trainer.accelerator=tpu", "torch_xla"),
        ({"accelerator": "gpux"}, "trainer.accelerator=gpux", "invalid accelerator name"),
        ({"devices": -1}, "trainer.devices=-1", "an int > 0"),
        pytest.param({"accelerator": "gpu"}, "trainer.accelerator=gpu", "No supported gpu", marks=without_gpu),
        ({"precision": "tf32"}, "trainer.precision=tf32 is", "this CPU, which computes in 32-true instead"),
        ({"strategy": "ddpp"}, "trainer.strategy=ddpp", "invalid strategy name"),
        ({"strategy": "fsdp"}, "trainer.strategy=fsdp", "requires a GPU"),
        ({"precision": "transformer-engine"}, "trainer.precision=transformer-engine", "transformer_engine"),
        ({"precision": 15}, "trainer.precision=15", "Precision"),
        ({"foo": 1}, "trainer.foo=1 cannot", "unexpected keyword"),
    ],
)
def test_what_lightning_refuses_is_a_sentence_with_the_setting(settings, named, reason):
    with pytest.raises(UserError) as refused:
        arguments(**settings)
    sentence = str(refused.value)
    assert (named in sentence, reason in sentence, "\n" in sentence) == (True, True, False), sentence


def test_tasks_of_slurm_that_are_no_processes_of_lightning(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE", raising=False)
    assert arguments()["strategy"] == "auto"
    with pytest.raises(UserError, match=r"trainer.devices=2 .*--ntasks-per-node=2"):
        arguments(devices=2)


@pytest.mark.parametrize("precision", ["16-mixed", 16, "16"])
def test_a_precision_that_lightning_would_replace_is_refused(precision):
    with pytest.raises(UserError, match=f"trainer.precision={precision} is not to be had on this CPU.*bf16-mixed"):
        arguments(precision=precision)


@pytest.mark.parametrize("precision", ["32-true", 32, "bf16", "bf16-mixed", "64-true", "64"])
def test_a_precision_that_is_had_is_taken(precision):
    assert arguments(precision=precision)["precision"] == precision


@pytest.mark.parametrize("precision", ["16-true", "bf16-true"])
def test_weights_of_16_bits_are_refused(precision):
    with pytest.raises(UserError, match=f"trainer.precision={precision} .*set trainer.precision=bf16-mixed"):
        arguments(precision=precision)


def test_every_precision_with_weights_of_16_bits_is_refused_on_a_gpu():
    for precision in HALF_WEIGHTS:
        trainer = SimpleNamespace(precision=precision, strategy=SimpleNamespace(root_device=torch.device("cuda")))
        with pytest.raises(UserError, match=f"trainer.precision={precision} .*bf16-mixed"):
            check_precision(OmegaConf.create({"precision": precision}), trainer)


@pytest.mark.parametrize(("supported", "refused"), [(True, []), (False, ["on this CUDA, which computes in 32-true"])])
def test_tf32_is_refused_on_a_gpu_that_has_none(monkeypatch, supported, refused):
    monkeypatch.setattr(torch.cuda, "is_tf32_supported", lambda: supported)
    trainer = SimpleNamespace(precision="tf32", strategy=SimpleNamespace(root_device=torch.device("cuda")))
    with pytest.raises(UserError, match=refused[0]) if refused else nullcontext():
        check_precision(OmegaConf.create({"precision": "tf32"}), trainer)


class Allowed(Callback):
    """Whether TF32 is allowed, before each of the players' steps and behind an update."""

    def __init__(self):
        self.seen = []

    def note(self, *_):
        self.seen.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))

    on_before_optimizer_step = on_train_batch_end = note


@pytest.mark.filterwarnings("error:.*(TF32|fp32_precision)")
@pytest.mark.parametrize(("plugins", "within"), [([], ("highest", False)), ([TF32()], ("high", True))])
def test_tf32_is_allowed_in_the_training_steps_alone(compose, tmp_path, plugins, within):
    torch.backends.cudnn.allow_tf32 = True  # as torch begins
    config = compose("trainer=cpu", "data=gaussians", "model=mlp", "model.width=8", "updates=1", "metrics=none")
    gan, allowed = build_gan(config), Allowed()
    build_trainer(config, tmp_path, False, [])
    data = build_data(config, build_source(config))
    quiet_trainer(gan, 1, allowed, plugins=plugins, limit_train_batches=1).fit(gan, data)
    assert allowed.seen == [within, within, ("highest", False)]


@pytest.mark.parametrize(
    ("settings", "strategy"),
    [
        ({}, "auto"),
        ({"devices": 2}, "ddp_find_unused_parameters_true"),
        ({"devices": 2, "strategy": "ddp"}, "ddp_find_unused_parameters_true"),
        ({"strategy": "ddp"}, "ddp_find_unused_parameters_true"),
        ({"devices": 2, "strategy": "ddp_spawn"}, "ddp_spawn_find_unused_parameters_true"),
        ({"devices": 2, "strategy": "ddp_find_unused_parameters_false"}, "ddp_find_unused_parameters_false"),
    ],
)
def test_the_strategy_allows_for_turns(settings, strategy):
    assert arguments(**settings)["strategy"] == strategy


@pytest.mark.parametrize("left", [LEFT_BY_SRUN, LEFT_BY_TORCHRUN, LEFT_BY_SRUN | LEFT_BY_TORCHRUN])
def test_one_device_is_the_first_process_whatever_is_left_in_the_environment(monkeypatch, left):
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    rank_zero_only.rank = 3
    arguments()
    assert rank_zero_only.rank == 0


def test_a_process_of_several_knows_its_rank(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    arguments(devices=2)
    assert rank_zero_only.rank == 1


@pytest.mark.parametrize(
    ("devices", "parts", "shares"),
    [
        (1, 3, "cut into the 3 equal parts of optim.accumulate=3"),
        (3, 1, "shared among 3 devices"),
        (3, 2, "shared among 3 devices and cut into the 2 equal parts of optim.accumulate=2"),
    ],
)
def test_a_batch_that_does_not_divide_is_shared_among_several_devices_only(devices, parts, shares):
    config = OmegaConf.create({"batch_size": 8, "g_batch_size": None, "optim": {"accumulate": parts}})
    sentence = f"batch_size=8 cannot be {shares}: set it to a multiple of {devices * parts}."
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        check_shares(config, devices)


def test_under_slurm_lightning_requeues_nothing(monkeypatch):
    for name, value in (
        LEFT_BY_SRUN | {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_PROCID": "1"}
    ).items():
        monkeypatch.setenv(name, value)
    (environment,) = arguments(devices=2)["plugins"]
    assert (environment.auto_requeue, rank_zero_only.rank) == (False, 1)


def test_only_what_is_raised_on_purpose_is_lightnings_answer():
    def error_of(call, *values) -> Exception:
        with pytest.raises(Exception) as raised:  # noqa: PT011
            call(*values)
        return raised.value

    assert is_refusal(error_of(lambda: Trainer(accelerator="gpux")))
    assert not is_refusal(error_of(trainer_arguments, None))
    assert not is_refusal(error_of(int, "x"))


def test_what_wandb_refuses_is_about_its_logger():
    with pytest.raises(ValueError, match="name") as raised:
        wandb.Artifact("no/name", type="model")
    assert is_refusal(raised.value)
    assert refusal(OmegaConf.create({"accelerator": "cpu"}), raised.value).startswith("logger=wandb cannot go on (")


@without_gpu
def test_a_gpu_that_is_not_there_is_not_advised():
    with pytest.raises(UserError, match=r": correct it, or choose trainer=default or trainer=cpu\.$"):
        arguments(accelerator="gpu")


@without_gpu
def test_an_optimizer_does_not_look_for_a_gpu_in_vain_at_each_step(compose, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    build_trainer(compose("trainer.accelerator=cpu"), tmp_path, False, [])
    monkeypatch.setattr(torch.cuda, "_device_count_nvml", lambda: pytest.fail("NVML is asked"))
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    torch.optim.Adam([weight], fused=True).step()


def processes(n, *callbacks, strategy=None):
    return SimpleNamespace(world_size=n, callbacks=list(callbacks), strategy=strategy)


def test_several_processes_that_would_draw_the_same_numbers_are_refused():
    check_processes(processes(1))
    check_processes(processes(2, RandomState(0)))
    with pytest.raises(UserError, match=r"2 processes .* draw the same latent vectors: add \S+RandomState\(seed\)"):
        check_processes(processes(2, Callback()))


def test_a_strategy_that_does_not_bear_turns_is_refused():
    check_processes(processes(2, RandomState(0), strategy=DDPStrategy(find_unused_parameters=True)))
    for plain in (DDPStrategy(), DDPStrategy(find_unused_parameters=False)):
        with pytest.raises(UserError, match=r"strategy=ddp .*ddp_find_unused_parameters_true"):
            check_processes(processes(2, RandomState(0), strategy=plain))


@pytest.mark.parametrize(("n", "shared_anew", "refused"), [(2, True, True), (2, False, False), (1, True, False)])
def test_a_trainer_that_would_share_the_files_anew_is_refused(n, shared_anew, refused):
    made = GANData.__new__(GANData)
    connector = SimpleNamespace(use_distributed_sampler=shared_anew)
    root = SimpleNamespace(root_device=torch.device("cpu"))
    made.trainer = SimpleNamespace(world_size=n, _accelerator_connector=connector, strategy=root)
    made._batches, made.num_workers = lambda *_: [[0]], 0
    with pytest.raises(UserError, match=r"use_distributed_sampler=False") if refused else nullcontext():
        made._from_files([0])
