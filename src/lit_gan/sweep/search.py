"""Searches: sweeps that decide on their cells as they go, by the scores of the cells before."""

import copy

from omegaconf import DictConfig, ListConfig, OmegaConf

from lit_gan.errors import UserError, written

DIRECTIONS = {
    "direction": {"minimize": "min", "maximize": "max"},
    "optim.maximize": {"false": "min", "true": "max"},
    "ax_config.experiment.minimize": {"true": "min", "false": "max"},
}
"""The setting by which each sweeper for Hydra (Optuna's, Nevergrad's, Ax's) is told which end of a
score it looks for, with the ends that its values mean."""

COUNTS = ("n_trials", "n_jobs", "optim.budget", "optim.num_workers", "ax_config.max_trials")
"""The settings by which these sweepers are told how many cells they may try, and how many at once."""


def is_search(hydra: DictConfig) -> bool:
    """Whether the cells of a sweep are chosen by scores; those of a grid are known beforehand."""
    return not hydra.sweeper._target_.endswith(".BasicSweeper")


def check_direction(config: DictConfig, hydra: DictConfig) -> None:
    """Refuses a search without a score, and one for the bad end of it; no sweeper knows which end that
    is.

    Args:
        config: of a cell, or of what all cells have in common.
        hydra: Hydra's part.

    Raises:
        UserError: names the setting that gives it a score, or turns it round.
    """
    if OmegaConf.select(config, "metrics.suite") is None:
        raise UserError(
            "metrics=none measures nothing that a search could go by: choose metrics=auto or another, with the score "
            "as metrics.monitor=NAME, or leave hydra/sweeper out."
        )
    end, monitor = monitored_end(config), config.metrics.monitor
    for name, ends in DIRECTIONS.items():
        value = OmegaConf.select(hydra.sweeper, name)
        right = next((word for word, meant in ends.items() if meant == end), None)
        if value is None or right is None or direction_word(value) == right:
            continue
        raise UserError(
            f"metrics.monitor={monitor} is a score to {end}imise, and this search goes the other way with "
            f"hydra.sweeper.{name}={direction_word(value)}: set hydra.sweeper.{name}={right}, or monitor another score."
        )


def check_counts(hydra: DictConfig) -> None:
    """Refuses a search of no cells, or of none at once: sweepers divide by these numbers.

    Raises:
        UserError: names the setting.
    """
    for name in COUNTS:
        value = OmegaConf.select(hydra.sweeper, name)
        if isinstance(value, int) and value < 1:
            raise UserError(f"hydra.sweeper.{name}={value} must be 1 or more.")


def monitored_end(config: DictConfig) -> str | None:
    """The good end, "min" or "max", of the monitored score; None for a score that the metrics do not
    have, which a training refuses."""
    from lit_gan.parts import build_part  # late: the metrics need torch, which the process of a grid never loads

    suite = build_part(copy.deepcopy(config).metrics.suite)  # making a part fills in the interpolations for good
    return None if suite is None else suite.SCORES.get(config.metrics.monitor)


def direction_word(value: object) -> str:
    """A direction as one types it; a list of one is that one, as Optuna has it."""
    words = [written(getattr(each, "name", each)) for each in (value if isinstance(value, ListConfig) else [value])]
    return words[0] if len(words) == 1 else written(words)
