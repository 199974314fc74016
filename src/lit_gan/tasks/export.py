"""`python -m lit_gan.export`: the generator of a run as weights, as programs, and on the Hub."""

import io
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig
from PIL import Image

from lit_gan.build import annealed_average
from lit_gan.errors import UserError
from lit_gan.exporting.card import card
from lit_gan.exporting.description import Description, describe
from lit_gan.exporting.folder import CARD, CONFIG, GRID, as_json, check_place, write_folder
from lit_gan.exporting.formats import check_formats, write_formats
from lit_gan.exporting.hub import PREFIX, check_upload, upload
from lit_gan.exporting.usage import HERE
from lit_gan.figures.pictures import Page, Picture, render
from lit_gan.records.directory import find_checkpoint, load_config
from lit_gan.records.results import Results
from lit_gan.sampling import Sampler
from lit_gan.settings import EXPORT, check_config
from lit_gan.tasks.chosen_run import chosen_run, moved_source
from lit_gan.tasks.loading import generator_of, read_checkpoint, regs_of_generator

SHOWN = 64
"""The most samples in the picture of a card."""

LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
"""How the Hub spells a licence."""


def export(config: DictConfig) -> None:
    """Writes the generator of a run as conf/export.yaml describes, and sends it to the Hub where
    the command names a repository.

    Raises:
        UserError: something that the user can put right.
    """
    directory, output = chosen_run(config), Path(config.output)
    check_config(config, EXPORT)
    formats = chosen_formats(config)
    check_license(config.license)
    check_place(output)
    if config.hub is not None:
        check_upload(config.hub)

    contents, description = exported(config, directory, formats)
    write_folder(output, contents)
    print(f"{description['weights']} weights of update {description['update']}: {', '.join(contents)} in {output}")
    if config.hub is not None:
        print(f"sent to {upload(output, config.hub, list(contents), config.private)}")


def chosen_formats(config: DictConfig) -> list[str]:
    """The formats that the setting `format` names.

    Raises:
        UserError: one cannot be written here.
    """
    value = config.format
    formats = list(value) if isinstance(value, ListConfig) else [value]
    check_formats(formats)
    return formats


def check_license(license: str | None) -> None:
    """Refuses what is no identifier of a licence.

    Raises:
        UserError: names it.
    """
    if license is not None and not LICENSE.fullmatch(license):
        raise UserError(
            f"license={license} is no name of a licence on the Hub, which are spelt like mit, apache-2.0 and cc-by-4.0."
        )


def exported(config: DictConfig, directory: Path, formats: Sequence[str]) -> tuple[dict[str, bytes], Description]:
    """The content of every file of an export by the file's name, and the description among them.

    Raises:
        UserError: there is no such checkpoint, or a format cannot hold its generator.
    """
    trained, results = load_config(directory), Results(directory).content
    path = find_checkpoint(directory, config.checkpoint)
    checkpoint = read_checkpoint(path)
    source = moved_source(config, trained)
    G = generator_of(trained, checkpoint, config.ema, path)
    description = {
        "update": checkpoint["global_step"],
        **origin(config, trained, results),
        **describe(G, trained, regs_of_generator(trained, checkpoint), source),
    }
    contents = write_formats(G, description, formats)
    shown = render(source, *Sampler(G).grid(SHOWN), description["class_names"])
    address = f"{PREFIX}{config.hub}" if config.hub is not None else HERE
    text = card(description, results, shown, list(contents), address, config.license)
    return {CARD: text.encode(), CONFIG: as_json(description), **picture_file(shown), **contents}, description


def origin(config: DictConfig, trained: DictConfig, results: dict[str, Any]) -> Description:
    """What the description says of the weights: which they are, and of what versions.

    "ema" is the decay of their moving average, or how it was annealed, null for raw ones.
    """
    averaged = config.ema and trained.ema is not None
    return {
        "checkpoint": config.checkpoint,
        "weights": "ema" if averaged else "raw",
        "ema": (annealed_average(trained) or trained.ema) if averaged else None,
        "class_names": results.get("class_names"),
        "versions": {"lit_gan": version("lit_gan"), "torch": version("torch")},
    }


def picture_file(shown: Picture | Page) -> dict[str, bytes]:
    """The picture of a card as a file; nothing for text, which the card holds itself."""
    if isinstance(shown, Page):
        return {}
    file = io.BytesIO()
    Image.fromarray(shown.pixels.numpy()).save(file, format="PNG")
    return {GRID: file.getvalue()}
