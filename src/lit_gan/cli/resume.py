"""`resume=DIR` as the command that it stands for: the run's own overrides, the new ones, and its
directory."""

from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf

from lit_gan.catalogue.configs import compose_choices, default_choices
from lit_gan.cli.choices import ONE_CHOICE
from lit_gan.overrides import as_override_value, override_key, override_values, parse_override, parse_overrides
from lit_gan.records.files import read_yaml
from lit_gan.records.layout import config_folder
from lit_gan.records.paths import no_run


def command_of_resume(settings: list[str]) -> list[str]:
    """The settings that `resume=DIR` stands for; without it, the settings as they are.

    With a `hydra.run.dir` of its own it is a branch: a new run there that begins in the state of
    DIR.

    Raises:
        UserError: DIR is no run directory, or its overrides are damaged.
    """
    directory = resumed_run(settings)
    if directory is None:
        return settings
    others = [setting for setting in settings if not is_resume(setting)]
    new = {override_key(setting) for setting in others} | {"hydra.run.dir"}
    old = [word for word in recorded_overrides(directory) if override_key(word) not in new]
    old = still_applicable(old, others, recorded_choices(Path(directory)))
    place = as_override_value(str(Path(directory)))
    is_branch = any(override_key(setting) == "hydra.run.dir" for setting in others)
    here = [] if is_branch else [f"hydra.run.dir={place}"]
    return [*old, *others, f"resume={place}", *here, "hydra.mode=RUN"]


def is_resume(setting: str) -> bool:
    """Whether a setting is `resume=DIR`."""
    return parse_override(setting).get_key_element() == "resume"


def resumed_run(settings: list[str]) -> str | None:
    """The directory that the last `resume=DIR` names; None where there is none."""
    named = [override_values(parse_override(setting)) for setting in settings if is_resume(setting)]
    directory = named[-1][-1] if named and named[-1] else None
    return None if directory in (None, "") else str(directory)


def recorded_overrides(directory: str) -> list[str]:
    """The overrides that a run was made with.

    Raises:
        UserError: there is no run in the directory, or its record is damaged.
    """
    saved = config_folder(Path(directory)) / "overrides.yaml"
    if not saved.is_file():
        raise no_run("resume", directory, saved)
    return [str(override) for override in read_yaml(saved, ListConfig)]


def recorded_choices(directory: Path) -> dict[str, Any]:
    """The choice of each config group that a run was made with; empty if it has no record of them.

    Raises:
        UserError: the record is damaged.
    """
    path = config_folder(directory) / "hydra.yaml"
    hydra = read_yaml(path, DictConfig) if path.is_file() else OmegaConf.create()
    return dict(OmegaConf.select(hydra, "hydra.runtime.choices") or {})


def still_applicable(old: list[str], new: list[str], before: dict[str, Any]) -> list[str]:
    """The overrides of an old run without those of a choice that new settings take away.

    `logger.wandb.offline=true` goes with `logger=[]`, but stays with `logger=[wandb,tensorboard]`.

    Args:
        before: the old run's choice of each group.
    """
    groups = default_choices("train")
    chosen = {each.key_or_group: each.value() for each in parse_overrides(new) if each.key_or_group in groups}
    touched = {word for word in old if is_inside(override_key(word), chosen)}
    if not touched:
        return old
    config = compose_choices("train", [*old, *new])
    return [word for word in old if word not in touched or applies(parse_override(word), chosen, before, config)]


def is_inside(key: str, groups: dict[str, Any]) -> bool:
    """Whether a key lies below one of some groups, as `optim.d.lr` lies below `optim`."""
    group, _, name = key.partition(".")
    return bool(name) and group in groups


def applies(override: Override, chosen: dict[str, Any], before: dict[str, Any], config: DictConfig) -> bool:
    """Whether an override of the old run means something with the new choice of its group.

    Settings of groups with one choice belong to that choice, even where another has some of the
    same name.
    """
    name = override.key_or_group
    group = name.split(".")[0]
    if group in ("trainer", *ONE_CHOICE):
        return chosen[group] == before.get(group)
    owner = name if override.is_delete() else name.rpartition(".")[0]
    return OmegaConf.select(config, owner) is not None
