"""From the shell to a task: Hydra's command line, `resume=DIR`, and mistakes answered in one sentence.

Imports nothing heavy, so that --help and --cfg job answer at once.
"""

import difflib
import functools
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lit_gan.errors import UserError

CONFIGS = "pkg://lit_gan.conf"


def launch(task: Callable[[DictConfig], None], config_name: str) -> None:
    """Runs a task on the config of the command line.

    A mistake ends the process with one sentence and exit code 1; `debug=true` gives the traceback instead.
    """
    register_resolvers()
    os.environ["HYDRA_FULL_ERROR"] = "1"
    debug = "debug=true" in sys.argv
    try:
        sys.argv = [sys.argv[0], *resumed(sys.argv[1:])]
        hydra.main(version_base="1.3", config_path=CONFIGS, config_name=config_name)(quiet(task, config_name))()
    except Exception as error:
        sentence = explain(error, config_name)
        if debug or sentence is None:
            raise
        sys.exit(f"lit_gan: {sentence}")


def quiet(task: Callable[[DictConfig], None], config_name: str) -> Callable[[DictConfig], None]:
    """A task whose mistakes end a single run with nothing but the sentence; Hydra would print its own line first."""

    @functools.wraps(task)
    def run(config: DictConfig) -> None:
        try:
            task(config)
        except Exception as error:
            sentence = explain(error, config_name)
            if config.debug or sentence is None or HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            sys.exit(f"lit_gan: {sentence}")

    return run


def register_resolvers() -> None:
    """Makes `${lit_gan.run_id:}` known to configs: an identity that a run keeps when it is resumed."""
    OmegaConf.register_new_resolver("lit_gan.run_id", run_id, replace=True)


def run_id() -> str:
    """The identity of the run in Hydra's present output directory."""
    return (Path(HydraConfig.get().runtime.output_dir) / ".hydra" / "run_id").read_text().strip()


def resumed(arguments: list[str]) -> list[str]:
    """`resume=DIR` as the command that it stands for: the run's own overrides, the new ones, and its directory.

    Raises:
        UserError: DIR is no run directory.
    """
    chosen = [argument for argument in arguments if argument.startswith("resume=")]
    directory = chosen[-1].removeprefix("resume=") if chosen else ""
    if directory in ("", "null"):
        return arguments
    saved = Path(directory) / ".hydra" / "overrides.yaml"
    if not saved.is_file():
        raise UserError(f"resume={directory} is no run directory: there is no {saved}, which every run writes.")
    new = {key(argument) for argument in arguments}
    old = [override for override in OmegaConf.load(saved) if key(override) not in new | {"hydra.run.dir"}]
    return [*old, *arguments, f"hydra.run.dir={Path(directory)}", "hydra.mode=RUN"]


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
        if isinstance(cause, HydraException | OmegaConfBaseException):
            return unknown_setting(str(cause), config_name) or one_line(str(cause))
        if isinstance(cause, OSError) and cause.filename:
            return f"{cause.filename}: {cause.strerror}; hydra.run.dir=DIR puts the run elsewhere."
    return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and what caused it, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def one_line(text: str) -> str:
    """A message without its line breaks."""
    return re.sub(r"\s*\n\s*", " ", text.strip())


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
        return f"{group}={choice} does not exist{hint(choice, choices(group))}"
    return None


def hint(word: str, known: list[str]) -> str:
    """The nearest known word, and all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    meant = f"; did you mean '{near[0]}'?" if near else "."
    return f"{meant} There are: {', '.join(known)}."


def choices(group: str) -> list[str]:
    """The files of a config group."""
    folder = Path(str(configs()), group)
    return sorted(path.stem for path in folder.glob("*.yaml"))


def settings(config_name: str, parent: str) -> list[str]:
    """The keys below a key of the config, with the groups as chosen on the command line."""
    groups = [argument for argument in sys.argv[1:] if (Path(str(configs())) / key(argument)).is_dir()]
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        config = hydra.compose(config_name, overrides=groups)
    node = OmegaConf.select(config, parent) if parent else config
    return sorted(map(str, node)) if isinstance(node, DictConfig) else sorted(map(str, config))


def configs() -> Path:
    """The folder of the configs."""
    import lit_gan.conf

    return Path(lit_gan.conf.__file__).parent
