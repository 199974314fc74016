"""A choice of a config group as the reader of its file sees it: the values and their comments."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from lit_gan.catalogue.configs import package_folders
from lit_gan.errors import UserError

SENTENCE_END = re.compile(r"(?<=[.?])(?<!et al\.)\s+(?=[A-Z(\[`])")
"""Where a sentence ends: not behind "et al.", and not before the number that follows "Eq."."""


@dataclass(frozen=True)
class Choice:
    """A YAML file of a config group.

    Args:
        group: "reg".
        name: "gradient_penalty".
        text: the content of the file.
    """

    group: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.group}={self.name}"

    @cached_property
    def content(self) -> dict[str, Any]:
        """What YAML reads from the file.

        Raises:
            UserError: names the line that cannot be read, or says that the file holds no settings.
        """
        try:
            content = yaml.safe_load(self.text) or {}
        except yaml.MarkedYAMLError as error:
            raise UserError(f"{self}: line {error.problem_mark.line + 1} of its file: {error.problem}.") from error
        if not isinstance(content, dict):
            raise UserError(f"{self}: its file holds no settings: write each as NAME: VALUE.")
        return content

    @cached_property
    def values(self) -> dict[str, Any]:
        """The settings of the file, without its list of defaults."""
        return {name: value for name, value in self.content.items() if name != "defaults"}

    @cached_property
    def defaults(self) -> list[str | dict[str, Any]]:
        """The entries of its list of defaults."""
        return self.content.get("defaults", [])

    @cached_property
    def header(self) -> list[str]:
        """The comment lines at the beginning of the file, without their marks."""
        lines = self.text.splitlines()
        length = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
        return [line.lstrip("# ") for line in lines[:length]]

    @property
    def package(self) -> str:
        """The key of the config below which the settings go; the empty string for its top."""
        found = [line.removeprefix("@package ") for line in self.header if line.startswith("@package ")]
        return {"_global_": ""}.get(found[0], found[0]) if found else self.group

    @cached_property
    def sentences(self) -> list[str]:
        """The sentences of the comment at the beginning."""
        text = " ".join(line for line in self.header if not line.startswith("@package ")).strip()
        return [sentence.strip() for sentence in SENTENCE_END.split(text) if sentence]

    @property
    def meaning(self) -> str:
        """The first sentence of the comment at the beginning; the empty string if there is none."""
        return self.sentences[0] if self.sentences else ""

    @property
    def source(self) -> str:
        """All further sentences: the paper, and what differs from it."""
        return " ".join(self.sentences[1:])

    @cached_property
    def comments(self) -> dict[str, str]:
        """The comment beside a setting, or on the lines above it: {"d.lr": "learning rate"}."""
        root = yaml.compose(self.text)
        return dict(commented(root, self.text.splitlines())) if isinstance(root, yaml.MappingNode) else {}


def commented(node: yaml.MappingNode, lines: Sequence[str], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The settings below a node of YAML that have a comment, each with it."""
    for key, value in node.value:
        name, line = f"{prefix}{key.value}", key.start_mark.line
        if node.flow_style is not True and (comment := beside(lines, line) or above(lines, line)):
            yield name, comment
        if isinstance(value, yaml.MappingNode):
            yield from commented(value, lines, f"{name}.")


def beside(lines: Sequence[str], number: int) -> str:
    """The comment at the end of a line."""
    return lines[number].partition(" # ")[2].strip()


def above(lines: Sequence[str], number: int) -> str:
    """The comment on the indented lines before a line."""
    first = number
    while first and re.match(r"\s+# ", lines[first - 1]):
        first -= 1
    return " ".join(line.strip().removeprefix("# ") for line in lines[first:number])


def read_choice(group: str, name: str, own: Sequence[Path] = ()) -> Choice:
    """The file of a choice, one's own before the package's.

    Raises:
        UserError: it is no text in UTF-8.
    """
    paths = (folder / group / f"{name}.yaml" for folder in [*own, *package_folders()])
    path = next(path for path in paths if path.is_file())
    try:
        return Choice(group, name, path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(not_utf8(path)) from error


def not_utf8(path: Path) -> str:
    """The sentence about a file of configs in another encoding."""
    return f"{path} is no text in UTF-8: save it in that encoding."
