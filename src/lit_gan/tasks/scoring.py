"""The metrics of a training: which score decides, how the generator is scored on the way, and how
at the end."""

from collections.abc import Iterable

import torch
from omegaconf import DictConfig

from lit_gan.build import build_protocol
from lit_gan.data import Source
from lit_gan.errors import UserError
from lit_gan.game import Generator
from lit_gan.metrics import EvalProtocol, Suite
from lit_gan.metrics.base import check_suite
from lit_gan.parts import build_part
from lit_gan.sampling import require_truncatable


class Scoring:
    """The suite of metrics of a run, with the protocols that it is used under.

    Args:
        config: of the run.
        source: the data set that samples are compared with.

    Attributes:
        suite: None for a run that measures nothing.
        during: the protocol of the evaluations during training.
        final: the protocol of the one after the last update.
        monitor: full name of the score that chooses the best checkpoint, "digits/fid"; None without
            a suite.
        mode: the good end of that score, "min" or "max".

    Raises:
        UserError: there is no such protocol or score, or the data set does not have the split that
            a protocol needs.
    """

    def __init__(self, config: DictConfig, source: Source):
        self.config, self.source = config, source
        self.suite: Suite | None = build_part(config.metrics.suite, Suite)
        self.during = self.protocol("during")
        self.final = self.protocol("final")
        self.monitor: str | None = None
        self.mode = "min"
        if self.suite is not None:
            check_suite(self.suite, source)
            name = known_score(config.metrics.monitor, self.suite)
            self.monitor = f"{self.suite.prefix(source)}/{name}"
            self.mode = self.suite.SCORES[name]

    def protocol(self, when: str) -> EvalProtocol:
        """The protocol "during" training or at its end, "final"; with a handful of samples in a
        fast_dev_run."""
        protocol = build_protocol(self.config, self.config.metrics[when], f"metrics.{when}")
        if self.suite is not None:
            require_split(protocol, self.source, f"metrics.{when}")
        return protocol.with_generated(max(2, self.config.batch_size)) if self.config.trainer.fast_dev_run else protocol

    def prepare(self, G: Generator, device: torch.device) -> None:
        """Does all that the scores need of the real samples, and holds that G can be drawn from as
        they want, so that a fault is found before the training.

        Raises:
            UserError: the data cannot be scored by this suite, or G cannot be truncated.
        """
        if self.suite is not None:
            for protocol in (self.during, self.final):
                require_truncatable(G, protocol.truncation)
            self.suite.prepare(self.source, device)
            for protocol in (self.during, self.final):
                self.suite.measure_real(self.source, protocol)


def check_scorable(suite: Suite, source: Source, protocols: Iterable[EvalProtocol]) -> None:
    """Refuses what a suite cannot score under the protocols of a command line, before anything is
    measured.

    Raises:
        UserError: the suite is unsound, or a split is missing.
    """
    check_suite(suite, source)
    for protocol in protocols:
        require_split(protocol, source, "protocols")


def require_split(protocol: EvalProtocol, source: Source, setting: str) -> None:
    """Refuses a protocol of a split that a data set does not have.

    Args:
        setting: the one that names the protocol.

    Raises:
        UserError: names both.
    """
    if protocol.real_split not in source.splits:
        raise UserError(
            f"{setting}={protocol.name} needs the split '{protocol.real_split}', and data={source.name} has none of "
            f"that name: choose a protocol on {', '.join(source.splits)}."
        )


def known_score(name: str, suite: Suite) -> str:
    """The name of a score, if the suite has it.

    Raises:
        UserError: it does not.
    """
    if name not in suite.SCORES:
        raise UserError(
            f"metrics.monitor={name} is no score of these metrics: choose one of {', '.join(suite.SCORES)}."
        )
    return name
