"""`python -m lit_gan.score`: the scores of images that were made elsewhere."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lit_gan.build import build_source, choose_device, complete_data
from lit_gan.data import Source
from lit_gan.data.own_images import OwnImages
from lit_gan.errors import UserError, written
from lit_gan.metrics import EvalProtocol, Suite
from lit_gan.metrics.given import GivenImages
from lit_gan.metrics.measure import with_facts
from lit_gan.records.files import write_text
from lit_gan.records.results import Record
from lit_gan.settings import SCORE, check_config
from lit_gan.tasks.evaluate import chosen_protocol, chosen_suite, values_of
from lit_gan.tasks.score_tables import print_scores
from lit_gan.tasks.scoring import check_scorable

OF_A_GENERATOR = ("batch_norm", "ema", "truncation")
"""What a protocol says of a generator, which nobody knows of images alone."""


def score(config: DictConfig) -> None:
    """Scores images against the real ones of a data set under each chosen protocol, and prints the
    scores.

    Raises:
        UserError: something that the user can put right, before the first score is taken.
    """
    place = place_of_images(config)
    check_config(config, SCORE)
    output = output_file(config)
    protocols = [chosen_protocol(config, name) for name in values_of(config, "protocols")]
    source = chosen_data(config)
    images, suite = GivenImages(place, source.shape), chosen_suite(config, config)
    check_scorable(suite, source, protocols)
    for protocol in protocols:
        require_enough(place, len(images), suite.wanted(protocol), protocol.name)
    for split in {protocol.real_split for protocol in protocols}:
        require_apart(images, source, split)
    save_records(output)  # so that a mistake in it costs no scores
    for record in score_images(images, suite, source, protocols, choose_device(config.device)):
        print_scores(record, f"{record['scored']} of {len(images)} images in {place}")
        save_records(output, {"images": str(place.absolute())} | record)


def place_of_images(config: DictConfig) -> Path:
    """The folder or file that the setting `images` names.

    Raises:
        UserError: it names none.
    """
    images = OmegaConf.select(config, "images")
    if images in (None, ""):
        raise UserError("images=FOLDER is missing: name a folder of images, or a file .npy or .npz.")
    if not isinstance(images, str):
        raise UserError(f"images={written(images)} must be one folder or file: --multirun images=A,B takes several.")
    return Path(images).expanduser()


def output_file(config: DictConfig) -> Path | None:
    """The file that the scores are added to; None where they are only printed.

    Raises:
        UserError: it is a folder, its name does not end in .json, or it holds something else.
    """
    if config.output is None:
        return None
    path = Path(config.output)
    if path.is_dir() or path.suffix != ".json":
        raise UserError(f"output={path} must be a file that ends in .json, such as output=scores.json.")
    records_in(path)
    return path


def save_records(path: Path | None, *new: Record) -> None:
    """Adds records to those in a file; nothing where there is to be none.

    Raises:
        Unwritable: it cannot be written.
    """
    if path is not None:
        write_text(path, json.dumps([*records_in(path), *new], indent=1))


def records_in(path: Path) -> list[dict[str, Any]]:
    """The records of earlier scores in a file; none where there is no file.

    Raises:
        UserError: it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    except ValueError:
        content = None
    if not isinstance(content, list) or not all(isinstance(each, dict) and "scores" in each for each in content):
        raise UserError(f"output={path} holds something else than scores, which would be lost: name another file.")
    return content


def chosen_data(config: DictConfig) -> Source:
    """The data set of the real images; what it is found to be is filled in.

    Raises:
        UserError: none is chosen, it has no images, or they cannot be read.
    """
    if "data" not in config:
        raise UserError("data=NAME is missing: name the data set of the real images, such as data=cifar10.")
    if len(config.data.shape) != 3:
        raise UserError(f"data={config.data.name} has no images: choose a data set of images, such as data=cifar10.")
    complete_data(config)
    return build_source(config)


def require_enough(place: Path, there: int, wanted: int, protocol: str) -> None:
    """Refuses fewer images than a protocol scores.

    Raises:
        UserError: says how to score them all.
    """
    if there < wanted:
        advice = f"set generated={there} to score them all" if there > 1 else "name more of them"
        raise UserError(f"images={place} holds too few, {there}, as protocol {protocol} scores {wanted}: {advice}.")


def require_apart(images: GivenImages, source: Source, split: str) -> None:
    """Refuses images that are among the real ones with which they would be compared.

    Raises:
        UserError: names one of both.
    """
    given, real = getattr(images.files.pictures, "paths", ()), ()
    if given and isinstance(source, OwnImages):
        real = {os.path.realpath(path) for path in getattr(source.pictures(split), "paths", ())}
    if both := next((path for path in given if os.path.realpath(path) in real), None):
        raise UserError(
            f"images: {both} is one of the images of data={source.name} as well, with which it would be compared: "
            f"name folders that lie apart."
        )


def score_images(
    images: GivenImages, suite: Suite, source: Source, protocols: list[EvalProtocol], device: Any
) -> Iterator[Record]:
    """A record for each protocol, as `Results` describes, with hashes of the images in place of a
    checkpoint and its weights."""
    suite.prepare(source, device)
    for protocol in protocols:
        suite.measure_real(source, protocol)
    for protocol in protocols:
        start = time.perf_counter()
        scores = suite.evaluate(images.restart(), source, protocol, device)
        given = {"number": len(images), "fingerprint": images.files.fingerprint()}
        record = with_facts(scores, {}, suite, source, protocol, start)
        facts = {name: value for name, value in record["protocol"].items() if name not in OF_A_GENERATOR}
        yield {"scored": images.passed, "given": given} | record | {"protocol": facts}
