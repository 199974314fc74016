"""`resume=DIR hydra.run.dir=NEW`: a new run that begins in the state of another one and may be played differently."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lit_gan.errors import UserError
from lit_gan.records.difference import first_difference

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
