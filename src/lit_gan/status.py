"""`python -m lit_gan.status DIR`: how far a run or the cells of a sweep are."""

import argparse
from pathlib import Path

from lit_gan.cli.door import parser_door

parser = argparse.ArgumentParser(prog="lit_gan.status", description=__doc__)
parser.add_argument("directory", type=Path, help="the directory of a run, or of a sweep, runs/NAME")
every = "the finished cells too, each with its scores"
parser.add_argument("--all", action="store_true", dest="everything", help=every)
until = "go on until it has ended; the exit code is 0 if all is finished, 1 after a failure, 130 after a stop"
parser.add_argument("--follow", action="store_true", dest="follows", help=until)
line = "one JSON object on one line, with --follow one for each change"
parser.add_argument("--json", action="store_true", dest="as_json", help=line)

main = parser_door(parser, "lit_gan.tasks.status:status")

if __name__ == "__main__":
    main()
