"""`python -m lit_gan.pack`: the images of a data set, decoded into the cache folder."""

from omegaconf import DictConfig, ListConfig, OmegaConf

from lit_gan.build import build_source, complete_data
from lit_gan.data import Source
from lit_gan.errors import UserError
from lit_gan.settings import PACK, check_config


def pack(config: DictConfig) -> None:
    """Packs the chosen splits of a data set, however small they are, and prints where they lie.

    Raises:
        UserError: the data set has no image files, or its images cannot be packed.
    """
    check_config(config, PACK)
    if "pack" not in config.data:
        raise UserError(
            f"data={config.data.name} has no image files, and lies in memory in any run: choose a set that has, such "
            f"as data=image_folder."
        )
    in_memory = config.data.in_memory
    complete_data(config)
    OmegaConf.update(config, "data", {"in_memory": 0, "pack": True})
    source = build_source(config)
    splits = config.splits if isinstance(config.splits, ListConfig) else [config.splits]
    for which in splits:
        print(where_it_lies(source, which, in_memory))


def where_it_lies(source: Source, which: str, in_memory: float) -> str:
    """A sentence on the pack of a split, and what a run needs to read from it."""
    split = source.split(which)
    size = split.images.nbytes
    advice = f"; runs read it with data.in_memory={size - 1} or less" if size <= in_memory else ""
    return f"{which}: {len(split)} images, {size} bytes, in {split.folder}{advice}"
