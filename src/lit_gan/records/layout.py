"""Where the files of a run lie in its directory."""

from pathlib import Path

RESULTS = "results.json"
"""The file that says what a run has done."""

METRICS = "metrics.csv"
"""The file with a run's curves and scores, a row for each of some generator updates."""

SAMPLES = "samples"
"""The folder with the samples that a run has drawn during its training."""


def results_path(directory: Path) -> Path:
    """The file that says what the run in a directory has done."""
    return directory / RESULTS


def metrics_path(directory: Path) -> Path:
    """The file with the curves and scores of the run in a directory."""
    return directory / METRICS


def samples_folder(directory: Path) -> Path:
    """The folder with the samples that the run in a directory has drawn during its training."""
    return directory / SAMPLES


def checkpoints_folder(directory: Path) -> Path:
    """The folder with the checkpoints of the run in a directory."""
    return directory / "checkpoints"


def checkpoint_path(directory: Path, name: str = "last") -> Path:
    """The file of a checkpoint of the run in a directory, the newest one if none is named."""
    return checkpoints_folder(directory) / f"{name}.ckpt"


def config_folder(directory: Path) -> Path:
    """The folder with what the run in a directory was started with, and with its locks."""
    return directory / ".hydra"


def config_path(directory: Path) -> Path:
    """The file with the config of the run in a directory."""
    return config_folder(directory) / "config.yaml"
