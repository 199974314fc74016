"""`python -m lit_gan.dashboard DIR`: the W&B dashboard of a sweep whose cells were logged there."""

import argparse
from pathlib import Path

from lit_gan.cli.door import parser_door

parser = argparse.ArgumentParser(prog="lit_gan.dashboard", description=__doc__)
parser.add_argument("directory", type=Path, help="the directory of a sweep that ran with logger=wandb")
parser.add_argument("--project", default="lit_gan", help="the W&B project of its runs (default: %(default)s)")
parser.add_argument("--entity", default="", help="the W&B user or team (default: your own)")

main = parser_door(parser, "lit_gan.tasks.dashboard:dashboard")

if __name__ == "__main__":
    main()
