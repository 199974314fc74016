"""Memory that is not there: one sentence with what takes it, and a record that says so."""

import json
import sys

import numpy as np
import pytest
import torch

from lit_gan.cli.launch import launch
from lit_gan.cli.mistakes import explain
from lit_gan.errors import UserError
from lit_gan.losses import Hinge
from lit_gan.metrics.classifier import ConvNet
from lit_gan.models.dcgan import Generator
from lit_gan.tasks.train import train

GPU = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.20 GiB of which 1.19 GiB is free."
)
TINY = ["data=digits", "model=dcgan", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "updates=2"]


def end_of(command):
    try:
        command()
    except SystemExit as end:
        return str(end.code)
    raise AssertionError("nothing has ended it")


@pytest.fixture
def ends(monkeypatch, tmp_path):
    """The last word of a training that does not come to its end."""

    def play(*words):
        argv = ["train", f"hydra.run.dir={tmp_path / 'run'}", *TINY, *words]
        monkeypatch.setattr(sys, "argv", argv)
        return end_of(lambda: launch(train, "train"))

    return play


def raising(error):
    def fails(*_, **__):
        raise error

    return fails


@pytest.mark.usefixtures("no_curves")
def test_an_update_without_memory_names_the_batch(ends, monkeypatch, tmp_path):
    monkeypatch.setattr(Hinge, "d", raising(GPU))
    said = ends("metrics=none", "loss=hinge")
    assert said.startswith("lit_gan: the GPU is full (2.00 GiB more): lower batch_size=8 or ")
    assert "optim.accumulate=2 " in said
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (record["status"], record["error"]) == ("failed", said.removeprefix("lit_gan: "))


@pytest.mark.usefixtures("no_curves")
def test_scores_without_memory_name_the_batch_of_their_protocol(ends, monkeypatch):
    monkeypatch.setattr(ConvNet, "forward", lambda *_: torch.empty(2**50))
    said = ends("metrics=classifier")
    assert said.startswith("lit_gan: the main memory is full (4503599627370496 bytes more): lower protocol.quick.")


def test_networks_that_do_not_fit_are_answered(ends, monkeypatch):
    monkeypatch.setattr(Generator, "__init__", lambda *_, **__: torch.empty(2**50))
    said = ends("metrics=none")
    assert said.startswith("lit_gan: model.G cannot be made as large as that: the main memory is full (4503")


@pytest.mark.parametrize(("command", "setting"), [("sample", "batch_size"), ("evaluate", "protocol.full.batch_")])
@pytest.mark.parametrize("error", [GPU, MemoryError(), "numpy", RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")])
def test_other_commands_name_what_takes_the_memory(command, setting, error):
    if error == "numpy":
        with pytest.raises(MemoryError) as caught:
            np.empty(2**50)
        error = caught.value
    said = explain(error, command)
    assert said.startswith("the main memory is full" if isinstance(error, MemoryError) else "the GPU is full")
    assert setting in said


def test_a_mistake_stays_a_mistake():
    assert explain(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "train") is None
    assert explain(UserError("x=1 is wrong"), "train") == "x=1 is wrong"
