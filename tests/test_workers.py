"""The processes that decode images: what a small /dev/shm, a long TMPDIR and a kill do to a training."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from forks import run_fork
from lit_gan.data import source
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


def settings(photos):
    return [*TINY, "data=image_folder", f"data.root={photos}", f"hydra.run.dir={photos.parent / 'run'}"]


def run_train(photos, **more):
    return run_fork(photos.parent, "train", *settings(photos), **more)


def test_a_temporary_folder_with_a_long_name_does_not_stop_a_training(photos, tmp_path):
    """Sockets in it could not have a name; torch would wait for ever."""
    long = tmp_path / ("x" * 120)
    long.mkdir()
    done = run_train(photos, TMPDIR=str(long))
    assert done.returncode == 0, done.stderr
    assert "finished at update 4" in done.stdout


def run_with_shared_memory(photos, options):
    """Trains with a /dev/shm of its own, for which an interpreter of its own must ask: a fork may have threads."""
    mount = f'mount -t tmpfs -o {options} tmpfs /dev/shm && exec "$0" "$@"'
    command = ["unshare", "-mr", "sh", "-c", mount, sys.executable, "-m", "lit_gan.train", *settings(photos)]
    return subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)


def can_mount():
    return subprocess.run(["unshare", "-mr", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not sys.platform.startswith("linux") or not can_mount(), reason="needs a mount of its own")
def test_a_small_shared_memory_does_not_stop_a_training(photos):
    """Of 256 kB, less than one batch."""
    done = run_with_shared_memory(photos, "size=256k")
    assert done.returncode == 0, done.stderr
    assert "finished at update 4" in done.stdout


@pytest.mark.skipif(not sys.platform.startswith("linux") or not can_mount(), reason="needs a mount of its own")
def test_processes_that_cannot_be_started_are_one_sentence(photos):
    """A full /dev/shm has no room for their semaphores either."""
    done = run_with_shared_memory(photos, "ro")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "lit_gan: workers=2: no process that reads images can be started" in done.stderr


def kill_readers():
    """Lets each process that this one will start die at its first image."""
    whole, training = source.as_pixels, os.getpid()

    def as_pixels(image, *rest):
        if os.getppid() == training:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(image, *rest)

    source.as_pixels = as_pixels


def test_a_process_that_is_killed_is_one_sentence(photos):
    done = run_train(photos, first=kill_readers)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "lit_gan: workers=2: one of the processes that read images was killed" in done.stderr


def test_other_errors_are_not_taken_for_a_lost_process():
    assert lost_process(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), 2) is None
