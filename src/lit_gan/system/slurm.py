"""What a job of SLURM does at the end of its time: it is queued again, and finds its run where it left it."""

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
"""What `sbatch --signal=USR1@120` sends before the end; SIGTERM is for scancel, after which nobody wants more."""

INTERACTIVE = ("bash", "interactive")
"""Names of jobs in which somebody types."""


def job_id() -> str | None:
    """The batch job that this process is the command of, "4711" or "4711_3" of an array; None outside SLURM.

    A cell's process is not: the sweep that began it is.
    """
    job, array = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_ARRAY_JOB_ID")
    if not job or os.environ.get("SLURM_JOB_NAME") in INTERACTIVE or PARENT in os.environ:
        return None
    return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}" if array else job


@contextmanager
def requeuing() -> Iterator[None]:
    """Has SLURM queue this job again where a warning of the end has ended the block in order."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as end:
        job, first = job_id(), getattr(rank_zero_only, "rank", 0) == 0
        if getattr(end, "code", STOPPED) == STOPPED and received & WARNINGS and job and first:
            requeue(job)
        raise


def requeue(job: str) -> None:
    """Asks SLURM to queue a job again, and says whether it does."""
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, encoding="utf-8")
        log.info("SLURM has queued job %s again: it goes on where it stopped", job)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip()
        log.warning("SLURM does not queue job %s again (%s): submit it once more to go on", job, reason)


def place_of_job(root: str, time: str, file: str, overrides: Sequence[str]) -> Path:
    """A directory below `root`, named by the time. In a SLURM job it lies in a folder of the job, and once SLURM has
    started the job again it is the newest one there that the same command line has written.

    Args:
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
    """The overrides in a file of Hydra's own settings; None where there is no such file, or a damaged one."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))["hydra"]["overrides"]["task"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return None
