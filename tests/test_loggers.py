"""What reaches W&B and TensorBoard, and the generator updates that it is shown at."""

import json
import os
import struct
import sys
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto.wandb_internal_pb2 import Record

from forks import run_fork
from lit_gan.cli.launch import launch
from lit_gan.cli.resolvers import shortened
from lit_gan.tasks.train import train

pytestmark = pytest.mark.usefixtures("no_curves")

TINY = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "metrics=none"]
DIVERGING = ["loss=wasserstein", "reg=[]", "optim.g.lr=1.0e+38"]
LENGTH = ["updates=4", "updates_per_epoch=2", "trainer.log_every_n_steps=1"]


@pytest.fixture
def run_train(monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)

    def run(directory: Path, *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["train", f"hydra.run.dir={directory}", *TINY, *LENGTH, *arguments])
        launch(train, "train")

    return run


def records(path: Path) -> list[Record]:
    """The records of a .wandb file: a 7-byte header, then LevelDB's log format in blocks of 32 KiB."""
    data, position, pending, found = path.read_bytes(), 7, b"", []
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        pending += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            found.append(Record.FromString(pending))
            pending = b""
    return found


def offline_runs(directory: Path) -> list[list[Record]]:
    """The runs below a folder; W&B's own process may still be writing the end of the last one."""
    for _ in range(100):
        runs = [records(path) for path in sorted(directory.glob("wandb/offline-run-*/*.wandb"))]
        if all(any(record.HasField("exit") for record in run) for run in runs):
            break
        time.sleep(0.1)
    return runs


def history(run: list[Record]) -> list[dict]:
    rows = [record.history for record in run if record.HasField("history")]
    return [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row.item} for row in rows]


def first(run: list[Record], field: str):
    return next(getattr(record, field) for record in run if record.HasField(field))


class TestWandb:
    def test_a_cell_of_a_sweep_is_in_its_group_with_its_coordinates(self, run_train, tmp_path):
        settings = ["sweep=sngan_fig1_cifar10", "scale=small", "hydra.mode=RUN", "optim=sngan_c", "seed=1"]
        settings += ["method=weight_norm", "logger=wandb", "logger.wandb.offline=true", "metrics.final=quick"]
        run_train(tmp_path / "run", *settings)
        (run,) = offline_runs(tmp_path / "run")
        assert first(run, "run").run_group == "sngan_fig1_cifar10/small"
        assert set(first(run, "run").tags) >= {"method=weight_norm", "optim=sngan_c", "seed=1"}
        assert first(run, "run").display_name == "method=weight_norm optim=sngan_c seed=1"

    def test_what_is_refused_once_is_not_refused_for_good(self, run_train, tmp_path):
        with pytest.raises(SystemExit, match="wandb login"):
            run_train(tmp_path / "refused", "logger=wandb")
        run_train(tmp_path / "offline", "logger=wandb", "logger.wandb.offline=true")
        assert len(offline_runs(tmp_path / "offline")) == 1

    def test_offline_run(self, run_train, tmp_path):
        run_train(tmp_path / "run", "logger=wandb", "logger.wandb.offline=true")
        (run,) = offline_runs(tmp_path / "run")
        assert first(run, "run").run_group == "digits_dcgan"
        assert first(run, "run").job_type == "hinge"
        assert set(first(run, "run").tags) >= {"dcgan", "hinge", "spectral", "adam", "digits"}
        rows = history(run)
        assert [row["trainer/global_step"] for row in rows if "d/hinge" in row] == [1, 2, 3, 4]
        assert [row["trainer/global_step"] for row in rows if "samples/filenames" in row] == [2, 4]
        assert first(run, "exit").exit_code == 0

    def test_each_run_is_its_own_and_a_resumed_one_goes_on(self, run_train, tmp_path):
        for name in ("one", "two"):
            run_train(tmp_path / name, "logger=wandb", "logger.wandb.offline=true")
        run_train(tmp_path / "one", "logger=wandb", "logger.wandb.offline=true", "updates=6")
        (two,) = offline_runs(tmp_path / "two")
        identities = [first(run, "run").run_id for run in offline_runs(tmp_path / "one")]
        assert len(identities) == 2
        assert len(set(identities)) == 1
        assert first(two, "run").run_id not in identities

    def test_failed_run_is_marked_failed(self, run_train, tmp_path):
        with pytest.raises(SystemExit):
            run_train(tmp_path / "run", "logger=wandb", "logger.wandb.offline=true", *DIVERGING)
        (run,) = offline_runs(tmp_path / "run")
        assert first(run, "exit").exit_code == 1

    def test_a_choice_of_many_regularizers_is_a_tag_that_wandb_takes(self, run_train, tmp_path):
        regs = "reg=[spectral,gradient_penalty,instance_noise,historical_averaging,lecam]"
        run_train(tmp_path / "run", "logger=wandb", "logger.wandb.offline=true", regs, "updates=1")
        (run,) = offline_runs(tmp_path / "run")
        (tag,) = [tag for tag in first(run, "run").tags if tag.startswith("spectral")]
        assert (len(tag) in (63, 64), tag.endswith("historical_averaging+lecam")) == (True, True)

    def test_names_are_cut_in_the_middle(self):
        assert shortened("a" * 64, 64) == "a" * 64
        assert shortened("a" * 40 + "b" * 40, 64) == "a" * 30 + "..." + "b" * 30

    def test_a_refusal_of_any_class_is_a_sentence(self, run_train, tmp_path):
        tags = f"logger.wandb.tags=[{'x' * 65}]"  # W&B raises ValueError
        with pytest.raises(SystemExit, match=r"lit_gan: logger=wandb cannot start \(.*64 characters.*logger.wandb"):
            run_train(tmp_path / "run", "logger=wandb", "logger.wandb.offline=true", tags)

    @pytest.mark.parametrize("logger", ["wandb", "tensorboard"])
    def test_the_config_is_shown_with_every_value(self, monkeypatch, capsys, logger):
        monkeypatch.setattr(sys, "argv", ["train", f"logger={logger}", "--cfg", "job", "--resolve"])
        launch(train, "train")
        shown = capsys.readouterr().out
        assert "save_dir: ???" in shown
        assert "${" not in shown

    def test_without_a_key_one_sentence(self, tmp_path, monkeypatch):
        for name in os.environ:
            monkeypatch.delenv(name)
        arguments = ["hydra.run.dir=run", *TINY, "logger=wandb"]
        process = run_fork(tmp_path, "train", *arguments, HOME=str(tmp_path), PATH="/usr/bin:/bin")
        assert process.returncode == 1
        assert process.stderr.splitlines()[-1].startswith("lit_gan: logger=wandb cannot start")
        assert "logger.wandb.offline=true" in process.stderr
        assert "Traceback" not in process.stderr


def test_tensorboard(run_train, tmp_path):
    run_train(tmp_path / "run", "logger=tensorboard")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("d/hinge")] == [1, 2, 3, 4]
    assert [event.step for event in events.Images("samples")] == [2, 4]
