"""`python -m lit_gan`: lists the commands."""

import ast
import re
from pathlib import Path

from lit_gan.system.streams import take_streams


def main() -> None:
    """The console script."""
    take_streams()
    found = commands()
    width = max(map(len, found))
    print("The commands of lit_gan:\n")
    for command, purpose in found.items():
        print(f"  {command.ljust(width)}  {purpose}")
    print("\nEach says more with --help. Begin with python -m lit_gan.train.")


def commands() -> dict[str, str]:
    """Each command with what it does, as the docstring of its module begins.

    The docstrings are read out of the files, so that no module is imported for them.
    """
    files = sorted(FOLDER.glob("[!_]*.py"))
    docstrings = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for path in files)
    first = (" ".join((text or "").split("\n\n")[0].split()) for text in docstrings)
    found = (re.match(r"`(python -m lit_gan\.\w+)[^`]*`: (.*)", text) for text in first)
    return {each[1]: each[2] for each in found if each}


FOLDER = Path(__file__).parent
"""Where the modules lie that are commands."""

if __name__ == "__main__":
    main()
