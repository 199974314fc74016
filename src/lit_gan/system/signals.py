"""Signals that ask a command to end. Imports nothing heavy."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STOPPING = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU") if hasattr(signal, name)
)
"""Signals that ask for an end as Ctrl-C does: from kill, a closed terminal, a scheduler, a limit of
processor time."""

STOPPED = 130
"""The exit code of a command that was asked to end, and did so in order."""

PARENT = "LIT_GAN_PARENT"
"""The variable that tells a cell's process which sweep has begun it."""

received: set[int] = set()
"""The signals that have come since the command began."""

Handler = Callable[[int, Any], None]


@contextmanager
def stoppable() -> Iterator[None]:
    """Lets each signal of `STOPPING` raise KeyboardInterrupt in the block, the first time that it
    comes."""
    received.clear()
    with handling(interrupt):
        yield


def interrupt(number: int, frame: Any) -> None:
    """Raises KeyboardInterrupt; a signal that comes again, as one passed on by two ways does,
    disturbs nothing.

    Raises:
        KeyboardInterrupt: at a signal that has not come before.
    """
    if number not in received:
        received.add(number)
        raise KeyboardInterrupt


@contextmanager
def handling(handler: Handler) -> Iterator[None]:
    """Gives the signals to a handler for the length of the block."""
    before = {number: signal.signal(number, handler) for number in takeable()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def takeable() -> list[int]:
    """The signals of `STOPPING` that this process may handle; an empty list in any thread but the
    main one.

    A signal that is ignored, as SIGHUP is under nohup, or that somebody else handles, as submitit
    does SIGUSR2, stays as it is; SIGTERM is always taken.
    """
    if threading.current_thread() is not threading.main_thread():
        return []
    return [number for number in STOPPING if is_free(number)]


def is_free(number: int) -> bool:
    """Whether a signal may be handled: it is SIGTERM, or nobody outside this package handles it."""
    return number == signal.SIGTERM or signal.getsignal(number) in (signal.SIG_DFL, interrupt)


def leave_to_parent(*_: Any) -> None:
    """Lets a process that only helps another, as a worker of the data, ignore signals that are sent
    to both.

    A scheduler and a terminal signal all processes of a command, and the parent decides when its
    helpers end. The first SIGTERM is ignored too; the second one is the parent's, and ends the
    process.
    """
    for number in (signal.SIGINT, *STOPPING):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
