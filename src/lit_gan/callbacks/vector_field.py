"""The game of two numbers as a picture: where the players are drawn, and the way they went."""

import copy
import csv
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from lit_gan.errors import UserError
from lit_gan.figures.style import BLUE, VERMILION, new_figure, save_figure
from lit_gan.game import Turn
from lit_gan.ranges import AtLeastTwo, Positive, checked
from lit_gan.records.files import replacing
from lit_gan.system.random_numbers import keeping_random_state

SAMPLES = 256
"""Latent vectors in the turn whose gradient is an arrow."""


class VectorField(Callback):
    """Writes `vector_field.png` and `path.csv` of a run on data=dirac. Mescheder et al. 2018,
    Figures 1 and 3.

    Args:
        limit: the picture shows theta and psi from -limit to limit.
        points: arrows along each axis.
    """

    @checked
    def __init__(self, limit: Positive = 2.0, points: AtLeastTwo = 17):
        self.limit, self.points = limit, points
        self.path: list[list[float]] = []

    def state_dict(self) -> dict[str, Any]:
        """The path so far."""
        return {"path": self.path}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the path of a checkpoint."""
        self.path = state_dict["path"]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses another game.

        Raises:
            UserError: the players have more than one number each.
        """
        if any(number.numel() != 1 for number in numbers(pl_module)) or len(numbers(pl_module)) != 2:
            raise UserError(
                "callbacks=vector_field draws a game of one number for each player: use data=dirac, without "
                "regularizers that give D more of them, or set callbacks=default."
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes the start."""
        self.path = self.path or [theta_and_psi(pl_module)]

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Notes where the players are."""
        self.path.append(theta_and_psi(pl_module))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the path and draws the picture."""
        if trainer.is_global_zero and not trainer.fast_dev_run:
            directory = Path(trainer.default_root_dir)
            with replacing(directory / "path.csv") as table, table.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([["update", "theta", "psi"], *([i, *at] for i, at in enumerate(self.path))])
            figure = self.draw(*field(pl_module, self.limit, self.points))
            save_figure(figure, directory / "vector_field.png")

    def draw(self, grid: Tensor, arrows: Tensor) -> Figure:
        """The arrows [p, 2] at the points [p, 2] of the grid, and the path from its start (o) to
        its end (x)."""
        figure = new_figure(5, 5, dpi=150)
        axes = figure.add_subplot()
        axes.quiver(*grid.T.numpy(), *arrows.T.numpy(), color="0.6")
        theta, psi = torch.tensor(self.path).T.numpy()
        axes.plot(theta, psi, color=BLUE, linewidth=1)
        axes.plot(theta[0], psi[0], "o", theta[-1], psi[-1], "x", color=VERMILION, markersize=9)
        axes.set(xlim=(-self.limit, self.limit), ylim=(-self.limit, self.limit), aspect="equal")
        axes.set(xlabel=r"$\theta$ (generator)", ylabel=r"$\psi$ (discriminator)")
        return figure


def numbers(gan: LightningModule) -> list[Tensor]:
    """theta and psi: all parameters of the players."""
    return [*gan.G.parameters(), *gan.D.parameters()]


def theta_and_psi(gan: LightningModule) -> list[float]:
    """The values of theta and psi."""
    return [number.item() for number in numbers(gan)]


def field(gan: LightningModule, limit: float, points: int) -> tuple[Tensor, Tensor]:
    """Grid points [p, 2] and, at each, what either player's gradient descent would add to its
    number [p, 2].

    Leaves the players where they are and the regularizers what they remember.
    """
    state = copy.deepcopy(gan.regs.state_dict())
    ticks = torch.linspace(-limit, limit, points)
    grid, here, arrows = torch.cartesian_prod(ticks, ticks), theta_and_psi(gan), []
    theta, psi = numbers(gan)
    with keeping_random_state(gan.device):
        for at in grid:
            move_to(gan, at.tolist())
            arrows.append([descent(gan, "g", theta), descent(gan, "d", psi)])
            gan.regs.load_state_dict(state)
    move_to(gan, here)
    return grid, torch.tensor(arrows)


@torch.no_grad()
def move_to(gan: LightningModule, at: list[float]) -> None:
    """Sets theta and psi."""
    for number, value in zip(numbers(gan), at, strict=True):
        number.fill_(value)


@torch.enable_grad()
def descent(gan: LightningModule, player: str, number: Tensor) -> float:
    """Minus the derivative of what the player minimises by its number."""
    x_real, y = torch.zeros(SAMPLES, 1, device=gan.device), torch.zeros(SAMPLES, dtype=torch.long, device=gan.device)
    turn = Turn(player, gan.G, gan.D, x_real, y, gan.G.draw(SAMPLES), gan)
    for reg in gan.regs.values():
        reg.stage(turn)
    (gradient,) = torch.autograd.grad(sum(gan.terms(turn).values()), number, allow_unused=True, materialize_grads=True)
    return -gradient.item()
