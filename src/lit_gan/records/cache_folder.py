"""The folder of what is computed once for all runs of a user."""

import errno
import os
from pathlib import Path


def cache_folder() -> Path:
    """The cache folder.

    It is `$LIT_GAN_CACHE`, else `lit_gan` in `$XDG_CACHE_HOME`, else `~/.cache/lit_gan`.

    Raises:
        OSError: the user has no home folder.
    """
    if chosen := os.environ.get("LIT_GAN_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lit_gan"
    except RuntimeError as error:
        raise OSError(errno.ENOENT, "this user has no home folder") from error
