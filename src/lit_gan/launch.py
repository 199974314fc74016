"""From the shell to a task: Hydra's command line, `resume=DIR`, and mistakes answered in one sentence.

Imports nothing heavy, so that --help and --cfg job answer at once.
"""

import difflib
import functools
import os
import re
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lit_gan.errors import UserError
from lit_gan.grid.plan import axes_of
from lit_gan.resolvers import register_resolvers
from lit_gan.streams import take_streams

CONFIGS = "pkg://lit_gan.conf"


def launch(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Runs a task on the config of the command line.

    A mistake ends the process with one sentence and exit code 1, Ctrl-C with exit code 130; `debug=true` gives the
    traceback instead.
    """
    take_streams()
    register_resolvers()
    os.environ["HYDRA_FULL_ERROR"] = "1"
    debug = "debug=true" in sys.argv
    try:
        sys.argv = [sys.argv[0], *swept(resumed([readable(argument) for argument in sys.argv[1:]]))]
        hydra.main(version_base="1.3", config_path=CONFIGS, config_name=config_name)(quiet(task, config_name))()
    except Exception as error:
        sentence = explain(error, config_name)
        if debug or sentence is None:
            raise
        sys.exit(f"lit_gan: {sentence}")
    except KeyboardInterrupt:
        if debug:
            raise
        print("lit_gan: interrupted", file=sys.stderr)
        sys.exit(130)


def quiet(task: Callable[[DictConfig], Any], config_name: str) -> Callable[[DictConfig], Any]:
    """A task whose mistakes end a single run with nothing but the sentence; Hydra would print its own line first."""

    @functools.wraps(task)
    def run(config: DictConfig) -> Any:
        try:
            return task(config)
        except Exception as error:
            sentence = explain(error, config_name)
            if config.debug or sentence is None or HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            sys.exit(f"lit_gan: {sentence}")

    return run


def resumed(arguments: list[str]) -> list[str]:
    """`resume=DIR` as the command that it stands for: the run's own overrides, the new ones, and its directory.

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
    old = [override for override in read_yaml(saved, ListConfig) if key(str(override)) not in new]
    place = quoted(str(Path(directory)))
    return [*old, *others, f"resume={place}", f"hydra.run.dir={place}", "hydra.mode=RUN"]


def swept(arguments: list[str]) -> list[str]:
    """The arguments of a sweep in full: its file for the scale, and which settings the command line varies.

    Raises:
        UserError: the sweep has no such scale, or there is no sweep.
    """
    given = {key(argument): argument.split("=", 1)[1] for argument in arguments if "=" in argument}
    sweep, scale = given.get("sweep", "null"), given.get("scale", "paper")
    if sweep in choices("sweep") and scale != "paper":
        if scale not in (scales := choices(f"sweep/{sweep}")):
            raise UserError(
                f"scale={scale}: sweep={sweep} has no such scale; there are {', '.join(['paper', *scales])}."
            )
        arguments = [f"sweep={sweep}/{scale}" if key(argument) == "sweep" else argument for argument in arguments]
    elif sweep == "null" and scale != "paper":
        raise UserError(f"scale={scale} is of a sweep: choose one with sweep=NAME, or leave it out.")
    several = {"--multirun", "-m", "hydra.mode=MULTIRUN"}.intersection(arguments) or sweep != "null"
    axes = axes_of(arguments) if several else []
    return [*arguments, f"axes=[{','.join(axes)}]"] if axes else arguments


def readable(argument: str) -> str:
    """An argument in Hydra's quotes if its value holds what Hydra's grammar lacks: a letter beyond ASCII, or an equals
    sign, as the directory of a sweep's cell does."""
    name, _, value = argument.partition("=")
    lacked = re.fullmatch(TYPED, value) and ("=" in value or not value.isascii())
    return f"{name}={quoted(value)}" if lacked and not name.startswith("-") else argument


TYPED = r"[\w@%+:./=-]+"


def read_yaml(path: Path, kind: type[DictConfig] | type[ListConfig]) -> DictConfig | ListConfig:
    """The content of a YAML file of keys or of a list.

    Raises:
        UserError: it is damaged.
    """
    try:
        content = OmegaConf.create(path.read_text(encoding="utf-8"))
        if isinstance(content, kind):
            return content
        reason = "it is not what a run writes"
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError, AssertionError) as error:
        reason = one_line(str(error)) or "it holds a single value"
    raise UserError(f"{path} is damaged ({reason}): restore it, or start a new run.")


