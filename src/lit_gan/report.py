"""`python -m lit_gan.report DIR [DIR ...]`: the figures and tables of sweeps, finished or not, on one page."""

import argparse
import sys
from pathlib import Path

from lit_gan.errors import UserError
from lit_gan.system.streams import take_streams


def main() -> None:
    """The console script."""
    take_streams()
    parser = argparse.ArgumentParser(prog="lit_gan.report", description=__doc__)
    parser.add_argument("directories", metavar="DIR", type=Path, nargs="+", help="the directory of a sweep, runs/NAME")
    parser.add_argument("--output", metavar="FOLDER", type=Path, help="where to write; DIR/report if not given")
    arguments = parser.parse_args()
    try:
        print(report(arguments.directories, arguments.output))
    except UserError as error:
        sys.exit(f"lit_gan: {error}")
    except OSError as error:
        sys.exit(f"lit_gan: {error.filename}: {error.strerror}; --output FOLDER writes the report elsewhere.")


def report(directories: list[Path], output: Path | None) -> Path:
    """The page about one sweep or several, with its figures and tables beside it.

    Raises:
        UserError: there is nothing to report on.
    """
    from lit_gan.reporting.write import write_report

    return write_report(directories, output)


if __name__ == "__main__":
    main()
