"""What reaches W&B and TensorBoard, and the generator updates that it is shown at."""

import json
import os
import struct
import sys
import time
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, get_experiment, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context
from wandb.proto.wandb_internal_pb2 import Record

from forks import run_fork
from lit_gan.cli.launch import launch
from lit_gan.records.wandb_names import shortened
from lit_gan.tasks.loggers import build_loggers
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


def summary(run: list[Record]) -> dict:
    """What stands beside the run in W&B's tables, the last value of each name."""
    updates = [each for record in run if record.HasField("summary") for each in record.summary.update]
    return {each.key or "/".join(each.nested_key): json.loads(each.value_json) for each in updates}


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
        captions = [row["samples/captions"] for row in rows if "samples/captions" in row]
        assert captions == [[f"G after {update} updates, 64 samples"] for update in (2, 4)]
        assert first(run, "exit").exit_code == 0
        assert not [record for record in run if record.HasField("alert")]

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
        alert = first(run, "alert")
        assert (alert.title, alert.level) == ("Training failed", "ERROR")
        assert "became" in alert.text
        assert "lower the learning rate" in alert.text

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


def test_tensorboard_shows_an_update_once_that_was_made_again_after_a_kill(tmp_path):
    entry = {
        "_target_": "lightning.pytorch.loggers.TensorBoardLogger",
        "save_dir": str(tmp_path),
        "name": "",
        "version": "",
    }
    for update, value in ((0, 1.0), (2, 2.0)):  # the second process goes on from the checkpoint of update 2
        (logger,) = build_loggers(OmegaConf.create({"logger": {"tensorboard": entry}}), update).values()
        logger.log_hyperparams({})
        for step in range(update + 1, 5):
            logger.log_metrics({"d/hinge": value}, step)
        logger.experiment.close()
    events = EventAccumulator(str(tmp_path)).Reload().Scalars("d/hinge")
    assert [(event.step, event.value) for event in events] == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0)]


def test_tensorboard(run_train, tmp_path):
    run_train(tmp_path / "run", "logger=tensorboard", "callbacks=[default,histograms]")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"), {"histograms": 0}).Reload()
    assert [event.step for event in events.Scalars("d/hinge")] == [1, 2, 3, 4]
    assert [event.step for event in events.Images("samples")] == [2, 4]
    weights = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    logged = [tag.removeprefix("weights/") for tag in events.Tags()["histograms"] if tag.startswith("weights/")]
    assert len(logged) > 10
    for name in logged:
        weight = weights[name.replace("/", ".", 1)]
        _, last = events.Histograms(f"weights/{name}")
        assert (last.step, last.histogram_value.num) == (4, weight.numel())
        assert last.histogram_value.sum == pytest.approx(weight.double().sum().item(), abs=1e-6)
        assert [event.step for event in events.Histograms(f"gradients/{name}")] == [2, 4]


