"""What values the settings of the shipped configs may have; held against a config before anything is loaded.

A class of one's own checks its own numbers and needs no row here.
"""

import math
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf

from lit_gan.errors import UserError, written
from lit_gan.metrics import EvalProtocol


@dataclass(frozen=True)
class Allowed:
    """The values that a setting may have: of this type, at least `least`, below `below`, and finite."""

    kind: type | UnionType
    least: float = -math.inf
    below: float = math.inf

    @property
    def kinds(self) -> tuple[type, ...]:
        """The types, one by one."""
        return get_args(self.kind) or (self.kind,)

    def __contains__(self, value: Any) -> bool:
        in_range = not isinstance(value, int | float) or self.least <= value < self.below
        return type(value) in self.kinds and in_range

    def __str__(self) -> str:
        words = " or ".join(KINDS[kind] for kind in self.kinds if kind is not int or float not in self.kinds)
        if math.isfinite(self.below):
            return f"{words}, at least {self.least} and below {self.below}"
        return f"{words}, {self.least} or more" if math.isfinite(self.least) else words


KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "one word or path", NoneType: "null"}
COUNT, NUMBER, POSITIVE, SWITCH = Allowed(int, 1), Allowed(int | float), Allowed(int | float, 0), Allowed(bool)
SEED = Allowed(int, 0, 2**32)

DATA = {
    "data.image_size": COUNT,
    "data.channels": COUNT,
    "data.n_classes": Allowed(int | None, 1),
    "data.pad": Allowed(int, 0),
    "data.split_folders": Allowed(bool | None),
    "data.in_memory": POSITIVE,
    "data.download": SWITCH,
    "data.n": COUNT,
    "data.seed": Allowed(int, 0, 2**31),
    "data.std": POSITIVE,
    "data.noise": POSITIVE,
    "data.scale": POSITIVE,
}
TRAIN = DATA | {
    "seed": SEED,
    "updates": COUNT,
    "updates_per_epoch": COUNT,
    "batch_size": COUNT,
    "g_batch_size": Allowed(int | None, 1),
    "ema": Allowed(int | float | None, 0, 1),
    "ema_start": Allowed(int | None, 0),
    "dequantize": SWITCH,
    "workers": Allowed(int, 0),
    "device_memory": POSITIVE,
    "debug": SWITCH,
    "model.width": COUNT,
    "model.depth": COUNT,
    "model.kernel_size": COUNT,
    "model.G.z_dim": COUNT,
    "model.G.growth": COUNT,
    "model.D.input_scale": NUMBER,
    "model.D.wide": SWITCH,
    "model.D.slope": POSITIVE,
    "model.D.code_size": COUNT,
    "model.D.exponent": Allowed(int | float, 1),
    "reg.virtual_batch_norm.n_reference": Allowed(int, 2),
    "reg.minibatch_discrimination.n_kernels": COUNT,
    "reg.minibatch_discrimination.kernel_dim": COUNT,
    "reg.instance_noise.sigma": POSITIVE,
    "reg.historical_averaging.weight": NUMBER,
    "reg.spectral.n_power_iterations": COUNT,
    "reg.weight_clip.limit": POSITIVE,
    "reg.weight_clip.convolutions_only": SWITCH,
    "reg.gradient_penalty.weight": NUMBER,
    "reg.gradient_penalty.one_sided": SWITCH,
    "reg.finite_difference_penalty.weight": NUMBER,
    "reg.dragan.weight": NUMBER,
    "reg.dragan.spread": NUMBER,
    "reg.r1.weight": NUMBER,
    "reg.r2.weight": NUMBER,
    "reg.zero_centered.weight": NUMBER,
    "reg.orthonormal.weight": NUMBER,
    "reg.orthogonal.weight": NUMBER,
    "reg.spectral_penalty.weight": NUMBER,
    "reg.spectral.factor": NUMBER,
    "reg.spectral.warm_up": Allowed(int | None, 0),
    "reg.lecam.start": Allowed(int | None, 0),
    "reg.acgan.shared_labels": SWITCH,
    "reg.spectral.gamma": SWITCH,
    "reg.frobenius.gamma": SWITCH,
    "reg.weight_norm.gamma": SWITCH,
    "reg.batch_norm.gamma": SWITCH,
    "reg.layer_norm.gamma": SWITCH,
    "optim.n_dis": COUNT,
    "optim.d_clip": Allowed(int | float | None, 0),
    "optim.g_clip": Allowed(int | float | None, 0),
    "optim.accumulate": COUNT,
    "optim.d.lr": POSITIVE,
    "optim.g.lr": POSITIVE,
    "optim.decay_start": Allowed(int | None, 0),
    "optim.decay_end": COUNT,
    "callbacks.samples.count": COUNT,
    "callbacks.samples.points": COUNT,
    "callbacks.samples.seed": SEED,
    "trainer.log_every_n_steps": COUNT,
    "trainer.fast_dev_run": Allowed(bool | int, 0),
    "trainer.enable_progress_bar": SWITCH,
    "logger.wandb.offline": SWITCH,
}
EVALUATE = {
    "generated": Allowed(int | None, 2),
    "ema": Allowed(bool | None),
    "device": Allowed(str),
    "data.root": Allowed(str | None),
    "data.file": Allowed(str | None),
    "debug": SWITCH,
}
SAMPLE = {
    "checkpoint": Allowed(str),
    "n": COUNT,
    "class": Allowed(int | str | None, 0),
    "seed": SEED,
    "ema": SWITCH,
    "batch_size": COUNT,
    "interpolations": Allowed(int, 0),
    "steps": COUNT,
    "npz": SWITCH,
    "device": Allowed(str),
    "data.root": Allowed(str | None),
    "data.file": Allowed(str | None),
    "output": Allowed(str),
    "debug": SWITCH,
}
CLASSIFY = DATA | {"updates": COUNT, "seed": SEED, "output": Allowed(str | None), "debug": SWITCH}
PROTOCOL = {
    name: Allowed(kind) for name, kind in get_type_hints(EvalProtocol).items() if kind in (int, int | None, bool)
}
PROTOCOL |= {"seed": SEED}


def check_settings(config: DictConfig, settings: dict[str, Allowed], prefix: str = "") -> None:
    """Holds a config against a table; a setting that it does not have is not looked for.

    Raises:
        UserError: names the first setting with another value, and what it may be.
    """
    for name, allowed in settings.items():
        value = OmegaConf.select(config, name, default=...)
        if value is not ... and value not in allowed:
            raise UserError(f"{prefix}{name}={written(value)} must be {allowed}.")
