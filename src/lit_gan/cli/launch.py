"""From the shell to a task: Hydra's command line, `resume=DIR`, and mistakes answered in one sentence.

Imports nothing heavy, so that --help and --cfg job answer at once.
"""

import functools
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lit_gan.cli.arguments import ONE_CHOICE, check_choices, flags_of, split_flags
from lit_gan.cli.known import instead_of
from lit_gan.cli.resolvers import register_resolvers
from lit_gan.configs import choices, composed, default_choices
from lit_gan.errors import UserError, hint, one_line
from lit_gan.overrides import axes_of, each_value, key, parse, quoted, readable, unquoted
from lit_gan.records import search_path
from lit_gan.records.files import read_yaml
from lit_gan.records.paths import PATH_SETTINGS, expand_home, with_whole_path
from lit_gan.records.search_path import SHIPPED_SWEEPS, SearchPath
from lit_gan.sweep.cell_config import config_of_own_cell
from lit_gan.system.signals import STOPPED, stoppable
from lit_gan.system.slurm import requeuing
from lit_gan.system.streams import take_streams

CONFIGS = "pkg://lit_gan.conf"


def launch(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Runs a task on the config of the command line; a cell's own process, on the one that its sweep composed.

    A mistake ends the process with one sentence and exit code 1, Ctrl-C and whatever else asks for an end with exit
    code 130; `debug=true` gives the traceback instead. A command is one process, whatever a scheduler has left in the
    environment, unless it trains on several devices.
    """
    take_streams()
    register_resolvers()
    rank_zero_only.rank = 0
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with requeuing(), stoppable():
        answer(task, config_name)


def answer(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Runs a task, and ends the process as `launch` says where it does not come to its end."""
    debug = "debug=true" in sys.argv
    try:
        sys.argv[1:] = completed(sys.argv[1:], config_name)
        command = hydra.main(version_base="1.3", config_path=CONFIGS, config_name=config_name)(quiet(task, config_name))
        command(config_of_own_cell() if config_name == "train" else None)
    except Exception as error:
        sentence = explain(error, config_name)
        if debug or sentence is None:
            raise
        sys.exit(f"lit_gan: {sentence}")
    except KeyboardInterrupt:
        if debug:
            raise
        print("lit_gan: interrupted", file=sys.stderr)
        sys.exit(STOPPED)


def completed(arguments: list[str], config_name: str) -> list[str]:
    """The command line that Hydra is given for what was typed: flags first, and every setting in full.

    Raises:
        UserError: a mistake that can be seen before any config is read.
    """
    flags, settings = split_flags(arguments)
    settings = [with_whole_path(at_home(readable(setting))) for setting in settings]
    settings = searched(settings, [search_path.recorded_search_path(run) for run in runs_of(settings)], config_name)
    settings = resumed(settings) if config_name == "train" else settings
    own = own_folders(flags, settings)
    search_path.find_modules([Path.cwd(), *(folder.parent for folder in own), *own])
    settings = check_choices(settings, config_name, own)
    return swept([*flags, *settings]) if config_name == "train" else [*flags, *settings]


PATHS = ("resume", "run", "output", "hydra.run.dir", "hydra.sweep.dir")
"""The settings of every command that are paths; a data set looks after its own."""


def at_home(setting: str) -> str:
    """A setting that is a path, with the home directory that it may begin with; `resume` needs no quotes.

    Raises:
        UserError: there is no such home directory.
    """
    name, _, value = setting.partition("=")
    path = unquoted(value)
    typed_as_is = name == "resume" and path not in ("", "null")
    if (name in PATHS or key(setting) in PATH_SETTINGS) and (path.startswith("~") or typed_as_is):
        return f"{name}={quoted(expand_home(key(setting), path))}"
    return setting


def runs_of(settings: list[str]) -> list[Path]:
    """The run directories that the settings `run` and `resume` name."""
    named = [parse(setting) for setting in settings if key(setting) in ("run", "resume")]
    values = [value for override in named if override for value in each_value(override)]
    return [Path(str(value)) for value in values if value not in (None, "", "null")]


def searched(settings: list[str], places: list[SearchPath], config_name: str) -> list[str]:
    """The settings, with the places of runs' own configs on Hydra's search path; those of their classes go on Python's.

    A folder that is not there any more is left out.
    """
    folders = {f"file://{folder}" for place in places for folder in place.folders}
    for place in places:
        search_path.find_modules(place.modules)
    known = [each for place in places for each in place.configs if each in folders or not each.startswith("file://")]
    if not known:
        return settings
    given = next((parse(setting).value() for setting in settings if key(setting) == SEARCHPATH), None)
    default = [SHIPPED_SWEEPS] if config_name == "train" else []
    path = dict.fromkeys([*(default if given is None else given), *known])
    others = [setting for setting in settings if key(setting) != SEARCHPATH]
    return [*others, f"{SEARCHPATH}=[{','.join(map(quoted, path))}]"]


SEARCHPATH = "hydra.searchpath"


def own_folders(flags: list[str], settings: list[str]) -> list[Path]:
    """The folders of configs of one's own that a command line names."""
    folder = flags_of(flags).config_dir
    places = next((parse(setting).value() for setting in settings if key(setting) == SEARCHPATH), None)
    named = [str(place) for place in places] if isinstance(places, list) else []
    files = [folder, *(place.removeprefix("file://") for place in named if not place.startswith("pkg://"))]
    return [Path(file).absolute() for file in files if file]


def quiet(task: Callable[[DictConfig], Any], config_name: str) -> Callable[[DictConfig], Any]:
    """A task whose mistakes end a single run with nothing but the sentence; Hydra would print its own line first."""

    @functools.wraps(task)
    def run(config: DictConfig) -> Any:
        try:
            return task(config)
        except Exception as error:
            sentence = explain(error, config_name)
            if config.debug or sentence is None:
                raise
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                print(f"lit_gan: {sentence}", file=sys.stderr)  # Hydra shows the first one only, at its end
                raise
            sys.exit(f"lit_gan: {sentence}")

    return run


def resumed(arguments: list[str]) -> list[str]:
    """`resume=DIR` as the command that it stands for: the run's own overrides, the new ones, and its directory.

    With a `hydra.run.dir` of its own it is a branch: a new run there that begins in the state of DIR.

    Raises:
        UserError: DIR is no run directory, or its overrides are damaged.
    """
    chosen = [argument for argument in arguments if argument.startswith("resume=")]
    directory = unquoted(chosen[-1].removeprefix("resume=")) if chosen else ""
    if directory in ("", "null"):
        return arguments
    saved = Path(directory) / ".hydra" / "overrides.yaml"
    if not saved.is_file():
        raise UserError(f"resume={directory} is no run directory: there is no {saved}, which every run writes.")
    others = [argument for argument in arguments if argument not in chosen]
    new = {key(argument) for argument in others} | {"hydra.run.dir"}
    old = [str(override) for override in read_yaml(saved, ListConfig) if key(str(override)) not in new]
    old = still_there(old, others, choices_of(Path(directory)))
    place = quoted(str(Path(directory)))
    here = [] if any(key(argument) == "hydra.run.dir" for argument in others) else [f"hydra.run.dir={place}"]
    return [*old, *others, f"resume={place}", *here, "hydra.mode=RUN"]


def choices_of(directory: Path) -> dict[str, Any]:
    """The choice of each config group that a run was made with; empty if it does not say.

    Raises:
        UserError: its record is damaged.
    """
    path = directory / ".hydra" / "hydra.yaml"
    hydra = read_yaml(path, DictConfig) if path.is_file() else OmegaConf.create()
    return dict(OmegaConf.select(hydra, "hydra.runtime.choices") or {})


def still_there(old: list[str], new: list[str], before: dict[str, Any]) -> list[str]:
    """The overrides of an old run without those of a choice that new settings take away.

    `logger.wandb.offline=true` goes with `logger=[]`, but stays with `logger=[wandb,tensorboard]`.

    Args:
        before: the old run's choice of each group.
    """
    chosen = {key(setting): setting.split("=", 1)[1] for setting in new if key(setting) in default_choices("train")}
    touched = {override for override in old if key(override).split(".")[0] in chosen and "." in key(override)}
    if not touched:
        return old
    config = composed("train", group_settings([*old, *new], "train"))

    def stays(override: str) -> bool:
        group, name = key(override).split(".")[0], key(override)
        if group in ("trainer", *ONE_CHOICE):
            return chosen[group] == before.get(group)
        owner = name if override.startswith("~") else name.rpartition(".")[0]
        return OmegaConf.select(config, owner) is not None

    return [override for override in old if override not in touched or stays(override)]


def group_settings(settings: list[str], config_name: str) -> list[str]:
    """The settings that choose configs, of several choices the first, after the path on which they are found."""
    groups, found = default_choices(config_name), []
    for setting in settings:
        if key(setting) in groups:
            override = parse(setting)
            values = each_value(override) if override and not override.is_delete() else []
            found += [f"{override.get_key_element()}={as_choice(values[0])}"] if values else []
    return [*(setting for setting in settings if key(setting) == SEARCHPATH), *found]


def as_choice(value: Any) -> str:
    """A choice, or a list of choices, as on the command line."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)


def swept(arguments: list[str]) -> list[str]:
    """The arguments of a sweep in full: its file for the scale, and which settings the command line varies.

    Raises:
        UserError: the sweep has no such scale, or there is no sweep.
    """
    flags, settings = split_flags(arguments)
    given = {key(setting): setting.split("=", 1)[1] for setting in settings if "=" in setting}
    sweep, scale = given.get("sweep", "null"), given.get("scale", "paper")
    if sweep in choices("sweep") and scale != "paper":
        if scale not in (scales := choices(f"sweep/{sweep}")):
            raise UserError(
                f"scale={scale}: sweep={sweep} has no such scale; there are {', '.join(['paper', *scales])}."
            )
        arguments = [f"sweep={sweep}/{scale}" if key(argument) == "sweep" else argument for argument in arguments]
    elif sweep == "null" and scale != "paper":
        raise UserError(f"scale={scale} is of a sweep: choose one with sweep=NAME, or leave it out.")
    several = flags_of(flags).multirun or "hydra.mode=MULTIRUN" in settings or sweep != "null"
    axes = axes_of(arguments) if several else []
    return [*arguments, f"axes=[{','.join(axes)}]"] if axes else arguments


def explain(error: BaseException, config_name: str) -> str | None:
    """One sentence for a mistake of the user's; None for what is our own fault."""
    chain = list(causes(error))
    for cause in chain:
        if isinstance(cause, UserError):
            return one_line(str(cause))
    for cause in chain:
        if isinstance(cause, OverrideParseException):
            return unreadable(cause.override)
        if isinstance(cause, InstantiationException):
            return impossible(str(cause), str(chain[-1]))
        if isinstance(cause, MissingConfigException) and cause.missing_cfg_file:
            return unknown_choice(cause.missing_cfg_file, cause.options)
        if isinstance(cause, HydraException | OmegaConfBaseException):
            return unknown_setting(str(cause), config_name) or config_error(str(cause))
    if str(error).startswith("Unable to configure handler"):
        error = error.__cause__  # of the log file
    if isinstance(error, OSError) and error.filename:
        elsewhere = "; hydra.run.dir=DIR, or hydra.sweep.dir=DIR of a sweep, puts it elsewhere"
        elsewhere = elsewhere if config_name == "train" else ""
        return f"{error.filename}: {error.strerror}{elsewhere}."
    return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and what it was raised from, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__


def unreadable(override: str) -> str:
    """For an argument that is not in Hydra's syntax."""
    name, equals, value = override.partition("=")
    if not equals:
        return f"{override} is no setting: write NAME=VALUE, and --help shows examples."
    twice = f"{name}='{quoted(unquoted(value))}'"
    return f"{override} cannot be read: put a value with unusual characters into two pairs of quotes, {twice}."


def impossible(message: str, cause: str) -> str:
    """For a part of the config that cannot be made: which, and why."""
    target, name = (re.search(pattern, message) for pattern in (r"target '([^']*)'", r"full_key: (\S+)"))
    name = name[1] if name else "the config"
    if "Error locating" in message:
        return f"{name}._target_={target[1]} cannot be imported: {one_line(cause)}, so {remedy(target[1])}."
    return f"{name} cannot be made with its present settings: {one_line(cause)}, so correct the one named."


def remedy(target: str) -> str:
    """What to do about a class that cannot be imported: its module is nowhere, or holds no such class."""
    module = target.split(".")[0]
    if module in sys.modules or importlib.util.find_spec(module):
        return "correct the name"
    return f"correct the name, or say where {module}.py lies: start in its folder, or set PYTHONPATH=FOLDER"


def config_error(message: str) -> str:
    """For what OmegaConf and Hydra refuse: the key and the reason, without the types of the nodes."""
    ambiguous = re.search(r"Ambiguous value for argument '(.*)'", message)
    if ambiguous:
        name, _, value = ambiguous[1].partition("=")
        return f"{ambiguous[1]} is ambiguous: write {name}=[{value}] for a list, or add --multirun to try one by one."
    reason, *details = message.strip().split("\n    full_key: ")
    name = details[0].split()[0] if details else ""
    return one_line(f"{name}: {reason}" if name and name not in reason else reason).rstrip(".") + "."


def unknown_setting(message: str, config_name: str) -> str | None:
    """For a misspelt key: what was meant, and what there is. None for other messages."""
    found = re.search(r"Could not override '([^']+)'", message)
    if found:
        settings = [*folders_named(sys.argv[1:]), *split_flags(sys.argv[1:])[1]]
        config = composed(config_name, group_settings(settings, config_name))
        return f"There is no setting '{found[1]}'{instead_of(found[1], config)}"
    found = re.search(r"Could not (?:find|load) '([^']+)'", message)
    return unknown_choice(found[1]) if found else None


def folders_named(arguments: list[str]) -> list[str]:
    """The folder of configs that a command line adds, as the setting that does the same."""
    folder = flags_of(arguments).config_dir
    return [f"{SEARCHPATH}=[{quoted(f'file://{Path(folder).absolute()}')},{SHIPPED_SWEEPS}]"] if folder else []


def unknown_choice(path: str, options: Sequence[str] | None = None) -> str:
    """For a misspelt choice: what was meant, and what there is.

    Args:
        path: the group and the choice, "loss/hinged".
        options: what Hydra has found in the group; None for the package's choices and those of one's own folders.
    """
    group, choice = next(split for split in splits(path))
    engine = choice.split("_")[0]
    if engine in ENGINES.get(group, ()) and not has_engine(group, engine):
        return f"{group}={choice} is not installed: pip install 'lit_gan[{engine}]'."
    known = options or choices(group, own_folders(*split_flags(sys.argv[1:])))
    return f"{group}={choice} does not exist{hint(choice, sorted(known))}"


def splits(path: str) -> Iterator[tuple[str, str]]:
    """The ways to read "a/b/c" as a group and its choice, those with a group that there is first."""
    parts = path.split("/")
    for place in range(1, len(parts)):
        group = "/".join(parts[:place])
        if choices(group):
            yield group, "/".join(parts[place:])
    yield "/".join(parts[:-1]), parts[-1]


ENGINES = {"hydra/launcher": ("joblib", "submitit", "ray"), "hydra/sweeper": ("optuna",)}
"""What else may run the cells of a sweep or choose them, and the package's extra that installs it."""


def has_engine(group: str, engine: str) -> bool:
    """Whether Hydra's plugin for an engine is installed."""
    kind = group.removeprefix("hydra/")
    return bool(find_spec("hydra_plugins") and find_spec(f"hydra_plugins.hydra_{engine}_{kind}"))
