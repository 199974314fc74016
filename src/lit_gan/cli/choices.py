"""What the settings of config groups may be: names of choices, checked before Hydra composes
anything."""

from pathlib import Path
from typing import Any

from lit_gan.catalogue.configs import choices, default_choices
from lit_gan.errors import UserError, hint, written
from lit_gan.overrides import override_values, parse_override

ONE_CHOICE = ("model", "loss", "optim", "order", "metrics", "data")
"""The groups whose choices exclude each other: of two, the second would overwrite parts of the
first."""


def check_choices(settings: list[str], config_name: str, own: list[Path]) -> list[str]:
    """The settings, with `group=null` replaced by what it stands for.

    Args:
        own: folders of configs of one's own.

    Raises:
        UserError: the value of a group is no name of a choice, or null although the group needs a
            choice.
    """
    defaults, kept = default_choices(config_name), []
    for setting in settings:
        override = parse_override(setting)
        group = "" if override.is_delete() else override.key_or_group
        if group not in defaults and not group.startswith("hydra/"):
            kept.append(setting)
        elif override.value() is None:
            kept += instead_of_null(group, defaults.get(group, ""), choices(group, own))
        else:
            for choice in override_values(override):
                check_choice(group, choice, choices(group, own))
            kept.append(setting)
    return kept


def check_choice(group: str, choice: Any, known: list[str]) -> None:
    """Refuses a value that is neither the name of a choice nor a list of names; Hydra checks
    whether a name exists.

    Raises:
        UserError: names the group and the value.
    """
    names = choice if isinstance(choice, list) else [choice]
    for name in names:
        if isinstance(name, dict | list):
            raise UserError(f"{group}={written(choice)} must be a name{hint('', known)}")
        if not isinstance(name, str):
            raise UserError(f"{group}={written(name)} does not exist{hint(str(name), known)}")
        if not name:
            raise UserError(f"{group}= is empty{hint('', known)}")
        if group == "data" and is_path(name, known):
            raise UserError(path_as_data(name))
    if (group in ONE_CHOICE and len(names) != 1) or (group == "trainer" and not names):
        raise UserError(f"{group}={written(choice)} must be one name{hint('', known)}")


def is_path(name: str, known: list[str]) -> bool:
    """Whether the value of a group is a path and no name of a choice."""
    return name.startswith(("/", "./", "../", "~")) or (name not in known and Path(name).exists())


KINDS_OF_FILES = {
    ".txt": "text",
    ".zip": "image_zip",
    ".npy": "arrays",
    ".npz": "arrays",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
}
"""The data set that reads a single file of each ending."""


def path_as_data(path: str) -> str:
    """The sentence for a path in the place of a kind of data set."""
    kind = KINDS_OF_FILES.get(Path(path).suffix.lower())
    instead = f"data={kind} data.file={path}" if kind else f"data=image_folder data.root={path}"
    return f"data={path} is a path, but data names the kind of data set: write {instead}."


def instead_of_null(group: str, default: Any, known: list[str]) -> list[str]:
    """What `group=null` stands for: an empty list, the choice `none`, or no setting where null is
    the default.

    Raises:
        UserError: the group needs a choice.
    """
    if default is None:
        return []
    if isinstance(default, list):
        return [f"{group}=[]"]
    if "none" in known:
        return [f"{group}=none"]
    raise UserError(f"{group}=null: one has to be chosen{hint('', known)}")
