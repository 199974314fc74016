"""Sweeps: cells have their places, survive what may happen, and give the same numbers whatever runs them."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import hydra
import pytest
import torch
from omegaconf import OmegaConf

from forked_sweeps import ForkedSweep
from lit_gan.cli.arguments import complete_arguments
from lit_gan.cli.mistakes import unknown_choice
from lit_gan.errors import UserError
from lit_gan.overrides import parse_overrides, swept_keys
from lit_gan.records.lock import in_use, sole_use
from lit_gan.reporting.findings import sweep_command
from lit_gan.sweep import cell_process
from lit_gan.sweep.cell_config import cell_config_path
from lit_gan.sweep.cells import Cell, read_cells
from lit_gan.sweep.devices import free_device
from lit_gan.sweep.overview import read_run_or_cells
from lit_gan.sweep.plan import add_to_plan, as_path_part, cell_name, cells_of, check_axes, single_settings
from lit_gan.sweep.same_cell import check_same_cell
from lit_gan.tasks.cells_view import cells_view, print_whole

TINY = ["model=dcgan", "model.width=4", "data.image_size=16", "updates_per_epoch=2", "metrics=none", "trainer=cpu"]
GRID = ["--multirun", *TINY, "reg=[],[spectral]", "updates=6", "hydra.sweep.dir=grid"]


def start(folder, *arguments):
    """A training command that runs on its own, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "lit_gan.train", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def sweep(folder, *arguments, start=ForkedSweep):
    """The exit code and the output of a training command."""
    process = start(folder, *arguments)
    output, _ = process.communicate(timeout=250)
    return process.returncode, output


