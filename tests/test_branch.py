"""`resume=DIR hydra.run.dir=NEW`: another run, in the state of the first."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lit_gan.callbacks import RandomState
from lit_gan.callbacks.branch import Branch
from lit_gan.cli.launch import launch
from lit_gan.tasks.train import train
from test_run import assert_same_state, content

pytestmark = pytest.mark.usefixtures("no_curves")

GAME = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "updates_per_epoch=2"]
GAME += ["metrics=none", "updates=4", "optim.decay_start=2", "optim.decay_end=10"]


def run(*arguments: str | Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train", *map(str, arguments)])
        launch(train, "train")


def results(directory: Path) -> dict:
    return json.loads((directory / "results.json").read_text())


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    directory = tmp_path_factory.mktemp("branch") / "parent"
    run(f"hydra.run.dir={directory}", *GAME)
    return directory


def branch(parent: Path, directory: Path, *arguments: str) -> None:
    run(f"resume={parent}", f"hydra.run.dir={directory}", *arguments)


def test_with_nothing_changed_it_is_the_run_going_on(parent, tmp_path):
    branch(parent, tmp_path / "branch", "updates=7")
    run(f"hydra.run.dir={tmp_path / 'whole'}", *GAME, "updates=7")
    assert_same_state(content(tmp_path / "branch"), content(tmp_path / "whole"))


def test_it_is_a_run_of_its_own_that_names_its_parent(parent, tmp_path):
    before = {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()}
    branch(parent, tmp_path / "branch", "updates=6", "optim.d.lr=0.001")
    assert {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()} == before
    record = results(tmp_path / "branch")
    identity = (parent / ".hydra" / "run_id").read_text().strip()
    origin = {"directory": str(parent), "run_id": identity, "checkpoint": "last", "update": 4}
    assert (record["status"], record["updates"], record["parent"]) == ("finished", 6, origin)
    assert (tmp_path / "branch" / ".hydra" / "run_id").read_text().strip() != identity
    assert record["updates_per_second"] == pytest.approx(2 / record["seconds"]["training"])
    run(f"resume={tmp_path / 'branch'}", "updates=8")
    assert (results(tmp_path / "branch")["updates"], results(tmp_path / "branch")["parent"]) == (8, origin)


def test_rates_batch_and_decay_are_its_own(parent, tmp_path):
    branch(parent, tmp_path / "branch", "updates=5", "optim.d.lr=0.001", "batch_size=16")
    state = content(tmp_path / "branch")
    d, g = (each["param_groups"][0]["lr"] for each in state["optimizer_states"])
    assert (d, g) == (pytest.approx(0.001 * 5 / 8), pytest.approx(0.0004 * 5 / 8))
    assert state["GANData"]["position"] == 4 * 8 + 16
    assert state["optimizer_states"][0]["state"][0]["step"] == 5


def test_a_decay_begins_where_the_branch_does(parent, tmp_path):
    branch(parent, tmp_path / "branch", "updates=5", "optim.decay_start=null")
    rates = [each["param_groups"][0]["lr"] for each in content(tmp_path / "branch")["optimizer_states"]]
    assert rates == [0.0004, 0.0004]
    branch(tmp_path / "branch", tmp_path / "again", "updates=6", "optim.decay_start=4", "optim.decay_end=8")
    rates = [each["param_groups"][0]["lr"] for each in content(tmp_path / "again")["optimizer_states"]]
    assert rates == [pytest.approx(0.0004 * 2 / 4)] * 2


def test_a_branch_that_is_killed_before_its_first_epoch_goes_on_as_a_branch(parent, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ValueError("an accident")

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", fail)
        with pytest.raises(ValueError, match="accident"):
            branch(parent, tmp_path / "branch", "updates=7", "debug=true")
    run(f"resume={tmp_path / 'branch'}")
    run(f"hydra.run.dir={tmp_path / 'whole'}", *GAME, "updates=7")
    assert_same_state(content(tmp_path / "branch"), content(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (["model.width=8"], "model.width=4"),
        (["ema=0.9"], "ema=null"),
        (["optim.d._target_=torch.optim.RMSprop", "~optim.d.betas"], "optim.d._target_=torch.optim.Adam"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(parent, tmp_path, changed, words):
    with pytest.raises(SystemExit, match="cannot begin in") as end:
        branch(parent, tmp_path / "branch", *changed)
    assert words in str(end.value.code)
    assert not (tmp_path / "branch").exists()


def test_networks_of_a_third_run_are_refused_and_those_of_the_parent_s_command_are_not_asked_for(parent, tmp_path):
    with pytest.raises(SystemExit) as caught:
        branch(parent, tmp_path / "branch", f"init={parent}")
    assert f"init={parent} and resume={parent} both say" in str(caught.value)
    assert not (tmp_path / "branch").exists()
    run(f"hydra.run.dir={tmp_path / 'taken'}", *GAME, f"init={parent}")
    branch(tmp_path / "taken", tmp_path / "branch", "updates=5")
    assert results(tmp_path / "branch")["parent"]["directory"] == str(tmp_path / "taken")


def test_a_probability_that_nothing_moves_is_its_own(tmp_path):
    ada = ["reg=[spectral,ada]", "reg.ada.target=null"]
    run(f"hydra.run.dir={tmp_path / 'parent'}", *GAME, *ada, "reg.ada.p=0.1")
    branch(tmp_path / "parent", tmp_path / "branch", "updates=5", "reg.ada.p=0.9")
    state = content(tmp_path / "branch")["state_dict"]
    assert state["regs.ada.p"].item() == pytest.approx(0.9)


@pytest.mark.parametrize("regs", [("spectral", "spectral,freeze_d"), ("spectral,freeze_d", "spectral")])
def test_an_optimizer_of_other_weights_is_refused(tmp_path, regs):
    before, now = regs
    run(f"hydra.run.dir={tmp_path / 'parent'}", *GAME, f"reg=[{before}]")
    with pytest.raises(SystemExit) as caught:
        branch(tmp_path / "parent", tmp_path / "branch", "updates=5", f"reg=[{now}]")
    assert "leave reg as it was (freeze_d above all)" in str(caught.value)


def test_its_curves_have_nothing_of_its_parent():
    checkpoint = {"global_step": 3, "optimizer_states": [], "callbacks": {}, "curves": {"history": {"d/hinge": [1.0]}}}
    game = SimpleNamespace(configure_optimizers=lambda: ([], []))
    Branch().on_load_checkpoint(None, game, checkpoint)
    assert "curves" not in checkpoint


@pytest.mark.parametrize(("seed", "same"), [(0, True), (1, False)])
def test_with_another_seed_it_draws_other_numbers(seed, same):
    start = SimpleNamespace(world_size=1, global_rank=0, global_step=3)
    torch.manual_seed(7)
    saved, expected = RandomState(0).state_dict(), torch.rand(3)
    found = []
    for _ in range(2):
        state = RandomState(seed)
        state.load_state_dict(saved)
        state.on_train_start(start, None)
        found.append(torch.rand(3))
    assert torch.equal(*found)
    assert torch.equal(found[0], expected) == same


def test_the_way_to_it_is_named_where_a_resume_is_refused(parent):
    with pytest.raises(SystemExit, match=r"resume=\S+ hydra\.run\.dir=NEW"):
        run(f"resume={parent}", "optim.d.lr=0.001")


def test_of_a_finished_run_it_needs_more_updates(parent, tmp_path):
    with pytest.raises(SystemExit, match=r"updates=4 leaves a branch nothing to play.*: set it to more than 4\.$"):
        branch(parent, tmp_path / "branch", "optim.d.lr=0.001")
    assert not (tmp_path / "branch").exists()
