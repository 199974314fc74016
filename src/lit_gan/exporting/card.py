"""The model card of an exported generator, README.md in the form of the Hub: what it is, how it
scored, and how it is used with lit_gan and without."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from lit_gan.errors import first_few, written
from lit_gan.exporting.description import LIBRARY, Description
from lit_gan.exporting.folder import GRID
from lit_gan.exporting.formats import FILES
from lit_gan.exporting.usage import use
from lit_gan.figures.pictures import Page, Picture
from lit_gan.records.chosen import CHOICES
from lit_gan.records.results import Record
from lit_gan.records.score_names import footnotes, format_score, split_names

ARROWS = {"min": " ↓", "max": " ↑"}
"""What follows the name of a score by its good end."""


def card(
    description: Description,
    results: Mapping[str, Any],
    samples: Picture | Page,
    files: Sequence[str],
    address: str,
    license: str | None,
) -> str:
    """The text of the card.

    Args:
        results: the content of the run's `results.json`.
        samples: shown as a picture, which lies beside the card, or as text.
        files: the names of the exported files.
        address: what `lit_gan.load` is given in the example.
        license: an identifier of the Hub; None leaves the place open.
    """
    parts = [
        front_matter(description, files, license),
        f"# {title(description, results)}",
        introduction(description),
        picture_or_text(samples),
        "## Training\n\n" + training(description, results),
        "## Scores\n\n" + scores(description, results),
        "## Use\n\n" + use(description, files, address),
        "## Licence\n\n" + licence(license),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


# Head


def front_matter(description: Description, files: Sequence[str], license: str | None) -> str:
    """What the Hub reads: library, task, tags and licence."""
    head = {"library_name": LIBRARY, "tags": ["gan", LIBRARY, *(["onnx"] if FILES["onnx"] in files else [])]}
    if len(description["shape"]) == 3:
        head["pipeline_tag"] = "unconditional-image-generation"
    if license is not None:
        head["license"] = license
    open_place = "" if license else "# license: yours to choose\n"
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}{open_place}---"


def title(description: Description, results: Mapping[str, Any]) -> str:
    """The network or, where the run names one, the method, and the data."""
    choices = results.get("choices", {})
    return f"{choices.get('method') or choices.get('model') or 'GAN'} on {description['data']}"


def introduction(description: Description) -> str:
    """A paragraph: what the generator makes, of what."""
    shape = " x ".join(map(str, description["shape"]))
    kind = {3: "images", 2: "texts", 1: "points"}.get(len(description["shape"]), "samples")
    labels = f" and a class, one of {description['n_classes']}" if description["n_classes"] else ""
    names = description["class_names"]
    named = f" The classes are {first_few(names, 100)}." if names and description["n_classes"] else ""
    return (
        f"The generator of a GAN. It makes {kind} like those of the data set `{description['data']}`, {shape} each, "
        f"from a latent vector of {description['z_dim']} numbers{labels}.{named}"
    )


def picture_or_text(samples: Picture | Page) -> str:
    """The samples that the card shows."""
    fence = "~" * 6  # texts have backticks in them
    return f"![samples]({GRID})" if isinstance(samples, Picture) else f"{fence}\n{samples}{fence}"


# Body


def average_setting(description: Description) -> str:
    """The setting that says how the moving average was made."""
    made = description["ema"]
    annealed = isinstance(made, Mapping)
    return f"callbacks.annealing.half_life={written(made['half_life'])}" if annealed else f"ema={made}"


def training(description: Description, results: Mapping[str, Any]) -> str:
    """A table of what was trained, and with what."""
    choices = results.get("choices", {})
    chosen = {name: choices[name] for name in CHOICES if choices.get(name) not in (None, [], "none")}
    versions = results.get("versions", {})
    average = f", a moving average (`{average_setting(description)}`)" if description["weights"] == "ema" else ""
    rows = {
        **{name: f"`{written(choice)}`" for name, choice in chosen.items()},
        "updates of G": f"{description['update']} of {results.get('updates_planned', description['update'])}",
        "weights": f"{description['weights']}{average}",
        "seed": results.get("seed"),
        "versions": ", ".join(f"{name} {versions[name]}" for name in (LIBRARY, "torch") if name in versions),
        "commit of lit_gan": results.get("git_commit"),
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items() if value not in (None, "")]
    return "\n".join(["| | |", "|---|---|", *lines])


def scores(description: Description, results: Mapping[str, Any]) -> str:
    """The scores of these very weights, each table under the whole protocol by which it was
    taken."""
    records = scored(results, description["update"], description["weights"])
    if not records:
        return "These weights have not been scored."
    return "\n\n".join(map(record_section, records))


def scored(results: Mapping[str, Any], update: int, weights: str) -> list[Record]:
    """The records of the weights of an update, the newest for each protocol and extractor."""
    records = [*results.get("course", []), results.get("final"), *results.get("evaluations", [])]
    newest = {}
    for record in records:
        if record and record["update"] == update and record.get("weights") == weights and record["scores"]:
            newest[record["protocol"]["name"], record["protocol"].get("extractor")] = record
    return list(newest.values())


def record_section(record: Record) -> str:
    """A table of scores, the protocol, and why starred scores cannot be compared."""
    extractor, short = split_names(record["scores"])
    ends, caveats = record.get("ends", {}), record.get("caveats", {})
    names = [short[name] + ARROWS.get(ends.get(name), "") for name in short]
    values = [literal(format_score(value, name in caveats)) for name, value in record["scores"].items()]
    protocol = record["protocol"]
    told = "; ".join(f"{name} {written(value)}" for name, value in protocol.items() if name != "name")
    lines = [row(names), row(["---"] * len(names)), row(values)]
    notes = "".join(f"\n\n{literal(note)}." for note in footnotes(record))
    heading = f"{extractor}, protocol `{protocol['name']}`" if extractor else f"Protocol `{protocol['name']}`"
    return f"{heading}:\n\n" + "\n".join(lines) + f"\n\nThe protocol: {told}." + notes


def literal(text: str) -> str:
    """Text whose stars Markdown leaves as they are."""
    return text.replace("*", "\\*")


def row(cells: Sequence[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


# End


def licence(license: str | None) -> str:
    """The last paragraph."""
    if license is not None:
        return f"The weights are under `{license}`."
    return (
        "None has been chosen yet. Whoever publishes the weights chooses it (`license=NAME` of the export, or the line "
        "`license:` at the top of this card), with an eye on the licence of the data."
    )
