"""The resolvers of the package: what configs may ask for as `${lit_gan.NAME:ARGUMENTS}`.

The configs use them by the names of their functions, and so do the recorded configs of runs.
"""

import atexit
import functools
import re
import sys
import tempfile
import textwrap
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from lit_gan.catalogue import configs as catalogue
from lit_gan.catalogue.groups import GROUPS, choices_of
from lit_gan.cli.flags import split_flags
from lit_gan.cli.own_configs import own_folders
from lit_gan.parts import selected
from lit_gan.records.run_id import run_id_of
from lit_gan.records.wandb_names import NAME, as_tag, group_of, shortened
from lit_gan.sweep.plan import axes_of_sweep, cell_name
from lit_gan.system.slurm import place_of_job


def register_resolvers() -> None:
    """Makes the resolvers of this file known to OmegaConf."""
    for resolver in (
        names,
        times,
        run_id,
        sweeps,
        groups,
        list_choices,
        meanings,
        cell,
        output,
        group,
        tags,
        name,
        scratch,
    ):
        OmegaConf.register_new_resolver(f"lit_gan.{resolver.__name__}", resolver, replace=True)
    for resolver in (run_directory, sweep_directory):  # the cells of a sweep, wherever they are trained, ask again
        OmegaConf.register_new_resolver(f"lit_gan.{resolver.__name__}", resolver, replace=True, use_cache=True)


def names(group: DictConfig) -> str:
    """The choices of a group that takes a list, as one word: `spectral+gradient_penalty`, or
    `none`."""
    return "+".join(map(str, selected(group))) or "none"


def times(factor: float, width: int) -> int:
    """A width as a multiple of another one: 96 for 1.5 and 64."""
    return round(factor * width)


def output() -> str:
    """Hydra's output directory; "???", which stands for a missing value, if a config is only shown
    (--cfg)."""
    runtime = HydraConfig.get().runtime
    return "???" if OmegaConf.is_missing(runtime, "output_dir") else runtime.output_dir


def run_id() -> str:
    """The identity of the run in Hydra's output directory; a run keeps it when it is resumed."""
    return "???" if output() == "???" else run_id_of(Path(output()))


def sweeps() -> str:
    """The names of the package's sweeps, for `--help`."""
    import lit_gan.sweeps

    return ", ".join(sorted(path.stem for path in (Path(lit_gan.sweeps.__file__).parent / "sweep").glob("*.yaml")))


def groups() -> str:
    """The config groups of a training and their choices, for `--help`: a file such as `_image` is read
    by others and is no choice."""
    others = GROUPS.keys() - catalogue.default_choices("train").keys() | {"hydra"}
    listed = GlobalHydra.instance().hydra.format_config_groups(lambda name: name.split("/")[0] not in others)
    return re.sub(r"(?<= )_\w+(, |$)", "", listed, flags=re.MULTILINE)


def list_choices(group: str) -> str:
    """The choices of a group, those in folders of one's own too, for `--help`; `none` names nothing to
    use."""
    own = own_folders(*split_flags(sys.argv[1:]))
    return ", ".join(name for name in catalogue.choices(group, own) if name != "none")


def meanings(group: str) -> str:
    """The choices of a group with what their files say of them, a paragraph each, for `--help`."""
    found = choices_of(group, own_folders(*split_flags(sys.argv[1:])))
    width = max(len(choice.name) for choice in found) + 2
    rows = (" ".join(choice.sentences[:2]) for choice in found)
    margin = " " * (2 + width)
    return "\n".join(
        textwrap.fill(f"{choice.name:{width}}{row}", 120, initial_indent="  ", subsequent_indent=margin)
        for choice, row in zip(found, rows, strict=True)
    )


def run_directory(time: str, overrides: ListConfig) -> str:
    """The directory of a run. In a SLURM job it lies in the job's folder, and a restarted job finds
    it again."""
    return str(place_of_job("runs", time, ".hydra/hydra.yaml", overrides))


def sweep_directory(sweep: str | None, time: str, overrides: ListConfig) -> str:
    """The directory of a sweep: always the same if the sweep has a name, otherwise as
    `run_directory` says."""
    if sweep:
        return f"runs/{sweep.replace('/', '-')}"
    return str(place_of_job("multirun", time, "multirun.yaml", overrides))


@functools.cache
def scratch() -> str:
    """A folder for what Hydra itself writes about several runs of a command; it is removed when the
    process ends."""
    folder = tempfile.TemporaryDirectory(prefix="lit_gan-")
    atexit.register(folder.cleanup)
    return folder.name


def cell(overrides: ListConfig, params: DictConfig | None, axes: ListConfig) -> str:
    """The directory of a sweep's cell below that of the sweep; `all` for a run outside of a
    sweep."""
    return cell_name(overrides, axes_of_sweep(params or {}, axes))


def coordinates(axes: ListConfig) -> list[str]:
    """The place of a sweep's cell on each axis: ["method=sn_gan", "seed=0"]; empty for a run
    outside of a sweep."""
    hydra = HydraConfig.get()
    place = cell(hydra.overrides.task, hydra.sweeper.get("params"), axes)
    return [part for part in place.split("/") if "=" in part]


def group() -> str:
    """The W&B group of a run: its sweep, or otherwise its data and model."""
    return group_of(HydraConfig.get().runtime.choices)


def tags(reg: DictConfig, axes: ListConfig) -> ListConfig:
    """The W&B tags of a run: its choices, and in a sweep its coordinates."""
    choices = HydraConfig.get().runtime.choices
    words = [choices.model, choices.loss, names(reg), choices.optim, choices.data, *coordinates(axes)]
    return ListConfig(list(map(as_tag, words)))


def name(reg: DictConfig, seed: int, axes: ListConfig) -> str:
    """The W&B name of a run: its coordinates in a sweep, or otherwise its model, loss, regularizers
    and seed."""
    choices = HydraConfig.get().runtime.choices
    return shortened(" ".join(coordinates(axes)) or f"{choices.model}-{choices.loss}-{names(reg)}-{seed}", NAME)
