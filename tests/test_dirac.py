"""The Dirac-GAN through the real command: its picture, its path and its refusals."""

import csv
import sys

import pytest
import torch

from lit_gan.build import build_gan
from lit_gan.callbacks.vector_field import field
from lit_gan.cli.launch import launch
from lit_gan.errors import UserError
from lit_gan.models import dirac
from lit_gan.tasks.train import train


@pytest.fixture
def run(monkeypatch, tmp_path):
    def call(*arguments):
        monkeypatch.setattr(
            sys, "argv", ["train", f"hydra.run.dir={tmp_path}", "data=dirac", "batch_size=8", *arguments]
        )
        launch(train, "train")
        with (tmp_path / "path.csv").open() as file:
            return [(int(row["update"]), float(row["theta"]), float(row["psi"])) for row in csv.DictReader(file)]

    return call


def test_the_field_is_the_games_gradient(compose):
    gan = build_gan(compose("data=dirac", "loss=wasserstein", "model.G.theta=0.3", "model.D.psi=-0.7"))
    grid, arrows = field(gan, limit=2.0, points=5)
    theta, psi = grid.T
    # G minimises -psi theta, D minimises psi theta
    torch.testing.assert_close(arrows, torch.stack([psi, -theta], 1))
    assert (gan.G.body[0].theta.item(), gan.D.head.weight.item()) == pytest.approx((0.3, -0.7))


def test_the_field_of_a_penalty(compose):
    gan = build_gan(compose("data=dirac", "loss=wasserstein", "reg=r1", "reg.r1.weight=2"))
    grid, arrows = field(gan, limit=1.0, points=3)
    torch.testing.assert_close(arrows[:, 1], -grid[:, 0] - 2 * grid[:, 1])


def test_the_field_moves_no_memory(compose):
    gan = build_gan(compose("data=dirac", "loss=wasserstein", "reg=experience_replay"))
    before = {name: value.clone() for name, value in gan.regs.state_dict().items()}
    (_, first), (_, second) = (field(gan, limit=1.0, points=3) for _ in range(2))
    assert torch.equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in gan.regs.state_dict().items())


def test_the_path_is_written_and_goes_on_after_a_resume(run, tmp_path):
    first = run("updates=4", "updates_per_epoch=2", "loss=wasserstein")
    assert first[0] == (0, 1.0, 1.0)
    # D moves first, by -0.1 theta; G answers, by 0.1 of the new psi
    assert first[1] == pytest.approx((1, 1.09, 0.9))
    assert (tmp_path / "vector_field.png").stat().st_size > 10_000
    whole = run("updates=6", "updates_per_epoch=2", "loss=wasserstein")
    assert whole[:5] == first
    assert [update for update, *_ in whole] == list(range(7))


def test_the_last_lines_name_what_is_there(run, tmp_path, capsys):
    run("updates=1")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("look at")]
    names = ("curves.png", "vector_field.png", "metrics.csv", "results.json")
    assert line == f"look at  {', '.join(f'{tmp_path}/{name}' for name in names)}"


def test_other_models_have_no_such_picture(run):
    with pytest.raises(SystemExit, match="draws a game of one number for each player: use data=dirac"):
        run("data=digits", "model=mlp", "model.width=4", "callbacks=vector_field", "metrics=none", "updates=1")


@pytest.mark.parametrize("player", [dirac.Generator, dirac.Discriminator])
def test_images_are_no_numbers(player):
    with pytest.raises(UserError, match="model=dirac makes one number"):
        player((1, 32, 32))
