"""The built wheel, installed elsewhere and used from another folder."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with nothing but the wheel's content; the dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder / "site")]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    return folder / "site"


def run(site: Path, folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess:
    """A module of the wheel, which PYTHONPATH puts before the checkout; -P keeps the present folder off the path."""
    command = [sys.executable, "-P", "-m", f"lit_gan.{module}", *arguments]
    environment = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_trains_evaluates_and_samples_from_another_folder(site, tmp_path):
    tiny = ["model.width=4", "batch_size=8", "updates=2", "metrics.final=quick", "protocol.quick.generated=16"]
    trained = run(site, tmp_path, "train", *tiny, "hydra.run.dir=here", "loss=hinge")
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "here" / "samples" / "000002.png").is_file()
    sampled = run(site, tmp_path, "sample", "run=here", "n=3")
    assert sampled.returncode == 0, sampled.stderr
    assert (tmp_path / "here" / "generated" / "images" / "00002.png").is_file()


def test_has_its_sweeps(site, tmp_path):
    composed = run(site, tmp_path, "train", "sweep=digits_regularizers", "--cfg", "hydra", "-p", "hydra.mode")
    assert "MULTIRUN" in composed.stdout, composed.stderr


def test_runs_the_wheel_and_not_the_checkout(site, tmp_path):
    shown = run(site, tmp_path, "train", "--info", "searchpath")
    assert str(ROOT) not in shown.stdout
