"""The classifier with which metrics=classifier scores a data set: trained, measured and written to
a file."""

from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import nn

from lit_gan.build import build_source, complete_data
from lit_gan.data import Source
from lit_gan.errors import UserError
from lit_gan.metrics.classifier import SHIPPED, train_classifier
from lit_gan.records.files import replacing
from lit_gan.settings import CLASSIFY, check_config


def classify(config: DictConfig) -> None:
    """Trains a classifier, writes its weights and prints its accuracy on held-out images, if there are any.

    Raises:
        UserError: a setting is impossible, or the data set has no images with labels.
    """
    check_config(config, CLASSIFY)
    complete_data(config)
    source = build_source(config)
    check_labelled_images(source)
    path = weights_file(config)
    trained = train_classifier(source, config.updates, config.seed)
    save_half_precision(trained.network, path)
    print(f"{path}: {trained.on_held_out()}, {path.stat().st_size / 1000:.0f} kB{how_it_is_used(source, path)}")


def check_labelled_images(source: Source) -> None:
    """Refuses a data set from which no classifier of images can learn.

    Raises:
        UserError: it has no images, or no labels.
    """
    if len(source.shape) != 3:
        raise UserError(f"data={source.name} has no images: choose images with labels, such as data=digits.")
    if source.n_classes is None:
        raise UserError(f"data={source.name} has no labels: choose a data set with labels, such as data=digits.")


def weights_file(config: DictConfig) -> Path:
    """Where the weights are written: the setting `output`.

    Raises:
        UserError: `output` is null, or a folder.
    """
    if config.output is None:
        raise UserError("output=null: the weights need a file: write output=FILE, or leave it out.")
    path = Path(config.output)
    if path.is_dir():
        raise UserError(f"output={path} is a folder: name the file, such as output={path / config.data.name}.pt.")
    return path


def how_it_is_used(source: Source, path: Path) -> str:
    """The end of the sentence about a classifier: what metrics=classifier looks at, which this file
    changes only where somebody wants that."""
    shipped = SHIPPED / f"{source.name}.pt"
    if not source.published or path.absolute() == shipped:
        return ""
    return (
        f"\nmetrics=classifier goes on with its own: a copy to {shipped} would replace that, and no score of "
        f"data={source.name} could be compared with earlier ones"
    )


def save_half_precision(network: nn.Module, path: Path) -> None:
    """Writes the weights of a network as 16-bit floats, which halves the file; whole numbers stay
    as they are."""
    weights = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save(weights, file)
