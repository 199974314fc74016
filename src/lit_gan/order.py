"""The order of play: when the players' updates take effect."""

from collections.abc import Iterable
from dataclasses import replace

import torch

from lit_gan.errors import UserError, not_written
from lit_gan.game import Game, Move


class Order:
    """Plays the moves that make one update of G: n_dis of D, then G's."""

    holds_gradients: bool = False
    """Whether a gradient waits while the other player's is computed."""

    def play(self, game: Game, moves: Iterable[Move]) -> None:
        """Updates every player that has a move."""
        raise not_written(self, "play(game, moves)")


class Alternating(Order):
    """Each player answers what the other has become. Goodfellow et al. 2014, Algorithm 1."""

    def play(self, game: Game, moves: Iterable[Move]) -> None:
        """Computes the gradient of each move, and updates its player, before the next one."""
        for move in moves:
            game.differentiate(move)
            game.update(move)


class Simultaneous(Order):
    """Both players move from where both stand. Mescheder et al. 2017, Algorithm 1."""

    holds_gradients = True

    def play(self, game: Game, moves: Iterable[Move]) -> None:
        """Computes all gradients, then makes all updates."""
        moves = one_each(moves, "simultaneous")
        for move in moves:
            game.differentiate(move)
        for move in moves:
            game.update(move)


class Extragradient(Simultaneous):
    """A look ahead: both players step, and step from where they stood with the gradient found
    there.

    Gidel et al. 2019, Algorithm 2 without averaging and on the same samples in both steps
    (Algorithm 5); with Adam Algorithm 4, both steps shaping the moments. Constraints (`project`)
    hold after the second step only, and what a method keeps from turn to turn (k of BEGAN, a memory
    of samples) moves in both: ADA and APA, which count the real samples of both, twice as fast.
    """

    def play(self, game: Game, moves: Iterable[Move]) -> None:
        """Steps ahead, finds the gradients there, and makes the updates with them from the
        start."""
        moves = one_each(moves, "extragradient")
        ahead = [[replace(turn) for turn in move] for move in moves]
        parameters = [p for optimizer in game.optimizers() for group in optimizer.param_groups for p in group["params"]]
        for move in ahead:
            game.differentiate(move)
        before = [parameter.detach().clone() for parameter in parameters]
        for optimizer in game.optimizers():
            game.uncounted_step(optimizer)
        for move in moves:
            game.differentiate(move)
        with torch.no_grad():
            torch._foreach_copy_(parameters, before)
        for move in moves:
            game.update(move)


def one_each(moves: Iterable[Move], order: str) -> list[Move]:
    """Returns D's one move and G's.

    Raises:
        UserError: D has more than one.
    """
    moves = list(moves)
    if len(moves) > 2:
        raise UserError(
            f"order={order} moves both players at once, not D {len(moves) - 1} times first: set optim.n_dis=1."
        )
    return moves
