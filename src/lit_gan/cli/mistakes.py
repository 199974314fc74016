"""Mistakes on the command line and in configs: every exception that is the user's, answered in one
sentence."""

import re
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import yaml
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lit_gan.catalogue.choice import not_utf8
from lit_gan.catalogue.composed import PACKAGES, Job, other_choice, without_package
from lit_gan.catalogue.configs import choices, commands_with, compose_choices, primary_keys
from lit_gan.catalogue.suggestions import suggest_setting
from lit_gan.cli.flags import split_flags
from lit_gan.cli.own_configs import flag_as_setting, missing_places, own_folders
from lit_gan.errors import UserError, hint, modules_below, one_line, own_fault
from lit_gan.overrides import as_override_value, override_key
from lit_gan.parts import why_not_built
from lit_gan.system.memory import ran_out, shortage


def explain(error: BaseException, config_name: str) -> str | None:
    """One sentence for a mistake of the user's, or for a fault in code of the user's own; None for an error of the
    package's own.

    Args:
        config_name: the primary config of the command.
    """
    chain = list(causes(error))
    for cause in chain:
        if isinstance(cause, UserError):
            return one_line(str(cause))
    if full := next(filter(ran_out, chain), None):
        return f"{shortage(full)}: lower {TAKES_MEMORY.get(config_name, 'what takes it')}."
    if fault := next(filter(None, map(own_fault, chain)), None):
        return fault
    for cause in chain:
        if isinstance(cause, HydraException | OmegaConfBaseException):
            return explain_config(cause, config_name)
        if isinstance(cause, yaml.MarkedYAMLError) and cause.problem_mark:
            return unreadable_file(cause)
        if isinstance(cause, UnicodeDecodeError) and (path := own_file_of_other_encoding()):
            return not_utf8(seen_from_here(path))
    return explain_file(error, config_name) or explain_engine(error)


TAKES_MEMORY = {
    "train": "the width of the networks, batch_size or data.image_size",
    "classify": "data.image_size",
    **dict.fromkeys(("evaluate", "score"), "the batch_size of the protocol (protocol.full.batch_size=50)"),
    **dict.fromkeys(("sample", "analyze", "explore"), "batch_size"),
}
"""The settings by which commands take memory."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and what it was raised from, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__


def explain_config(error: Exception, config_name: str) -> str:
    """The sentence for an exception of Hydra or OmegaConf."""
    if isinstance(error, OverrideParseException):
        return unreadable(error.override, config_name)
    if isinstance(error, InstantiationException):
        return why_not_built(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return unknown_choice(error.missing_cfg_file, error.options)
    if word := re.fullmatch(r"Error merging override (.*)", str(error)):
        return unfit_value(word[1], str(error.__cause__ or error))
    return unknown_setting(str(error), config_name) or config_error(str(error))


def explain_file(error: BaseException, config_name: str) -> str | None:
    """The sentence for a file that cannot be read or written; None for other errors."""
    if str(error).startswith("Unable to configure handler"):
        error = error.__cause__  # Python's logging cannot open the log file
    if not isinstance(error, OSError) or not error.filename:
        return None
    elsewhere = "; hydra.run.dir=DIR, or hydra.sweep.dir=DIR of a sweep, puts it elsewhere"
    return f"{error.filename}: {error.strerror}{elsewhere if config_name == 'train' else ''}."


def unreadable_file(error: yaml.MarkedYAMLError) -> str:
    """The sentence for a file that is not in YAML's grammar."""
    mark = error.problem_mark
    return f"{seen_from_here(Path(mark.name))}, line {mark.line + 1}: {error.problem}."


def seen_from_here(path: Path) -> Path:
    """The path relative to the current directory where it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def own_file_of_other_encoding() -> Path | None:
    """The first config of one's own that is no text in UTF-8, as Hydra does not say which it read."""
    for folder in own_folders(*typed_words()):
        for path in sorted(folder.rglob("*.yaml")):
            try:
                path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                return path
    return None


