"""The check that what lies in a cell's directory is that cell."""

from pathlib import Path

from omegaconf import DictConfig

from lit_gan.errors import UserError
from lit_gan.records.difference import first_difference
from lit_gan.records.files import read_yaml
from lit_gan.records.layout import config_path, results_path
from lit_gan.records.resume import drop_earlier_settings, keep_found, without_locations
from lit_gan.settings import PRESENTATION

MAY_CHANGE_ON_RESUME = {
    "hydra",
    "updates",
    "trainer",
    "logger",
    "channels_last",
    "compile",
    "workers",
    "device_memory",
    "debug",
    "resume",
    *PRESENTATION,
}
"""Settings that may change when a cell is resumed: they affect how it runs and is shown, not what
it computes."""


def has_begun(directory: Path) -> bool:
    """Whether a cell has been trained at all, so that it has a config which it must keep."""
    return results_path(directory).exists() and config_path(directory).exists()


def check_same_cell(directory: Path, config: DictConfig) -> None:
    """Refuses to take what was made with other settings for this cell; where the data lie may
    change.

    Raises:
        UserError: names the first setting that differs, and both values.
    """
    if not has_begun(directory):
        return
    old = read_yaml(config_path(directory), DictConfig)
    drop_earlier_settings(old)
    old = without_locations(old)
    config = without_locations(config)
    keep_found(old, config)
    names = [name for name in {**old, **config} if name not in MAY_CHANGE_ON_RESUME]
    changed = first_difference(old, config, [*names, "trainer.precision"])
    if changed is None and config.updates < old.updates:
        changed = "updates", str(old.updates), str(config.updates)
    if changed:
        name, before, now = changed
        raise UserError(
            f"The cell in {directory} was made with {name}={before}, not with {name}={now}: delete the cell, or choose "
            f"another directory for this sweep, hydra.sweep.dir=DIR, unless the command line or a config file was "
            f"changed by mistake."
        )
