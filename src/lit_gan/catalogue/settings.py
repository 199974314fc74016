"""The settings of a choice: default, meaning and range, from its YAML and from the classes that the
YAML names."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lit_gan.catalogue.arguments import Arguments
from lit_gan.catalogue.choice import Choice, read_choice
from lit_gan.errors import written
from lit_gan.parts import locate
from lit_gan.ranges import Allowed
from lit_gan.records.search_path import class_paths
from lit_gan.settings import TRAIN

HYDRA_KEYS = ("_target_", "_partial_", "_convert_", "_args_", "_recursive_")
"""What says in YAML how an object is made, and is no setting of it."""

READ_BY_NAME = Arguments(None)
"""Settings that no single class takes."""

TRAINER, PROTOCOL = "lightning.pytorch.Trainer", "lit_gan.metrics.protocol.EvalProtocol"
"""What is made of the settings of two groups, whose YAML does not say so."""


@dataclass(frozen=True)
class Setting:
    """A row of the table of a choice.

    Attributes:
        name: in full, "reg.gradient_penalty.weight".
        default: as on the command line.
        meaning: what it does; the empty string where nothing says so.
        range: the values that it can have; the empty string where nothing says so.
    """

    name: str
    default: str
    meaning: str
    range: str


@dataclass(frozen=True)
class Composed:
    """A choice together with the files that it builds on.

    Attributes:
        choice: the file that is chosen.
        base: another choice of its group, of which it changes some settings; None if there is none.
        values: all settings, those of the base too.
        comments: what the files say beside them.
    """

    choice: Choice
    base: str | None
    values: Mapping[str, Any]
    comments: Mapping[str, str]

    @property
    def prefix(self) -> str:
        """What the full names of the settings begin with."""
        return f"{self.choice.package}." if self.choice.package else ""

    @property
    def classes(self) -> list[type]:
        """The classes of lit_gan, or of one's own, that the choice is made of, outermost first."""
        names = [name for name in class_paths(self.values) if not name.startswith(("torch", "lightning"))]
        return [target for target in map(locate, dict.fromkeys(names)) if isinstance(target, type)]

    @property
    def settings(self) -> list[Setting]:
        """The settings, without those that are as in the base."""
        said = readers(self.values, self.choice.group) | self.comments
        owner = Arguments(locate(self.values["_target_"])) if is_object(self.values) else READ_BY_NAME
        rows = list(walk(self.values, owner, "", said))
        changed = set(names_in_file(self.choice.values))
        return [
            checked_in_training(Setting(f"{self.prefix}{row.name}", row.default, row.meaning, row.range))
            for row in rows
            if self.base is None or row.name in changed
        ]


def checked_in_training(setting: Setting) -> Setting:
    """The setting with the range that a training holds it to, if that is another than its class says."""
    annotation = TRAIN.get(setting.name)
    return setting if annotation is None else replace(setting, range=str(Allowed.by(annotation)))


def compose(choice: Choice, own: Sequence[Path] = ()) -> Composed:
    """A choice with the files of its group that its list of defaults names."""
    entries = [entry for entry in choice.defaults if isinstance(entry, str) and entry != "_self_"]
    bases = [entry for entry in entries if "/" not in entry and "@" not in entry]
    parts = [compose(read_choice(choice.group, base, own), own) for base in bases]
    values = OmegaConf.to_container(OmegaConf.merge(*(part.values for part in parts), with_target(choice)))
    comments = {name: text for part in parts for name, text in part.comments.items()} | choice.comments
    base = next((part.choice.name for part in parts if not part.choice.name.startswith("_")), None)
    return Composed(choice, base, values, comments)


def with_target(choice: Choice) -> dict[str, Any]:
    """The settings of a file, with the class that is made of them where the file does not name
    it."""
    if choice.group == "trainer":
        return {"_target_": TRAINER} | choice.values
    if choice.group == "protocol":
        return {name: {"_target_": PROTOCOL} | numbers for name, numbers in choice.values.items()}
    return choice.values


def walk(values: Mapping[str, Any], owner: Arguments, prefix: str, said: Mapping[str, str]) -> Iterator[Setting]:
    """The settings below a node of a config, those of a nested object behind the object itself.

    Args:
        owner: whose arguments they are.
        said: what the YAML says of settings, by their names in the file.
    """
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key in HYDRA_KEYS:
            continue
        if is_folder(value, owner):
            yield from walk(value, owner, f"{name}.", said)
            continue
        if owner != READ_BY_NAME or not is_object(value):
            meaning = in_yaml(owner.meaning(key, said.get(name, "")))
            yield Setting(name, in_short(value), meaning, owner.range(key))
        if is_object(value):
            yield from walk(value, Arguments(locate(value["_target_"])), f"{name}.", said)


def in_yaml(text: str) -> str:
    """A text about Python's values about those of YAML, and without its last full stop."""
    words = {"None": "null", "True": "true", "False": "false"}
    return re.sub(r"\b(None|True|False)\b", lambda found: words[found[0]], text).removesuffix(".")


def is_object(value: Any) -> bool:
    """Whether YAML describes something that Hydra makes."""
    return isinstance(value, dict) and "_target_" in value


def is_folder(value: Any, owner: Arguments) -> bool:
    """Whether a mapping holds several settings; an argument that is a mapping is one setting."""
    return isinstance(value, dict) and "_target_" not in value and owner == READ_BY_NAME


def in_short(value: Any) -> str:
    """A value of YAML as on the command line; an object by the name of its class."""
    return value["_target_"] if is_object(value) else written(value)


def names_in_file(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The names of the settings of a file; of an object, its own and those of its settings."""
    for key, value in values.items():
        if is_object(value) or not isinstance(value, dict):
            yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from names_in_file(value, f"{prefix}{key}.")


def readers(values: Mapping[str, Any], group: str) -> dict[str, str]:
    """What a setting at the top of a file is that others take their value from: {"width": "G.width
    and D.width"}."""
    found: dict[str, list[str]] = {}
    for name, value in walk_values(values):
        if str(value).startswith(f"${{{group}."):
            found.setdefault(value[len(group) + 3 : -1], []).append(name)
    return {name: f"`{'` and `'.join(users)}`, which take this value" for name, users in found.items()}


def walk_values(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings of a file with their values, those of a mapping one by one."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from walk_values(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
