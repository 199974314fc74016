"""`resume=DIR hydra.run.dir=NEW`: a new run that begins in the state of another one, with settings
of its own."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lit_gan.errors import UserError
from lit_gan.records.difference import first_difference
from lit_gan.records.run_id import recorded_run_id

OPTIMIZER_CLASSES = ("optim.d._target_", "optim.g._target_")
"""The settings that decide what the numbers in an optimizer's state mean."""

FIXES_WEIGHTS = ("model", "reg", "loss", "ema", "data", "order")
"""The settings that decide which weights and buffers a GAN has."""


def parent_of(config: DictConfig, directory: Path) -> Path | None:
    """The run in whose state a run in `directory` is to begin; None if `resume` names no other
    directory."""
    if config.resume in (None, ""):
        return None
    parent = Path(str(config.resume)).absolute()
    return None if parent.resolve() == directory.resolve() else parent


def check_optimizers(parent: Path, old: DictConfig, new: DictConfig) -> None:
    """Refuses a branch whose optimizers cannot read the state of its parent's optimizers.

    Raises:
        UserError: names the setting, and both values.
    """
    if changed := first_difference(old, new, OPTIMIZER_CLASSES):
        raise unfit_state(parent, *changed)


def check_init(parent: Path, old: DictConfig, new: DictConfig) -> None:
    """Refuses a branch that is to begin with the networks of a third run as well; the `init` of its
    parent's command is none of its own.

    Raises:
        UserError: names both directories.
    """
    init = new.get("init")
    if init not in (None, old.get("init")):
        raise UserError(
            f"init={init} and resume={parent} both say with which weights the run begins: leave init out to begin in "
            f"the whole state of {parent}, or leave resume out for the networks of {init} alone."
        )


def unfit_state(parent: Path, name: str, before: str, now: str) -> UserError:
    """The error of a branch that its parent's state does not fit, because setting `name` was
    changed."""
    return UserError(
        f"resume={parent} holds the state of a run with {name}={before}, which a branch with {name}={now} cannot begin "
        f"in: leave that as it was, or start a new run."
    )


def parent_record(checkpoint: Path, update: int) -> dict[str, Any]:
    """The entry in a branch's `results.json` about the run, the checkpoint and the update at which
    it began."""
    directory = checkpoint.parent.parent.absolute()
    return {
        "directory": str(directory),
        "run_id": recorded_run_id(directory),
        "checkpoint": checkpoint.stem,
        "update": update,
    }
