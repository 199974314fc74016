"""The W&B dashboard of a sweep, as an object: it needs a server only to be shown."""

import json

import pytest
from omegaconf import OmegaConf

from lit_gan.errors import UserError
from lit_gan.records.wandb_names import shortened
from lit_gan.sweep.cells import Cell
from lit_gan.tasks.dashboard import build_dashboard, publish


@pytest.fixture
def make_cell(tmp_path):
    """A finished cell: make_cell("method=a/optim=b", loggers)."""

    def make(name, loggers):
        folder = tmp_path / name / ".hydra"
        folder.mkdir(parents=True)
        figure = {"title": "Figure 1", "x": "optim"}
        OmegaConf.save(OmegaConf.create({"logger": loggers, "figure": figure}), folder / "config.yaml")
        course = [{"update": 1, "scores": {"digits/fid": 3.0, "digits/is": 2.0}}]
        return Cell(name, folder.parent, "finished", {"course": course, "choices": {"sweep": "fig1", "method": "a"}})

    return make


def as_sent(panel):
    return json.loads(panel._to_model().model_dump_json())


def test_scores_by_method_curves_by_setting_and_samples(make_cell):
    pytest.importorskip("wandb_workspaces")
    cells = [make_cell(f"method=a/optim={optim}", {"wandb": {}}) for optim in ("x", "y")]
    report = build_dashboard(cells, "project", "")  # W&B looks the project of an entity up
    titles = [block.text for block in report.blocks[::2]]
    assert titles == ["Scores by method", "Settings and scores", "Curves, optim=x", "Curves, optim=y", "Samples"]
    grids = report.blocks[1::2]
    runs = [as_sent(grid.runsets[0]) for grid in grids]
    filters = [[(each["key"]["name"], each["op"], each["value"]) for each in run["filters"]["filters"]] for run in runs]
    assert filters[0] == [("group", "IN", ["fig1"])]
    assert filters[3] == [("group", "IN", ["fig1"]), ("tags", "=", "optim=y")]
    assert [(key["section"], key["name"]) for key in runs[0]["grouping"]] == [("config", "label.value")]
    assert [panel.metrics for panel in grids[0].panels] == [["final/digits/fid"], ["final/digits/is"]]
    accessors = [column["accessor"] for column in as_sent(grids[1].panels[0])["config"]["columns"]]
    scores = ["summary:final/digits/fid", "summary:final/digits/is"]
    assert accessors == ["config:choices.value.method", "config:optim.value", *scores]
    assert [panel.y for panel in grids[2].panels] == [["digits/fid"], ["digits/is"]]
    assert report.title == "Figure 1"


def test_a_sweep_over_models_shows_the_runs_of_all_its_groups(make_cell):
    pytest.importorskip("wandb_workspaces")
    cells = [make_cell(f"model={model}", {"wandb": {}}) for model in ("a", "b")]
    for cell, model in zip(cells, "ab", strict=True):
        cell.results["choices"] = {"sweep": None, "data": "x=y", "model": model}
    runs = as_sent(build_dashboard(cells, "project", "").blocks[1].runsets[0])
    assert [each["value"] for each in runs["filters"]["filters"]] == [["x=y_a", "x=y_b"]]


def test_long_groups_and_tags_are_those_that_the_logger_gives(make_cell):
    pytest.importorskip("wandb_workspaces")
    long = "x" * 200
    cell = make_cell(f"optim={long}", {"wandb": {}})
    cell.results["choices"] = {"sweep": long}
    runs = as_sent(build_dashboard([cell], "project", "").blocks[5].runsets[0])
    group, tag = (each["value"] for each in runs["filters"]["filters"])
    assert (group, tag) == ([shortened(long, 128)], shortened(f"optim={long}", 64))


def test_a_sweep_without_wandb_is_refused(make_cell):
    with pytest.raises(UserError, match="run it with logger=wandb"):
        build_dashboard([make_cell("method=a", {})], "project", "entity")


def test_no_server_is_one_sentence():
    class Unreachable:
        def save(self):
            raise Exception("not logged in to W&B")

    with pytest.raises(UserError, match=r"not logged in to W&B.*wandb login.*lit_gan.report"):
        publish(Unreachable())


def test_status_shows_the_grid(tmp_path, capsys, monkeypatch):
    from lit_gan import status

    summary = {"updates": 30, "course": [], "final": None, "best": None, "seconds": {}, "updates_planned": 40}
    (tmp_path / "sweep.json").write_text(
        json.dumps({"sweep": "fig1", "axes": [], "cells": ["method=a/optim=x", "method=a/optim=y", "method=b/optim=x"]})
    )
    for name, more in {"method=a/optim=x": ("finished", None), "method=a/optim=y": ("failed", "d became nan")}.items():
        (tmp_path / name).mkdir(parents=True)
        results = {"status": more[0], "error": more[1], **summary}
        (tmp_path / name / "results.json").write_text(json.dumps(results))
    monkeypatch.setattr("sys.argv", ["status", str(tmp_path)])
    monkeypatch.setenv("COLUMNS", "200")
    status.main()
    output = capsys.readouterr().out
    assert "1 finished, 1 failed, 1 waiting" in output
    rows = {
        line.split("│")[1].strip(): [each.strip() for each in line.split("│")[2:4]]
        for line in output.splitlines()
        if "│" in line
    }
    assert rows["a"] == ["#", "x"]
    assert rows["b"] == [".", ""]
    assert "d became nan" in output


def test_status_of_nothing_is_one_sentence(tmp_path, monkeypatch):
    from lit_gan import status

    monkeypatch.setattr("sys.argv", ["status", str(tmp_path)])
    with pytest.raises(SystemExit, match="holds no sweep"):
        status.main()