def weights(folder):
    """The last weights of each cell."""
    return {
        cell.name: torch.load(cell.directory / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for cell in read_cells(folder)
    }


def check_same(folder, other):
    """Both sweeps have come to the same weights in the same cells, bit for bit."""
    ours, theirs = weights(folder), weights(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert all(torch.equal(ours[name][key], theirs[name][key]) for key in ours[name]), name


def ends(folder):
    """How often each cell was trained to its end."""
    logs = {cell.name: (cell.directory / "output.log").read_text() for cell in read_cells(folder)}
    return {name: text.count("update 6/6") for name, text in logs.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A finished sweep of two cells."""
    folder = tmp_path_factory.mktemp("undisturbed")
    code, output = sweep(folder, *GRID)
    assert code == 0, output
    return folder / "grid"


@pytest.mark.parametrize(
    ("overrides", "axes", "name"),
    [
        (["reg=[]", "seed=0", "updates=5"], ["reg", "seed"], "reg=none/seed=0"),
        (["seed=0", "reg=[spectral,layer_norm]"], ["reg", "seed"], "reg=spectral+layer_norm/seed=0"),
        (["+reg.spectral.factor=2.0"], ["reg.spectral.factor"], "reg.spectral.factor=2.0"),
        (["data.root=/a/b c"], ["data.root"], "data.root=_a_b_c"),
        (["seed=1"], [], "all"),
    ],
)
def test_a_cell_is_named_by_what_it_varies(overrides, axes, name):
    assert cell_name(overrides, axes) == name


def test_a_place_needs_no_quotes():
    assert re.fullmatch(r"[\w.+:-]+", as_path_part("""['a','b "c"/d']"""))


def test_cells_that_an_axis_of_the_directory_would_not_name_are_refused(tmp_path):
    add_to_plan(tmp_path, None, ["reg", "seed"], {"reg=none/seed=0": 1})
    check_axes(tmp_path, ["seed", "reg", "loss"])
    check_axes(tmp_path / "new", ["seed"])
    with pytest.raises(UserError, match=r"a sweep over reg, seed, .*by reg: .*give reg two values"):
        check_axes(tmp_path, ["seed"])


@pytest.mark.parametrize(
    ("constant", "difference"),
    [
        ("model.width=5", "model.width=4, not with model.width=5"),
        ("optim.g.lr=.5", "optim.g.lr=0.0004, not with optim.g.lr=0.5"),
        ("updates=5", "updates=6, not with updates=5"),
    ],
)
def test_cells_with_other_constants_than_those_of_the_directory_are_refused(
    undisturbed, tmp_path, constant, difference
):
    shutil.copytree(undisturbed, tmp_path / "grid")
    code, output = sweep(tmp_path, *GRID, "reg=[layer_norm]", "axes=[reg]", constant)
    assert code != 0
    assert output.startswith("lit_gan: The cell in grid/reg=none was made with")
    assert difference in output
    assert not (tmp_path / "grid" / "reg=layer_norm").exists()


def test_cells_with_the_same_constants_are_added_however_they_are_trained(undisturbed, tmp_path):
    shutil.copytree(undisturbed, tmp_path / "grid")
    words = ["reg=[layer_norm]", "axes=[reg]", "updates=7", "workers=0", "metrics=none"]
    code, output = sweep(tmp_path, *GRID, *words)
    assert code == 0, output
    assert {cell.name: cell.results["updates"] for cell in read_cells(tmp_path / "grid")} == {
        "reg=none": 6,
        "reg=spectral": 6,
        "reg=layer_norm": 7,
    }


def test_the_command_of_a_report_names_directory_and_launcher(tmp_path):
    hydra = {
        "overrides": {"task": ["seed=0,1", "axes=[seed]"], "hydra": ["hydra.mode=MULTIRUN", "hydra/launcher=joblib"]}
    }
    hydra |= {"runtime": {"choices": {"sweep": None}, "config_sources": []}}
    OmegaConf.save(OmegaConf.create({"hydra": hydra}), tmp_path / "multirun.yaml")
    words = sweep_command(SimpleNamespace(directory=tmp_path)).split()
    assert words[-4:] == ["--multirun", "seed=0,1", "hydra/launcher=joblib", f"hydra.sweep.dir={tmp_path}"]
    hydra["runtime"]["choices"]["sweep"] = "fig1/small"
    hydra["overrides"]["task"].append("sweep=fig1/small")
    OmegaConf.save(OmegaConf.create({"hydra": hydra}), tmp_path / "multirun.yaml")
    assert sweep_command(SimpleNamespace(directory=tmp_path)).endswith("seed=0,1 sweep=fig1 hydra/launcher=joblib")


def test_axes_are_the_settings_with_several_values():
    assert swept_keys(["seed=0,1", "reg=[a,b]", "optim.d.lr=interval(0,1)", "updates=5"]) == [
        "seed",
        "optim.d.lr",
    ]


def test_finished_cells_are_skipped_and_new_ones_run(undisturbed):
    before = weights(undisturbed)
    code, output = sweep(undisturbed.parent, *GRID, "reg=[],[spectral],[weight_norm]")
    assert code == 0, output
    assert output.count("finished before") == 2
    assert output.count(": begins") == 1
    assert "3 finished" in output
    assert ends(undisturbed) == {"reg=none": 1, "reg=spectral": 1, "reg=weight_norm": 1}
    after = weights(undisturbed)
    assert all(torch.equal(before["reg=none"][key], after["reg=none"][key]) for key in before["reg=none"])


@pytest.mark.parametrize("change", [{"trainer": {"precision": "bf16-mixed"}}, {"loss": {"g_weight": 2}}])
def test_what_makes_another_cell(tmp_path, change):
    old = {"updates": 4, "scale": "paper", "trainer": {"devices": 1}, "loss": {"g_weight": 1, "clip": None}}
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save(OmegaConf.create(old), tmp_path / ".hydra" / "config.yaml")
    (tmp_path / "results.json").write_text("{}")
    same = {"updates": 8, "scale": "small", "trainer": {"devices": 2}, "loss": {"g_weight": 1}}
    same |= {"channels_last": True, "compile": False}  # settings that older sweeps do not have
    check_same_cell(tmp_path, OmegaConf.create(same))
    with pytest.raises(UserError, match="delete the cell"):
        check_same_cell(tmp_path, OmegaConf.merge(same, change))


def test_a_sweep_that_is_asked_to_stop_stops_however_its_cell_ends(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with (tmp_path / "log").open("w") as output, pytest.raises(KeyboardInterrupt):
        cell_process.run_until_end(["sleep", "60"], dict(os.environ), output)
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_reason_of_a_death_is_of_this_attempt(tmp_path):
    log = tmp_path / "output.log"
    log.write_text("lit_gan: d/hinge became nan.\n")
    spoken, cell = log.stat().st_size, Cell("cell", tmp_path, "failed", {})
    assert "SIGSEGV" in cell_process.reason_of_end(cell, -signal.SIGSEGV, spoken, None)
    assert "SIGSEGV" in json.loads((tmp_path / "results.json").read_text())["error"]
    log.write_text(log.read_text() + "lit_gan: no space.\n")
    (tmp_path / "results.json").unlink()
    assert cell_process.reason_of_end(cell, 1, spoken, None) == "no space."
    assert json.loads((tmp_path / "results.json").read_text())["error"] == "no space."


def test_a_refused_cell_with_results_is_left_as_it_was(tmp_path):
    results = {"status": "finished", "updates": 3, "course": [], "final": None, "best": None, "seconds": {}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    (tmp_path / "output.log").write_text("lit_gan: an older word.\n")
    (tmp_path / ".hydra").mkdir()
    cell_config_path(tmp_path).write_text("{}")
    before, spoken = content(tmp_path), (tmp_path / "output.log").stat().st_size
    with (tmp_path / "output.log").open("a") as log:
        log.write("starting\nlit_gan: workers=-1 must be 0 or more.\n")
    cell_config_path(tmp_path).write_text('{"workers": -1}')
    cell = Cell("cell", tmp_path, "finished", results)
    assert cell_process.reason_of_end(cell, 1, spoken, b"{}") == "workers=-1 must be 0 or more."
    assert content(tmp_path) == before


def content(folder):
    """Every file below a folder, but what Hydra itself notes of each start."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "multirun.yaml")
    return {path.relative_to(folder): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["batch_size=32"], "was made with batch_size=64, not with batch_size=32: delete the cell, or"),
        (["reg=[],[spectral],[r1]", "data.image_size=8"], "image_size"),
        (["updates=3"], "was made with updates=6, not with updates=3"),
        (["workers=-1", "updates=8"], "workers=-1 must be a whole number"),
        (["reg=[],[spectral],none"], "reg=[] and reg=none are two cells with the same directory, reg=none"),
        (["sweep=digits_regularizers"], "holds an unnamed sweep, not digits_regularizers"),
    ],
)
def test_a_refused_sweep_changes_nothing(undisturbed, change, words):
    before = content(undisturbed)
    code, output = sweep(undisturbed.parent, *GRID, *change)
    assert code == 1
    assert words in output
    assert ": begins" not in output
    assert ": goes on" not in output
    assert "Traceback" not in output
    assert content(undisturbed) == before


@pytest.mark.parametrize(
    ("values", "one", "other"),
    [
        ("reg=[r1,r2],r1+r2", "reg=[r1,r2]", "reg=r1+r2"),
        ("data.root=/a/b,/a_b", "data.root=/a/b", "data.root=/a_b"),
        ("reg=[],none", "reg=[]", "reg=none"),
        ("label='a b',a_b", "label='a b'", "label=a_b"),
        ("optim.d.lr=1e-4,0.0001", "optim.d.lr=0.0001", "optim.d.lr=0.0001"),
    ],
)
def test_values_with_the_same_directory_are_refused(values, one, other):
    name = values.split("=")[0]
    with pytest.raises(UserError) as refused:
        cells_of(parse_overrides(["seed=0,1", values]), ["seed", name])
    assert one in str(refused.value)
    assert other in str(refused.value)
    assert len(cells_of(parse_overrides(["seed=0,1", "reg=[r1,r2],r1"]), ["seed", "reg"])) == 4


@pytest.mark.parametrize("engine", [[], ["hydra/launcher=joblib"], ["apart=false"]], ids=["basic", "joblib", "here"])
def test_every_engine_refuses_them_before_the_first_cell(tmp_path, engine):
    code, output = sweep(tmp_path, "--multirun", *TINY, "reg=[r1,r2],r1+r2", "hydra.sweep.dir=grid", *engine)
    assert code == 1
    assert "reg=[r1,r2] and reg=r1+r2 are two cells with the same directory" in output
    assert not (tmp_path / "grid").exists()


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param([], id="basic"),
        pytest.param(["hydra/launcher=joblib", "hydra.launcher.n_jobs=1"], id="joblib", marks=pytest.mark.slow),
    ],
)
def test_a_file_that_changes_while_a_sweep_runs_changes_no_cell(tmp_path, engine):
    loss = tmp_path / "own" / "loss" / "mine.yaml"
    loss.parent.mkdir(parents=True)
    loss.write_text("_target_: lit_gan.losses.Wasserstein\ng_weight: 0.5\n")
    line = ["--multirun", *TINY, "loss=mine", "--config-dir", "own", "seed=0,1", "updates=2", "hydra.sweep.dir=grid"]
    process = (start if engine else ForkedSweep)(tmp_path, *line, *engine)
    first = tmp_path / "grid" / "seed=0" / "results.json"
    while not first.exists() and process.poll() is None:
        time.sleep(0.05)
    loss.write_text("_target_: lit_gan.losses.Wasserstein\ng_weight: 2.0\n")
    output, _ = process.communicate(timeout=250)
    assert process.returncode == 0, output
    configs = [OmegaConf.load(cell.directory / ".hydra" / "config.yaml") for cell in read_cells(tmp_path / "grid")]
    assert [config.loss.g_weight for config in configs] == [0.5, 0.5]
    before = content(tmp_path / "grid")
    code, output = sweep(tmp_path, *line, "seed=0,1,2")
    assert code == 1
    assert "was made with loss.g_weight=0.5, not with loss.g_weight=2.0" in output
    assert content(tmp_path / "grid") == before