def quoted(value: str) -> str:
    """A value in Hydra's syntax: in quotes if it holds anything unusual."""
    plain = re.fullmatch(r"[\w@%+:./-]+", value, re.ASCII)
    return value if plain else '"' + value.replace('"', r"\"") + '"'


def typed(value: str) -> str:
    """A value as one types it: `readable` puts the quotes around one with equals signs."""
    return value if re.fullmatch(TYPED, value, re.ASCII) else quoted(value)


def unquoted(value: str) -> str:
    """A value without the quotes of Hydra's syntax."""
    quote = value[:1]
    return value[1:-1].replace(f"\\{quote}", quote) if quote in ("'", '"') and value.endswith(quote) else value


def key(override: str) -> str:
    """What an override is about: `+reg=x` and `reg=[]` are both about `reg`."""
    return override.split("=")[0].lstrip("+~")


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


def one_line(text: str) -> str:
    """A message without its line breaks."""
    return re.sub(r"\s*\n\s*", " ", text.strip())


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
        return f"{name}._target_={target[1]} cannot be imported: {one_line(cause)}, so correct the name."
    return f"{name} cannot be made with its present settings: {one_line(cause)}, so correct the one named."


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
    """For a misspelt key or choice: what was meant, and what there is. None for other messages."""
    found = re.search(r"Could not override '([^']+)'", message)
    if found:
        name = found[1]
        parent, _, leaf = name.rpartition(".")
        return f"There is no setting '{name}'{hint(leaf, settings(config_name, parent))}"
    found = re.search(r"Could not (?:find|load) '(.+)/([^'/]+)'", message)
    if found:
        group, choice = found.groups()
        engine = choice.split("_")[0]
        if engine in ENGINES.get(group, ()) and not has_engine(group, engine):
            return f"{group}={choice} is not installed: pip install 'lit_gan[{engine}]'."
        return f"{group}={choice} does not exist{hint(choice, choices(group))}"
    return None


ENGINES = {"hydra/launcher": ("joblib", "submitit", "ray"), "hydra/sweeper": ("optuna",)}
"""What else may run the cells of a sweep or choose them, and the package's extra that installs it."""


def has_engine(group: str, engine: str) -> bool:
    """Whether Hydra's plugin for an engine is installed."""
    kind = group.removeprefix("hydra/")
    return bool(find_spec("hydra_plugins") and find_spec(f"hydra_plugins.hydra_{engine}_{kind}"))


def hint(word: str, known: list[str]) -> str:
    """The nearest known word, and all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    meant = f"; did you mean '{near[0]}'?" if near else "."
    return f"{meant} There are: {', '.join(known)}."


def choices(group: str) -> list[str]:
    """The files of a config group, in the package's configs and sweeps."""
    import lit_gan.conf
    import lit_gan.sweeps

    folders = [Path(package.__file__).parent for package in (lit_gan.conf, lit_gan.sweeps)]
    return sorted(path.stem for folder in folders for path in (folder / group).glob("*.yaml"))


def settings(config_name: str, parent: str) -> list[str]:
    """The keys below a key of the config, with the groups as chosen on the command line."""
    groups = [argument for argument in sys.argv[1:] if choices(key(argument))]
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        try:
            config = hydra.compose(config_name, overrides=groups)
        except (HydraException, OmegaConfBaseException):  # choices to sweep over
            config = hydra.compose(config_name)
    node = OmegaConf.select(config, parent) if parent else config
    return sorted(map(str, node)) if isinstance(node, DictConfig) else sorted(map(str, config))
