"""Which of several processes says why a training has failed."""

import os
import sys

import pytest

from lit_gan.callbacks import SharedFailure
from lit_gan.cli.launch import launch
from lit_gan.records.results import Results
from lit_gan.tasks import training
from lit_gan.tasks.failures import exit_if_another_failed
from lit_gan.tasks.train import train


def failed_run(folder) -> None:
    """Leaves the record of a run whose earlier attempt has failed."""
    Results(folder).mark_failed("D's outputs became nan")
    os.utime(folder / "results.json", ns=(0, 0))


def test_the_failure_of_an_earlier_attempt_is_not_another_process_word(tmp_path):
    failed_run(tmp_path)
    exit_if_another_failed(Results(tmp_path), processes=2)


def test_a_run_without_a_record_has_no_other_process_word(tmp_path):
    exit_if_another_failed(Results(tmp_path), processes=2)


def test_a_process_does_not_take_its_own_word_for_another_s(tmp_path):
    failed_run(tmp_path)
    own = Results(tmp_path)
    own.mark_failed("CUDA out of memory")
    exit_if_another_failed(own, processes=2)


def test_a_process_that_has_lost_another_leaves_the_word_to_it(tmp_path):
    failed_run(tmp_path)
    first, other = Results(tmp_path), Results(tmp_path)
    first.start(0, warnings=[])
    other.mark_failed("CUDA out of memory")
    with pytest.raises(SystemExit) as ended:
        exit_if_another_failed(first, processes=2)
    assert ended.value.code == 1
    assert (first.content["status"], first.content["error"]) == ("failed", "CUDA out of memory")
    exit_if_another_failed(first, processes=1)


@pytest.mark.usefixtures("no_curves")
@pytest.mark.parametrize("part", ["take_final_scores", "catch_up"])
def test_a_failure_after_the_last_update_ends_the_other_processes_too(tmp_path, monkeypatch, part):
    told = []

    def lost(run):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(training.TrainingRun, part, lost)
    monkeypatch.setattr(SharedFailure, "on_exception", lambda self, trainer, gan, error: told.append(str(error)))
    tiny = ["data=gaussians", "model=mlp", "model.width=8", "trainer.accelerator=cpu", "metrics=none", "updates=1"]
    monkeypatch.setattr(sys, "argv", ["train", f"hydra.run.dir={tmp_path}", *tiny])
    with pytest.raises(SystemExit, match="RuntimeError: CUDA out of memory"):
        launch(train, "train")
    assert told == ["CUDA out of memory"]
