"""`python -m lit_gan.options [GROUP | GROUP=CHOICE | SETTING]`: what can be chosen, what it means and
how it is set."""

import argparse
from pathlib import Path

from lit_gan.cli.door import parser_door

parser = argparse.ArgumentParser(prog="lit_gan.options", description=__doc__)
parser.add_argument("what", nargs="?", help="a group (reg), a choice (reg=lecam) or a setting (optim.d.lr); else all")
parser.add_argument("--config-dir", metavar="FOLDER", type=Path, help="a folder of configs of your own")
parser.add_argument("--markdown", action="store_true", help="everything as the page docs/methods.md")

main = parser_door(parser, "lit_gan.tasks.options:options")

if __name__ == "__main__":
    main()
