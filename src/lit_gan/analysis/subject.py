"""The subject of the analyses: a trained GAN with its data."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Int, UInt8
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from lit_gan.data import Source, to_uint8
from lit_gan.data.sampler import random_choice
from lit_gan.game import Discriminator, Generator, Images, Labels, Latents, Verdict
from lit_gan.metrics import Suite
from lit_gan.metrics.extractors import Extractor
from lit_gan.metrics.reading import read_batches, subset_indices
from lit_gan.module import GAN
from lit_gan.parts import build_part
from lit_gan.sampling import Sampler, latents_and_labels


@dataclass
class Subject:
    """A trained GAN, on `device` and in eval mode, its data set, and the settings that every
    analysis shares.

    Attributes:
        config, directory: of the run; its metrics may be others than in its training.
        source: its data set.
        ema: whether G has its moving average's weights, if the run has one.
        seed: decides the latent vectors.
        batch_size: so many samples go through a network at once.
    """

    config: DictConfig
    directory: Path
    gan: GAN
    source: Source
    ema: bool
    seed: int
    batch_size: int

    @property
    def G(self) -> Generator:
        """The generator, with the weights of its moving average if `ema` asks for them."""
        return self.gan.generator(self.ema)

    @property
    def D(self) -> Discriminator:
        """The discriminator."""
        return self.gan.D

    @property
    def device(self) -> torch.device:
        """The device on which the networks are."""
        return next(self.gan.D.parameters()).device

    @cached_property
    def extractor(self) -> Extractor | None:
        """The network that gives features to the run's metrics, ready for use; None if these have
        none.

        Raises:
            UserError: it has no weights, or cannot work on the data.
        """
        suite: Suite | None = build_part(self.config.metrics.suite)
        extractor = None if suite is None else suite.extractor
        if extractor is not None:
            extractor.prepare(self.source, self.device)
        return extractor

    def sampler(self) -> Sampler:
        """A sampler that starts at G's first sample."""
        return Sampler(self.G, self.seed)

    def samples(self, n: int, label: int | None = None) -> Images:
        """G's first n samples, of all classes or of one, on the CPU: with the seed of `lit_gan.sample`
        those which that writes."""
        return self.generated(*latents_and_labels(self.sampler(), n, label))

    def generated(self, z: Latents, y: Labels) -> Images:
        """G's samples of given latent vectors and labels, on the CPU."""
        return self.sampler().generate_all(z, y, self.batch_size)

    def pixels(self, n: int, label: int | None = None) -> UInt8[Tensor, "n c h w"]:
        """G's first n samples, or its first n of a class, as image files would hold them."""
        return to_uint8(self.samples(n, label))

    def batches(self, split: str, numbers: Int[Tensor, " n"]) -> Iterator[tuple[Tensor, Labels]]:
        """Batches of the samples with the given numbers, as the data set holds them (images uint8),
        with labels."""
        return read_batches(self.source.split(split), numbers, self.batch_size)

    def real(self, split: str, n: int | None = None) -> tuple[Int[Tensor, " n"], Tensor, Labels]:
        """Numbers, samples as the data set holds them and labels of n random samples, always the
        same ones."""
        return self.read(split, subset_indices(self.source.split(split), n))

    @property
    def shown_images(self) -> Int[Tensor, " n"]:
        """Numbers of the training images that the players have been shown: all of them, but for a
        run with `train_images`."""
        found, shown = len(self.source.split("train")), OmegaConf.select(self.config, "train_images")
        return torch.arange(found) if shown is None else random_choice(found, shown, self.config.seed)

    def shown(self, n: int) -> tuple[Int[Tensor, " n"], Tensor, Labels]:
        """As `real`, of the training images that the players have been shown."""
        numbers = self.shown_images
        return self.read("train", numbers[subset_indices(numbers, n)])

    def read(self, split: str, numbers: Int[Tensor, " n"]) -> tuple[Int[Tensor, " n"], Tensor, Labels]:
        """The numbers, with the samples and labels of a split that have them."""
        samples, labels = zip(*self.batches(split, numbers), strict=True)
        return numbers, torch.cat(samples), torch.cat(labels)

    def as_network_input(self, samples: Tensor) -> Images:
        """Samples of the data set as the networks take them, on their device."""
        return self.source.samples(samples.to(self.device))

    def judge(self, x: Images, y: Labels) -> Verdict:
        """D's verdict on each sample by itself; a D that judges several at once sees copies of the
        sample."""
        return self.D(x.repeat_interleave(self.D.pack, 0), y.repeat_interleave(self.D.pack, 0))
