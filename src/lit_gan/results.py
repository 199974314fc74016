"""`results.json`: what a run did, for people and for later tools. README and `Results` document its keys."""

import json
import math
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_only

Record = dict[str, Any]
PACKAGES = ("lit_gan", "torch", "torchvision", "lightning", "torchmetrics", "torch-fidelity", "hydra-core")


class Results:
    """The file and its content. Every change is on disk, complete, before the call returns.

    Keys:
        status: "running", "finished", "stopped" (by Ctrl-C or SIGTERM) or "failed"; error: the sentence, or null.
        updates, updates_planned: in generator updates.
        course: one record for each evaluation during training.
        final: the record of the evaluation after the last update, or null.
        best: {"metric", "value", "update"} over the course, or null.
        evaluations: records made later by `lit_gan.evaluate`.
        seconds: {"training", "evaluation"}; updates_per_second and images_per_second (real images) of training alone.
        device, seed, choices (the option of each config group), overrides, versions, git_commit.

    A record is {"update", "checkpoint", "weights" ("raw" or "ema"), "scores" {name: value}, "protocol" (all of it,
    with the extractor, the data and the actual numbers of images), "seconds"}.
    """

    def __init__(self, directory: Path):
        self.path = directory / "results.json"
        self.content: Record = json.loads(self.path.read_text()) if self.path.exists() else {}

    def start(self, update: int, **facts: Any) -> None:
        """Begins or resumes at a generator update: what was recorded after it is forgotten."""
        old = self.content
        kept = [record for record in old.get("course", []) if record["update"] <= update]
        self.content = {
            "status": "running",
            "error": None,
            "updates": update,
            "course": kept,
            "final": None,
            "best": None,
            "evaluations": [record for record in old.get("evaluations", []) if record["update"] <= update],
            "seconds": {"training": 0.0, "evaluation": 0.0},
            **facts,
            "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
            "git_commit": git_commit(),
        }
        self.save()

    @rank_zero_only
    def save(self) -> None:
        """Writes the file under another name and renames it."""
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(clean(self.content), indent=2) + "\n")
        os.replace(temporary, self.path)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Whatever ends the block decides the status."""
        try:
            yield
        except KeyboardInterrupt:
            self.close("stopped")
            raise
        except BaseException as error:
            self.close("failed", str(error))
            raise

    def close(self, status: str, error: str | None = None) -> None:
        """Sets the status."""
        self.content |= {"status": status, "error": error}
        self.save()

    def choose_best(self, metric: str, mode: str) -> None:
        """Notes the best value of a metric over the course; mode is "min" or "max"."""
        points = [
            (record["scores"][metric], record["update"])
            for record in self.content["course"]
            if math.isfinite(record["scores"].get(metric, math.nan))
        ]
        if points:
            value, update = (min if mode == "min" else max)(points, key=lambda point: point[0])
            self.content["best"] = {"metric": metric, "value": value, "update": update}


def clean(value: Any) -> Any:
    """JSON has no NaN and no infinity: null stands for them."""
    if isinstance(value, dict):
        return {name: clean(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [clean(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def git_commit() -> str | None:
    """The commit of the source tree that runs, or null outside a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