class TestWhatARunHasComeTo:
    """The end of a run, in both loggers."""

    def session_groups(self, directory: Path):
        """What the HParams tab asks its server for: the rows of the table."""
        files = EventMultiplexer().AddRunsFromDirectory(str(directory)).Reload()
        provider = MultiplexerDataProvider(files, str(directory))
        context, backend = RequestContext(), Context(TBContext(data_provider=provider))
        request = api_pb2.ListSessionGroupsRequest(slice_size=9, allowed_statuses=[0, 1, 2, 3])
        experiment = get_experiment.Handler(context, backend, "", api_pb2.GetExperimentRequest()).run()
        for info in experiment.metric_infos:
            request.col_params.add(metric=info.name)
        return list_session_groups.Handler(context, backend, "", request).run().session_groups

    def test_final_scores_beside_the_settings_in_both_loggers(self, run_train, tmp_path, monkeypatch):
        sign = "all samples are alike"
        monkeypatch.setattr("lit_gan.tasks.training.TrainingRun.signs_of_collapse", lambda _: [sign])
        words = ["logger=[wandb,tensorboard]", "logger.wandb.offline=true", "metrics=classifier", "metrics.final=quick"]
        words += ["protocol.quick.generated=32", "protocol.quick.real=32"]
        run_train(tmp_path / "run", *words)
        results = json.loads((tmp_path / "run" / "results.json").read_text())
        scores = {f"final/{name}": value for name, value in results["final"]["scores"].items()}
        (run,) = offline_runs(tmp_path / "run")
        found = summary(run)
        assert {name: found[name] for name in scores} == pytest.approx(scores)
        assert found["best/digits/fid"] == pytest.approx(results["best"]["value"])
        assert (first(run, "alert").text, first(run, "alert").level) == (sign, "WARN")
        (group,) = self.session_groups(tmp_path)
        assert {value.name.tag: value.value for value in group.metric_values} == pytest.approx(scores)
        assert (group.hparams["loss"].string_value, group.hparams["reg"].string_value) == ("hinge", "spectral")
        assert (group.hparams["optim.d.lr"].number_value, group.hparams["updates"].number_value) == (0.0004, 4)
        assert "logger" not in " ".join(group.hparams)

    def test_what_was_deselected_is_none_of_the_choices(self, run_train, tmp_path):
        """Its settings, which a method or an experiment has, stay in the config."""
        left = "# @package _global_\nlogger: {csv: {version: 1}}\ncallbacks: {annealing: {updates: 3}}\n"
        (tmp_path / "mine" / "experiment").mkdir(parents=True)
        (tmp_path / "mine" / "experiment" / "left.yaml").write_text(left)
        of_mine = ["--config-dir", str(tmp_path / "mine"), "experiment=left"]
        chosen = ["reg=[spectral]", "callbacks=default", "logger=[wandb,tensorboard]", "logger.wandb.offline=true"]
        run_train(tmp_path / "run", *of_mine, "method=non_saturating_r1", *chosen)
        choices = json.loads((tmp_path / "run" / "results.json").read_text())["choices"]
        assert (choices["reg"], choices["logger"]) == (["spectral"], ["wandb", "tensorboard"])
        (run,), (group,) = offline_runs(tmp_path / "run"), self.session_groups(tmp_path)
        assert "spectral" in first(run, "run").tags
        assert first(run, "run").display_name == "dcgan-non_saturating-spectral-0"
        assert group.hparams["reg"].string_value == "spectral"
        assert not [name for name in group.hparams if name.startswith("reg.r1")]

    def test_the_row_of_a_run_that_has_gone_on_is_its_last(self, run_train, tmp_path):
        run_train(tmp_path / "run", "logger=tensorboard")
        run_train(tmp_path / "run", "logger=tensorboard", "updates=6")
        with pytest.raises(SystemExit):
            run_train(tmp_path / "diverged", "logger=tensorboard", *DIVERGING)
        diverged, run = self.session_groups(tmp_path)
        assert run.hparams["updates"].number_value == 6
        ends = [group.sessions[0].status for group in (diverged, run)]
        assert ends == [api_pb2.STATUS_FAILURE, api_pb2.STATUS_SUCCESS]

    def test_a_dry_run_tells_nobody(self, run_train, tmp_path):
        run_train(tmp_path / "run", "logger=[wandb,tensorboard]", "trainer.fast_dev_run=true")
        assert not list((tmp_path / "run").glob("wandb*")) + list((tmp_path / "run").glob("tensorboard*"))


def test_with_json_the_standard_output_is_one_line_about_what_was_trained(tmp_path):
    quick = ["hydra.run.dir=run", *TINY, *LENGTH, "callbacks=none", "--json"]
    ended = run_fork(tmp_path, "train", *quick)
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["state"], told["updates"]) == (0, "finished", 4)
    assert told["directory"] == str(tmp_path / "run")
    assert "finished at update 4" in ended.stderr
    refused = run_fork(tmp_path, "train", *quick, "optim.d.lr=3")
    assert (refused.returncode, refused.stdout) == (1, "")
    again = run_fork(tmp_path, "train", *quick)
    assert json.loads(again.stdout) == told
    sweep = ["--multirun", "seed=0,1", "hydra.sweep.dir=sweep", "apart=false", *DIVERGING]
    failed = run_fork(tmp_path, "train", *quick[1:], *sweep)
    assert (failed.returncode, json.loads(failed.stdout)["counts"]) == (1, {"failed": 2})
