"""What every suite of metrics does: the base class of the choices of the config group `metrics`."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from lit_gan.data import Source
from lit_gan.errors import UserError, not_written, path_of
from lit_gan.metrics.extractors import Extractor
from lit_gan.metrics.protocol import EvalProtocol
from lit_gan.metrics.sharing import Draw
from lit_gan.records.score_names import short_name
from lit_gan.sampling import Sampler

ALWAYS_USED = ("name", "generated", "real_split", "batch_norm", "ema", "seed", "truncation")
"""The settings of a protocol that matter for every suite; beside them the size of the batches where G normalises by
those."""

ByClass = dict[str, list[float | None]]
"""The values of each score from the first class on; None for a class that has no such score."""


class Suite:
    """Scores that say how good generated samples are.

    A suite declares `SCORES` and writes `prefix` and `compute`; everything else has a default. It
    is asked to `prepare` before anything else, and then to `measure_real`, `evaluate` and
    `describe` for each protocol. It lives outside of the checkpoint and keeps no state that
    training would need.

    Attributes:
        SCORES: the short name of each score that can be monitored, with the end of it that is good,
            "min" or "max".
        extractor: the network whose features are compared; None for a suite that compares none.
    """

    SCORES: Mapping[str, str] = {}
    extractor: Extractor | None = None

    def prefix(self, source: Source) -> str:
        """The part of the full names of scores before the slash: "digits" in `digits/fid`."""
        raise not_written(self, "prefix(source)")

    def prepare(self, source: Source, device: torch.device | str = "cpu") -> None:
        """Loads what the scores need and refuses data of a wrong kind; by default, it accepts all.

        Raises:
            UserError: the data are of the wrong kind, or something is missing.
        """

    def measure_real(self, source: Source, protocol: EvalProtocol) -> None:
        """Does the work on real samples that all evaluations share; by default, it loads them.

        A training calls it for all its protocols, after `prepare` and before the first update, so
        that what is wrong with the real samples is known by then.

        Raises:
            UserError: there are too few real samples, or some that cannot be read.
        """
        source.split(protocol.real_split)

    def wanted(self, protocol: EvalProtocol) -> int:
        """How many samples are drawn for the scores of a protocol."""
        return protocol.generated

    def evaluate(
        self, draw: Draw, source: Source, protocol: EvalProtocol, device: torch.device | str = "cpu"
    ) -> dict[str, float]:
        """The scores of a generator by their full names, the same in every process.

        Every process must call it, with the same arguments.

        Args:
            draw: gives the next n generated samples [n, *source.shape], images in [-1, 1]; every
                process makes and scores its share of them.
            source: the real samples.
            device: where the samples are drawn, and where networks that judge them work.

        Raises:
            UserError: as `prepare`, `measure_real` and `check_suite`, or a score is no number.
        """
        self.prepare(source, device)
        check_suite(self, source)
        scores = self.compute(draw, source, protocol, device)
        if not isinstance(scores, dict):
            raise UserError(f"{path_of(self)}.compute returns a {type(scores).__name__}, but it must return a dict.")
        return {f"{self.prefix(source)}/{name}": self.as_number(name, value) for name, value in scores.items()}

    def as_number(self, name: str, value: Any) -> float | None:
        """A score as a number of Python's own, which a record can hold.

        Raises:
            UserError: it is no single number.
        """
        size = value.numel() if isinstance(value, torch.Tensor) else np.size(value)
        single = value.item() if size == 1 and hasattr(value, "item") else value
        if single is None or (isinstance(single, int | float) and not isinstance(single, bool)):
            return single
        raise UserError(f"{path_of(self)}.compute returns {name}={value!r}, but a score must be one number.")

    def compute(
        self, draw: Draw, source: Source, protocol: EvalProtocol, device: torch.device | str
    ) -> dict[str, float]:
        """The scores by their short names, after `prepare`, for the arguments of `evaluate`."""
        raise not_written(self, "compute(draw, source, protocol, device)")

    def by_class(self, sampler: Sampler, source: Source, protocol: EvalProtocol) -> ByClass:
        """Scores within each class, after `prepare`; by default, there are none."""
        return {}

    def caveats(self, source: Source, protocol: EvalProtocol, classes: ByClass | None = None) -> dict[str, str]:
        """Why scores cannot bear comparison, by their full names; by default, all of them can.

        Args:
            classes: what `by_class` has returned, for the means over classes; None where it was not
                asked.
        """
        return {}

    def describe(self, source: Source, protocol: EvalProtocol) -> dict[str, Any]:
        """What is stored with the scores, and must agree before two records can be compared.

        It is asked after `prepare`. By default these are the settings of the protocol that every
        suite uses, and the data with a hash of the split.
        """
        wanted = (*ALWAYS_USED, "batch_size") if protocol.batch_norm == "batch" else ALWAYS_USED
        used = {name: value for name, value in protocol.facts().items() if name in wanted}
        return used | {"data": source.name, "fingerprint": source.split(protocol.real_split).fingerprint()}

    def ends(self, names: Iterable[str]) -> dict[str, str]:
        """The good end, "min" or "max", of scores by their full names, where it is known."""
        short = {name: short_name(name).removeprefix("intra_") for name in names}
        return {name: self.SCORES[score] for name, score in short.items() if score in self.SCORES}


def check_suite(suite: Suite, source: Source) -> None:
    """Refuses a suite that does not say which end of its scores is good, or what their names begin with.

    Raises:
        UserError: names what it says instead.
    """
    if not suite.SCORES or not {"min", "max"}.issuperset(suite.SCORES.values()):
        raise UserError(
            f"{path_of(suite)}.SCORES is {dict(suite.SCORES)}, but it must give the good end of each score, as in "
            f'{{"fid": "min"}} or "max": correct it.'
        )
    prefix = suite.prefix(source)
    if not isinstance(prefix, str) or not prefix or "/" in prefix:
        raise UserError(
            f"{path_of(suite)}.prefix returns {prefix!r}, but it must return a word without a slash, with which the "
            f"names of its scores begin: correct that method."
        )
