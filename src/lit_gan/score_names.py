"""Scores as a person reads them: the extractor once, then short names, values with four digits."""

from collections.abc import Iterable, Mapping


def split_names(names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """The extractor that all names begin with, and each name without it.

    `["digits/fid", "digits/kid"]` gives "digits" and `{"digits/fid": "fid", "digits/kid": "kid"}`. Names of several
    extractors, or of none, stay whole, and the extractor is "".
    """
    parts = {name: name.rpartition("/") for name in names}
    prefixes = {prefix for prefix, _, _ in parts.values()}
    if len(prefixes) != 1 or prefixes == {""}:
        return "", {name: name for name in parts}
    return prefixes.pop(), {name: short for name, (_, _, short) in parts.items()}


def scores_in_words(scores: Mapping[str, float | None]) -> str:
    """One line, "digits: fid 5.03  kid 0.21"; scores that are not there are left out."""
    prefix, short = split_names(scores)
    values = [f"{short[name]} {format_score(value)}" for name, value in scores.items() if value is not None]
    return (f"{prefix}: " if prefix and values else "") + "  ".join(values)


def format_score(value: float | None) -> str:
    """Four digits, or a dash."""
    return "-" if value is None else f"{value:.4g}"
