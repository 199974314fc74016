"""Lightning's Trainer from the config group `trainer`, on this machine and among these
processes."""

import linecache
import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import Precision
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from lit_gan.callbacks import AtomicCheckpointIO
from lit_gan.errors import UserError, modules_below, written
from lit_gan.system.float32 import use_tf32

MACHINE_SETTINGS = ("accelerator", "devices", "num_nodes", "strategy", "precision")
"""The settings that decide where and how a training runs."""

NEW_PRECISION_NAMES = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}
"""Lightning's names of precisions by the ones that it used before."""

HALF_WEIGHTS = ("16-true", "bf16-true", "transformer-engine", "transformer-engine-float16")
"""Lightning's precisions in which the weights themselves, and all that is kept beside them, are of 16
bits."""

DDP = ("ddp", "ddp_spawn", "ddp_fork", "ddp_notebook")
"""Lightning's strategies with a copy of the model on each device."""


class TF32(Precision):
    """Single precision whose products of matrices and convolutions are of TF32 in the training
    steps; scores are computed without it."""

    precision = "tf32"

    @contextmanager
    def train_step_context(self) -> Iterator[None]:
        """Allows TF32 in one training step, with its backward passes and updates."""
        use_tf32(True)
        try:
            yield
        finally:
            use_tf32(False)


def build_trainer(config: DictConfig, directory: Path, logger: Logger, callbacks: Sequence[Callback]) -> Trainer:
    """Lightning's trainer: an epoch is `updates_per_epoch` generator updates.

    Float32 is as exact on a GPU as on a CPU from here on, but for what `TF32` allows.

    Raises:
        UserError: the config group `trainer` holds an argument that is decided by other settings,
            or Lightning refuses one.
    """
    arguments = trainer_arguments(config.trainer)
    own = {
        "max_steps": config.updates,
        "max_epochs": config.updates,  # no limit, but -1 would make Lightning resume within epochs only
        "limit_train_batches": config.updates_per_epoch,
        "logger": logger,
        "callbacks": list(callbacks),
        "default_root_dir": directory,
        "use_distributed_sampler": False,
        "enable_model_summary": False,
    }
    check_undecided(arguments.keys() & own.keys())
    ask_cheaply_for_gpus()
    use_tf32(False)
    try:
        return Trainer(**own, **arguments | {"plugins": [AtomicCheckpointIO(), *arguments["plugins"]]})
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise UserError(refusal(config.trainer, error)) from error


def ask_cheaply_for_gpus() -> None:
    """Lets torch find out in no time that there is no GPU, which it does before each step of Adam.

    Lightning has it ask NVML, so that the answer does not spoil a later fork; where there is none,
    a library is looked for in vain every time, which takes as long as the step of a small network.
    """
    if not torch.cuda.is_available():
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"


def check_undecided(decided: set[str]) -> None:
    """Refuses arguments of Lightning's trainer that other settings decide.

    Raises:
        UserError: names one of them.
    """
    for name in decided:
        raise UserError(
            f"trainer.{name} is decided by other settings: updates and updates_per_epoch for the length, the groups "
            f"logger and callbacks, and hydra.run.dir for the directory."
        )


def check_shares(config: DictConfig, devices: int) -> None:
    """Refuses batches that cannot be shared equally among devices and the parts of an accumulated
    gradient.

    Raises:
        UserError: names the batch size.
    """
    parts = config.optim.accumulate
    shares = [f"shared among {devices} devices"] if devices > 1 else []
    shares += [f"cut into the {parts} equal parts of optim.accumulate={parts}"] if parts > 1 else []
    for name in ("batch_size", "g_batch_size"):
        if config[name] is not None and config[name] % (devices * parts):
            raise UserError(
                f"{name}={config[name]} cannot be {' and '.join(shares)}: set it to a multiple of {devices * parts}."
            )


