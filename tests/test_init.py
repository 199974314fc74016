"""`init=DIR`: a new run that begins with the networks of a trained one. FreezeD: a part of them stays.

In D of StyleGAN2 the first layer, and one or two blocks with it, are the numbers that StyleGAN2-ADA freezes with
freeze_layers of 1, 4 and 7: 256, 78,208 and 156,160 of them at 32 px and width 64.
"""

import pytest
import torch
from torch import nn

from lit_gan.errors import UserError
from lit_gan.models import autoencoder, biggan_deep, dcgan, mlp, r3gan, sngan_resnet
from lit_gan.reg.structure import FreezeD
from lit_gan.reg.targets import HistoricalAveraging
from test_branch import results, run
from test_run import content

pytestmark = pytest.mark.usefixtures("no_curves")
GAME = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "updates_per_epoch=2"]
GAME += ["metrics=none"]


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    directory = tmp_path_factory.mktemp("init") / "parent"
    run(f"hydra.run.dir={directory}", *GAME, "updates=4", "ema=0.9")
    return directory


def weights(directory, player):
    state = content(directory)["state_dict"]
    return {name.removeprefix(player): value for name, value in state.items() if name.startswith(player)}


def test_without_learning_the_networks_are_the_parents_and_all_else_is_new(parent, tmp_path):
    still = ["optim.d.lr=0", "optim.g.lr=0", "ema=0.9"]
    before = {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()}
    run(f"hydra.run.dir={tmp_path / 'new'}", *GAME, f"init={parent}", "updates=2", "seed=5", *still)
    assert {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()} == before
    for player in ("G.", "D."):
        old, new = weights(parent, player), weights(tmp_path / "new", player)
        learned = [name for name in old if not name.endswith((".u", "running_mean", "running_var", "tracked"))]
        assert len(learned) > 4
        assert all(torch.equal(old[name], new[name]) for name in learned)
    state, record = content(tmp_path / "new"), results(tmp_path / "new")
    assert state["GANData"]["position"] == 2 * 8
    assert state["optimizer_states"][0]["state"][0]["step"] == 2
    assert (record["updates"], [each["update"] for each in record["course"]]) == (2, [])
    assert record["parent"] == {
        "directory": str(parent),
        "run_id": (parent / ".hydra" / "run_id").read_text().strip(),
        "checkpoint": "last",
        "update": 4,
        "taken": "networks",
    }


def test_the_moving_average_goes_on_from_the_parents_or_from_its_g(parent, tmp_path, monkeypatch):
    monkeypatch.setattr("lit_gan.module.Average.update_from", lambda *_: None)
    run(f"hydra.run.dir={tmp_path / 'a'}", *GAME, f"init={parent}", "updates=1", "ema=0.9")
    old, new = weights(parent, "G_ema."), weights(tmp_path / "a", "G_ema.")
    assert all(torch.equal(old[name], new[name]) for name in old)
    run(f"hydra.run.dir={tmp_path / 'plain'}", *GAME, f"init={parent}", "updates=1")
    run(f"hydra.run.dir={tmp_path / 'b'}", *GAME, f"init={tmp_path / 'plain'}", "updates=1", "ema=0.9")
    old, new = weights(tmp_path / "plain", "G."), weights(tmp_path / "b", "G_ema.G.")
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_a_resume_goes_on_with_its_own_weights_and_keeps_its_origin(parent, tmp_path):
    run(f"hydra.run.dir={tmp_path / 'parts'}", *GAME, f"init={parent}", "updates=2")
    run(f"resume={tmp_path / 'parts'}", "updates=4")
    run(f"hydra.run.dir={tmp_path / 'whole'}", *GAME, f"init={parent}", "updates=4")
    one, other = (content(tmp_path / name)["state_dict"] for name in ("parts", "whole"))
    assert all(torch.equal(one[name], other[name]) for name in other)
    assert results(tmp_path / "parts")["parent"]["update"] == 4
    with pytest.raises(SystemExit, match="was made with init="):
        run(f"resume={tmp_path / 'parts'}", f"init={tmp_path / 'whole'}", "updates=6")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (["model.width=8"], r"another G: its body\S+ is of shape .* and here it is of shape"),
        (["reg=none"], r"another D: its \S+ is missing|another D: its \S+ is of shape .*, and here it is missing"),
        (["data=stacked_digits", "data.base.image_size=16"], "another G"),
    ],
)
def test_networks_that_do_not_fit_are_refused(parent, tmp_path, changed, words):
    game = GAME[1:] if changed[0].startswith("data=") else GAME
    with pytest.raises(SystemExit, match=words) as end:
        run(f"hydra.run.dir={tmp_path / 'new'}", *game, f"init={parent}", *changed)
    assert "\n" not in str(end.value.code)
    assert not (tmp_path / "new").exists()


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"init=\S+ is no run directory"):
        run(f"hydra.run.dir={tmp_path / 'new'}", *GAME, f"init={tmp_path}")
    assert not (tmp_path / "new").exists()