def unreadable(word: str, config_name: str) -> str:
    """The sentence for a word that is not in Hydra's grammar, such as a directory without the name of
    a setting."""
    name, equals, value = word.partition("=")
    if not equals and Path(word).is_dir():
        setting = next((each for each in ("run", "resume", "images") if each in primary_keys(config_name)), "data.root")
        return f"{word} is no setting: write {setting}={word}, and --help shows examples."
    if not equals:
        return f"{word} is no setting: write NAME=VALUE, and --help shows examples."
    twice = f"{name}='{as_override_value(value.strip(QUOTES))}'"
    return f"{word} cannot be read: put a value with unusual characters into two pairs of quotes, {twice}."


QUOTES = "'\""
"""What a value may have around it that Hydra could not read."""


def config_error(message: str) -> str:
    """The sentence for what OmegaConf and Hydra refuse: the key and the reason, without the types
    of the nodes."""
    ambiguous = re.search(r"Ambiguous value for argument '(.*)'", message)
    if ambiguous:
        name, _, value = ambiguous[1].partition("=")
        return f"{ambiguous[1]} is ambiguous: write {name}=[{value}] for a list, or add --multirun to try one by one."
    if nothing := re.search(r"Could not delete from config\. '([^']+)' does not exist", message):
        return f"~{nothing[1]} removes nothing: {nothing[1]} is null already, or no setting at all; leave it out."
    reason, *details = message.strip().split("\n    full_key: ")
    name = details[0].split()[0] if details else ""
    if f"~{name}" in sys.argv:
        return f"~{name} removes a setting that is needed: write {name}=VALUE, or leave it out for the default."
    return one_line(f"{name}: {reason}" if name and name not in reason else reason).rstrip(".") + "."


HYDRAS = "--cfg hydra shows every one"
"""Where the settings below `hydra` are listed."""

KINDS = {"Integer": "a whole number", "Float": "a number", "bool": "true or false"}
"""What OmegaConf calls a kind of value, and what a user calls it."""


def unfit_value(word: str, reason: str) -> str:
    """The sentence for a value of another kind than its setting takes.

    Args:
        word: as typed, "hydra.sweeper.n_trials=x".
        reason: OmegaConf's.
    """
    kind = re.search(r"could not be converted to (\w+)|is not a valid (bool)", reason)
    if kind and (words := KINDS.get(kind[1] or kind[2])):
        return f"{word} must be {words}."
    if choice := re.search(r"expected one of \[(.*)\]", reason):
        return f"{word} must be one of {choice[1]}."
    return f"{word} cannot be set: {config_error(reason)}"


def unknown_setting(message: str, config_name: str) -> str | None:
    """The sentence for a misspelt key: what was meant, and what there is; None for other
    messages."""
    found = re.search(r"Could not override '([^']+)'", message)
    if not found:
        return None
    if found[1].startswith("hydra."):
        return f"There is no setting '{found[1]}' of Hydra: {HYDRAS}."
    if (whole := re.search(r"@(\w+)\.", found[1])) and whole[1] in PACKAGES:
        file = re.search(rf"In '{whole[1]}/([^']+)'", message)
        return without_package(whole[1], file[1] if file else "NAME")
    return absent_group(message, config_name) or unknown_key(found[1], config_name)


def unknown_key(key: str, config_name: str) -> str:
    """The sentence for a key that no choice of this process' command line has."""
    flags, settings = typed_words()
    whole_config = compose_choices(config_name, [*flag_as_setting(flags), *settings], with_hydra=True)
    config = OmegaConf.masked_copy(whole_config, [name for name in whole_config if name != "hydra"])
    word = next((word for word in settings if override_key(word) == key), key)
    if sentence := other_choice(word, Job(config, whole_config.hydra)):
        return sentence
    return f"There is no setting '{key}'{suggest_setting(key, config, commands_with(key, config_name))}"


