"""`results.json`: what a run did, for people and for later tools. docs/runs.md and `Results` document its keys."""

import json
import math
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_only

from lit_gan.errors import UserError
from lit_gan.records.files import Unwritable, write_texts
from lit_gan.records.lock import sole_use

Record = dict[str, Any]
PACKAGES = ("lit_gan", "torch", "torchvision", "lightning", "torchmetrics", "torch-fidelity", "hydra-core")


class Results:
    """The file and its content. Every change is on disk, complete, before the call returns.

    Keys:
        status: "running", "finished", "stopped" or "failed"; error: the sentence, or null; stopped_by: the setting or
            callback that ended the training early, null for Ctrl-C and other signals.
        updates, updates_planned: in generator updates.
        course: one record for each evaluation during training.
        final: the record of the evaluation after the last update, or null.
        best: {"metric", "value"} of the course since that metric has decided, with that record's "update", "scores",
            "protocol", "weights"; or null. `checkpoints/best.ckpt` is of that update.
        evaluations: records made later by `lit_gan.evaluate`.
        seconds: {"training", "evaluation"}; updates_per_second and images_per_second (real images) of training alone.
        class_names: of the classes by their numbers, or null where they have none.
        parent: of a branch, the run that it began in, as {"directory", "run_id", "checkpoint", "update"}; else null.
        device, seed, choices (the option of each config group), overrides, versions, git_commit.
        warnings: sentences: where the run departs from what the paper of its method prescribes, and what its end shows
            of a collapse (losses beyond 1e6, a monitored score far worse than its best, samples that are all alike).

    A record is {"update", "checkpoint", "weights" ("raw" or "ema"), "ema" (the average's "decay", and its "warm_up" or
    its "start"; null for raw weights), "scores" {name: value}, "protocol" (all of it, with the extractor, the data and
    the numbers that were used), "ends" {name: "min" or "max", the good end of a score}, "caveats" {name: why a score
    cannot bear comparison}, "seconds"}.
    """

    def __init__(self, directory: Path):
        self.path = directory / "results.json"
        self.started = False
        self.load()

    def load(self) -> None:
        """Reads the file; nothing if there is none."""
        self.content = read(self.path) if self.path.exists() else {}

    def start(self, update: int, also: Mapping[Path, str] | None = None, **facts: Any) -> None:
        """Begins or resumes at a generator update: what was recorded after it is forgotten.

        Args:
            also: the texts of other files, written together with this one, or none of them.
        """
        old = self.content
        kept = [record for record in old.get("course", []) if record["update"] <= update]
        best, final = old.get("best"), old.get("final")
        self.content = {
            "status": "running",
            "error": None,
            "stopped_by": None,
            "parent": old.get("parent"),
            "updates": update,
            "course": kept,
            "final": final if final and final["update"] <= update else None,
            "best": best if best and best["update"] <= update else None,
            "evaluations": [record for record in old.get("evaluations", []) if record["update"] <= update],
            "seconds": {"training": 0.0, "evaluation": 0.0},
            **facts,
            "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
            "git_commit": git_commit(),
        }
        self.save(also)
        self.started = True

    @rank_zero_only
    def save(self, also: Mapping[Path, str] | None = None) -> None:
        """Writes the file, from the first process, and others with it."""
        self.write(also)

    def write(self, also: Mapping[Path, str] | None = None) -> None:
        """Replaces the file, from whichever process calls, and others with it."""
        write_texts({**(also or {}), self.path: json.dumps(clean(self.content), indent=2) + "\n"})

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Whatever ends the block once the run has started decides the status; before an exit somebody has."""
        try:
            yield
        except SystemExit:
            raise
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt)
            with suppress(Unwritable):  # of two errors the first is the one to tell
                self.close("stopped" if stopped else "failed", None if stopped else str(error))
            raise

    def close(self, status: str, error: str | None = None) -> None:
        """Sets the status of a run that has started; one that was refused is left as it was."""
        if self.started:
            self.content |= {"status": status, "error": error}
            self.save()

    def report(self, error: str) -> None:
        """Sets the status "failed" on disk for a process that has no records of its own."""
        self.content = (read(self.path) if self.path.exists() else NOTHING) | {"status": "failed", "error": error}
        self.write()

    def reported(self) -> str | None:
        """What another process has said of its failure, if one has."""
        content = read(self.path)
        return content["error"] if content["status"] == "failed" else None

    def append(self, record: Record) -> None:
        """Adds a record to the evaluations of the file, which other processes may have changed meanwhile.

        Raises:
            InUse: the run is being trained, so that the file would be written over.
        """
        with sole_use(self.path.parent):
            self.load()
            self.content.setdefault("evaluations", []).append(record)
            self.save()

    def add(self, record: Record, metric: str, mode: str) -> None:
        """Adds a record to the course; it becomes the best if its value of a metric is, "min" or "max"."""
        self.content["course"].append(record)
        value, best = record["scores"].get(metric), self.content["best"]
        rival = best["value"] if best and best["metric"] == metric else None
        if is_finite(value) and (rival is None or (value < rival if mode == "min" else value > rival)):
            origin = {key: record[key] for key in ORIGIN if key in record}
            self.content["best"] = {"metric": metric, "value": value, **origin}


def read(path: Path) -> Record:
    """The content of a `results.json`.

    Raises:
        UserError: it is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        records = [*content.get("course", []), *content.get("evaluations", [])]
        whole = all(isinstance(record["update"], int) and isinstance(record["scores"], dict) for record in records)
        if not whole or ("status" in content and not content.keys() >= SUMMARY):
            raise ValueError("parts are missing")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = error if isinstance(error, ValueError) else "parts are missing"
        raise UserError(
            f"{path} is damaged ({reason}): repair it, or delete it to go on without the scores recorded so far."
        ) from error
    return content


ORIGIN = ("update", "scores", "protocol", "weights", "caveats")
"""What is told of the best record."""

NOTHING = {"updates": 0, "course": [], "final": None, "best": None, "seconds": {"training": 0.0, "evaluation": 0.0}}
"""What there is of a run that ended before its first record."""

SUMMARY = {"updates", "course", "final", "best", "seconds"}
"""What the table at the end of a run needs."""


def is_finite(value: float | None) -> bool:
    """Whether there is a value, and a finite one."""
    return value is not None and math.isfinite(value)


def clean(value: Any) -> Any:
    """JSON has no NaN and no infinity: null stands for them."""
    if isinstance(value, dict):
        return {name: clean(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [clean(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def git_commit() -> str | None:
    """The commit of the source tree that runs, or null if no repository tracks this very file."""
    try:
        git("ls-files", "--error-unmatch", __file__)
        return git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None


def git(*arguments: str) -> str:
    """What git says in this file's folder."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()