def test_a_history_begins_with_the_networks_that_were_taken(make_turn, linear_d, affine_g):
    G, D, reg = affine_g(), linear_d([1.0, 2.0]), HistoricalAveraging()
    reg.check(G, D)
    nn.init.constant_(D.head.weight, 7)
    turn = make_turn("d", D, torch.zeros(2, 2))
    reg.stage(turn)
    assert reg.d(turn) == 0
    reg.project(turn)
    nn.init.constant_(D.head.weight, 9)
    reg.stage(turn)
    assert reg.d(turn).item() == pytest.approx(8)


# FreezeD


def frozen(D, layers):
    FreezeD(layers).check(mlp.Generator((2,), width=2), D)
    return [name for name, value in D.named_parameters() if not value.requires_grad]


def test_the_first_layers_are_frozen_with_what_stands_before_the_next():
    D = dcgan.Discriminator((1, 16, 16), width=2)
    D.body[1] = nn.BatchNorm2d(2)
    assert {name.split(".")[1] for name in frozen(D, 1)} == {"0", "1"}
    blocks = sngan_resnet.Discriminator((3, 32, 32), width=2)
    assert {name.split(".")[1] for name in frozen(blocks, 3)} == {"0", "1", "2"}
    whole = mlp.Discriminator((2,), width=2, depth=2)
    assert not any(name.startswith("head") for name in frozen(whole, 2))
    assert len(frozen(whole, 2)) == 4


@pytest.mark.parametrize(
    "D", [r3gan.Discriminator((3, 32, 32), width=8), biggan_deep.Discriminator((3, 32, 32), width=4)]
)
def test_blocks_that_cannot_read_more_channels_are_counted_too(D):
    assert {name.split(".")[1] for name in frozen(D, 2)} == {"0", "1"}


@pytest.mark.parametrize(
    "D", [mlp.Discriminator((2,), width=2, depth=2), autoencoder.Discriminator((1, 16, 16), width=2)]
)
def test_more_layers_than_there_are_are_refused(D):
    with pytest.raises(UserError, match=r"reg\.freeze_d\.layers=9 is more than the \d layers"):
        frozen(D, 9)
    with pytest.raises(UserError, match=r"^FreezeD\.layers=0"):
        FreezeD(0)


@pytest.mark.parametrize("reg", ["[freeze_d,spectral]", "[spectral,freeze_d]"])
def test_frozen_weights_are_the_parents_after_updates_and_the_others_move(parent, tmp_path, reg):
    game = [*GAME, f"reg={reg}", "reg.freeze_d.layers=2"]
    run(f"hydra.run.dir={tmp_path / 'new'}", *game, f"init={parent}", "updates=3")
    old, new = weights(parent, "D."), weights(tmp_path / "new", "D.")
    learned = [name for name in old if name.startswith("body.") and ("original" in name or name.endswith("bias"))]
    first = [str(place) for place in sorted({int(name.split(".")[1]) for name in learned})[:2]]
    for name in learned:
        assert torch.equal(old[name], new[name]) is (name.split(".")[1] in first), name
