"""Long loops that show how far they are: a bar with the time left on a terminal, a line a minute in
a log."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TypeVar

from tqdm import tqdm

log = logging.getLogger("lit_gan")
T = TypeVar("T")
PATIENCE = 1.0
"""Seconds that a loop may take before its bar appears."""
EVERY = 60.0
"""Seconds between two lines in a log."""


def announce(what: str) -> None:
    """Prints at once what is going to be done: loading the libraries that do it takes seconds."""
    print(f"{datetime.now():%H:%M:%S}  {what}", file=sys.stderr, flush=True)


def on_terminal() -> bool:
    """Whether somebody watches a terminal, on which a bar may be drawn."""
    return sys.stderr is not None and sys.stderr.isatty()


def watched(steps: Iterable[T], n: int, what: str) -> Iterator[T]:
    """Yields the n steps of a loop, and shows how many of them are done.

    Args:
        what: a word for what is done, "evaluating".
    """
    if on_terminal():
        yield from tqdm(steps, what, n, leave=False, dynamic_ncols=True, delay=PATIENCE, file=sys.stderr)
        return
    start = said = time.perf_counter()
    for done, step in enumerate(steps):
        now = time.perf_counter()
        if now - said >= EVERY:
            said = now
            left = tqdm.format_interval((now - start) / done * (n - done))
            log.info("%s: %d of %d batches, %s left", what, done, n, left)
        yield step
