"""The processes that decode images: what a small /dev/shm, a long TMPDIR and a kill do to a training."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lit_gan.data.module import lost_process

SIZE = 128
TINY = [f"data.image_size={SIZE}", "model.width=4", "batch_size=8", "updates=4", "updates_per_epoch=2"]
TINY += [
    "trainer.accelerator=cpu",
    "metrics=none",
    "callbacks=none",
    "data.in_memory=0",
    "data.pack=false",
    "workers=2",
]


@pytest.fixture
def photos(tmp_path):
    """Images of which a batch of eight takes 400 kB."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(24):
        pixels = np.random.default_rng(number).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def training(photos, *more):
    settings = [*TINY, "data=image_folder", f"data.root={photos}", f"hydra.run.dir={photos.parent / 'run'}"]
    return [sys.executable, "-m", "lit_gan.train", *settings, *more]


def run(command, **environment):
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=150, check=False
    )


def test_a_temporary_folder_with_a_long_name_does_not_stop_a_training(photos, tmp_path):
    """Sockets in it could not have a name; torch would wait for ever."""
    long = tmp_path / ("x" * 120)
    long.mkdir()
    done = run(training(photos), TMPDIR=str(long))
    assert done.returncode == 0, done.stderr
    assert "finished at update 4" in done.stdout


def can_mount():
    return subprocess.run(["unshare", "-mr", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not sys.platform.startswith("linux") or not can_mount(), reason="needs a mount of its own")
def test_a_small_shared_memory_does_not_stop_a_training(photos):
    """Of 256 kB, less than one batch."""
    mount = 'mount -t tmpfs -o size=256k tmpfs /dev/shm && exec "$0" "$@"'
    done = run(["unshare", "-mr", "sh", "-c", mount, *training(photos)])
    assert done.returncode == 0, done.stderr
    assert "finished at update 4" in done.stdout


@pytest.mark.skipif(not sys.platform.startswith("linux") or not can_mount(), reason="needs a mount of its own")
def test_processes_that_cannot_be_started_are_one_sentence(photos):
    """A full /dev/shm has no room for their semaphores either."""
    mount = 'mount -t tmpfs -o ro tmpfs /dev/shm && exec "$0" "$@"'
    done = run(["unshare", "-mr", "sh", "-c", mount, *training(photos)])
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "lit_gan: workers=2: no process that reads images can be started" in done.stderr


KILLS = """
import os, signal, sys
from lit_gan.data import source
whole = source.as_pixels
def as_pixels(image, *rest):
    if os.getppid() == int(os.environ["TRAINING"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(image, *rest)
os.environ["TRAINING"] = str(os.getpid())
source.as_pixels = as_pixels
from lit_gan.train import main
sys.argv[0] = "train"
main()
"""


def test_a_process_that_is_killed_is_one_sentence(photos):
    done = run([sys.executable, "-c", KILLS, *training(photos)[3:]])
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "lit_gan: workers=2: one of the processes that read images was killed" in done.stderr


def test_other_errors_are_not_taken_for_a_lost_process():
    assert lost_process(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), 2) is None
