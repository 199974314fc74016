"""`python -m lit_gan.options [GROUP | GROUP=CHOICE]`: what can be chosen, what it means and how it is set."""

import argparse
import sys
from pathlib import Path

from lit_gan.errors import UserError
from lit_gan.system.streams import take_streams


def main() -> None:
    """The console script."""
    take_streams()
    parser = argparse.ArgumentParser(prog="lit_gan.options", description=__doc__)
    parser.add_argument("what", nargs="?", help="a group (reg) or a choice (reg=gradient_penalty); else all")
    parser.add_argument("--config-dir", metavar="FOLDER", type=Path, help="a folder of configs of your own")
    parser.add_argument("--markdown", action="store_true", help="everything as the page docs/methods.md")
    arguments = parser.parse_args()
    try:
        options(arguments.what, arguments.config_dir, arguments.markdown)
    except UserError as error:
        sys.exit(f"lit_gan: {error}")


def options(what: str | None, config_dir: Path | None, markdown: bool) -> None:
    """Prints the choices that there are, or everything about one of them.

    Raises:
        UserError: there is no such group or choice.
    """
    if markdown:
        from lit_gan.catalogue.markdown import methods_page

        print(methods_page(), end="")
        return
    from lit_gan.tasks.options import show_options

    show_options(what, [config_dir] if config_dir else [])


if __name__ == "__main__":
    main()
