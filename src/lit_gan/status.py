"""`python -m lit_gan.status DIR`: how far the cells of a sweep are."""

import argparse
from pathlib import Path

from lit_gan.cli.door import parser_door

parser = argparse.ArgumentParser(prog="lit_gan.status", description=__doc__)
parser.add_argument("directory", type=Path, help="the directory of a sweep, runs/NAME")
every = "the finished cells too, each with its scores"
parser.add_argument("--all", action="store_true", dest="everything", help=every)

main = parser_door(parser, "lit_gan.tasks.status:status")

if __name__ == "__main__":
    main()
