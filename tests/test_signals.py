"""Signals that ask a run or a sweep to end, and jobs of SLURM that are queued again."""

import csv
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from lit_gan.callbacks import Checkpoints
from lit_gan.cli.launch import launch
from lit_gan.system import signals, slurm
from lit_gan.tasks import training as fit
from lit_gan.tasks.train import train

pytestmark = pytest.mark.usefixtures("no_curves")

TINY = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "metrics=none"]
FREQUENT = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""The signals of a batch system, a closed terminal and a job that is queued again; the others are handled by their
line."""
ENDING = (*FREQUENT, *(number for number in signals.STOPPING if number not in FREQUENT))
CLUSTERS = Path(__file__).parent.parent / "docs" / "clusters.md"
LENGTH = ["updates=9", "updates_per_epoch=3", "ema=0.9", "trainer.log_every_n_steps=2"]
JOB = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "gan", "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}


@pytest.fixture(autouse=True)
def nobody_ignores():
    """SIGHUP as it is in a terminal: a test run that was itself started by nohup ignores it, and so would its runs."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def run_train(monkeypatch, tmp_path):
    """A training in this process and in an empty folder; each directory that it has written, in order."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["train", *map(str, arguments)])
        launch(train, "train")

    return run


@pytest.fixture
def stopped(run_train, monkeypatch):
    """A training that gets a signal during its fourth update."""

    def run(number: int, *arguments: str) -> None:
        def send_in_update_4(checkpoints, trainer, *_) -> None:
            if trainer.global_step == 3:
                send(number)

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "on_train_batch_start", send_in_update_4)
            with pytest.raises(SystemExit) as stop:
                run_train(*arguments)
        assert stop.value.code == 130

    return run


@pytest.fixture
def scontrol(monkeypatch, tmp_path):
    """A job of SLURM whose `scontrol` writes down how it is called, and ends as it is told."""

    def fake(code: int = 0, **variables: str) -> Path:
        calls, folder = tmp_path / "calls", tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / "scontrol"
        program.write_text(f"#!/bin/sh\necho $* >> {calls}\necho no such job >&2\nexit {code}\n", encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        for name, value in (JOB | variables).items():
            monkeypatch.setenv(name, value)
        return calls

    return fake


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The directory of a run that nothing has disturbed."""
    directory = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train", f"hydra.run.dir={directory}", *TINY, *LENGTH])
        launch(train, "train")
    return directory


def send(number: int) -> None:
    """A signal to this process, which must have taken it: it would end otherwise, and the tests with it."""
    assert signal.getsignal(number) is not signal.SIG_DFL
    signal.raise_signal(number)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def results(directory: Path) -> dict:
    return json.loads(read(directory / "results.json"))


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def assert_same_run(one: Path, other: Path) -> None:
    """The same weights, bit for bit, and the same rows at the same updates."""
    assert weights(one).keys() == weights(other).keys()
    assert all(torch.equal(value, weights(other)[name]) for name, value in weights(one).items())
    assert read(one / "metrics.csv") == read(other / "metrics.csv")


class TestStop:
    @pytest.mark.parametrize(
        "number",
        [
            pytest.param(number, id=number.name, marks=[] if number in FREQUENT else pytest.mark.slow)
            for number in ENDING
        ],
    )
    def test_a_stopped_run_goes_on_as_if_nothing_had_been(self, run_train, stopped, whole, tmp_path, number):
        before = [signal.getsignal(each) for each in signals.STOPPING]
        stopped(number, "hydra.run.dir=parts", *TINY, *LENGTH)
        assert [signal.getsignal(each) for each in signals.STOPPING] == before
        assert (results(tmp_path / "parts")["status"], results(tmp_path / "parts")["updates"]) == ("stopped", 4)
        assert f"{number.name}: saved at update 4" in read(tmp_path / "parts" / "train.log")
        run_train("hydra.run.dir=parts", *TINY, *LENGTH)
        assert_same_run(tmp_path / "parts", whole)
        rows = csv.DictReader((tmp_path / "parts" / "metrics.csv").open(encoding="utf-8"))
        assert [int(row["update"]) for row in rows] == [2, 3, 4, 6, 8, 9]

    @pytest.mark.parametrize(
        "number", [signal.SIGUSR1, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)], ids=lambda number: number.name
    )
    def test_during_the_final_scores(self, run_train, tmp_path, monkeypatch, number):
        game = ["hydra.run.dir=run", *TINY[:-1], "updates=2", "metrics.final=quick", "protocol.quick.generated=32"]
        with monkeypatch.context() as patch:
            patch.setattr(fit.TrainingRun, "take_final_scores", lambda run: send(number))
            with pytest.raises(SystemExit) as stop:
                run_train(*game)
        assert stop.value.code == 130
        assert (results(tmp_path / "run")["status"], results(tmp_path / "run")["final"]) == ("stopped", None)
        run_train(*game)
        assert (results(tmp_path / "run")["status"], results(tmp_path / "run")["final"]["update"]) == ("finished", 2)

    def test_a_signal_that_comes_twice_interrupts_once(self):
        with signals.stoppable():
            with pytest.raises(KeyboardInterrupt):
                send(signal.SIGUSR1)
            send(signal.SIGUSR1)

    @pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None], ids=["nohup", "submitit"])
    def test_what_is_ignored_or_handled_elsewhere_stays_so(self, handler):
        before = signal.signal(signal.SIGHUP, handler)
        try:
            with signals.stoppable():
                signal.raise_signal(signal.SIGHUP)
                assert signal.getsignal(signal.SIGHUP) is handler
        finally:
            signal.signal(signal.SIGHUP, before)

    def test_a_process_that_helps_leaves_signals_to_its_parent(self):
        process = get_context("fork").Process(target=help_for_a_minute)
        process.start()
        time.sleep(0.5)
        for number in (signal.SIGINT, *signals.STOPPING):
            os.kill(process.pid, number)
        process.join(0.5)
        assert process.is_alive()
        process.terminate()
        process.join(10)
        assert process.exitcode == -signal.SIGTERM


