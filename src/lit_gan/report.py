"""`python -m lit_gan.report DIR [DIR ...]`: the figures and tables of sweeps and single runs,
finished or not, on one page."""

import argparse
from pathlib import Path

from lit_gan.cli.door import parser_door

parser = argparse.ArgumentParser(prog="lit_gan.report", description=__doc__)
parser.add_argument(
    "directories", metavar="DIR", type=Path, nargs="+", help="the directory of a sweep, runs/NAME, or of a run"
)
parser.add_argument("--output", metavar="FOLDER", type=Path, help="where to write; DIR/report if not given")

main = parser_door(parser, "lit_gan.tasks.report:report")

if __name__ == "__main__":
    main()
