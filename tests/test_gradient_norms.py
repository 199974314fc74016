"""`callbacks=[default,gradient_norms]`: the length of each player's gradient, by hand, and when it is refused."""

from types import SimpleNamespace

import pytest
import torch

from lit_gan.callbacks.gradient_norms import GradientNorms
from lit_gan.curves import Curves
from lit_gan.errors import UserError
from lit_gan.figures.training_curves import Panel, panel_and_label
from lit_gan.optim import Clip
from lit_gan.records.table import read_table
from lit_gan.tasks.train import train
from test_run import call


def optimizer_with(*gradients):
    parameters = [torch.nn.Parameter(torch.zeros(len(gradient))) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    frozen = torch.nn.Parameter(torch.zeros(3))  # has no gradient at all
    return torch.optim.SGD([{"params": parameters[:1]}, {"params": [*parameters[1:], frozen]}], lr=0.1)


def trainer_of(*optimizers, **plugin):
    return SimpleNamespace(optimizers=optimizers, precision_plugin=SimpleNamespace(**plugin), precision="16-mixed")


def test_the_norm_is_over_all_parameters_of_the_player_and_before_the_clip():
    d, g = optimizer_with([3.0, 0.0], [0.0, 4.0]), optimizer_with([1.0, 2.0], [2.0])
    d.register_step_pre_hook(Clip(0.5))
    callback, module = GradientNorms(), SimpleNamespace(curves=Curves())
    callback.on_train_start(trainer_of(d, g), module)
    for optimizer in (d, g):
        optimizer.step()
    callback.teardown(None, module, "fit")
    d.step()
    module.curves.close(1, 1)
    assert module.curves.latest == {"gradient_norm/d": 5.0, "gradient_norm/g": 3.0}


def test_a_changing_scale_is_refused():
    with pytest.raises(UserError, match=r"trainer\.precision=16-mixed: choose bf16-mixed or 32-true"):
        GradientNorms().on_train_start(trainer_of(scaler=object()), None)


def test_the_two_share_a_panel_of_their_own():
    assert panel_and_label("gradient_norm/d", apart=False) == (Panel("gradient norms"), "D")


@pytest.mark.usefixtures("no_curves")
def test_a_run_has_both_curves_and_the_same_course_as_without(tmp_path, monkeypatch):
    tiny = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "metrics=none"]
    tiny += ["updates=3", "optim.n_dis=2", "optim.d_clip=0.01", "trainer.log_every_n_steps=1"]
    tables = {}
    for name, more in {"plain": [], "norms": ["callbacks=[default,gradient_norms]"]}.items():
        call(monkeypatch, train, "train", f"hydra.run.dir={tmp_path / name}", *tiny, *more)
        tables[name] = read_table(tmp_path / name / "metrics.csv")[1]
    norms = ("gradient_norm/d", "gradient_norm/g")
    assert all(float(row[norm]) > 0.01 for row in tables["norms"] for norm in norms), "before the clip"
    without = [{name: value for name, value in row.items() if name not in norms} for row in tables["norms"]]
    assert without == tables["plain"]
