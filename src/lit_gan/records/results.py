"""`results.json`: what a run did, for people and for later tools. docs/runs.md and `Results`
document its keys."""

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

from lit_gan.errors import reason_of
from lit_gan.records.files import Damaged, Unwritable, read_json, write_texts
from lit_gan.records.layout import results_path
from lit_gan.records.lock import sole_use
from lit_gan.records.trace import fingerprint

Record = dict[str, Any]
"""One evaluation, see `Results`."""
RunRecord = dict[str, Any]
"""The whole content of a `results.json`."""
TIME_LIMIT = "trainer.max_time"
"""What `stopped_by` says where the time of a training was over, all starts of the run together."""
PACKAGES = ("lit_gan", "torch", "torchvision", "lightning", "torchmetrics", "torch-fidelity", "hydra-core")


class Results:
    """The file and its content, with a method for everything that happens to a run.

    Keys:
        status: "running", "finished", "stopped" or "failed"; error: the sentence, or null;
            stopped_by: the setting or callback that ended the training early, null for Ctrl-C and
            other signals.
        updates, updates_planned: in generator updates.
        course: one record for each evaluation during training.
        final: the record of the evaluation after the last update, or null.
        best: {"metric", "value"} of the course since that metric has decided under that protocol,
            with that record's "update", "scores", "protocol", "weights"; or null.
            `checkpoints/best.ckpt` is of that update.
        evaluations: records made later by `lit_gan.evaluate`.
        seconds: {"training", "evaluation"}; updates_per_second and images_per_second (real images)
            of training alone.
        class_names: of the classes by their numbers, or null where they have none.
        parent: of a branch, the run that it began in, as {"directory", "run_id", "checkpoint",
            "update"}; of one with `init` the run whose networks it began with, and "taken":
            "networks"; else null.
        device, precision (of the training: "32-true", "tf32", "bf16-mixed" and so on), seed, choices
            (the option of each config group), overrides, versions, git_commit.
        warnings: sentences: where the run departs from what the paper of its method prescribes, and
            what its end shows of a collapse (losses beyond 1e6, a monitored score far worse than
            its best, samples that are all alike).

    A record is {"update", "checkpoint", "weights" ("raw" or "ema"), "ema" (the average's "decay",
    or the "half_life" that `callbacks.annealing` moves over so many "updates", and its "warm_up" or
    its "start"; null for raw weights), "scores" {name: value}, "protocol" (all
    of it, with the extractor, the data and the numbers that were used), "ends" {name: "min" or
    "max", the good end of a score}, "classes" {short name: its value within each class, from the
    first on, null where a class has none; empty but in `evaluations` of a G that looks at labels},
    "caveats" {name: why a score cannot bear comparison}, "seconds"}.
    """

    def __init__(self, directory: Path):
        self.path = results_path(directory)
        self.started = False
        self.load()

    def load(self) -> None:
        """Reads the file, or starts empty if there is none."""
        self.known = fingerprint(self.path)
        self.content = read_results(self.path) if self.path.exists() else {}

    def start(self, update: int, texts: Mapping[Path, str] | None = None, **facts: Any) -> None:
        """Begins or resumes a run at a generator update: what was recorded after it is forgotten.

        Args:
            texts: the contents of other files, which are written together with this one, or none of
                them.
            facts: the keys of the file that are known at the start, as "seed" and "device".
        """
        self.content = {
            "status": "running",
            "error": None,
            "stopped_by": None,
            "parent": self.content.get("parent"),
            "updates": update,
            **records_until(self.content, update),
            "seconds": {"training": 0.0, "evaluation": 0.0},
            **facts,
            "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
            "git_commit": git_commit(),
        }
        self.save(texts)
        self.started = True

    @rank_zero_only
    def save(self, texts: Mapping[Path, str] | None = None) -> None:
        """Writes the file, from the first process, and others with it."""
        self.write(texts)

    def write(self, texts: Mapping[Path, str] | None = None) -> None:
        """Replaces the file, from whichever process calls, and others with it."""
        write_texts({**(texts or {}), self.path: json.dumps(without_nan(self.content), indent=2) + "\n"})
        self.known = fingerprint(self.path)

    def progress(self, update: int, rates: Mapping[str, Any] | None = None) -> None:
        """Notes that training has come to a generator update; on disk with the next save.

        Args:
            rates: "seconds", "updates_per_second" and "images_per_second".
        """
        self.content |= {"updates": update, **(rates or {})}

    def add_to_course(self, record: Record, metric: str, mode: str) -> None:
        """Adds a record of an evaluation during training; on disk with the next save.

        It becomes the best one if its value of `metric` is, for which `mode` says the good end,
        "min" or "max". One of another metric, or under another protocol, is no rival.
        """
        self.content["course"].append(record)
        value, best = record["scores"].get(metric), self.content["best"]
        rival = best["value"] if best and best["metric"] == metric and same_protocol(best, record) else None
        if is_finite(value) and (rival is None or (value < rival if mode == "min" else value > rival)):
            kept = {key: record[key] for key in KEPT_OF_BEST if key in record}
            self.content["best"] = {"metric": metric, "value": value, **kept}

    def add_final(self, record: Record, rates: Mapping[str, Any]) -> None:
        """Adds the record of the evaluation after the last update; on disk with the next save."""
        self.content |= {"final": record, **rates}

    def forget_final(self) -> None:
        """Takes away the final record of a run that has trained on, so that its update is no longer
        the last."""
        self.content["final"] = None

    def add_warnings(self, sentences: list[str]) -> None:
        """Adds sentences to the warnings; on disk with the next save."""
        self.content["warnings"] += sentences

    def add_evaluation(self, record: Record) -> None:
        """Adds a record of `lit_gan.evaluate` to the file, which other processes may have changed
        meanwhile.

        Raises:
            InUse: the run is being trained, so that the file would be written over.
        """
        with sole_use(self.path.parent):
            self.load()
            self.content.setdefault("evaluations", []).append(record)
            self.save()

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Sets the status by the error that ends the block; before a SystemExit somebody has set it
        already."""
        try:
            yield
        except SystemExit:
            raise
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt)
            with suppress(Unwritable):  # of two errors the first is the one to tell
                self.close("stopped" if stopped else "failed", None if stopped else reason_of(error))
            raise

    def stop(self, update: int, by: str | None, rates: Mapping[str, Any]) -> None:
        """Sets the status of a run that was saved at a generator update and has ended early.

        Args:
            by: the setting or callback that has ended it; None for a signal.
        """
        self.content |= {"updates": update, "stopped_by": by, **rates}
        self.close("stopped")

    def close(self, status: str, error: str | None = None) -> None:
        """Sets the status of a run that has started; one that was refused is left as it was."""
        if self.started:
            self.content |= {"status": status, "error": error}
            self.save()

    def mark_failed(self, error: str) -> None:
        """Sets the status "failed" on disk, for a process that has no records of its own."""
        old = read_results(self.path) if self.path.exists() else EMPTY
        self.content = old | {"status": "failed", "error": error}
        self.write()

    def failure(self) -> str | None:
        """The sentence with which another process has marked the run as failed since this one has
        read or written the file; None if there is none."""
        if fingerprint(self.path) == self.known:
            return None
        content = read_results(self.path)
        return content["error"] if content["status"] == "failed" else None


def read_results(path: Path) -> RunRecord:
    """The content of a `results.json`.

    Raises:
        Damaged: it cannot be read, or parts are missing.
    """
    content = read_json(path, set(), REMEDY)
    if not is_complete(content):
        raise Damaged(path, "parts are missing", REMEDY)
    return content


REMEDY = "repair it, or delete it to go on without the scores recorded so far"

EMPTY = {"updates": 0, "course": [], "final": None, "best": None, "seconds": {"training": 0.0, "evaluation": 0.0}}
"""The content for a run that has ended before its first record."""

KEPT_OF_BEST = ("update", "scores", "protocol", "weights", "caveats")
"""The keys of a record that "best" keeps."""


def is_complete(content: RunRecord) -> bool:
    """Whether every record has its update and scores, and a run with a status has what `EMPTY`
    has."""
    try:
        records = [*content.get("course", []), *content.get("evaluations", [])]
        whole = all(isinstance(record["update"], int) and isinstance(record["scores"], dict) for record in records)
    except (KeyError, TypeError):
        return False
    return whole and ("status" not in content or content.keys() >= EMPTY.keys())


def records_until(content: RunRecord, update: int) -> RunRecord:
    """The entries of a run's earlier content that still hold when it is resumed at a generator
    update."""
    best, final = content.get("best"), content.get("final")
    return {
        "course": [record for record in content.get("course", []) if record["update"] <= update],
        "final": final if final and final["update"] <= update else None,
        "best": best if best and best["update"] <= update else None,
        "evaluations": [record for record in content.get("evaluations", []) if record["update"] <= update],
    }


def same_protocol(one: Record, other: Record) -> bool:
    """Whether two records were measured in the same way; one of an early version, which does not say
    how, is taken to be."""
    return "protocol" not in one or one["protocol"] == other.get("protocol")


def is_finite(value: float | None) -> bool:
    """Whether there is a value, and a finite one."""
    return value is not None and math.isfinite(value)


def without_nan(value: Any) -> Any:
    """A value with null in place of NaN and the infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {name: without_nan(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def git_commit() -> str | None:
    """The commit of the source tree that runs, or None if no repository tracks this very file."""
    try:
        git("ls-files", "--error-unmatch", __file__)
        return git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None


def git(*arguments: str) -> str:
    """What git prints in this file's folder."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()
