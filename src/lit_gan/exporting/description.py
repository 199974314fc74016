"""What somebody has to know who uses a generator without the run that trained it: the content of
`config.json` in an exported folder."""

import json
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lit_gan.data import Source
from lit_gan.errors import UserError
from lit_gan.game import Generator, LatentPart, Normal
from lit_gan.layers import n_classes_of

Description = dict[str, Any]

LIBRARY = "lit_gan"


def describe(G: Generator, config: DictConfig, regs: list[str], source: Source) -> Description:
    """The entries of `config.json` that do not depend on the weights.

    "model" and "reg" are those parts of the run's config that the generator is built of; what else
    is in a config, such as paths of this machine, does not leave it.

    Keys:
        shape: of a sample; range: of its numbers as the network saw them, null where they have no
            bounds.
        latents: the parts of a latent vector in their order, each as {"prior", the name of its
            distribution, "normal", "uniform", "one_hot" or that of a part of one's own, "size",
            "numpy", the expression by which NumPy draws n of them}; z_dim: all sizes together.
        n_classes: null for a generator that looks at no labels.
        alphabet: the characters of texts by their numbers, or null.

    Args:
        regs: the names of the regularizers without which the generator cannot be built.

    Raises:
        UserError: a part of the latent vector does not say how others draw it.
    """
    needed = {"G": config.model.G} | ({"D": config.model.D} if regs else {})
    return {
        "library_name": LIBRARY,
        "data": source.name,
        "shape": list(G.shape),
        "range": {3: [-1, 1], 2: [0, 1]}.get(len(G.shape)),
        "latents": [described(part) for part in G.latents],
        "z_dim": G.z_dim,
        "n_classes": n_classes_of(G),
        "alphabet": getattr(source, "alphabet", None),
        "model": resolved(needed),
        "reg": resolved({name: config.reg[name] for name in regs}),
    }


def described(part: LatentPart) -> Description:
    """How others draw a part of the latent vector, see `LatentPart`.

    Raises:
        UserError: its class does not say it.
    """
    kind = type(part)
    told = vars(kind)
    if not {"prior", "in_numpy"} <= told.keys():
        raise UserError(
            f"The latent vector has a part of class {kind.__name__}, and an export cannot say how others draw it: give "
            f'the class the attributes prior, a name, and in_numpy, such as "{Normal.in_numpy}".'
        )
    return {"prior": told["prior"], "size": part.size, "numpy": told["in_numpy"].format(size=part.size)}


def resolved(parts: dict[str, DictConfig]) -> dict[str, Any]:
    """Parts of a config with the values that they refer to in place of references."""
    return {name: OmegaConf.to_container(part, resolve=True) for name, part in parts.items()}


def as_strings(description: Description) -> dict[str, str]:
    """What every file of an export says of itself: all of the description but how the generator is
    built, as strings."""
    told = {name: value for name, value in description.items() if name not in ("model", "reg", "library_name")}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in told.items()}
