"""The config group `trainer` as arguments of Lightning's Trainer, on this machine and among these processes."""

import linecache
import traceback
from typing import Any

from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch import Trainer
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from lit_gan.errors import UserError, written

PLACE = ("accelerator", "devices", "num_nodes", "strategy", "precision")
"""The settings that decide where and how a training runs."""

PRECISIONS = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}
"""Lightning's older words."""

DDP = ("ddp", "ddp_spawn", "ddp_fork", "ddp_notebook")


def trainer_arguments(settings: DictConfig) -> dict[str, Any]:
    """Lightning's arguments for `settings`; this process knows from here on which one of its training it is.

    Raises:
        UserError: Lightning cannot do what is asked for, here or at all, or would do something else.
    """
    arguments: dict[str, Any] = OmegaConf.to_container(settings, resolve=True)
    try:
        processes = trial(arguments, LightningEnvironment()).world_size
        arguments["strategy"] = strategy(arguments.get("strategy", "auto"), processes)
        trainer = trial(arguments, *environments(processes))
    except Exception as error:  # of any class: nothing but Lightning's own checks runs here
        raise UserError(refusal(settings, error)) from error
    check_precision(settings, trainer)
    rank_zero_only.rank = trainer.global_rank
    return arguments | {"plugins": environments(processes)}


def trial(arguments: dict[str, Any], *plugins: ClusterEnvironment) -> Trainer:
    """A trainer that only shows what Lightning makes of the arguments."""
    return Trainer(**arguments, plugins=list(plugins), logger=False, enable_checkpointing=False)


def strategy(name: Any, processes: int) -> Any:
    """The strategy that allows for a turn of one player, which leaves the other's parameters unused."""
    several = name == "auto" and processes > 1
    return f"{'ddp' if several else name}_find_unused_parameters_true" if several or name in DDP else name


def environments(processes: int) -> list[ClusterEnvironment]:
    """How the processes of a training find each other; an empty list leaves it to Lightning.

    A single process needs nobody: a rank that srun or torchrun has given it is that of one among independent runs.
    Under SLURM it is this package that has the job queued again: Lightning's own way saves a checkpoint of another
    name, which a later start would take for the run's last.
    """
    if processes == 1:
        return [LightningEnvironment()]
    if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
        return [SLURMEnvironment(auto_requeue=False)]
    return []


def check_precision(settings: DictConfig, trainer: Trainer) -> None:
    """Refuses a precision in place of which Lightning takes another.

    Raises:
        UserError: names both.
    """
    asked = written(settings.get("precision", "32-true"))
    if PRECISIONS.get(asked, asked) != trainer.precision:
        raise UserError(
            f"trainer.precision={asked} is not to be had on the {trainer.strategy.root_device.type.upper()}, where "
            f"Lightning computes in {trainer.precision} instead: set trainer.precision={trainer.precision}."
        )


def is_refusal(error: BaseException) -> bool:
    """Whether an error was raised on purpose in Lightning's or W&B's code, and is no fault of ours that ends there."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    raised = linecache.getline(frame.f_code.co_filename, line).lstrip().startswith("raise ")
    return package_of(error) in ("lightning", "wandb") and raised


def package_of(error: BaseException) -> str | None:
    """The package in whose code an error was raised; None for one that has not been raised."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1].f_globals.get("__name__", "").partition(".")[0] if frames else None


def refusal(settings: DictConfig, error: BaseException) -> str:
    """The sentence for what Lightning refuses: the settings that its reason names, or those that say where to run.

    What W&B refuses in the middle of a training is about its logger.
    """
    reason = " ".join(str(error).split()).rstrip(".")
    if package_of(error) == "wandb":
        return f"logger=wandb cannot go on ({reason}): correct logger.wandb.*, or set logger.wandb.offline=true."
    named = [name for name, value in settings.items() if name in reason or f"'{value}'" in reason]
    named = named or [name for name in PLACE if name in settings]
    wrong = " ".join(f"trainer.{name}={written(settings[name])}" for name in named)
    return f"{wrong} cannot be used here ({reason}): correct it, or choose trainer=default, cpu or gpu."
