"""What sweeps and runs came to, on one page."""

from pathlib import Path

from lit_gan.errors import UserError
from lit_gan.reporting.write import write_report


def report(directories: list[Path], output: Path | None = None) -> None:
    """Writes the page about sweeps and runs, its figures and tables beside it, and prints where it is.

    Raises:
        UserError: there is nothing to report on, or a file cannot be read or written.
    """
    try:
        print(write_report(directories, output))
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}; --output FOLDER writes the report elsewhere.") from error
