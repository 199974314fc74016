"""The folder of an exported generator: written whole, and read again."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from torch import Tensor

from lit_gan.build import build_generator
from lit_gan.errors import UserError
from lit_gan.exporting.description import LIBRARY, Description
from lit_gan.exporting.formats import FILES, require_package
from lit_gan.game import Generator
from lit_gan.records.files import Damaged, read_json, write_contents
from lit_gan.records.resume import drop_earlier_settings

CONFIG, CARD, GRID = "config.json", "README.md", "grid.png"
NAMES = [CONFIG, CARD, GRID, *FILES.values()]
"""All files that an export may write."""

REMEDY = "export the run again"


def check_place(folder: Path) -> None:
    """Refuses a folder in which an export would write over files that are none of an export's.

    Raises:
        UserError: names the folder and the file.
    """
    there = [name for name in NAMES if (folder / name).exists()]
    if there and not is_exported(folder):
        raise UserError(
            f"output={folder} holds a {there[0]} that no export has written: choose another folder, output=DIR."
        )


def is_exported(folder: Path) -> bool:
    """Whether a folder holds an exported generator."""
    path = folder / CONFIG
    return path.is_file() and f'"{LIBRARY}"' in path.read_text(encoding="utf-8", errors="replace")


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Writes an export, all of its files or none, and removes what an earlier one has left of other
    formats.

    Raises:
        Unwritable: a file cannot be written.
    """
    write_contents({folder / name: content for name, content in contents.items()})
    for name in absent(contents):
        (folder / name).unlink(missing_ok=True)


def absent(contents: Iterable[str]) -> list[str]:
    """The files that an export may have and that one of these files has not."""
    return [name for name in NAMES if name not in contents]


def read_folder(folder: Path) -> tuple[Generator, dict[str, Tensor], Description]:
    """The generator of an exported folder as it is built, its weights, and what the folder says of
    it.

    Raises:
        UserError: the folder has no weights, or a file is damaged.
    """
    description = read_description(folder)
    weights = read_weights(folder / FILES["safetensors"])
    config = OmegaConf.create({"model": description["model"], "reg": description["reg"]})
    drop_earlier_settings(config)
    return build_generator(config, list(description["reg"])), weights, description


def read_description(folder: Path) -> Description:
    """The content of `config.json`.

    Raises:
        Damaged: it cannot be read, or is not what an export writes.
    """
    path = folder / CONFIG
    content = read_json(path, {"model", "reg", "update", "checkpoint", "weights", "class_names"}, REMEDY)
    if "${" in json.dumps(content):
        raise Damaged(path, "it refers to other settings", REMEDY)
    return content


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by their names.

    Raises:
        UserError: there is none, it is damaged, or nothing here reads it.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: export the run with format=safetensors, which lit_gan.load reads.")
    require_package("safetensors", f"Reading {path}", "load the run itself")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise Damaged(path, error, REMEDY) from error


def as_json(content: Any) -> bytes:
    """A JSON file's bytes."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