def help_for_a_minute() -> None:
    signals.leave_to_parent()
    time.sleep(60)


class TestSlurm:
    @pytest.mark.parametrize("place", [[], ["hydra.run.dir=mine"]], ids=["default directory", "own directory"])
    def test_a_requeued_job_is_an_undisturbed_run(
        self, run_train, stopped, whole, scontrol, monkeypatch, tmp_path, place
    ):
        calls = scontrol()
        stopped(signal.SIGUSR1, *TINY, *LENGTH, *place)
        assert read(calls) == "requeue 4711\n"
        (directory,) = [path.parent for path in tmp_path.rglob("results.json")]
        assert place or directory.parent.parent == tmp_path / "runs" / "slurm-4711"
        assert "SLURM has queued job 4711 again" in read(directory / "train.log")
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
        run_train(*TINY, *LENGTH, *place)
        assert [path.parent for path in tmp_path.rglob("results.json")] == [directory]
        assert results(directory)["status"] == "finished"
        assert not list(tmp_path.rglob("hpc_ckpt*"))
        assert read(calls) == "requeue 4711\n"
        assert_same_run(directory, whole)

    @pytest.mark.parametrize(
        ("number", "variables"),
        [
            (signal.SIGTERM, {}),
            (signal.SIGHUP, {}),
            (signal.SIGUSR1, {"SLURM_JOB_NAME": "bash"}),
            (signal.SIGUSR1, {signals.PARENT: "1"}),
        ],
        ids=["scancel", "terminal closed", "interactive", "cell of a sweep"],
    )
    def test_others_are_not_queued_again(self, stopped, scontrol, number, variables):
        calls = scontrol(**variables)
        stopped(number, *TINY, *LENGTH)
        assert read(calls) == ""

    def test_a_task_of_an_array(self, stopped, scontrol):
        calls = scontrol(SLURM_ARRAY_JOB_ID="4700", SLURM_ARRAY_TASK_ID="3")
        stopped(signal.SIGUSR2, *TINY, *LENGTH)
        assert read(calls) == "requeue 4700_3\n"

    def test_a_refusal_of_slurm_is_said(self, stopped, scontrol, tmp_path):
        scontrol(code=1)
        stopped(signal.SIGUSR1, "hydra.run.dir=run", *TINY, *LENGTH)
        assert "SLURM does not queue job 4711 again (no such job)" in read(tmp_path / "run" / "train.log")
        assert results(tmp_path / "run")["status"] == "stopped"

    def test_a_run_that_fails_is_not_queued_again(self, run_train, scontrol, monkeypatch):
        calls = scontrol()
        signals.received.add(signal.SIGUSR1)
        with pytest.raises(SystemExit), slurm.requeuing():
            sys.exit("lit_gan: refused")
        assert read(calls) == ""

    def test_each_command_of_a_job_finds_its_own_run(self, run_train, scontrol, monkeypatch, tmp_path):
        scontrol()
        for seed in (0, 1):
            run_train(*TINY, "updates=1", f"seed={seed}")
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
        for seed in (0, 1, 2):
            run_train(*TINY, "updates=1", f"seed={seed}")
        seeds = sorted(results(path.parent)["seed"] for path in tmp_path.rglob("results.json"))
        assert seeds == [0, 1, 2]

    def test_a_checkpoint_of_lightnings_own_is_not_gone_on_from(self, run_train, whole, scontrol, tmp_path):
        (tmp_path / "run").mkdir()
        shutil.copy(whole / "checkpoints" / "last.ckpt", tmp_path / "run" / "hpc_ckpt_1.ckpt")
        scontrol()
        run_train("hydra.run.dir=run", *TINY, *LENGTH)
        assert_same_run(tmp_path / "run", whole)

    def test_the_script_in_the_documentation_asks_for_a_signal_that_queues_it_again(self):
        script = CLUSTERS.read_text(encoding="utf-8").partition("#!/bin/bash")[2].partition("\n\n")[0]
        (name,) = re.findall(r"#SBATCH --signal=(\w+)@\d+ ", script)
        assert signal.Signals[f"SIG{name}"] in slurm.WARNINGS
        assert "#SBATCH --requeue " in script
        assert "srun python -m lit_gan.train " in script

    @pytest.mark.slow
    def test_a_sweep_saves_its_cell_and_is_queued_once(self, scontrol, tmp_path):
        calls = scontrol()
        game = [*TINY, "updates=300", "updates_per_epoch=5"]
        arguments = [sys.executable, "-m", "lit_gan.train", "--multirun", "seed=0,1", *game]
        process = subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while not list(tmp_path.rglob("last.ckpt")) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGUSR1)
        _, errors = process.communicate(timeout=100)
        assert (process.returncode, read(calls)) == (130, "requeue 4711\n"), errors
        (cell,) = [path.parent for path in tmp_path.rglob("results.json")]
        reached = results(cell)
        assert (reached["status"], reached["updates"] > 0) == ("stopped", True)
        again = subprocess.run(
            arguments, cwd=tmp_path, env=os.environ | {"SLURM_RESTART_COUNT": "1"}, capture_output=True, check=False
        )
        assert again.returncode == 0, again.stderr
        cells = [path.parent for path in tmp_path.rglob("results.json")]
        assert len({path.parent for path in cells}) == 1
        assert [results(path)["status"] for path in cells] == ["finished", "finished"]
