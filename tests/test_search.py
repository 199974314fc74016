"""Searches: which cells are planned, and which end of a score is looked for."""

import pytest
from omegaconf import OmegaConf

from lit_gan.errors import UserError
from lit_gan.sweep.plan import planned_cells
from lit_gan.sweep.run_cell import run_cell
from lit_gan.sweep.search import check_direction
from test_grid import TINY, sweep

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
OTHER = "hydra_plugins.some.OtherSweeper"


def part_of_hydra(target=OTHER, words=(), **sweeper):
    return OmegaConf.create({"sweeper": {"_target_": target, **sweeper}, "overrides": {"task": list(words)}})


def nested(key, value):
    """The settings of a sweeper with a dotted key."""
    return OmegaConf.to_container(OmegaConf.from_dotlist([f"{key}={value}"]))


@pytest.mark.parametrize("values", ["choice(0,1)", "0,1", "range(0,2)"])
def test_only_the_cells_of_a_grid_are_known_beforehand(values):
    words = [f"seed={values}", "updates=4"]
    assert len(planned_cells(part_of_hydra(BASIC, words), ["seed"])) == 2
    assert planned_cells(part_of_hydra(OTHER, words), ["seed"]) == {}


@pytest.mark.parametrize(("monitor", "end"), [("fid", "min"), ("is", "max")])
@pytest.mark.parametrize(
    ("key", "ends"),
    [
        ("direction", {"min": "minimize", "max": "maximize"}),
        ("direction", {"min": "[minimize]", "max": "[maximize]"}),
        ("optim.maximize", {"min": "false", "max": "true"}),
        ("ax_config.experiment.minimize", {"min": "true", "max": "false"}),
    ],
)
def test_a_search_for_the_bad_end_of_a_score_is_refused(compose, monitor, end, key, ends):
    config = compose(f"metrics.monitor={monitor}")
    wrong = ends[{"min": "max", "max": "min"}[end]]
    check_direction(config, part_of_hydra(**nested(key, ends[end])))
    way_out = f"set hydra.sweeper.{key}={ends[end].strip('[]')}, or"
    with pytest.raises(UserError, match=rf"^metrics\.monitor={monitor} is a score to {end}imise.* {way_out}"):
        check_direction(config, part_of_hydra(**nested(key, wrong)))


def test_one_score_has_one_direction(compose):
    with pytest.raises(UserError, match=r"direction=\[minimize,maximize\]: set hydra\.sweeper\.direction=maximize"):
        check_direction(compose("metrics.monitor=is"), part_of_hydra(**nested("direction", "[minimize,maximize]")))


def test_what_a_training_refuses_itself_has_no_end(compose):
    check_direction(compose("metrics.monitor=absent"), part_of_hydra(direction="minimize"))


@pytest.mark.parametrize("sweeper", [{"direction": "minimize"}, {"tries": 5}])
def test_a_search_without_a_score_is_refused(compose, sweeper):
    with pytest.raises(UserError, match=r"^metrics=none .*: choose metrics=auto"):
        check_direction(compose("metrics=none"), part_of_hydra(**sweeper))


def test_a_sweeper_of_which_nothing_is_known_is_left_alone(compose):
    check_direction(compose("metrics.monitor=is"), part_of_hydra(tries=5))


def test_looking_for_the_end_fills_in_no_setting(compose):
    config = compose("metrics=inception", "metrics.monitor=is")
    before = OmegaConf.to_yaml(config)
    check_direction(config, part_of_hydra(direction="maximize"))
    assert OmegaConf.to_yaml(config) == before


def test_it_is_refused_before_the_first_cell(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    metrics = ["metrics=efficientnet_lite0", "metrics.monitor=is"]
    words = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=1", "hydra.sweep.dir=search", "seed=choice(0,1)", *metrics]
    code, output = sweep(tmp_path, "--multirun", *TINY, *words)
    assert (code, output.count("set hydra.sweeper.direction=maximize")) == (1, 1)
    assert not (tmp_path / "search").exists()


def test_a_cell_that_a_search_takes_the_wrong_way_does_not_begin(compose, tmp_path, monkeypatch):
    """Where the metrics are searched too, the sweep as a whole does not show it."""
    hydra = part_of_hydra(direction="minimize")
    hydra.runtime = {"output_dir": str(tmp_path / "search" / "metrics=a"), "choices": {"sweep": None}}
    hydra.sweep = {"dir": str(tmp_path / "search")}
    monkeypatch.setattr("lit_gan.sweep.run_cell.HydraConfig.get", lambda: hydra)
    with pytest.raises(UserError, match=r"set hydra\.sweeper\.direction=maximize"):
        run_cell(compose("metrics.monitor=is"), None)
