"""The Hugging Face Hub: an exported folder sent there when a command names it, and one fetched from
there.

A folder from the Hub is somebody else's: it may name the networks and regularizers of lit_gan and
the layers of torch, and nothing else is imported or called for it.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from lit_gan.errors import UserError, one_line
from lit_gan.exporting.description import Description
from lit_gan.exporting.folder import CONFIG, absent
from lit_gan.exporting.formats import FILES
from lit_gan.parts import locate_if_there
from lit_gan.records.search_path import class_paths
from lit_gan.system.quiet import quiet

PREFIX = "hub:"
"""How the name of a folder on the Hub begins where a path could stand."""

HTTP = ("httpx", "httpx2")
"""The loggers that report every request of the Hub's library."""

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
TRUSTED = ("lit_gan.models", "lit_gan.reg", "torch.nn")
"""The modules whose classes and functions a folder from the Hub may name, and those below them."""


def import_hub(what: str) -> ModuleType:
    """The Hub's own library.

    Raises:
        UserError: it is not installed.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(f"{what} needs huggingface_hub: pip install 'lit_gan[hub]'.") from error
    return huggingface_hub


def check_repository(name: str, what: str) -> None:
    """Refuses what is no name of a repository.

    Raises:
        UserError: says what a name is.
    """
    if not REPOSITORY.fullmatch(name):
        raise UserError(f"{what} must be USER/NAME, of letters, digits, '-', '_' and '.'.")


def check_upload(name: str) -> None:
    """Refuses, before anything is exported, an upload that cannot work.

    Raises:
        UserError: it is no name, the library is missing, or nobody is logged in.
    """
    check_repository(name, f"hub={name}")
    if import_hub(f"hub={name}").get_token() is None:
        raise UserError(f"hub={name} needs a token of the Hub: type `hf auth login` once, or set HF_TOKEN.")


def upload(folder: Path, name: str, files: Sequence[str], private: bool) -> str:
    """Sends the files of an export to a repository, which is made if there is none, as one commit.

    What an earlier export has sent of other formats is removed there.

    Args:
        private: whether a new repository can be seen by its owner alone; an old one stays as it is.

    Returns:
        The address of the repository.

    Raises:
        UserError: the Hub does not take them; the folder stays.
    """
    hub = import_hub(f"hub={name}")
    try:
        with quiet(*HTTP):
            address = hub.create_repo(name, private=private, exist_ok=True)
            changes = [hub.CommitOperationAdd(file, folder / file) for file in files]
            changes += [hub.CommitOperationDelete(file) for file in hub.list_repo_files(name) if file in absent(files)]
            hub.create_commit(name, changes, commit_message="Generator exported by lit_gan")
    except Exception as error:  # of any class: nothing but the library runs here
        raise UserError(
            f"hub={name} takes no upload ({first_line(error)}): look at the name, the token (`hf auth login`) and the "
            f"network, and give the same command again; the export in {folder} is whole."
        ) from error
    return str(address)


def download(name: str) -> Path:
    """The folder in which the Hub's library keeps a repository's config and weights, fetched if
    they are not there or have changed.

    Raises:
        UserError: it is no name, the library is missing, or the Hub does not give them.
    """
    check_repository(name, f"{PREFIX}{name}")
    hub = import_hub(f"{PREFIX}{name}")
    try:
        with quiet(*HTTP):
            return Path(hub.snapshot_download(name, allow_patterns=[CONFIG, FILES["safetensors"]]))
    except Exception as error:  # of any class: nothing but the library runs here
        raise UserError(
            f"{PREFIX}{name} cannot be fetched ({first_line(error)}): look at the name and the network, and type "
            f"`hf auth login` for a private one."
        ) from error


def first_line(error: Exception) -> str:
    """The class of an error of the library and the first line of its message: the others are advice
    to programmers."""
    lines = [one_line(line) for line in str(error).splitlines() if line.strip()]
    return ": ".join([type(error).__name__, *lines[:1]]).rstrip(".:")


def check_trusted(description: Description, name: str) -> None:
    """Refuses a folder from the Hub that names code other than lit_gan's networks and torch's
    layers.

    Raises:
        UserError: names it.
    """
    for target in class_paths([description["model"], description["reg"]]):
        if not is_trusted(target):
            raise UserError(
                f"{PREFIX}{name} names {target}, which is none of lit_gan's networks or torch's layers: read that code "
                f"first, then download the folder and load it by its path, lit_gan.load(FOLDER)."
            )


def is_trusted(target: str) -> bool:
    """Whether a name is that of a class or function of `TRUSTED`.

    What a module has imported is reached through its name, too, as in `lit_gan.models.dcgan.torch`:
    where the object was defined decides. Nothing is imported for a name that begins otherwise.
    """
    home = getattr(locate_if_there(target), "__module__", None) if below_trusted(target) else None
    return isinstance(home, str) and below_trusted(home)


def below_trusted(name: str) -> bool:
    """Whether a dotted name begins with one of `TRUSTED`."""
    return any(name == each or name.startswith(f"{each}.") for each in TRUSTED)
