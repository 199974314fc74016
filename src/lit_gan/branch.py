"""`resume=DIR hydra.run.dir=NEW`: a new run that begins in the state of another one and may be played differently."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import DictConfig

from lit_gan.difference import first_difference
from lit_gan.errors import UserError

STATE = ("optim.d._target_", "optim.g._target_")
"""What decides what an optimizer's state means."""

WEIGHTS = ("model", "reg", "loss", "ema", "data", "order")
"""What decides which weights and buffers there are."""


def parent_of(config: DictConfig, directory: Path) -> Path | None:
    """The run that a run in `directory` is to begin in; None if `resume` names no other directory."""
    if config.resume in (None, ""):
        return None
    parent = Path(str(config.resume)).absolute()
    return None if parent.resolve() == directory.resolve() else parent


def check_branch(parent: Path, old: DictConfig, new: DictConfig) -> None:
    """Refuses optimizers that the parent's state says nothing to.

    Raises:
        UserError: names the setting, and both values.
    """
    if changed := first_difference(old, new, STATE):
        raise unfit(parent, *changed)


def unfit(parent: Path, name: str, before: str, now: str) -> UserError:
    """The error of a branch to which its parent's state does not fit."""
    return UserError(
        f"resume={parent} holds the state of a run with {name}={before}, which a branch with {name}={now} cannot begin "
        f"in: leave that as it was, or start a new run."
    )


def origin(checkpoint: Path, update: int) -> dict[str, Any]:
    """What `results.json` says of the run that a branch began in."""
    directory = checkpoint.parent.parent.absolute()
    identity = directory / ".hydra" / "run_id"
    return {
        "directory": str(directory),
        "run_id": identity.read_text(encoding="utf-8").strip() if identity.is_file() else None,
        "checkpoint": checkpoint.stem,
        "update": update,
    }


class Branch(Callback):
    """Takes over a parent's weights, its optimizers' memory and its place in the data, with the settings of the branch.

    Learning rates, betas and decay are those of the branch's config, as they are at the update where it begins; the
    clock starts anew. Comes before every callback that has a state.
    """

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Puts the branch's settings into the parent's state."""
        update = checkpoint["global_step"]
        optimizers, schedulers = pl_module.configure_optimizers()
        for state, optimizer in zip(checkpoint["optimizer_states"], optimizers, strict=True):
            for old, new in zip(state["param_groups"], optimizer.param_groups, strict=True):
                old.pop("initial_lr", None)
                old |= {name: value for name, value in new.items() if name != "params"}
                old["lr"] = old.get("initial_lr", old["lr"]) * (pl_module.optim.rate(update) if schedulers else 1.0)
        checkpoint["lr_schedulers"] = [moved_on(scheduler, update) for scheduler in schedulers]
        seconds = {"training": 0.0, "evaluation": 0.0}
        checkpoint["callbacks"]["Clock"] = {"seconds": seconds, "first": update}
        checkpoint.pop("epoch_end", None)


def moved_on(scheduler: Any, update: int) -> dict[str, Any]:
    """The state of a fresh scheduler after so many updates."""
    rates = [rate * schedule(update) for rate, schedule in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)]
    return scheduler.state_dict() | {"last_epoch": update, "_step_count": update + 1, "_last_lr": rates}
