"""`lit_gan.load`: the trained generator of a run, for notebooks and other programs."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from PIL import Image
from torch import Tensor, nn

from lit_gan.errors import UserError
from lit_gan.exporting.folder import is_exported, read_description, read_folder
from lit_gan.exporting.formats import FILES
from lit_gan.exporting.hub import PREFIX, check_trusted, download
from lit_gan.figures.pictures import picture
from lit_gan.game import Generator, Images, Labels, Latents
from lit_gan.ranges import Allowed, Count, Seed, Switch, require
from lit_gan.records.directory import load_config
from lit_gan.records.paths import expand_home
from lit_gan.records.results import Results
from lit_gan.sampling import Sampler, class_number
from lit_gan.system.random_numbers import keeping_random_state
from lit_gan.tasks.loading import load_generator, load_state
from lit_gan.tasks.sample import draw_samples

BATCH = 250
"""Samples that are generated at a time, as in conf/sample.yaml."""


class TrainedGenerator(nn.Module):
    """The generator of a run, with the weights of a checkpoint.

    It is a module like any other: `.to("cuda")` moves it, and calling it with latent vectors gives
    samples.

    Args:
        network: maps latent vectors to samples.
        update: generator update after which the weights were saved.
        class_names: names of the classes by their numbers; None where they have none.
    """

    def __init__(self, network: Generator, update: int, class_names: Sequence[str] | None):
        super().__init__()
        self.network, self.update, self.class_names = network, update, class_names

    def forward(self, z: Latents, y: Labels | None = None) -> Images:
        """Samples of given latent vectors [n, z_dim]; y are labels [n], for a network that looks at
        them."""
        return self.network(z, y)

    def sample(self, n: int, seed: int = 0, label: int | str | None = None) -> Tensor:
        """n samples as float32 on the CPU: images [n, channels, height, width] in [-1, 1], or
        points [n, 2].

        They are those of `python -m lit_gan.sample` with the same seed, and the first ones are the
        same, up to rounding, whatever n is. `(images + 1) / 2` has the range that matplotlib and
        torchvision expect, and `grid` makes a picture.

        Args:
            seed: decides the latent vectors.
            label: the number or the name of the class to sample; None samples all classes.

        Raises:
            UserError: n or the seed is out of range, or the generator has no such class.
        """
        require("n", n, Allowed.by(Count))
        require("seed", seed, Allowed.by(Seed))
        number = None if label is None else class_number(label, self.class_names)
        return draw_samples(Sampler(self.network, seed), n, number, BATCH)

    def grid(self, n: int = 64, seed: int = 0, label: int | str | None = None) -> Image.Image:
        """One picture of `sample(n, seed, label)`: images side by side, points as a plot.

        Raises:
            UserError: the samples are text, or as `sample`.
        """
        samples = self.sample(n, seed, label)
        if samples.dim() == 3:
            raise UserError("A generator of text makes no picture: python -m lit_gan.sample writes its lines.")
        return Image.fromarray(picture(samples).numpy())


def load(run: str | PathLike, checkpoint: str = "last", ema: bool = True) -> TrainedGenerator:
    """The trained generator of a run, on the CPU: `lit_gan.load("runs/...").sample(16)`.

    Torch's random numbers go on as if nothing had been loaded.

    Args:
        run: the run's directory, the folder of an export, or "hub:USER/NAME" for an export on the
            Hugging Face Hub.
        checkpoint: "last", or "best" for the weights with the best score of the training. An export
            has the weights that were chosen for it.
        ema: whether to take the moving average of the weights, where the run has one.

    Raises:
        UserError: the directory is not that of a run, or it has no such checkpoint, or a file is
            damaged, or the Hub does not give the folder.
    """
    require("ema", ema, Allowed.by(Switch))
    with keeping_random_state("cpu"):  # a network draws its weights before it is given those of the run
        return load_from(run, checkpoint, ema)


def load_from(run: str | PathLike, checkpoint: str, ema: bool) -> TrainedGenerator:
    """What `load` gives, for the same arguments."""
    if str(run).startswith(PREFIX):
        name = str(run).removeprefix(PREFIX)
        folder = download(name)
        check_trusted(read_description(folder), name)
        return load_exported(folder, str(run), checkpoint, ema)
    directory = Path(expand_home("run", str(run)))
    if is_exported(directory):
        return load_exported(directory, str(run), checkpoint, ema)
    network, update = load_generator(load_config(directory), directory, checkpoint, ema)
    return TrainedGenerator(network, update, Results(directory).content.get("class_names")).eval()


def load_exported(folder: Path, name: str, checkpoint: str, ema: bool) -> TrainedGenerator:
    """The generator of an exported folder, on the CPU.

    Args:
        name: of the folder, as the user gave it.

    Raises:
        UserError: other weights are asked for than it holds, or a file is damaged.
    """
    network, weights, description = read_folder(folder)
    if checkpoint not in ("last", description["checkpoint"]) or (not ema and description["weights"] == "ema"):
        raise UserError(
            f"{name} is an export of the {description['weights']} weights of checkpoint={description['checkpoint']}: "
            f"leave checkpoint and ema out, or load the run itself."
        )
    load_state(network, weights, folder / FILES["safetensors"])
    return TrainedGenerator(network.eval(), description["update"], description["class_names"]).eval()
