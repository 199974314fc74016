"""Commands of lit_gan as one pastes them into a shell."""

import shlex
import shutil
import sys
from pathlib import Path


def shell_command(module: str, *words: str) -> str:
    """A command that works in the present folder: `shell_command("sample", "run=runs/a")`.

    Args:
        module: name of the command, "sample" for `python -m lit_gan.sample`.
        words: its arguments, which are quoted for the shell where they need it.
    """
    return shlex.join([interpreter(), "-m", f"lit_gan.{module}", *words])


def interpreter() -> str:
    """The Python of this process, by the shortest name under which a shell in the present folder
    finds it.

    That is "python" if the shell finds this one by it, a relative path if it lies below the present
    folder, as ".venv/bin/python", and else its whole path.
    """
    executable = Path(sys.executable)
    if is_first_on_path(executable):
        return "python"
    # the name of a file in the present folder itself would be looked up on the path
    below = Path.cwd() in executable.parent.parents
    return str(executable.relative_to(Path.cwd()) if below else executable)


def is_first_on_path(executable: Path) -> bool:
    """Whether a shell runs this file as `python`."""
    found = shutil.which("python")
    # Folders are compared too: the Python of a virtual environment is a link to the file that others link to as well,
    # and only its folder tells which packages it has.
    return found is not None and Path(found).parent == executable.parent and executable.samefile(found)
