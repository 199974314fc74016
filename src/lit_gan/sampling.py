"""Drawing samples from a trained generator, the same ones every time."""

import difflib
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lit_gan.errors import UserError, first_few
from lit_gan.game import Generator
from lit_gan.layers import copied, n_classes_of
from lit_gan.ranges import BatchStatistics

AT_ONCE = 256
"""The most samples of a picture that G makes in one pass."""
BLOCK = 256
"""Latent vectors are drawn in blocks of so many, so that the first ones are the same for each n."""
STANDING = (16, 256)
"""So many batches of so many samples; 16 as in the PyTorch code of Brock et al. 2019."""


def class_number(wanted: int | str, names: Sequence[str] | None) -> int:
    """The number of the class that is asked for by its name or number; where a name is a number,
    the name decides.

    Args:
        names: of the classes by their numbers; None where they have none.

    Raises:
        UserError: no class has this name.
    """
    if names is not None and str(wanted) in names:
        return list(names).index(str(wanted))
    if isinstance(wanted, int):
        return wanted
    if names is None:
        raise UserError(f"class={wanted} cannot be asked for: the classes of this run have no names, only numbers.")
    near = difflib.get_close_matches(wanted, names, n=1)
    meant = f"; did you mean {near[0]}?" if near else "."
    raise UserError(f"class={wanted} is no class of this run{meant} Its classes are {first_few(names, 20)}.")


def require_truncatable(G: Generator, truncation: float | None) -> None:
    """Refuses a truncation, other than None, of a generator that can have none.

    Raises:
        UserError: none of its latent variables is normal, and it has no styles.
    """
    if truncation is None or G.truncatable is not None:
        return
    raise UserError(
        f"truncation={truncation} needs normal latent variables, and this generator has none: leave it out."
    )


class OwnBatchNorm(_BatchNorm):
    """Batch normalisation of tensors of any shape, over the batch of one process."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Takes what `nn.SyncBatchNorm` takes."""


def alone(network: Generator) -> Generator:
    """A network whose batch normalisation waits for no other process, as each makes another number of
    samples; the network itself is changed."""
    for layer in network.modules():
        if isinstance(layer, nn.SyncBatchNorm):
            layer.__class__ = OwnBatchNorm
    return network


class Sampler:
    """Endless samples of a copy of G: calling it with n gives the next n.

    Where G looks at labels, they are drawn uniformly or are the one asked for.

    Args:
        seed: of the latent vectors, which are drawn on the CPU and so do not depend on the device.
        batch_norm: "running", "batch" or "standing", see `lit_gan.ranges.BatchStatistics`.
        truncation: the largest absolute value of a normal latent variable; None for any. Of a
            generator with styles the share of their way from the mean style that they go.

    Raises:
        UserError: a truncation where no latent variable is normal.
    """

    def __init__(
        self,
        G: Generator,
        seed: int = 0,
        batch_norm: BatchStatistics = "running",
        truncation: float | None = None,
    ):
        require_truncatable(G, truncation)
        self.G, self.seed = alone(copied(G).eval()), seed
        self.by_batch = batch_norm == "batch" and bool(self.normalise_batches())
        """Whether a sample depends on the others of its batch."""
        self.generator = torch.Generator().manual_seed(seed)
        self.n_classes = n_classes_of(G)
        self.device = next(G.parameters()).device
        if truncation is not None:
            self.G.truncate(truncation)
        if batch_norm == "standing":
            self.stand()
            self.restart()

    def restart(self) -> "Sampler":
        """The same stream of samples, from the first one on."""
        self.generator.manual_seed(self.seed)
        return self

    def stand(self) -> None:
        """Gives G's batch normalisation the mean statistics of fresh batches."""
        norms = self.normalise_batches()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # which has torch keep the plain mean
        batches, size = STANDING
        for _ in range(batches if norms else 0):
            self(size)
        self.G.eval()

    def normalise_batches(self) -> list[_BatchNorm]:
        """Has G's batch normalisation look at each batch, and nothing else of G be as in training:
        no dropout, no steps of spectral norms.

        Returns:
            The layers.
        """
        norms = [layer for layer in self.G.modules() if isinstance(layer, _BatchNorm)]
        return [norm.train() for norm in norms]

    def __call__(self, n: int, label: int | None = None) -> Tensor:
        """The next n samples, of all classes or of one, [n, *shape] in [-1, 1], float32.

        Raises:
            UserError: G makes no such class.
        """
        z, y = self.latents(n, label)
        return self.generate(z, y.to(self.device))

    def skip(self, n: int) -> None:
        """Passes over the next n samples without making them."""
        self.latents(n)

    def latents(self, n: int, label: int | None = None) -> tuple[Tensor, Tensor]:
        """The next n latent vectors and, on the CPU, their labels: uniform ones, or all of one class.

        Raises:
            UserError: G makes no such class.
        """
        z, y = self.vectors(n), torch.randint(self.n_classes or 1, (n,), generator=self.generator)
        if label is not None:
            self.require(label)
            y.fill_(label)
        return z, y

    def vectors(self, n: int) -> Tensor:
        """The next n latent vectors, truncated where they should be."""
        return self.G.draw(n, self.generator)

    def grid(self, count: int) -> tuple[Tensor, int | None]:
        """At most `count` samples for one picture, on the CPU, and how many of them make a row; None
        for any number.

        Where G looks at labels, a row is a class, from the first one on, and a column has the same
        latent vector.
        """
        if self.n_classes is None:
            return self.generate_all(*self.latents(count)), None
        rows = min(self.n_classes, count)
        columns = count // rows
        y = torch.arange(rows, device=self.device).repeat_interleave(columns)
        return self.generate_all(self.vectors(columns).repeat(rows, 1), y), columns

    def require(self, label: int) -> None:
        """Refuses a class that G does not make.

        Raises:
            UserError: names those it makes.
        """
        if self.n_classes is None:
            raise UserError(
                f"class={label} cannot be asked for, as this generator was trained with no labels: leave it out."
            )
        if not 0 <= label < self.n_classes:
            raise UserError(f"class={label} is none of this generator's: they are 0 to {self.n_classes - 1}.")

    def generate_all(self, z: Tensor, y: Tensor, at_once: int = AT_ONCE) -> Tensor:
        """The samples of any number of given latent vectors, made so many at a time, on the CPU."""
        parts = zip(z.split(at_once), y.to(self.device).split(at_once), strict=True)
        return torch.cat([self.generate(*part).cpu() for part in parts])

    @torch.no_grad()
    def generate(self, z: Tensor, y: Tensor) -> Tensor:
        """The samples of given latent vectors."""
        return self.G(z, y).float()


def latents_and_labels(sampler: Sampler, n: int, label: int | None) -> tuple[Tensor, Tensor]:
    """Latent vectors [n, z_dim] and labels [n], each the `label` or, if it is None, drawn
    uniformly; the first ones are the same whatever n is.

    Raises:
        UserError: the generator has no such class.
    """
    blocks = [sampler.latents(BLOCK, label) for _ in range(0, n, BLOCK)]
    z, y = (torch.cat(parts)[:n] for parts in zip(*blocks, strict=True))
    return z, y.to(z.device)