def trainer_arguments(settings: DictConfig) -> dict[str, Any]:
    """Lightning's arguments for the config group `trainer`; sets the rank of this process among
    those of its training.

    Raises:
        UserError: Lightning cannot do what is asked for, here or at all, or would do something
            else.
    """
    arguments: dict[str, Any] = OmegaConf.to_container(settings, resolve=True)
    precision = [TF32()] if arguments.get("precision") == TF32.precision else []
    if precision:
        del arguments["precision"]  # Lightning takes a name of its own or a plugin
    try:
        processes = trial_trainer(arguments, *precision, LightningEnvironment()).world_size
        arguments["strategy"] = strategy_for_games(arguments.get("strategy", "auto"), processes)
        plugins = [*precision, *environments(processes)]
        trainer = trial_trainer(arguments, *plugins)
    except Exception as error:  # of any class: nothing but Lightning's own checks runs here
        raise UserError(refusal(settings, error)) from error
    check_precision(settings, trainer)
    rank_zero_only.rank = trainer.global_rank
    return arguments | {"plugins": plugins}


def trial_trainer(arguments: dict[str, Any], *plugins: ClusterEnvironment | Precision) -> Trainer:
    """A trainer that trains nothing, and shows what Lightning makes of the arguments."""
    return Trainer(**arguments, plugins=list(plugins), logger=False, enable_checkpointing=False)


def strategy_for_games(name: Any, processes: int) -> Any:
    """A strategy as asked for, in the variant that bears parameters without a gradient.

    Each turn of the game leaves the other player's parameters unused, at which Lightning's plain
    DDP stops.
    """
    if name == "auto" and processes > 1:
        name = "ddp"
    return f"{name}_find_unused_parameters_true" if name in DDP else name


def environments(processes: int) -> list[ClusterEnvironment]:
    """The plugins by which the processes of a training find each other; an empty list leaves it to
    Lightning.

    A single process needs nobody: a rank that srun or torchrun has given it is that of one among
    independent runs. Under SLURM it is this package that has the job queued again: Lightning's own
    way saves a checkpoint of another name, which a later start would take for the run's last.
    """
    if processes == 1:
        return [LightningEnvironment()]
    if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
        return [SLURMEnvironment(auto_requeue=False)]
    return []


def check_precision(settings: DictConfig, trainer: Trainer) -> None:
    """Refuses a precision that this machine has not, for which another one would be taken, and one
    whose 8 or 11 bits of mantissa lose what a moving average or a probability moves by.

    Raises:
        UserError: names it, and the one to set.
    """
    asked, had = written(settings.get("precision", "32-true")), precision_had(trainer)
    if had in HALF_WEIGHTS:
        raise UserError(
            f"trainer.precision={asked} keeps the weights themselves in 16 bits, in which moving averages and what "
            f"regularizers count stand still: set trainer.precision=bf16-mixed."
        )
    if NEW_PRECISION_NAMES.get(asked, asked) != had:
        raise UserError(
            f"trainer.precision={asked} is not to be had on this {trainer.strategy.root_device.type.upper()}, which "
            f"computes in {had} instead: set trainer.precision={had}."
        )


def precision_had(trainer: Trainer) -> str:
    """The precision in which a trainer computes on its device; what has no TF32 takes float32."""
    if trainer.precision != TF32.precision:
        return trainer.precision
    on_gpu = trainer.strategy.root_device.type == "cuda"
    return TF32.precision if on_gpu and torch.cuda.is_tf32_supported() else "32-true"


def is_refusal(error: BaseException) -> bool:
    """Whether Lightning or W&B raised an error on purpose; a fault of this package may only surface
    in their code."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    raised = linecache.getline(frame.f_code.co_filename, line).lstrip().startswith("raise ")
    return package_of(error) in ("lightning", "wandb") and raised


def package_of(error: BaseException) -> str | None:
    """The package in whose code an error was raised; None for one that has not been raised."""
    modules = modules_below(error)
    return modules[-1].partition(".")[0] if modules else None


def refusal(settings: DictConfig, error: BaseException) -> str:
    """The sentence for what Lightning or W&B refuses, with the settings that are to be corrected.

    These are the settings that Lightning's reason names, or else those that say where to run. What
    W&B refuses in the middle of a training is about its logger.
    """
    reason = " ".join(str(error).split()).rstrip(".")
    if package_of(error) == "wandb":
        return f"logger=wandb cannot go on ({reason}): correct logger.wandb.*, or set logger.wandb.offline=true."
    named = [name for name, value in settings.items() if name in reason or f"'{value}'" in reason]
    named = named or [name for name in MACHINE_SETTINGS if name in settings]
    wrong = " ".join(f"trainer.{name}={written(settings[name])}" for name in named)
    return f"{wrong} cannot be used here ({reason}): correct it, or choose trainer=default or trainer=cpu."
