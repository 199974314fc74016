"""Files that several processes read, each through a handle of its own."""

import os
from collections.abc import Callable
from typing import Any


class OwnHandle:
    """What a function opens, opened anew in each process that asks for it.

    A handle that a forked process shares with its parent has one position for both, at which each
    would read what the other looks for.

    Args:
        opening: opens the file; it must be picklable where processes are not forked.
    """

    def __init__(self, opening: Callable[[], Any]):
        self.opening = opening
        self._opened: tuple[int, Any] | None = None

    def __call__(self) -> Any:
        """This process's handle."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), self.opening()
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {"opening": self.opening, "_opened": None}
