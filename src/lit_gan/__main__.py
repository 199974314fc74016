"""`python -m lit_gan`: lists the commands."""

import ast
import re
from pathlib import Path


def main() -> None:
    """The console script."""
    found = commands()
    width = max(map(len, found))
    print("The commands of lit_gan:\n")
    for command, purpose in found.items():
        print(f"  {command.ljust(width)}  {purpose}")
    print("\nEach says more with --help. Begin with python -m lit_gan.train.")


def commands() -> dict[str, str]:
    """Each command with what it does, as the docstring of its module begins; no module is imported for it."""
    docstrings = (
        ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(FOLDER.glob("[!_]*.py"))
    )
    found = (re.match(r"`(python -m lit_gan\.\w+)[^`]*`: (.*)", text or "") for text in docstrings)
    return {each[1]: each[2] for each in found if each}


FOLDER = Path(__file__).parent
"""Where the modules lie that are commands."""

if __name__ == "__main__":
    main()
