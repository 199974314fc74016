"""Jobs of SLURM whose time ends: they are queued again, and find their run where they left it."""

import logging
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml
from lightning_utilities.core.rank_zero import rank_zero_only

from lit_gan.system.signals import PARENT, STOPPED, received

log = logging.getLogger("lit_gan")

WARNINGS = {signal.SIGUSR1, signal.SIGUSR2}
"""Signals that `sbatch --signal=USR1@120` sends before the end of a job's time.

SIGTERM is not among them: scancel sends it, and a cancelled job must not come back."""

INTERACTIVE = ("bash", "interactive")
"""Names of jobs in which somebody types at a prompt."""


def job_id() -> str | None:
    """The batch job whose command this process is, "4711" or "4711_3" of an array; None outside of
    such a job.

    In a job that runs a sweep, the sweep is the command, not the processes of its cells.
    """
    job, array = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_ARRAY_JOB_ID")
    if not job or os.environ.get("SLURM_JOB_NAME") in INTERACTIVE or PARENT in os.environ:
        return None
    return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}" if array else job


@contextmanager
def requeuing() -> Iterator[None]:
    """Asks SLURM to queue this job again if a warning of its end has ended the block in order."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as end:
        job, first = job_id(), getattr(rank_zero_only, "rank", 0) == 0
        if getattr(end, "code", STOPPED) == STOPPED and received & WARNINGS and job and first:
            requeue(job)
        raise


def requeue(job: str) -> None:
    """Asks SLURM to queue a job again, and logs whether it does."""
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, encoding="utf-8")
        log.info("SLURM has queued job %s again: it goes on where it stopped", job)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip()
        log.warning("SLURM does not queue job %s again (%s): submit it once more to go on", job, reason)


def place_of_job(root: str, time: str, file: str, overrides: Sequence[str]) -> Path:
    """A directory below `root`, named by the time.

    In a SLURM job it lies in a folder of the job, and once SLURM has started the job again it is
    the newest one there that the same command line has written.

    Args:
        root: "runs" or "multirun".
        time: of the start, as a relative path.
        file: where in such a directory Hydra's own settings are kept.
        overrides: of the command line.
    """
    job = job_id()
    if job is None:
        return Path(root, time)
    folder = Path(root, f"slurm-{job}")
    again = int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0
    candidates = [path for path in folder.glob("*/*") if again and read_overrides(path / file) == list(overrides)]
    return max(candidates, key=lambda path: path.stat().st_mtime, default=folder / time)


def read_overrides(path: Path) -> list[str] | None:
    """The overrides in a file of Hydra's own settings; None if the file does not exist or is
    damaged."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))["hydra"]["overrides"]["task"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return None
