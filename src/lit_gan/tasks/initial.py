"""`init=DIR`: a new run that begins with the networks of a trained one, and with nothing else of it."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lit_gan.errors import UserError
from lit_gan.module import GAN
from lit_gan.records.branch import parent_record
from lit_gan.records.directory import find_checkpoint
from lit_gan.records.layout import config_path
from lit_gan.records.paths import no_run
from lit_gan.tasks.loading import read_checkpoint


def take_networks(gan: GAN, directory: Path) -> dict[str, Any]:
    """Puts the weights and buffers of a run's last G and D into those of a game.

    The moving average of G begins as that run's, or as its G where it has none. Optimizers, the
    state of regularizers and the place in the data stay those of a new run.

    Returns:
        The entry "parent" of `results.json`.

    Raises:
        UserError: there is no run in the directory, it has no checkpoint, or its networks are
            others.
    """
    if not config_path(directory).is_file():
        raise no_run("init", directory, config_path(directory))
    checkpoint = find_checkpoint(directory, "last")
    content = read_checkpoint(checkpoint)
    saved = content["state_dict"]
    take(gan.G, part(saved, "G."), "G", directory)
    take(gan.D, part(saved, "D."), "D", directory)
    if gan.G_ema is not None:
        take(gan.G_ema.G, part(saved, "G_ema.G.") or part(saved, "G."), "G", directory)
    return parent_record(checkpoint, content["global_step"]) | {"taken": "networks"}


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What lies below a name in the state of a game; empty where there is nothing."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def take(network: nn.Module, state: dict[str, Tensor], player: str, directory: Path) -> None:
    """Puts a state into a network.

    Raises:
        UserError: it is that of another network; names the first difference.
    """
    mine = network.state_dict()
    for name in [*mine, *(name for name in state if name not in mine)]:
        here, there = (shape_of(values.get(name)) for values in (mine, state))
        if here != there:
            raise UserError(
                f"init={directory} holds another {player}: its {name} is {there}, and here it is {here}. Choose the "
                f"model, labels, entries of reg and size of samples of that run, or start without init."
            )
    network.load_state_dict(state)


def shape_of(value: Tensor | None) -> str:
    """The shape of a tensor in words."""
    return "missing" if value is None else f"of shape {list(value.shape)}"