def test_a_cell_that_another_process_trains_does_not_begin(tmp_path):
    with sole_use(tmp_path / "grid" / "reg=none"):
        code, output = sweep(tmp_path, *GRID, "reg=[]")
    assert code == 0, output
    assert "reg=none: another process trains it" in output
    assert ": begins" not in output


def test_status_prints_brackets_as_they_are(capsys):
    print_whole(
        cells_view(
            [Cell("reg=none", Path("x"), "failed", {"error": "pip install 'lit_gan[ray]', see [/data/x]"})], False
        )
    )
    assert "'lit_gan[ray]', see [/data/x]" in capsys.readouterr().out


def test_a_plan_knows_the_choices_that_a_pattern_means():
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        (override,) = parse_overrides(["loss=glob(h*)"])
        assert single_settings(override) == ["loss=hinge"]


@pytest.mark.parametrize("mode", ["--multirun", "-m", "hydra.mode=MULTIRUN"])
def test_every_way_to_ask_for_many_runs_has_axes(mode):
    assert complete_arguments([mode, "seed=0,1"], "train")[-1] == "axes=[seed]"


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_kills_at_random_moments_change_nothing(undisturbed, tmp_path, kills):
    chance = random.Random()
    for _ in range(kills):
        process = start(tmp_path, *GRID)
        time.sleep(chance.uniform(1, 14))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    code, output = sweep(tmp_path, *GRID, start=start)
    assert code == 0, output
    assert set(ends(tmp_path / "grid").values()) == {1}
    ours = {cell.name: cell for cell in read_cells(tmp_path / "grid")}
    check_same_two(ours, {cell.name: cell for cell in read_cells(undisturbed)})


