"""Claims about whole trainings, in miniature: the real command on digits, scored by the shipped classifier of digits."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SMALL = ["data=digits", "data.image_size=16", "model.width=8", "batch_size=32", "updates=300", "updates_per_epoch=300"]
QUIET = ["trainer=cpu", "trainer.enable_progress_bar=false", "callbacks=none", "metrics=classifier", "metrics.final=quick"]


@pytest.fixture
def fid(tmp_path):
    """The FID at the end of a training that is given as overrides of the command line."""

    def train(*overrides):
        name = "_".join(overrides)
        command = [sys.executable, "-m", "lit_gan.train", f"hydra.run.dir={tmp_path / name}", *overrides, *SMALL, *QUIET]
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return json.loads((tmp_path / name / "results.json").read_text())["final"]["scores"]["digits/fid"]

    return train
