"""Text as sequences of characters.

Gulrajani et al. 2017, section 5.3, and the authors' `language_helpers.py`.
"""

import logging
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from pydoc_data.topics import topics
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit_gan.data.source import Source, StoredSplit
from lit_gan.errors import UserError
from lit_gan.ranges import PathOrNone, Range, checked
from lit_gan.records.paths import absolute

log = logging.getLogger(__name__)

PAD, UNKNOWN = "`", "\N{REPLACEMENT CHARACTER}"
HELD_OUT = 10
"""Every tenth sequence belongs to the split "test"."""


class Text(Source):
    """Sequences of `length` characters, which the networks see one-hot, [V, length].

    Short sequences are filled up with "`".
    The first of the V = `vocabulary` characters is "`", the second stands for all that are too
    rare, the others are `characters`; where these are fewer, the rest is unused. Every tenth
    sequence is "test". Empty lines are left out, which the authors keep.

    Args:
        shape: (vocabulary, length), spelt out for the networks' configs.
        file: a text file in UTF-8; None for the English that comes with Python, see `english`.
        cut: "lines" cuts every line off at `length`, as the authors do; "running" fills sequences
            with whole words.
        length: characters in each sequence; 32 in the paper.
        vocabulary: at most 2048 in the authors' code.
        characters: those that are told apart, in the order of their numbers; None, or "auto" in a
            config, for the most frequent ones of the training split. A run records those that it
            has found, because a later text may have others.

    Raises:
        UserError: a number or a `cut` that makes no sequences, or characters that are too many or
            not all different.
    """

    splits = ("train", "test")
    before_found: Mapping[str, Any] = {**Source.before_found, "characters": None}

    @checked
    def __init__(
        self,
        name: str,
        shape: Sequence[int],
        n_classes: None,
        file: PathOrNone,
        cut: Literal["lines", "running"],
        length: Annotated[int, Range(2, most=2**20)],
        vocabulary: Annotated[int, Range(3, most=2**15)],
        characters: str | None = None,
    ):
        super().__init__(name, shape, n_classes)
        if self.shape != (vocabulary, length):
            raise UserError(
                f"data.shape={list(self.shape)} contradicts data.vocabulary={vocabulary} and data.length={length}: "
                f"set these two, the shape follows."
            )
        distinct = set(characters or "") - {PAD, UNKNOWN}
        if characters is not None and not len(characters) == len(distinct) <= vocabulary - 2:
            raise UserError(
                f"data.characters={characters} must be different characters, without {PAD} and {UNKNOWN}, and at most "
                f"{vocabulary - 2} of them for data.vocabulary={vocabulary}: set it to auto."
            )
        self.file, self.cut, self.length, self.vocabulary = file, cut, length, vocabulary
        self.characters = characters

    @cached_property
    def sequences(self) -> dict[str, list[str]]:
        """The sequences of each split, not yet filled up.

        Raises:
            UserError: the text cannot be read or is too short.
        """
        text = english() if self.file is None else read_text(self.file)
        found = list(CUTS[self.cut](text, self.length))
        if len(text) < self.length or len(found) < 2:
            raise UserError(
                f"data.file={self.file or 'null'} is too short: its {len(text)} characters do not make two sequences "
                f"of data.length={self.length}, so use a longer text or lower data.length."
            )
        test = found[::HELD_OUT]
        del found[::HELD_OUT]
        return {"train": found, "test": test}

    @cached_property
    def alphabet(self) -> str:
        """The characters in the order of their numbers; unused numbers stand for `UNKNOWN`."""
        characters = self.most_frequent() if self.characters is None else self.characters
        return (PAD + UNKNOWN + characters).ljust(self.vocabulary, UNKNOWN)

    def found(self, wanted: Collection[str]) -> dict[str, str]:
        """The characters of the training split, as "characters" of a config.

        Raises:
            UserError: something else is wanted.
        """
        if others := set(wanted) - {"characters"}:
            return super().found(others)
        # OmegaConf would look for the value of a setting behind these two
        return {"characters": self.most_frequent().replace("${", r"\${")}

    def most_frequent(self) -> str:
        """The `vocabulary` - 2 most frequent characters of the training split, sorted."""
        used, counts = np.unique(code_points("".join(self.sequences["train"])), return_counts=True)
        order = [chr(used[i]) for i in np.argsort(-counts, kind="stable")]
        return "".join(sorted([each for each in order if each not in (PAD, UNKNOWN)][: self.vocabulary - 2]))

    def load(self, which: str) -> StoredSplit:
        """The numbers of the characters of a split, int16 [n, length]."""
        numbers = self.numbers(self.sequences[which])
        rare = (numbers == self.alphabet.index(UNKNOWN)).double().mean().item()
        log.info("data=%s: %d sequences for %s, %.2g %% rare characters", self.name, len(numbers), which, 100 * rare)
        return StoredSplit(numbers)

    def numbers(self, sequences: Sequence[str]) -> Int[Tensor, "n l"]:
        """The numbers of the characters of sequences, each filled up with `PAD` to `length`."""
        known = self.alphabet.rstrip(UNKNOWN)
        number = np.full(sys.maxunicode + 1, self.alphabet.index(UNKNOWN), np.int16)
        number[code_points(known)] = np.arange(len(known))
        text = "".join(sequence.ljust(self.length, PAD) for sequence in sequences)
        return torch.from_numpy(number[code_points(text)]).view(-1, self.length)

    def samples(self, stored: Int[Tensor, "b l"]) -> Float[Tensor, "b v l"]:
        """Stored characters as one-hot vectors."""
        one_hot = torch.zeros(len(stored), *self.shape, device=stored.device)
        return one_hot.scatter_(1, stored.long()[:, None], 1.0)

    def lines(self, samples: Float[Tensor, "b v l"]) -> list[str]:
        """Samples as text: the most probable characters, without the "`" at the end."""
        return ["".join(self.alphabet[i] for i in row).rstrip(PAD) for row in samples.argmax(1).tolist()]


