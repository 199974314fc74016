"""GAN experiments: architecture, loss, regularizer, optimizer, data and metrics, each chosen on the
command line.

In Python, `lit_gan.load(run)` gives the trained generator of a run, `lit_gan.results(run)` its
scores and curves, and the other names are what losses, regularizers, networks, data sets and
metrics of one's own are written with.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_gan.data.source import Source
    from lit_gan.errors import UserError
    from lit_gan.game import Discriminator, Generator, Loss, Regularizer, Turn, Verdict
    from lit_gan.metrics.base import Suite
    from lit_gan.module import GAN
    from lit_gan.records.frame import results
    from lit_gan.tasks.trained import load

MODULES = {
    "GAN": "lit_gan.module",
    "Discriminator": "lit_gan.game",
    "Generator": "lit_gan.game",
    "Loss": "lit_gan.game",
    "Regularizer": "lit_gan.game",
    "Source": "lit_gan.data.source",
    "Suite": "lit_gan.metrics.base",
    "Turn": "lit_gan.game",
    "UserError": "lit_gan.errors",
    "Verdict": "lit_gan.game",
    "load": "lit_gan.tasks.trained",
    "results": "lit_gan.records.frame",
}
"""Where each exported name is defined; it is imported when it is first asked for, so that `import
lit_gan` is quick."""

__all__ = [
    "GAN",
    "Discriminator",
    "Generator",
    "Loss",
    "Regularizer",
    "Source",
    "Suite",
    "Turn",
    "UserError",
    "Verdict",
    "load",
    "results",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # slower to import than everything else here

        return version("lit_gan")
    if name not in MODULES:
        raise AttributeError(f"module 'lit_gan' has no attribute '{name}'")
    return getattr(importlib.import_module(MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *MODULES, "__version__"])