def absent_group(message: str, config_name: str) -> str | None:
    """The sentence for a choice whose file overrides that of a group which only other commands have;
    None for other messages."""
    found = re.search(r"In '(\w+)/([^']+)': Could not override '(\w+)'", message)
    if not found or not choices(found[3]):
        return None
    group, choice, other = found.groups()
    return (
        f"{group}={choice} also chooses {other}=NAME, which lit_gan.{config_name} does without: choose another {group}."
    )


def unknown_choice(path: str, options: Sequence[str] | None = None) -> str:
    """The sentence for a misspelt choice: what was meant, and what there is.

    Args:
        path: the group and the choice, "loss/hinged".
        options: what Hydra has found in the group; None for the package's choices and those of
            one's own folders.
    """
    group, choice = next(group_and_choice(path))
    engine = choice.split("_")[0]
    if engine in ENGINES.get(group, ()) and not has_engine(group, engine):
        return f"{group}={choice} is not installed: pip install 'lit_gan[{engine}]'."
    listed = options or choices(group, own_folders(*typed_words()))
    known = [name for name in listed if not name.startswith("_")]
    return f"{group}={choice} does not exist{hint(choice, sorted(known))}{configs_elsewhere()}"


def configs_elsewhere() -> str:
    """The sentence about the folders of configs of the named runs that are not there any more; nothing without any."""
    places = " and ".join(map(str, missing_places(typed_words()[1])))
    return f" The run was made with configs in {places}, where none are now: add --config-dir FOLDER." if places else ""


def typed_words() -> tuple[list[str], list[str]]:
    """The flags and the settings of this process' command line."""
    flags, settings = split_flags(sys.argv[1:])
    return flags, [setting for setting in settings if "=" in setting]


def group_and_choice(path: str) -> Iterator[tuple[str, str]]:
    """The ways to read "a/b/c" as a group and its choice, those with an existing group first."""
    parts = path.split("/")
    for place in range(1, len(parts)):
        group = "/".join(parts[:place])
        if choices(group):
            yield group, "/".join(parts[place:])
    yield "/".join(parts[:-1]), parts[-1]


def explain_engine(error: BaseException) -> str | None:
    """The sentence for what a launcher or a sweeper refuses before it has begun a cell; None for other
    errors."""
    modules = modules_below(error)
    inside = [place for place, module in enumerate(modules) if module.startswith("hydra_plugins.")]
    if not inside or is_from_a_cell(modules[inside[-1] :], str(error)):
        return None
    kind = "launcher" if modules[inside[-1]].split(".")[1].endswith("_launcher") else "sweeper"
    choice = f"hydra/{kind}={typed_engine(kind) or modules[inside[-1]].split('_')[2]}"
    if "srun" in str(error):
        return f"{choice} needs SLURM, which is not on this machine: hydra/launcher=submitit_local does without."
    what = f"hydra.{kind}.*" + (", or the values to search in" if kind == "sweeper" else "")
    return f"{choice} cannot begin ({one_line(str(error)).rstrip('.')}): correct {what}."


def typed_engine(kind: str) -> str | None:
    """The choice of a launcher or a sweeper on this process' command line; None where it is a file's."""
    words = [word.partition("=")[2] for word in sys.argv if word.lstrip("+").startswith(f"hydra/{kind}=")]
    return words[-1] if words else None


def is_from_a_cell(modules: Sequence[str], message: str) -> bool:
    """Whether an exception below a launcher or a sweeper is that of a cell, which it hands on.

    Args:
        modules: those of the traceback, the engine's first.
    """
    handed_on = modules[-1] == "hydra.core.utils" or "Traceback (most recent call last)" in message
    return handed_on or any(module.startswith("lit_gan") for module in modules)


ENGINES = {"hydra/launcher": ("joblib", "submitit", "ray"), "hydra/sweeper": ("optuna",)}
"""What else may run the cells of a sweep or choose them; an extra of the package, of the same name,
installs it."""


def has_engine(group: str, engine: str) -> bool:
    """Whether Hydra's plugin for an engine is installed."""
    kind = group.removeprefix("hydra/")
    return bool(find_spec("hydra_plugins") and find_spec(f"hydra_plugins.hydra_{engine}_{kind}"))
