"""The built wheel, installed elsewhere and used from another folder."""

import json
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


DOORS = """
import json, runpy, sys
for module, *arguments in json.loads(sys.argv[1]):
    sys.argv = [module, *arguments]
    runpy.run_module(f"lit_gan.{module}", run_name="__main__", alter_sys=True)
"""


def run(site: Path, folder: Path, *commands: list[str]) -> subprocess.CompletedProcess:
    """Modules of the wheel, which PYTHONPATH puts before the checkout; -P keeps the present folder off the path.

    One interpreter runs them one after the other: a new one takes five seconds to import PyTorch.
    """
    command = [sys.executable, "-P", "-c", DOORS, json.dumps(commands)]
    environment = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_trains_evaluates_and_samples_from_another_folder(site, tmp_path):
    tiny = ["model.width=4", "batch_size=8", "updates=2", "metrics.final=quick", "protocol.quick.generated=16"]
    trained = ["train", *tiny, "hydra.run.dir=here", "loss=hinge"]
    done = run(site, tmp_path, trained, ["sample", "run=here", "n=3"], ["report", "here"])
    assert done.returncode == 0, done.stderr
    assert "</html>" in (tmp_path / "here" / "report" / "report.html").read_text()
    assert (tmp_path / "here" / "samples" / "000002.png").is_file()
    assert (tmp_path / "here" / "generated" / "images" / "00002.png").is_file()


def test_has_its_sweeps(site, tmp_path):
    composed = run(site, tmp_path, ["train", "sweep=digits_regularizers", "--cfg", "hydra", "-p", "hydra.mode"])
    assert "MULTIRUN" in composed.stdout, composed.stderr


def test_runs_the_wheel_and_not_the_checkout(site, tmp_path):
    shown = run(site, tmp_path, ["train", "--info", "searchpath"])
    assert str(ROOT) not in shown.stdout
