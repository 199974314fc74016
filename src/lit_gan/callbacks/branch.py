"""The state of another run, in which a branch begins."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_gan.errors import UserError


class Branch(Callback):
    """Takes over a parent's weights, its optimizers' memory and its place in the data, with the
    settings of the branch.

    Learning rates, betas and decay are those of the branch's config, as they are at the update
    where it begins; the clock starts anew. Comes before every callback that has a state.
    """

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Puts the branch's settings into the parent's state.

        Raises:
            UserError: an optimizer learns other weights than the parent's.
        """
        update = checkpoint["global_step"]
        optimizers, schedulers = pl_module.configure_optimizers()
        for state, optimizer in zip(checkpoint["optimizer_states"], optimizers, strict=True):
            for old, new in zip(state["param_groups"], optimizer.param_groups, strict=True):
                require_as_many(old["params"], new["params"])
                old.pop("initial_lr", None)
                old |= {name: value for name, value in new.items() if name != "params"}
                old["lr"] = old.get("initial_lr", old["lr"]) * (pl_module.optim.rate(update) if schedulers else 1.0)
        checkpoint["lr_schedulers"] = [moved_on(scheduler, update) for scheduler in schedulers]
        seconds = {"training": 0.0, "evaluation": 0.0}
        checkpoint["callbacks"]["Clock"] = {"seconds": seconds, "first": update}
        for of_parent in ("epoch_end", "curves"):
            checkpoint.pop(of_parent, None)


def require_as_many(old: Sequence[Any], new: Sequence[Any]) -> None:
    """Refuses an optimizer's memory of so many weights where it has others to learn, as with freeze_d.

    Raises:
        UserError: names the way out.
    """
    if len(old) != len(new):
        raise UserError(
            f"The run that resume names has trained {len(old)} tensors of a player with one optimizer, and this branch "
            f"is to train {len(new)}: leave reg as it was (freeze_d above all), or begin a new run with its networks "
            f"alone, init=DIR in place of resume=DIR."
        )


def moved_on(scheduler: Any, update: int) -> dict[str, Any]:
    """The state of a fresh scheduler after so many updates."""
    rates = [rate * schedule(update) for rate, schedule in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)]
    return scheduler.state_dict() | {"last_epoch": update, "_step_count": update + 1, "_last_lr": rates}
