"""What a window shows of a trained generator: samples, walks between latent points, the course of its
scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig
from torch import Tensor

from lit_gan.data import Source
from lit_gan.errors import UserError
from lit_gan.figures.pictures import Page, Picture, render
from lit_gan.figures.style import figure_bytes, styled
from lit_gan.figures.training_curves import draw_panels, read_panels
from lit_gan.game import Generator
from lit_gan.layers import n_classes_of
from lit_gan.overrides import as_typed_value
from lit_gan.ranges import Allowed, Count, Seed, require
from lit_gan.records.directory import find_checkpoint, load_config
from lit_gan.records.layout import metrics_path
from lit_gan.records.results import Results
from lit_gan.records.score_names import short_ends
from lit_gan.sampling import Sampler, latents_and_labels
from lit_gan.settings import SAMPLE
from lit_gan.sweep.overview import read_run_or_cells
from lit_gan.system.shell import shell_command
from lit_gan.tasks.chosen_run import moved_source
from lit_gan.tasks.loading import load_generator
from lit_gan.tasks.run_lines import run_lines
from lit_gan.tasks.sample import MOST_IN_GRID, draw_samples, points_between
from lit_gan.tasks.trained import load_exported


@dataclass(frozen=True)
class Wish:
    """Which samples are wanted, in the words of conf/sample.yaml.

    Args:
        label: the number of the class of all of them; None for samples of all classes.

    Raises:
        UserError: a setting is impossible.
    """

    n: int
    seed: int
    label: int | None = None
    truncation: float | None = None

    def __post_init__(self):
        for name, annotation in (("n", Count), ("seed", Seed), ("truncation", SAMPLE["truncation"])):
            require(name, getattr(self, name), Allowed.by(annotation))
        if self.n > MOST_IN_GRID:
            raise UserError(f"n={self.n}: a grid has at most {MOST_IN_GRID} samples.")


class Answer(NamedTuple):
    """What a generator makes of a wish, and the generator update of its weights."""

    made: Picture | Page
    update: int


@dataclass
class FreshWeights:
    """The weights of a generator in a file, which is read again when it has changed, as the last
    checkpoint of a run in training does.

    Args:
        path: of the file.
        words: the settings of `python -m lit_gan.sample` that choose these weights.
        load: gives the generator with them, and its generator update.
    """

    path: Path
    words: Sequence[str]
    load: Callable[[], tuple[Generator, int]]
    changed: int | None = None
    loaded: tuple[Generator, int] | None = None

    def current(self) -> tuple[Generator, int]:
        """The generator and its update, as they are on disk now.

        Raises:
            UserError: there is no such file any more, or it is damaged.
        """
        changed = self.path.stat().st_mtime_ns if self.path.exists() else None
        if self.loaded is None or changed != self.changed:
            self.loaded, self.changed = self.load(), changed
        return self.loaded


@dataclass
class Explored:
    """A trained generator that can be asked for samples.

    Args:
        name: what it is called, a path.
        weights: the weights that it may have, by what they are called; those that are shown first
            come first.
        directory: of its run; None where there is only an export.
        source: its data set, by which texts are read; None for an export.
        class_names: by their numbers; None where classes have no names.
        drawing: the page's settings: `batch_norm` and `batch_size` of samples, and where the data
            are.
    """

    name: str
    weights: dict[str, FreshWeights]
    directory: Path | None
    source: Source | None
    class_names: Sequence[str] | None
    drawing: DictConfig

    @property
    def first(self) -> Generator:
        """The generator with the weights that are shown first."""
        return next(iter(self.weights.values())).current()[0]

    @property
    def classes(self) -> list[str]:
        """The names of the classes, or else their numbers, that samples can be asked of; [] for a
        generator that looks at no labels."""
        n = n_classes_of(self.first) or 0
        return list(map(str, self.class_names or range(n)))[:n]

    def samples(self, name: str, wish: Wish) -> Answer:
        """The samples that `python -m lit_gan.sample` has in its grid; where they are of all
        classes, a row is a class and a column has the same latent vector.

        Raises:
            UserError: a setting is impossible.
        """
        sampler, update = self.sampler(name, wish)
        if rows_are_classes(sampler, wish):
            return Answer(self.render(*sampler.grid(wish.n), self.class_names), update)
        samples = draw_samples(sampler, wish.n, wish.label, self.drawing.batch_size)
        return Answer(self.render(samples), update)

    def walk(self, name: str, wish: Wish, start: int, end: int, steps: int) -> Answer:
        """Samples on the straight line between the latent vectors of two places in the grid of
        `samples`.

        Where a row of that is a class, `start` and `end` are columns, and the walk is made in every
        class.

        Raises:
            UserError: there is no such place, or another setting is impossible.
        """
        sampler, update = self.sampler(name, wish)
        points, labels = latent_points(sampler, wish)
        require("steps", steps, Allowed.by(Count))
        for word, place in (("from", start), ("to", end)):
            if type(place) is not int or not 0 <= place < len(points):
                raise UserError(f"{word}={place}: this grid has the latent points 0 to {len(points) - 1}.")
        line = points_between(points[start, None], points[end, None], steps)
        y = torch.tensor(labels).repeat_interleave(steps)
        rows = self.class_names if rows_are_classes(sampler, wish) else None
        samples = sampler.generate_all(line.repeat(len(labels), 1), y)
        return Answer(self.render(samples, steps, rows), update)

    def sampler(self, name: str, wish: Wish) -> tuple[Sampler, int]:
        """A sampler of the named weights, and their generator update.

        Raises:
            UserError: the weights cannot be read, or no latent variable can be truncated.
        """
        G, update = self.weights[name].current()
        return Sampler(G, wish.seed, self.drawing.batch_norm, wish.truncation), update

    def render(self, samples: Tensor, columns: int | None = None, rows: Sequence[str] | None = None) -> Picture | Page:
        """Samples as a person looks at them, see `lit_gan.figures.pictures.render`.

        Raises:
            UserError: they are texts, and nothing says of which letters.
        """
        if self.source is None and samples.dim() == 3:
            raise UserError(f"run={self.name} is an export of a generator of text: name its run's own directory.")
        return render(self.source, samples, columns, rows)

    def command(self, name: str, wish: Wish) -> str | None:
        """The command that writes the samples as files; None where there is no run."""
        if self.directory is None:
            return None
        label = None if wish.label is None else self.classes[wish.label]
        settings = {"n": wish.n, "seed": wish.seed, "class": label, "truncation": wish.truncation} | self.drawn_as()
        words = [f"{key}={as_typed_value(str(value))}" for key, value in settings.items() if value is not None]
        return shell_command("sample", f"run={as_typed_value(self.name)}", *self.weights[name].words, *words)

    def drawn_as(self) -> dict[str, Any]:
        """The settings of the page that samples depend on, or that say where the data are, as those of
        a command; None for what that does anyway."""
        drawing = self.drawing
        batches = {"batch_norm": drawing.batch_norm, "batch_size": drawing.batch_size}
        return (batches if drawing.batch_norm != "running" else {}) | {
            f"data.{name}": value for name, value in (drawing.get("data") or {}).items()
        }

    def lines(self) -> list[str]:
        """What the run is, how far it is, and its scores; [] where there is no run."""
        return [] if self.directory is None else list(run_lines(read_run_or_cells(self.directory)[0]))

    def curves(self) -> bytes | None:
        """The figure of the course of the losses and scores so far, as the content of an SVG file;
        None where there is nothing to draw.

        Raises:
            UserError: a file of the run is damaged.
        """
        panels = [] if self.directory is None else read_panels(metrics_path(self.directory))
        if not panels:
            return None
        with styled():
            return figure_bytes(draw_panels(panels, "", short_ends(Results(self.directory).content)), "svg")


def rows_are_classes(sampler: Sampler, wish: Wish) -> bool:
    """Whether each row of the wished-for grid is a class."""
    return sampler.n_classes is not None and wish.label is None


def latent_points(sampler: Sampler, wish: Wish) -> tuple[Tensor, list[int]]:
    """The latent vectors [points, z_dim] of a grid in their order, and the classes in which they are
    shown.

    Raises:
        UserError: the generator has no such class.
    """
    if rows_are_classes(sampler, wish):
        rows = min(sampler.n_classes, wish.n)
        return sampler.vectors(wish.n // rows), list(range(rows))
    z, _ = latents_and_labels(sampler, wish.n, wish.label)
    return z, [wish.label or 0]


def explored_run(config: DictConfig, directory: Path, device: torch.device) -> Explored:
    """The generator of a run with all its checkpoints, those of the config first.

    Raises:
        UserError: the directory holds no run, or not the checkpoint of the config.
    """
    trained = load_config(directory)
    first = find_checkpoint(directory, config.checkpoint)
    source = moved_source(config, trained)
    paths = sorted(first.parent.glob("*.ckpt"), key=lambda path: (path != first, path.stem != "last", path.stem))
    averages = [False] if trained.ema is None else [config.ema, not config.ema]
    weights = {
        f"{path.stem}, {'EMA' if ema else 'raw'} weights": FreshWeights(
            path, [f"checkpoint={path.stem}", f"ema={str(ema).lower()}"], load
        )
        for ema in averages
        for path in paths
        for load in [partial(load_on, device, trained, directory, path.stem, ema)]
    }
    names = Results(directory).content.get("class_names")
    return Explored(str(directory), weights, directory, source, names, config)


def explored_export(config: DictConfig, directory: Path, device: torch.device) -> Explored:
    """An exported generator.

    Raises:
        UserError: other weights are asked for than it holds, or a file is damaged.
    """
    exported = load_exported(directory, str(directory), config.checkpoint, config.ema)
    ready = exported.network.to(device), exported.update
    weights = {"exported weights": FreshWeights(directory, [], lambda: ready)}
    return Explored(str(directory), weights, None, None, exported.class_names, config)


def load_on(device: torch.device, *which: Any) -> tuple[Generator, int]:
    """The generator of `load_generator` on a device, and its generator update."""
    G, update = load_generator(*which)
    return G.to(device), update
