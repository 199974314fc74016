"""Shapes and types of the vocabulary are checked while the tests run; small players whose numbers fit on paper."""

import copy
import gc
import importlib.metadata
import os
import shutil
from functools import cache
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # for each worker and its processes: sums depend on it
importlib.metadata.entry_points = cache(importlib.metadata.entry_points)  # each of Lightning's Trainers reads them anew

import jaxtyping  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from beartype import BeartypeConf, beartype  # noqa: E402

CHECKED = ["lit_gan.game", "lit_gan.losses", "lit_gan.models", "lit_gan.reg"]
checker = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float
jaxtyping.install_import_hook(CHECKED, f"{__name__}.checker")

import hydra  # noqa: E402
import lit_gan.conf  # noqa: E402
from hydra._internal.hydra import Hydra  # noqa: E402
from hydra._internal.sources_registry import SourcesRegistry  # noqa: E402
from hydra.core.plugins import Plugins  # noqa: E402
from torch import nn  # noqa: E402

from lit_gan import game  # noqa: E402
from lit_gan.cli.resolvers import register_resolvers  # noqa: E402
from lit_gan.data import image_source  # noqa: E402

Plugins.instance()  # registers what reads files of a package
PackageSource = SourcesRegistry.instance().resolve("pkg")
read_config, configs = PackageSource.load_config, {}


def read_config_once(source, config_path):
    """A file of conf/, which Hydra would parse twice in each command: a quarter of what a refusal takes."""
    place = (source.provider, source.path, config_path)
    if place not in configs:
        configs[place] = read_config(source, config_path)
    return copy.deepcopy(configs[place])


PackageSource.load_config = read_config_once
find_mode = Hydra.get_mode


def find_mode_of_sweeps(hydra, config_name, overrides):
    """Whether the config asks for many runs, for which Hydra composes it once more; nothing but a sweep asks."""
    asks = any(word.lstrip("+").startswith(("sweep=", "hydra.mode=MULTIRUN")) for word in overrides)
    return find_mode(hydra, config_name, overrides) if asks else None


Hydra.get_mode = find_mode_of_sweeps
decode, digits = image_source.decode, {}


def decode_digits_once(files):
    """The digits, on which most tests train and which none changes; other pictures are decoded each time."""
    if getattr(files.pictures, "where", None) != "data=digits":
        return decode(files)
    how = (files.shape, files.labelled, files.pad)
    if how not in digits:
        digits[how] = decode(files)
    return digits[how]


image_source.decode = decode_digits_once


class AffineG(game.Generator):
    """Points z A^T + b."""

    def __init__(self, shape=(2,), z_dim=2, prior="normal"):
        super().__init__(shape, z_dim, prior)
        self.dense = nn.Linear(z_dim, shape[0])

    def forward(self, z, y=None):
        return self.dense(z)


class LinearD(game.Discriminator):
    """D(x) = <w, x> + c over all dimensions of a sample."""

    def __init__(self, w):
        super().__init__()
        self.body, self.head = nn.Flatten(), nn.Linear(len(w), 1)
        with torch.no_grad():
            self.head.weight.copy_(torch.as_tensor(w)[None])


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run what takes minutes, too")
    parser.addoption("--claims", metavar="FILE", help="write the table of claims to FILE")


LONG = {"claims", "test_compile.py", "test_epoch_end.py", "test_extension.py", "test_grid.py", "test_loggers.py"}
LONG |= {"test_explore.py", "test_export.py", "test_export_models.py", "test_hub.py"}
LONG |= {"test_package.py", "test_processes.py", "test_readme.py", "test_refusals.py", "test_score_cells.py"}
LONG |= {"test_signals.py", "test_streams.py", "test_watching.py", "test_workers.py"}
"""Claims, and files whose tests are whole commands, most of them in processes of their own."""


def pytest_collection_modifyitems(config, items):
    """What needs a GPU is skipped and counted without one, what takes minutes without --slow."""
    for item in items:
        if LONG & {item.path.name, item.path.parent.name}:
            item.add_marker("long")
    skipped = {} if torch.cuda.is_available() else {"gpu": "needs a CUDA device"}
    skipped |= {} if config.getoption("--slow") else {"slow": "takes minutes: --slow runs it"}
    for item in items:
        for marker, reason in skipped.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish():
    """What has been imported stays: looking through it again and again for garbage took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def no_curves():
    """For tests of other things: runs do not draw their curves, which takes longer than a few updates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lit_gan.callbacks.curves_figure.save_training_curves", lambda *_: None)
        yield


@pytest.fixture
def locked(monkeypatch):
    """Takes the right to list a folder away, from root too: locked(folder)."""
    scandir = os.scandir

    def lock(folder):
        def scan(path="."):
            if Path(os.fspath(path)) == folder:
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", scan)

    return lock


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium or Chrome that Selenium drives, one for all tests; they are skipped where there is none."""
    program = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    driver = shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("needs a browser: chromium or google-chrome, with chromedriver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--window-size=1100,1400",
    ):
        options.add_argument(flag)
    started = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield started
    started.quit()


@pytest.fixture
def affine_g():
    """The class of generators z A^T + b."""
    return AffineG


@pytest.fixture
def linear_d():
    """The class of discriminators <w, x> + c."""
    return LinearD


@pytest.fixture
def make_turn():
    """A turn of a player on given samples: make_turn("d", D, x_real, x_fake)."""

    def make(player, D, x_real, x_fake=None):
        n = len(x_real)
        turn = game.Turn(player, AffineG(), D, x_real, torch.zeros(n, dtype=torch.long), torch.randn(n, 2))
        if x_fake is not None:
            turn.x_fake = x_fake
        return turn

    return make


@pytest.fixture
def compose():
    """A training config: compose("model=mlp", "reg=[spectral]")."""

    def make(*overrides):
        register_resolvers()
        with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
            return hydra.compose("train", list(overrides))

    return make


def choices(group):
    """The choices of a config group."""
    return sorted(path.stem for path in (Path(lit_gan.conf.__file__).parent / group).glob("[!_]*.yaml"))


def pytest_generate_tests(metafunc):
    """A test that asks for `<group>_choice` runs once for every YAML file of that config group."""
    for name in metafunc.fixturenames:
        if name.endswith("_choice"):
            metafunc.parametrize(name, choices(name.removesuffix("_choice")))
