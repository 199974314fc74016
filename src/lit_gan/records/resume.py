"""What a resumed run may change, and what of its old config it takes over."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from lit_gan.errors import UserError
from lit_gan.ranges import HowRead, ReadsPath
from lit_gan.records.difference import first_difference
from lit_gan.records.paths import keep_recorded_paths, make_paths_absolute
from lit_gan.settings import marked_settings

FIXED_ON_RESUME = (
    "model",
    "loss",
    "reg",
    "optim",
    "order",
    "ema",
    "ema_start",
    "batch_size",
    "train_images",
    "g_batch_size",
    "seed",
    "flips",
    "dequantize",
    "trainer.precision",
    "data",
    "init",
    "callbacks.annealing",
)
"""Settings that a resume must not change: another value would make another experiment."""

AUTO = "auto"
"""The value of those settings of `data` that a run finds out at its start, and then records."""

LOCATIONS = ("data.root", "data.file")
"""The settings that say where the data lie whatever their class is; every command has them."""


def check_resume(old: DictConfig, new: DictConfig, typed: set[str], directory: Path) -> None:
    """Completes the config of a resumed run from the recorded one, and refuses what is another
    experiment.

    Args:
        old: the recorded config.
        new: the config of the command line, which is changed.
        typed: the settings on the command line.
        directory: of the run.

    Raises:
        UserError: names the first setting that differs, and both values.
    """
    drop_later_settings(old, new, typed)
    keep_found(old, new)
    keep_recorded_paths(old, new, typed)
    make_paths_absolute(old)
    check_same_game(old, new, directory)


def drop_later_settings(old: DictConfig, new: DictConfig, typed: set[str]) -> None:
    """Removes from the data of a config what the run's own version of lit_gan did not have yet.

    The data set's class has a default for each such key, which is what was done before. One that
    the command line names stays, to be refused where it makes another game.
    """
    for place in ("data", "data.base"):
        before, now = (OmegaConf.select(config, place) or {} for config in (old, new))
        if before.get("_target_") != now.get("_target_"):
            continue
        for name in now.keys() - before.keys():
            if f"{place}.{name}" not in typed:
                with open_dict(now):
                    del now[name]


def drop_earlier_settings(config: DictConfig) -> None:
    """Removes from a recorded config the settings that only earlier versions of lit_gan had.

    DCGAN's G was told its choice of `model`, which nothing but the refusal of a shape has read.
    """
    G = OmegaConf.select(config, "model.G") or {}
    if G.get("_target_") == "lit_gan.models.dcgan.Generator":
        G.pop("model", None)


def keep_found(old: DictConfig, new: DictConfig) -> None:
    """Puts what an earlier run has found its data to be in place of "auto" in a config, and the
    metrics that it has so found to fit.

    A run so goes on with the size, the classes and the scores that it began with, whatever the
    folder holds now, and one from before there was "auto" with what was the default then.

    Args:
        old: the recorded config.
        new: the config of the resumed run, which is changed.
    """
    before, now = old.get("data") or {}, new.get("data") or {}
    for name in [name for name in now if now.get(name) == AUTO and name in before]:
        now[name] = before[name]
    keep_suite(old.get("metrics") or {}, new.get("metrics") or {})


def keep_suite(before: DictConfig, now: DictConfig) -> None:
    """Puts the suite that metrics=auto has become in an earlier run in its place.

    A run with other metrics is left to be compared with metrics=auto as it stands.
    """
    found = "suite" in before and "without_labels" not in before
    if found and "without_labels" in now and before.suite in (now.suite, now.without_labels, None):
        with open_dict(now):
            now.suite = before.suite
            del now.without_labels


def check_same_game(old: DictConfig, new: DictConfig, directory: Path) -> None:
    """Refuses to resume a run as another experiment.

    Raises:
        UserError: names the first setting that differs, and both values.
    """
    if changed := first_difference(without_locations(old), without_locations(new), FIXED_ON_RESUME):
        name, before, now = changed
        raise UserError(
            f"The run in {directory} was made with {name}={before}, not with {name}={now}: resume it without changing "
            f"that, start a new run in another directory, or begin one in this run's state with resume={directory} "
            f"hydra.run.dir=NEW."
        )


def without_locations(config: DictConfig) -> DictConfig:
    """A copy of a config without those settings of `data` that a resume may change, and without the
    number of classes where the game looks at no labels.

    They say where the data lie and how they are read, not what they are: `LOCATIONS`, and what the
    class has marked.
    """
    config = OmegaConf.create(OmegaConf.to_container(config))
    marked = marked_settings(config, ReadsPath, HowRead)
    for name in [*LOCATIONS, *(name for name in marked if name.startswith("data."))]:
        place, _, key = name.rpartition(".")
        (OmegaConf.select(config, place) or {}).pop(key, None)
    if not any("data.n_classes" in str(config.get(group)) for group in ("model", "loss", "reg")):
        (config.get("data") or {}).pop("n_classes", None)
    return config
