"""docs/methods.md, made from the configs and the classes that they name."""

import re
from collections.abc import Iterator, Sequence

from lit_gan.catalogue.choice import Choice
from lit_gan.catalogue.configs import package_folders
from lit_gan.catalogue.contents import stands_for
from lit_gan.catalogue.groups import GROUPS, WHOLE, choices_of
from lit_gan.catalogue.settings import Setting, compose, in_short, walk_values

INTRODUCTION = """\
# Everything that can be chosen

<!-- Made by `make docs` from the files in conf/ and the docstrings of the classes that they name. Do not edit. -->

A training is put together from one choice in each group below, as in `python -m lit_gan.train loss=hinge`; the groups
`reg`, `labels`, `protocol`, `callbacks` and `logger` take several, as in `reg=[spectral,gradient_penalty]`. Each choice
has settings of its own, as in `reg.gradient_penalty.weight=1`. The same information in the shell:

```bash
python -m lit_gan.options                       # every choice, a line each
python -m lit_gan.options reg                   # the choices of one group
python -m lit_gan.options reg=gradient_penalty  # everything about one choice
```

A default such as `${model.width}` is the value of another setting. What belongs to no group, such as the length of
a training, stands under [Settings of every training](#settings-of-every-training)."""


def methods_page() -> str:
    """The whole page."""
    return "\n\n".join([INTRODUCTION, contents(), *map(section, GROUPS), training_section()]) + "\n"


def contents() -> str:
    """The groups, each a link to its section."""
    lines = ["| group | what it decides |", "|---|---|"]
    return "\n".join([*lines, *(f"| [`{group}`](#{group}) | {escaped(text)} |" for group, text in GROUPS.items())])


def section(group: str) -> str:
    """A group with its choices."""
    found = choices_of(group)
    body = [summary(found)] if group in WHOLE else [index(found), *map(details, found)]
    return "\n\n".join([f"## {group}", f"{escaped(capital(GROUPS[group]))}.", *body])


def capital(text: str) -> str:
    """A text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def training_section() -> str:
    """The settings of a training that belong to no group, with what conf/train.yaml says of
    them."""
    train = Choice("", "train", (package_folders()[0] / "train.yaml").read_text(encoding="utf-8"))
    settings = {name: value for name, value in walk_values(train.values) if name in train.comments}
    rows = [(code(name), code(in_short(value)), escaped(train.comments[name])) for name, value in settings.items()]
    return "\n\n".join(["## Settings of every training", table(("setting", "default", "meaning"), rows)])


def index(choices: Sequence[Choice]) -> str:
    """The choices of a group, each a link to its details."""
    return "\n".join(f"- [`{choice}`](#{anchor(choice)}) {escaped(choice.meaning)}" for choice in choices)


def anchor(choice: Choice) -> str:
    """The part of an address behind "#" with which GitHub finds the heading of a choice."""
    return re.sub(r"[^\w-]", "", str(choice).lower())


def summary(choices: Sequence[Choice]) -> str:
    """A table of choices that stand for many settings."""
    rows = [
        (f"`{choice}`", escaped(f"{choice.meaning} {choice.source}"), code(stands_for(choice))) for choice in choices
    ]
    return table(("choice", "what it is", "what it stands for"), rows)


def details(choice: Choice) -> str:
    """A choice with its source, its classes and its settings."""
    whole = compose(choice)
    parts = [f"### {choice}", escaped(choice.meaning), escaped(choice.source)]
    parts += [f"`{each.__module__}.{each.__qualname__}`: {escaped(first_paragraph(each))}" for each in whole.classes]
    if whole.base is not None:
        parts.append(f"It is `{choice.group}={whole.base}` with other values:")
    if whole.settings:
        parts.append(markdown_of_settings(whole.settings))
    return "\n\n".join(filter(None, parts))


def markdown_of_settings(settings: Sequence[Setting]) -> str:
    """The settings of a choice."""
    rows = [(code(each.name), code(each.default), escaped(each.meaning), escaped(each.range)) for each in settings]
    return table(("setting", "default", "meaning", "range"), rows)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(text: str) -> str:
    """A text in the letters of a program, in a cell of a table; nothing for an empty one."""
    return f"`{text}`".replace("|", r"\|") if text else ""


def escaped(text: str) -> str:
    """A text without what Markdown would read as its own, where it is not between backticks."""
    parts = text.split("`")
    plain = [re.sub(r"([*_<|\[\]])", r"\\\1", part) for part in parts[::2]]
    quoted = [part.replace("|", r"\|") for part in parts[1::2]]
    return "`".join(alternating(plain, quoted))


def alternating(plain: Sequence[str], quoted: Sequence[str]) -> Iterator[str]:
    """The parts of two sequences in turns."""
    for number, part in enumerate(plain):
        yield part
        yield from quoted[number : number + 1]


def first_paragraph(owner: type) -> str:
    """The docstring of a class up to its first empty line, as one line."""
    return " ".join((owner.__doc__ or "").partition("\n\n")[0].split())
