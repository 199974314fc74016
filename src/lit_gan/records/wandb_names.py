"""What W&B calls the runs of a sweep: their groups, their tags and their names, no longer than it takes."""

from collections.abc import Mapping
from typing import Any

TAG, NAME = 64, 128
"""The most characters that W&B takes for a tag, and for a name."""


def group_of(choices: Mapping[str, Any]) -> str:
    """The group of a run with these choices: its sweep, or otherwise its data and model."""
    return shortened(choices.get("sweep") or f"{choices.get('data')}_{choices.get('model')}", NAME)


def as_tag(word: str) -> str:
    """A choice or a coordinate as a tag."""
    return shortened(word, TAG)


def shortened(text: str, length: int) -> str:
    """A text of at most `length` characters: the beginning and the end of a longer one, with dots
    between them."""
    half = (length - 3) // 2
    return text if len(text) <= length else f"{text[:half]}...{text[-half:]}"