def code_points(text: str) -> np.ndarray:
    """The Unicode code points of the characters of a text."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def read_text(path: str) -> str:
    """The content of a text file.

    Raises:
        UserError: it cannot be read or is no text.
    """
    try:
        return Path(absolute("data.file", path)).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"data.file={path} is not text in UTF-8 (byte {error.start}): convert it, or choose another file."
        ) from error
    except OSError as error:
        raise UserError(
            f"data.file={path} cannot be read ({error.strerror}): name a text file, or set data.file=null for the "
            f"English that comes with Python."
        ) from error


def cut_lines(text: str, length: int) -> Iterator[str]:
    """The lines of a text that are not empty, each cut off at `length`."""
    return (line[:length] for line in text.splitlines() if line.strip())


def cut_running(text: str, length: int) -> Iterator[str]:
    """Pieces of text, each of as many whole words as fit into `length`; longer words are broken."""
    text, start = " ".join(text.split()), 0
    while start < len(text):
        end = start + length
        if text[end : end + 1].strip():  # inside a word
            space = text.rfind(" ", start, end)
            end = space if space > start else end
        yield text[start:end]
        start = end + text.startswith(" ", end)


CUTS = {"lines": cut_lines, "running": cut_running}


def english() -> str:
    """About 1,700 sentences of English, one a line, from the reference in Python's own help.

    They differ a little from version to version of Python.
    """
    paragraphs = (part for name in sorted(topics) for part in re.split(r"\n\s*\n", topics[name]))
    return "\n".join(dict.fromkeys(sentence for part in paragraphs for sentence in sentences(part)))


def sentences(paragraph: str) -> Iterator[str]:
    """The sentences of a paragraph, without mark-up, that are nine tenths letters and spaces."""
    text = re.sub(r"[*\"“”]", "", " ".join(re.sub(r"-\n\s*", "-", paragraph).split())).replace("’", "'")
    for sentence in re.split(r"(?<=[.!?])\s(?=[A-Z])", text):
        plain = sum(character.isalpha() or character == " " for character in sentence)
        if re.fullmatch(r"[A-Z][\w .,;:'()/-]{18,}[.!?]", sentence, re.ASCII) and plain >= 0.9 * len(sentence):
            yield sentence