def check_same_two(ours, theirs):
    """Same weights, and the same table of curves."""
    for name, cell in ours.items():
        states = [
            torch.load(each.directory / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
            for each in (cell, theirs[name])
        ]
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
        tables = [(each.directory / "metrics.csv").read_text() for each in (cell, theirs[name])]
        assert tables[0] == tables[1]


def test_two_processes_share_a_sweep(undisturbed, tmp_path):
    processes = [ForkedSweep(tmp_path, *GRID), ForkedSweep(tmp_path, *GRID)]
    parent, cell = wait_for_child(*(process.pid for process in processes))
    os.kill(cell, signal.SIGSTOP)  # or it may be too quick for the other sweep to meet
    processes.sort(key=lambda process: process.pid == parent)
    outputs = [processes[0].communicate(timeout=200)[0]]
    os.kill(cell, signal.SIGCONT)
    outputs.append(processes[1].communicate(timeout=200)[0])
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert set(ends(tmp_path / "grid").values()) == {1}
    assert any("another process trains it" in output for output in outputs)


def test_a_killed_and_a_diverged_cell_are_recorded_and_the_others_go_on(tmp_path):
    rates = "optim.g.lr=1e-3,1e30,2e-3"
    process = ForkedSweep(
        tmp_path, "--multirun", *TINY, rates, "loss=wasserstein", "updates=40", "hydra.sweep.dir=grid"
    )
    _, victim = wait_for_child(process.pid)
    os.kill(victim, signal.SIGKILL)
    output, _ = process.communicate(timeout=200)
    cells = {cell.name: cell for cell in read_cells(tmp_path / "grid")}
    assert process.returncode == 1
    assert "Traceback" not in output
    assert cells["optim.g.lr=0.001"].state == "failed"
    assert "was killed, as for want of memory (SIGKILL)" in cells["optim.g.lr=0.001"].results["error"]
    assert cells["optim.g.lr=1e+30"].state == "failed"
    assert "at generator update" in cells["optim.g.lr=1e+30"].results["error"]
    assert cells["optim.g.lr=0.002"].state == "finished"
    assert "1 finished, 2 failed" in output


def wait_for_child(*parents):
    """The first of some processes that begins another one, and that one."""
    for _ in range(2400):
        for parent in parents:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            if children:
                return parent, int(children[0])
        time.sleep(0.05)
    raise AssertionError("no cell has begun")


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param(["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], marks=pytest.mark.slow),
        pytest.param(["hydra/launcher=submitit_local"], marks=pytest.mark.slow),
        pytest.param(["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"], marks=pytest.mark.slow),
        ["apart=false"],
    ],
    ids=["joblib", "submitit", "ray", "in one process"],
)
def test_whatever_runs_the_cells_the_numbers_are_the_same(undisturbed, tmp_path, engine):
    code, output = sweep(tmp_path, *GRID, *engine, start=ForkedSweep if engine == ["apart=false"] else start)
    assert code == 0, output
    ours = {cell.name: cell for cell in read_cells(tmp_path / "grid")}
    assert len(ours) == 2
    check_same_two(ours, {cell.name: cell for cell in read_cells(undisturbed)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "score", "best_of"),
    [
        ("tag(log,interval(1e-5,1e-2))", ["metrics.monitor=wasserstein"], min),
        ("choice(1e-4,1e-2)", ["metrics.monitor=high_quality", "hydra.sweeper.direction=maximize"], max),
    ],
    ids=["minimised", "maximised"],
)
def test_a_search_ends_in_its_best_setting(tmp_path, values, score, best_of):
    search = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=1", "hydra.sweep.dir=search"]
    search += [f"optim.d.lr={values}", *score, "apart=false"]
    settings = ["experiment=wgan_gp_gaussians", "updates=4", "updates_per_epoch=2", "trainer=cpu"]
    code, output = sweep(tmp_path, "--multirun", *settings, *search, "metrics.final=quick", start=start)
    assert code == 0, output
    best = OmegaConf.load(tmp_path / "search" / "optimization_results.yaml")
    cells = read_cells(tmp_path / "search")
    assert {cell.state for cell in cells} == {"finished"}, "none waits that the search has not tried"
    name = score[0].partition("=")[2]
    assert best.best_value == best_of(cell.results["final"]["scores"][f"modes/{name}"] for cell in cells)


@pytest.mark.parametrize(
    ("choice", "extra"),
    [
        ("hydra/launcher/joblib", "joblib"),
        ("hydra/launcher/submitit_slurm", "submitit"),
        ("hydra/sweeper/optuna", "optuna"),
    ],
)
def test_an_engine_that_is_not_installed(monkeypatch, choice, extra):
    monkeypatch.setattr("lit_gan.cli.mistakes.find_spec", lambda name: None)
    sentence = unknown_choice(choice)
    assert sentence.endswith(f"is not installed: pip install 'lit_gan[{extra}]'.")


def test_waiting_cells_go_to_free_devices(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    trainer = OmegaConf.create({"accelerator": "auto", "devices": 1})
    with free_device(trainer) as first, free_device(trainer) as second, free_device(trainer) as third:
        chosen = [each["CUDA_VISIBLE_DEVICES"] for each in (first, second, third)]
    assert chosen == ["3", "5", "3"]
    with free_device(trainer) as again:
        assert again == {"CUDA_VISIBLE_DEVICES": "3"}
    with free_device(OmegaConf.create({"accelerator": "auto", "devices": -1})) as all_of_them:
        assert all_of_them == {}


def test_a_run_directory_has_one_process(tmp_path):
    with sole_use(tmp_path):
        assert in_use(tmp_path)
        with pytest.raises(UserError, match="is being trained by another process"), sole_use(tmp_path):
            pass
    assert not in_use(tmp_path)


def test_the_states_of_cells(tmp_path):
    (tmp_path / "sweep.json").write_text(json.dumps({"sweep": None, "axes": ["a"], "cells": ["a=1", "a=2"]}))
    summary = {"updates": 3, "course": [], "final": None, "best": None, "seconds": {}}
    for name, status in (("a=2", "failed"), ("a=3", "running"), ("a=4", "finished")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps({"status": status, **summary}))
    (tmp_path / "a=5").mkdir()
    (tmp_path / "a=5" / "results.json").write_text("{")
    states = {cell.name: cell.state for cell in read_cells(tmp_path)}
    assert states == {"a=1": "waiting", "a=2": "failed", "a=3": "stopped", "a=4": "finished", "a=5": "damaged"}
    with sole_use(tmp_path / "a=3"):
        assert {cell.name: cell.state for cell in read_cells(tmp_path)}["a=3"] == "running"


def test_a_finished_cell_that_is_to_be_trained_further_has_stopped(tmp_path):
    add_to_plan(tmp_path, None, ["a"], {"a=1": 3, "a=2": 3})
    for name in ("a=1", "a=2"):
        (tmp_path / name).mkdir()
        content = {"status": "finished", "updates": 3, "updates_planned": 3, "course": [], "final": None, "best": None}
        (tmp_path / name / "results.json").write_text(json.dumps(content | {"seconds": {}}))
    add_to_plan(tmp_path, None, ["a"], {"a=2": 30})
    cells = read_run_or_cells(tmp_path)
    assert [(cell.state, cell.results["updates_planned"]) for cell in cells] == [("finished", 3), ("stopped", 30)]
    assert [cell.state for cell in read_cells(tmp_path)] == ["finished", "finished"]  # its scores still count
