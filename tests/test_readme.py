"""The commands and examples of README and docs/ are run as they stand there, made small."""

import re
import shlex
import shutil
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import hydra
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from lit_gan.cli.launch import launch
from lit_gan.cli.resolvers import register_resolvers
from lit_gan.tasks.train import train

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").replace(" \\\n        ", " ") for path in FILES}
LINES = [
    (name, line.split("   #")[0].strip())
    for name, page in PAGES.items()
    for line in re.findall(r"^    (python -m lit_gan.*)$", page, re.MULTILINE)
]
COMMANDS = list(dict.fromkeys(line for _, line in LINES if "--config-dir" not in line))
OWN = [(name, line) for name, line in LINES if "lit_gan.train --config-dir" in line]
SMALL = ["++model.width=4", "batch_size=4", "trainer.accelerator=cpu", "protocol.quick.generated=16"]
SMALL += ["protocol.quick.inception_score=16", "protocol.full.generated=16", "protocol.full.inception_score=16"]
SMALL += ["protocol.quick.real=64", "protocol.full.real=64"]
SHORT = {
    "train": [*SMALL, "trainer.fast_dev_run=true", "apart=false"],
    "evaluate": SMALL[3:],
    "sample": ["interpolations=1"],
    "analyze": [],
    "export": [],
    "explore": [],
    "classify": ["updates=2", "output=classifier.pt"],
    "score": ["generated=16", "protocol.full.real=16", "protocol.modern.real=16"],
    "pack": [],
    "options": [],
    "status": [],
    "report": [],
}
INSTEAD_OF_PHOTOGRAPHS = ["data=digits", "data.image_size=32", "data.channels=3", "metrics=none"]
MORE = {
    "hub=USER/NAME": ["hub=null"],
    "experiment=sngan_cifar10": ["data=digits", "metrics=none"],
    "hydra.run.dir=NEW": ["updates=6"],
    "resume=DIR": ["updates=4"],
    "analysis=[spectra,weights,neighbours]": ["analysis.neighbours.samples=8", "analysis.neighbours.images=64"],
    "analysis=authenticity": ["analysis.authenticity.samples=8", "analysis.authenticity.images=64"],
    "analysis=power_spectrum": ["analysis.power_spectrum.images=16"],
    "analysis=[truncation,sefa]": [
        "analysis.truncation.limits=[0.5]",
        "analysis.truncation.samples=16",
        "analysis.truncation.batch_norm=running",
        "analysis.sefa.directions=1",
        "analysis.sefa.samples=1",
    ],
    "loss=hinge,wasserstein": ["seed=0"],
    "updates=600": ["seed=0"],
    "sweep=sngan_fig1_cifar10": ["method=spectral_norm,weight_clipping", "optim=sngan_c", "seed=0"],
    "sweep=sngan_table2_cifar10": [
        *INSTEAD_OF_PHOTOGRAPHS,
        "method=spectral_norm",
        "optim=sngan_c",
        "seed=0",
    ],
    "sweep=sngan_fig11": [*INSTEAD_OF_PHOTOGRAPHS, "method=spectral_norm", "optim.n_dis=1,2", "seed=0"],
    "sweep=wgan_gp_toy": ["data=gaussians", "seed=0"],
    "images=samples.npz": ["data=digits", "data.channels=3", "metrics=classifier"],
    "images=CIFAR10_JPEG/test": ["images=SAMPLES", "data.root=PHOTOS", "data.image_size=64"],
    "sweep=DIR": ["generated=16", "jobs=1", "device=cpu"],
    "sweep=biggan_cifar10": ["method=reacgan,mhgan", "seed=0"],
    "sweep=augmentations_small_data": ["method=ada_digits,consistency_digits", "train_images=180", "seed=0"],
    "sweep=losses_modern": ["method=wgan_gp,relativistic_r1_r2", "seed=0"],
    "trainer=tf32": ["trainer.precision=32-true"],
    "hydra/sweeper=optuna": ["hydra.sweeper.n_trials=1"],
}
LONG = ("hydra/launcher=joblib", "hydra/launcher=submitit_local", "hydra/launcher=submitit_slurm", "hydra/launcher=ray")
"""Engines, which tests/test_grid.py runs."""
CURVES = {
    "reg=[spectral,drift]": "d/drift",
    "method=drift_gan": "d/drift",
    "loss=squared_hinge": "g/squared_hinge",
    "metrics=centre": "centre/distance",
    "callbacks=[default,weights]": "weights/g",
    "experiment=mine": "d/drift",
}
"""What a command with an example of a page logs."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the commands are typed: with the finished runs DIR and OTHER, PHOTOS in three forms and SAMPLES in two."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "PHOTOS").mkdir()
    (folder / "SAMPLES").mkdir()
    shutil.copytree(ROOT / "docs" / "results", folder / "docs" / "results")
    for number in range(40):
        Image.new("RGB", (70, 64), (number, 2 * number, 3 * number)).save(folder / "PHOTOS" / f"{number}.png")
        Image.new("RGB", (64, 64), (3 * number, number, number)).save(folder / "SAMPLES" / f"{number}.png")
    shutil.make_archive(str(folder / "PHOTOS"), "zip", folder, "PHOTOS")
    np.savez(folder / "PHOTOS.npz", images=np.zeros((40, 64, 64, 3), np.uint8))
    np.savez(folder / "samples.npz", np.zeros((40, 32, 32, 3), np.uint8))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train", *SMALL, "updates=2", "hydra.run.dir=DIR"])
        launch(train, "train")
    shutil.copytree(folder / "DIR", folder / "OTHER")
    return folder


@pytest.mark.parametrize("command", [command for command in COMMANDS if not any(engine in command for engine in LONG)])
def test_command(command, folder, monkeypatch):
    monkeypatch.chdir(folder)
    sweep = re.search(r"lit_gan\.(?:status|report) runs/(\S+)", command)
    if sweep and not Path("runs", sweep[1]).exists():
        run_small(sweep_into(sweep[1]), monkeypatch)
    run_small(command, monkeypatch)


@pytest.mark.parametrize("command", [command for command in COMMANDS if any(engine in command for engine in LONG)])
def test_command_of_many_cells_composes(command):
    register_resolvers()
    words = [word for word in shlex.split(command)[3:] if word != "--multirun"]
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        config = hydra.compose("train", [re.sub(",.*", "", word) for word in words], return_hydra_config=True)
    assert f"hydra/launcher={config.hydra.runtime.choices['hydra/launcher']}" in words


def run_small(command, monkeypatch):
    """Runs a command of a page with few updates of small networks."""
    _, _, module, *arguments = shlex.split(command)
    name = module.removeprefix("lit_gan.")
    small = [] if {"--help", "resume=DIR"} & set(arguments) else SHORT[name]
    more = next((more for key, more in MORE.items() if key in arguments), [])
    monkeypatch.setattr(sys, "argv", [name, *arguments, *small, *more])
    if name == "explore":  # a window stays open; tests/test_window.py clicks in it
        pytest.importorskip("gradio", reason="needs Gradio: pip install 'lit_gan[explore]'")
        monkeypatch.setattr("lit_gan.tasks.explore.serve", lambda *_: None)
    assert not exit_code(import_module(module).main)


def sweep_into(name):
    """The command of a page whose sweep lies in runs/NAME."""
    words = [f"hydra.sweep.dir=runs/{name}"], [f"sweep={name.removesuffix('-small')}", "scale=small"]
    return next(line for line in COMMANDS if any(set(some) <= set(line.split()) for some in words))


def exit_code(main):
    """How a command ends: None, a number, or the sentence of a refusal."""
    try:
        main()
    except SystemExit as end:
        return end.code
    return None


def test_there_are_commands():
    assert len(COMMANDS) > 10
    assert 60 <= len(TEXT.splitlines()) <= 90


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^    |`)make (\w+)", "\n".join(PAGES.values()), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES)
def test_files_named_exist(page):
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", PAGES[page]):
        assert (ROOT / page).parent.joinpath(name).exists(), name
    for name in re.findall(r"`((?:src|conf|docs|tests)/[\w/]+\.\w+)`", PAGES[page]):
        assert (ROOT / name).exists(), name


def test_the_claims_are_counted():
    rows = re.findall(r"^\|.*\| (yes|no)\b[^|]*\|$", PAGES["docs/claims.md"], re.MULTILINE)
    assert f"{rows.count('yes')} of {len(rows)} hold" in TEXT


def write_examples(page, folder, monkeypatch):
    """Writes the Python and YAML files that a page shows after their names, where a command of it looks for them."""
    shown = re.findall(r"`([\w/]+\.(?:py|yaml))`:\n\n((?:    .*\n|\n)+)", PAGES[page])
    for name, block in shown:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(block))
        monkeypatch.delitem(sys.modules, Path(name).stem, raising=False)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    return [name for name, _ in shown]


@pytest.mark.parametrize(("page", "command"), OWN)
def test_a_method_of_ones_own(page, command, tmp_path, monkeypatch):
    assert write_examples(page, tmp_path, monkeypatch)
    arguments = shlex.split(command)[3:]
    length = ["updates=2", "updates_per_epoch=2", "trainer.log_every_n_steps=1", "hydra.run.dir=run"]
    if not any(word.startswith("metrics") for word in arguments):
        length.append("metrics=none")
    monkeypatch.setattr(sys, "argv", ["train", *arguments, *SMALL, *length])
    launch(train, "train")
    columns = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {CURVES[word] for word in arguments if word in CURVES} <= set(columns)


def test_an_analysis_of_ones_own(folder, monkeypatch):
    write_examples("docs/extending.md", folder, monkeypatch)
    (command,) = (line for _, line in LINES if "lit_gan.analyze --config-dir" in line)
    run_small(command, monkeypatch)
    assert (folder / "DIR" / "analysis" / "spread.csv").read_text().startswith("number,spread\n0,")


def test_an_argument_out_of_its_range(tmp_path, monkeypatch):
    write_examples("docs/extending.md", tmp_path, monkeypatch)
    (sentence,) = re.findall(r"^    (lit_gan: .*)$", PAGES["docs/extending.md"], re.MULTILINE)
    setting = re.match(r"lit_gan: (\S+)", sentence)[1]
    words = ["--config-dir", "mine", "data=moons", "model=silu", "metrics=modes", setting]
    monkeypatch.setattr(sys, "argv", ["train", *words])
    with pytest.raises(SystemExit, match=f"^{re.escape(sentence)}$"):
        launch(train, "train")


def test_python(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (code,) = re.findall(r"^    import lit_gan\n(?:    .*\n|\n)+", PAGES["docs/getting-started.md"], re.MULTILINE)
    names = {}
    exec(textwrap.dedent(code), names)
    assert names["images"].shape == (16, 1, 32, 32)
    assert names["curves"]["d/hinge"]


def test_notebook(folder):
    pages = folder / "docs"
    shutil.copytree(folder / "DIR", folder / "runs" / "first")
    notebook = nbformat.read(ROOT / "docs" / "quickstart.ipynb", as_version=4)
    stored = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(pages)}}).execute()
    assert sum(map(bool, stored)) == 5
