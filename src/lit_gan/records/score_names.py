"""Scores as a person reads them: the extractor is named once, then short names with values of four
digits."""

from collections.abc import Container, Iterable, Mapping
from typing import Any

ADVICE = "compare with scores of the same numbers of images only"
"""The advice that goes with every caveat."""


def split_names(names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """The extractor that all names begin with, and each name without it.

    `["digits/fid", "digits/kid"]` gives "digits" and `{"digits/fid": "fid", "digits/kid": "kid"}`.
    Names of several extractors, or of none, stay whole, and the extractor is "".
    """
    parts = {name: name.rpartition("/") for name in names}
    prefixes = {prefix for prefix, _, _ in parts.values()}
    if len(prefixes) != 1 or prefixes == {""}:
        return "", {name: name for name in parts}
    return prefixes.pop(), {name: short for name, (_, _, short) in parts.items()}


def short_name(name: str) -> str:
    """A score's name without its extractor: "fid" of "digits/fid"."""
    return name.rpartition("/")[2]


def short_ends(results: Mapping[str, Any]) -> dict[str, str]:
    """The good end, "min" or "max", of each score of a run's `results.json`, by its name without the
    extractor."""
    records = [*results.get("course", []), results.get("final") or {}]
    return {short_name(name): end for record in records for name, end in record.get("ends", {}).items()}


def scores_in_words(scores: Mapping[str, float | None], caveats: Container[str] = ()) -> str:
    """One line, "digits: fid 5.03*  kid 0.21": missing scores are left out, those with a caveat
    have a star."""
    prefix, short = split_names(scores)
    there = {name: value for name, value in scores.items() if value is not None}
    values = [f"{short[name]} {format_score(value, name in caveats)}" for name, value in there.items()]
    return (f"{prefix}: " if prefix and values else "") + "  ".join(values)


def four_digits(value: float) -> str:
    """A measured value as it is shown everywhere."""
    return f"{value:.4g}"


def format_score(value: float | None, starred: bool = False) -> str:
    """A score with four digits, "-" if there is none, and a star if a footnote says why it cannot
    be compared."""
    return ("-" if value is None else four_digits(value)) + "*" * starred


def footnotes(record: Mapping[str, Any]) -> list[str]:
    """A sentence for each reason why starred scores of a record cannot be compared; [] in records
    of old versions."""
    caveats = record.get("caveats", {})
    _, short = split_names(caveats)
    names = {reason: [short[name] for name in caveats if caveats[name] == reason] for reason in caveats.values()}
    return [footnote(", ".join(names[reason]), record["protocol"]["name"], reason) for reason in names]


def footnote(names: str, protocol: str, reason: str) -> str:
    """The sentence about scores that cannot be compared, with the reason."""
    return f"* {names} of protocol {protocol}: {reason}; {ADVICE}"
