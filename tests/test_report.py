"""The report: statistics by hand, hand-made cells, what is kept apart, bad input in one sentence."""

import base64
import csv
import io
import json
import math
import re
import shutil
import statistics
import subprocess
import sys

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from scipy import stats

from lit_gan import report as command
from lit_gan.errors import UserError
from lit_gan.figures.style import COLOURS, MOST_SHOWN, styled, styles
from lit_gan.figures.training_curves import read_panels
from lit_gan.records.files import LEFTOVERS
from lit_gan.reporting import figures, papers
from lit_gan.reporting.collect import PanelKey, read_sweep
from lit_gan.reporting.comparison import compare
from lit_gan.reporting.figures import tile_sheet
from lit_gan.reporting.findings import (
    correlation,
    difference_table,
    ranking_table,
    score_entry,
    score_table,
    text_table,
    unfinished_table,
)
from lit_gan.reporting.page import html_page
from lit_gan.reporting.papers import most_alike, paper_score, read_paper
from lit_gan.reporting.run_sections import record_rows
from lit_gan.reporting.samples import spread
from lit_gan.reporting.sections import Writer
from lit_gan.reporting.statistics import Summary, best, difference, rank_correlations, ranks, summarize
from lit_gan.reporting.tables import Table, latex_text, plus_minus
from lit_gan.reporting.write import write_report

PROTOCOL = {
    "name": "full",
    "generated": 10000,
    "real": 50,
    "data": "digits",
    "shape": [1, 32, 32],
    "extractor": "digits",
}
QUICK = PROTOCOL | {"name": "quick", "generated": 1000}
SUITE = {"_target_": "lit_gan.metrics.FeatureMetrics", "extractor": None}
FIGURE = {
    "title": "Figure 1",
    "kind": "bars",
    "x": "optim",
    "hue": "method",
    "scores": ["fid"],
    "paper": None,
    "names": {"sngan_a": "A", "sngan_b": "B"},
}
LABELS = {"spectral_norm": "SN-GAN", "wgan_gp": "WGAN-GP", "weight_clipping": "Weight clipping"}


def record(update, fid, protocol=PROTOCOL, checkpoint="last"):
    name = f"{protocol.get('extractor', 'x')}/fid"
    measured = {"scores": {name: fid}, "protocol": protocol, "ends": {name: "min"}}
    return {"update": update, "checkpoint": checkpoint, "weights": "raw", **measured}


def results(fid, course=(), **other):
    course = [record(update, value, QUICK) for update, value in course]
    best = min(course, key=lambda each: each["scores"]["digits/fid"], default=None)
    if best:
        best = {"metric": "digits/fid", "value": best["scores"]["digits/fid"], **best}
    content = {
        "status": "finished",
        "error": None,
        "updates": 100,
        "updates_planned": 100,
        "course": course,
        "final": None if fid is None else record(100, fid),
        "best": best,
        "evaluations": [],
        "seconds": {"training": 5.0, "evaluation": 1.0},
        "updates_per_second": 20.0,
        "device": "cpu",
        "seed": 0,
        "versions": {"torch": "2"},
    }
    return content | other


@pytest.fixture
def make(tmp_path):
    """A sweep from {cell: content of results.json, or None if it waits}."""

    def sweep(cells, name="sweep", figure=FIGURE, data="digits"):
        folder = tmp_path / name
        for cell, content in cells.items():
            hydra = folder / cell / ".hydra"
            if content is not None:
                hydra.mkdir(parents=True)
                label = LABELS.get(re.search(r"method=(\w+)", cell)[1]) if "method=" in cell else None
                config = {"label": label, "figure": figure, "metrics": {"suite": SUITE}, "data": {"name": data}}
                OmegaConf.save(OmegaConf.create(config), hydra / "config.yaml")
                text = content if isinstance(content, str) else json.dumps(content)
                (folder / cell / "results.json").write_text(text)
        axes = list(dict.fromkeys(part.split("=")[0] for cell in cells for part in cell.split("/")))
        folder.mkdir(exist_ok=True)
        (folder / "sweep.json").write_text(json.dumps({"sweep": name, "axes": axes, "cells": list(cells)}))
        return folder

    return sweep


@pytest.fixture
def paper(tmp_path, monkeypatch):
    """Writes a paper's file of rows (method, optim, label, score, value, std, data, extractor, protocol)."""
    monkeypatch.setattr(papers, "FOLDER", tmp_path)

    def write(*rows, name="table"):
        columns = ["method", "optim", *papers.COLUMNS]
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([columns, *([*row, "Table 2"] for row in rows)])

    return write


def cell(method, optim, seed=0):
    return f"method={method}/optim={optim}/seed={seed}"


GRID = {
    cell("spectral_norm", "sngan_a", 0): results(10.0),
    cell("spectral_norm", "sngan_a", 1): results(14.0),
    cell("spectral_norm", "sngan_b", 0): results(20.0),
    cell("spectral_norm", "sngan_b", 1): results(21.0),
    cell("wgan_gp", "sngan_a", 0): results(40.0),
    cell("wgan_gp", "sngan_a", 1): results(None, status="failed", error="d/hinge became nan", updates=7),
    cell("wgan_gp", "sngan_b", 0): results(30.0),
    cell("wgan_gp", "sngan_b", 1): results(32.0),
    cell("weight_clipping", "sngan_a", 0): results(None, status="failed", error="killed", updates=3),
    cell("weight_clipping", "sngan_b", 0): None,
}


def page_of(*folders):
    """The page about sweeps without the files beside it, which take longer."""
    with styled():
        return html_page("title", [Writer(read_sweep(folder), "").part for folder in folders])


def only(folder):
    (comparison,) = compare(sweep := read_sweep(folder), read_paper(sweep.view.paper))
    return comparison


def test_a_copy_of_a_cell_is_no_seed(make):
    folder = make(GRID)
    copied = cell("spectral_norm", "sngan_a", 0)
    shutil.copytree(folder / copied, folder / "old" / copied)
    with pytest.raises(
        UserError, match=r"method=spectral_norm/optim=sngan_a/seed=0 and old/.* two seeds of one setting"
    ):
        read_sweep(folder)


class TestStatistics:
    def test_mean_and_standard_deviation(self):
        assert summarize([1.0, 3.0]) == Summary(2.0, math.sqrt(2), 2)
        assert summarize([5.0]) == Summary(5.0, None, 1)

    def test_difference_against_pooled_standard_error(self):
        # variances 2 and 8 pooled to 5, error sqrt(5 (1/2 + 1/2)), t(0.975, 2) = 4.3027
        found = difference(summarize([1.0, 3.0]), summarize([10.0, 14.0]))
        assert found.value == -10
        assert found.threshold == pytest.approx(4.302653 * math.sqrt(5))
        assert found.verdict == "larger"
        assert difference(summarize([1.0, 3.0]), summarize([9.0, 13.0])).verdict == "within"

    def test_pooling_weighs_by_degrees_of_freedom(self):
        # (2 * 4 + 1 * 1) / 3 = 3, error sqrt(3 (1/3 + 1/2)), t(0.975, 3) = 3.1824
        found = difference(Summary(0.0, 2.0, 3), Summary(1.0, 1.0, 2))
        assert found.threshold == pytest.approx(3.182446 * math.sqrt(2.5))

    def test_one_seed_is_unknown(self):
        assert difference(summarize([1.0]), summarize([100.0, 101.0])).verdict == "unknown"

    def test_ranks_share_ties_and_know_the_good_end(self):
        scores = {"a": 3.0, "b": 1.0, "c": 3.0}
        assert ranks(scores, "min") == {"a": 2.5, "b": 1.0, "c": 2.5}
        assert ranks(scores, "max") == {"a": 1.5, "b": 3.0, "c": 1.5}

    def test_best(self):
        values = {"a": Summary(3.0, None, 1), "b": Summary(1.0, None, 1)}
        assert (best(values, "min"), best(values, "max"), best({}, "min")) == ("b", "a", None)

    def test_rank_correlations_by_hand(self):
        # ranks 1 2 3 4 against 2 1 3 4: 1 - 6 * 2 / (4 * 15), and one pair of six the other way round
        found = rank_correlations(np.array([1.0, 2.0, 3.0, 9.0]), np.array([20.0, 10.0, 30.0, 40.0]))
        assert found == pytest.approx((0.8, 4 / 6))

    def test_rank_correlations_are_scipys_with_ties_too(self):
        values, reference = np.random.default_rng(0).integers(0, 4, (20, 6)), np.array([1.0, 2.0, 2.0, 3.0, 4.0, 5.0])
        found = rank_correlations(values, reference)
        for row, spearman, kendall in zip(values, *found, strict=True):
            assert spearman == pytest.approx(stats.spearmanr(row, reference).statistic)
            assert kendall == pytest.approx(stats.kendalltau(row, reference).statistic)

    def test_rank_correlation_of_equal_scores_is_no_number(self):
        assert np.isnan(rank_correlations(np.ones(3), np.arange(3.0))).all()

    @pytest.mark.parametrize(
        ("mean", "std", "text"), [(7.4243, 0.0812, "7.424 ± 0.081"), (151.2, 23.4, "151 ± 23"), (1234.56, None, "1235")]
    )
    def test_two_digits_of_the_deviation(self, mean, std, text):
        assert plus_minus(mean, std) == text


def test_a_sweep_is_shown_as_its_last_start_says(make):
    folder = make(GRID)
    assert read_sweep(folder).view.x == "optim"
    OmegaConf.save(OmegaConf.create({"figure": FIGURE | {"x": "method", "hue": "optim"}}), folder / "multirun.yaml")
    view = read_sweep(folder).view
    assert (view.x, view.hue) == ("method", "optim")


class TestComparison:
    def test_means_over_seeds_and_best_settings(self, make):
        found = only(make(GRID))
        assert found.end == "min"
        assert found.summaries["sngan_a", "spectral_norm"] == Summary(12.0, math.sqrt(8), 2)
        assert found.settings == {"spectral_norm": "sngan_a", "wgan_gp": "sngan_b"}
        assert list(found.bests) == ["spectral_norm", "wgan_gp"]

    def test_table_calls_things_by_their_names_and_shows_failures(self, make):
        table = score_table("t", only(make(GRID)))
        assert table.columns == ["method", "A", "B", "best", "best setting", "seeds"]
        assert table.rows == [
            ["SN-GAN", "12.0 ± 2.8", "20.50 ± 0.71", "12.0 ± 2.8", "A", "2"],
            ["WGAN-GP", "40 (1 failed)", "31.0 ± 1.4", "31.0 ± 1.4", "B", "1-2"],
            ["Weight clipping", "failed", "–", "–", "–", "0"],
        ]

    def test_a_score_that_is_not_finite_is_a_failure(self, make):
        found = only(
            make(
                {cell("wgan_gp", "sngan_a"): results(3.0), cell("wgan_gp", "sngan_b"): results(None)}
                | {cell("wgan_gp", "sngan_b"): results(3.0) | {"final": record(100, None)}}
            )
        )
        assert score_entry(found, "sngan_b", "wgan_gp") == "failed"

    @pytest.mark.parametrize("key", ["extractor", "data", "name", "generated", "weights"])
    def test_never_mixes_extractors_data_or_protocols(self, make, key):
        other = record(100, 99.0, PROTOCOL | {key: "other"})
        cells = {cell("wgan_gp", "sngan_a", 0): results(3.0), cell("wgan_gp", "sngan_a", 1): results(3.0, final=other)}
        found = compare(read_sweep(make(cells)), [])
        assert [each.values["sngan_a", "wgan_gp"] for each in found] == [[3.0], [99.0]]
        assert found[0].title != found[1].title
        assert "other" in found[1].title

    def test_never_mixes_other_axes(self, make):
        cells = {
            f"model={model}/method=wgan_gp/optim=sngan_a/seed=0": results(fid)
            for model, fid in {"dcgan": 1.0, "sngan_cnn": 2.0}.items()
        }
        found = compare(read_sweep(make(cells)), [])
        assert [each.values["sngan_a", "wgan_gp"] for each in found] == [[1.0], [2.0]]
        assert ["model=dcgan" in each.title for each in found] == [True, False]

    def test_an_axis_of_data_is_said_once(self, make):
        figure = FIGURE | {"x": None}
        (found,) = compare(read_sweep(make({"data=digits/method=wgan_gp/seed=0": results(1.0)}, figure=figure)), [])
        assert found.title == "digits 32x32, extractor digits, protocol full (10000 generated, 50 real)"

    def test_a_later_evaluation_of_the_last_weights_is_a_panel_of_its_own(self, make):
        modern = PROTOCOL | {"name": "modern"}
        later = [record(50, 9.0, QUICK), record(100, 5.0, modern), record(100, 1.0, QUICK, checkpoint="best")]
        found = compare(read_sweep(make({cell("wgan_gp", "sngan_a"): results(3.0, evaluations=later)})), [])
        assert [each.values["sngan_a", "wgan_gp"] for each in found] == [[3.0], [5.0]]

    def test_cells_trained_without_metrics_and_scored_later_are_ranked(self, make):
        folder = make({cell(method, "a"): results(None, evaluations=[record(100, 3.0)]) for method in LABELS})
        for path in folder.rglob("config.yaml"):
            config = OmegaConf.load(path)
            config.metrics.suite = None
            OmegaConf.save(config, path)
        assert only(folder).end == "min"

    def test_the_record_says_which_end_of_a_score_is_good(self, make):
        scored = results(3.0)
        scored["final"] |= {"ends": {"digits/fid": "max"}}
        assert only(make({cell("wgan_gp", "a"): scored})).end == "max"

    def test_the_good_end_is_unknown_where_no_record_says_it(self, make):
        early = {cell(method, "a"): results(3.0) for method in LABELS}
        for content in early.values():
            del content["final"]["ends"]
        assert only(folder := make(early)).end is None
        assert "SN-GAN" in page_of(folder)

    def test_one_record_that_says_the_good_end_speaks_for_all(self, make):
        early = results(3.0)
        del early["final"]["ends"]
        assert only(make({cell("wgan_gp", "a"): early, cell("wgan_gp", "b"): results(3.0)})).end == "min"

    def test_unfinished_cells_give_no_final_score(self, make):
        scored = [record(50, 60.0)]
        running = results(None, [(50, 70.0)], status="running", updates=50, evaluations=scored)
        sweep = read_sweep(make({cell("wgan_gp", "sngan_a"): running}))
        assert sweep.runs[0].cell.state == "stopped"
        assert not sweep.finals
        assert [score.value for score in sweep.course] == [70.0]

    def test_without_a_figure_block_the_first_axis_is_the_hue(self, make):
        cells = {f"reg={reg}/seed={seed}": results(3.0) for reg in ("none", "spectral") for seed in (0, 1)}
        found = only(make(cells, figure=None))
        assert found.sweep.hues == ["none", "spectral"]
        assert found.sweep.xs == [""]
        assert found.values["", "spectral"] == [3.0, 3.0]

    def test_numbers_on_x_by_size(self, make):
        cells = {f"method=wgan_gp/optim={n}/seed=0": results(1.0) for n in (10, 2, 1)}
        assert read_sweep(make(cells)).xs == ["1", "2", "10"]


def fid(data):
    """A row of a file of a paper's numbers."""
    words = dict.fromkeys(("label", "source", "std"), "")
    conditions = {"data": data, "extractor": "inception", "protocol": "test_10k"}
    return {"method": "plain", "score": "fid", "value": "1"} | conditions | words


class TestPaper:
    SAME = ("digits", "digits", "full")
    OTHER = ("cifar10", "inception", "sngan_paper")

    def test_stands_among_ours_only_if_all_agrees(self, make, paper):
        folder = make(GRID, figure=FIGURE | {"paper": "table"})
        paper(("spectral_norm", "", "SN-GAN", "fid", 29.3, "", *self.SAME))
        assert only(folder).paper_agrees
        for place in range(3):
            measured = list(self.SAME)
            measured[place] = self.OTHER[place]
            paper(("spectral_norm", "", "SN-GAN", "fid", 29.3, "", *measured))
            assert not only(folder).paper_agrees

    @pytest.mark.parametrize(
        "change",
        [
            {"generated": 500},
            {"real_split": "test"},
            {"shape": [1, 16, 16]},
            {"truncation": 0.5},
            {"neighbours": 5},
        ],
    )
    def test_stands_beside_ours_if_a_setting_was_changed_under_the_same_name(self, make, paper, change):
        paper(("spectral_norm", "", "SN-GAN", "fid", 29.3, "", *self.SAME))
        changed = results(10.0, final=record(100, 10.0, PROTOCOL | change))
        found = only(make({cell("spectral_norm", "sngan_a"): changed}, figure=FIGURE | {"paper": "table"}))
        assert found.paper_bests
        assert not found.paper_agrees

    @pytest.mark.parametrize(
        ("change", "protocol"),
        [
            ({}, "sngan_paper"),
            ({"truncation": None}, "sngan_paper"),
            ({"truncation": 0.5}, "sngan_paper, changed"),
            ({"real": 100}, "sngan_paper, changed"),
            ({"neighbours": 5}, "sngan_paper, changed"),
            ({"name": "mine", "real": 100}, "mine"),
        ],
    )
    def test_a_protocol_is_that_of_the_paper_only_as_it_is_defined(self, change, protocol):
        facts = {"name": "sngan_paper", "data": "cifar10", "shape": [3, 32, 32], "extractor": "inception"}
        facts |= {"generated": 5000, "inception_score": 50000, "real": 10000, "ema": False, "neighbours": 3}
        panel = PanelKey(json.dumps(facts | change), ())
        assert panel.conditions == ("cifar10", "inception", protocol)

    @pytest.mark.parametrize(
        ("name", "generated", "real"),
        [
            ("test_10k", 10_000, 10_000),
            ("diff_augment_code", 10_000, 10_000),
            ("veegan", 26_000, 60_000),
            ("studiogan", 50_000, 50_000),
        ],
    )
    def test_a_protocol_of_a_sweep_s_own_paper_is_defined_too(self, name, generated, real):
        facts = {"name": name, "data": "mnist", "shape": [1, 32, 32], "extractor": "x", "real": real}
        panels = [PanelKey(json.dumps(facts | {"generated": n}), ()) for n in (generated, 500)]
        assert [panel.conditions[2] for panel in panels] == [name, f"{name}, changed"]

    def test_images_of_a_set_that_the_package_does_not_have_are_told_by_their_size(self):
        facts = {"name": "full", "data": "imagenet", "shape": [3, 64, 64], "extractor": "inception"}
        assert PanelKey(json.dumps(facts), ()).conditions[0] == "imagenet at 64 px"

    def test_points_are_compared_with_as_many_real_ones_as_are_generated(self):
        facts = {"name": "quick", "data": "gaussians", "shape": [2], "generated": 1000, "real": 1000}
        assert PanelKey(json.dumps(facts), ()).conditions == ("gaussians", "", "quick")

    def test_of_several_data_sets_ours_is_taken_and_they_are_never_mixed(self, make, paper):
        paper(
            ("wgan_gp", "", "WGAN-GP", "fid", 1.0, "", "cifar10", "inception", "full"),
            ("spectral_norm", "", "SN-GAN", "fid", 2.0, "", "cifar10", "inception", "full"),
            ("wgan_gp", "", "WGAN-GP", "fid", 3.0, "", "digits", "inception", "other"),
        )
        found = only(make(GRID, figure=FIGURE | {"paper": "table"}))
        assert {hue: number.value for hue, number in found.paper_bests.items()} == {"wgan_gp": 3.0}
        assert found.paper[0].title == "paper: digits, inception, other"

    def test_numbers_of_best_settings_and_of_single_ones(self, make, paper):
        paper(
            ("spectral_norm", "", "SN-GAN", "fid", 29.3, 0.5, *self.OTHER),
            ("wgan_gp", "sngan_a", "WGAN-GP", "fid", 40.2, "", *self.OTHER),
            ("wgan_gp", "sngan_b", "WGAN-GP", "fid", 42.0, "", *self.OTHER),
            ("wgan_gp", "sngan_f", "WGAN-GP, F", "fid", 44.0, "", *self.OTHER),
            ("", "", "Real data", "fid", 7.8, "", *self.OTHER),
            ("wgan_gp", "", "WGAN-GP", "is", 1.0, "", *self.OTHER),
        )
        found = only(make(GRID, figure=FIGURE | {"paper": "table"}))
        assert {hue: number.value for hue, number in found.paper_bests.items()} == {
            "spectral_norm": 29.3,
            "wgan_gp": 40.2,
        }
        table = score_table("t", found)
        assert table.rows[0][-2:] == ["29.3 ± 0.5", "SN-GAN (Table 2)"]
        assert table.rows[-2][-2:] == ["44", "WGAN-GP, F (Table 2)"]  # at a setting that the sweep has not
        assert table.rows[-1][-2:] == ["7.8", "Real data (Table 2)"]
        assert "cifar10, inception, sngan_paper" in table.title

    def test_the_best_setting_is_one_of_those_where_the_fewest_seeds_failed(self, make):
        failed = results(None, status="failed", error="killed")
        cells = {cell("wgan_gp", "sngan_a", 0): results(1.0), cell("wgan_gp", "sngan_a", 1): failed}
        cells |= {cell("wgan_gp", "sngan_b", seed): results(5.0) for seed in (0, 1)}
        cells |= {cell("spectral_norm", "sngan_b", 0): results(3.0), cell("weight_clipping", "sngan_b", 0): failed}
        found = only(make(cells))
        assert found.settings == {"wgan_gp": "sngan_b", "spectral_norm": "sngan_b"}
        assert found.all_failed == ["weight_clipping"]
        assert ranking_table("t", found).rows[-1][:3] == ["–", "Weight clipping", "failed"]

    def test_methods_of_the_same_label_are_told_apart(self, make):
        cells = {cell(method, "sngan_a"): results(1.0) for method in ("wgan_gp", "spectral_norm")}
        folder = make(cells)
        for path in folder.rglob("config.yaml"):
            path.write_text(re.sub("label: .*", "label: GAN", path.read_text()))
        sweep = read_sweep(folder)
        assert [sweep.hue_name(hue) for hue in sweep.hues] == ["GAN (wgan_gp)", "GAN (spectral_norm)"]

    def test_ranking_beside_the_papers(self, make, paper):
        numbers = {"spectral_norm": 30.0, "wgan_gp": 40.0, "weight_clipping": 20.0}
        paper(*((name, "", name, "fid", value, "", *self.OTHER) for name, value in numbers.items()))
        cells = {cell(name, "sngan_a"): results(fid) for name, fid in zip(numbers, (1.0, 2.0, 3.0), strict=True)}
        found = only(make(cells, figure=FIGURE | {"paper": "table"}))
        assert [[row[0], row[1], row[-1]] for row in ranking_table("r", found).rows] == [
            ["1", "SN-GAN", "2"],
            ["2", "WGAN-GP", "3"],
            ["3", "Weight clipping", "1"],
        ]
        assert correlation(found) == (
            "Rank correlation with the paper over 3 methods: Spearman's -0.50, Kendall's -0.33."
        )

    def test_the_correlation_is_uncertain_where_seeds_exchange_two_methods(self, make, paper):
        numbers = {"spectral_norm": 30.0, "wgan_gp": 40.0, "weight_clipping": 50.0}
        paper(*((name, "", name, "fid", value, "", *self.OTHER) for name, value in numbers.items()))
        scores = {"spectral_norm": (1.0, 4.0), "wgan_gp": (2.0, 5.0), "weight_clipping": (9.0, 9.0)}
        cells = {
            cell(name, "sngan_a", seed): results(fid) for name, fids in scores.items() for seed, fid in enumerate(fids)
        }
        found = only(make(cells, figure=FIGURE | {"paper": "table"}))
        assert correlation(found) == (
            "Rank correlation with the paper over 3 methods: Spearman's 1.00 (0.50 to 1.00), Kendall's 1.00 (0.33 to "
            "1.00). In brackets the middle 95 % of 10000 draws of the seeds with replacement."
        )

    def test_redrawn_seeds_have_the_noise_of_a_mean_and_choose_the_setting_anew(self, make):
        fids = {"sngan_a": (1.0, 3.0), "sngan_b": (2.0, 2.0)}
        cells = {cell("wgan_gp", x, seed): results(fid) for x, seen in fids.items() for seed, fid in enumerate(seen)}
        drawn = only(make(cells)).redrawn(["wgan_gp"], 4000)
        assert sorted(set(drawn.ravel())) == [1.0, 2.0]  # (1, 1) of the first, else the second or both means 2
        assert np.mean(drawn == 1.0) == pytest.approx(0.25, abs=0.03)

    def test_a_missing_file(self, make, paper):
        with pytest.raises(UserError, match=r"figure\.paper=absent does not exist"):
            write_report([make(GRID, figure=FIGURE | {"paper": "absent"})], None)

    def test_a_damaged_file(self, make, paper, tmp_path):
        (tmp_path / "bad.csv").write_text("method,score\nwgan_gp,fid\n")
        with pytest.raises(UserError, match=r"bad\.csv is damaged"):
            read_paper("bad")

    @pytest.mark.parametrize(
        ("data", "theirs"),
        [
            ("cifar10", "cifar10"),
            ("cifar10-jpeg", "cifar10"),
            ("fashion_mnist", "fashion_mnist"),
            ("cifar100", "mnist"),
        ],
    )
    def test_the_numbers_are_those_of_the_data_or_of_what_they_are_a_variant_of(self, data, theirs):
        known = [paper_score(fid(each)) for each in ("mnist", "fashion_mnist", "cifar10")]
        (found,) = most_alike(known, (data, "efficientnet_lite0", "full"))
        assert found.data == theirs

    def test_the_shipped_files_can_be_read(self):
        for path in papers.FOLDER.glob("*.csv"):
            assert read_paper(path.stem)


class TestReport:
    @pytest.fixture
    def written(self, make, paper):
        """A report on the grid with a course, and its folder."""
        paper(("spectral_norm", "", "SN-GAN", "fid", 29.3, "", *TestPaper.OTHER))
        course = results(11.0, [(50, 70.0), (100, 80.0)])
        folder = make(GRID | {cell("spectral_norm", "sngan_a", 2): course}, figure=FIGURE | {"paper": "table"})
        return write_report([folder], None)

    def test_is_one_file_that_needs_nothing_else(self, written):
        html = written.read_text()
        sources = re.findall(r'(?:src|href)="([^"]{0,20})', html)
        assert sources
        assert all(source.startswith(("data:image/", "#")) for source in sources)
        assert not re.search(r"<(?:script|link)[^>]*(?:src|href)|@import|url\((?!#)", html)
        assert html.count("<svg") == len(list(written.parent.glob("*.svg")))

    def test_the_same_figures_and_tables_as_files(self, written):
        names = {path.name for path in written.parent.iterdir()}
        assert names >= {"main.png", "main.svg", "curves_fid.png", "scores_fid.csv", "scores_fid.md", "scores_fid.tex"}
        assert (written.parent / "main.png").read_bytes().startswith(b"\x89PNG")
        assert not list(written.parent.glob(LEFTOVERS))

    def test_failed_cells_with_their_reasons(self, written):
        rows = list(csv.reader((written.parent / "unfinished.csv").open()))
        assert [cell("wgan_gp", "sngan_a", 1), "failed", "7 of 100", "d/hinge became nan"] in rows
        assert [cell("weight_clipping", "sngan_b"), "waiting", "", ""] in rows
        assert "d/hinge became nan" in written.read_text()

    def test_nothing_of_warnings_where_there_are_none(self, written):
        assert not (written.parent / "warnings.csv").exists()

    def test_finished_cells_with_warnings(self, make):
        collapsed = results(900.0) | {"warnings": ["digits/fid ends at 900, after 40 at update 50"]}
        page = write_report([make(GRID | {cell("wgan_gp", "sngan_b", 1): collapsed})], None)
        rows = list(csv.reader((page.parent / "warnings.csv").open()))
        assert rows[1:] == [[cell("wgan_gp", "sngan_b", 1), "digits/fid ends at 900, after 40 at update 50"]]
        assert "digits/fid ends at 900, after 40 at update 50" in page.read_text()

    def test_best_and_last_side_by_side(self, written):
        rows = list(csv.reader((written.parent / "best_last_1.csv").open()))
        assert dict(zip(*rows[:2], strict=True)) == {
            "method": "SN-GAN",
            "optim": "A",
            "best mean": "70.0",
            "best std": "",
            "best n": "1",
            "its update (mean)": "50.0",
            "last mean": "80.0",
            "last std": "",
            "last n": "1",
            "last update (mean)": "100.0",
            "last / best": str(80 / 70),
            "seeds": "1",
        }

    def test_cells_whose_last_score_is_not_finite_are_counted(self, make):
        good, bad = results(3.0, [(50, 7.0), (100, 3.0)]), results(3.0, [(50, 7.0), (100, 3.0)])
        bad["course"][1]["scores"]["digits/fid"] = None
        html = write_report([make({cell("wgan_gp", "a"): good, cell("wgan_gp", "b"): bad})], None).read_text()
        assert "their last score is not finite: 1." in html

    def test_time_for_a_hundred_updates(self, written):
        rows = list(csv.reader((written.parent / "cost.csv").open()))
        speed = ["seconds per 100 updates mean", "seconds per 100 updates std", "seconds per 100 updates n"]
        assert rows[0][3:6] == speed
        assert rows[1] == ["SN-GAN", "cpu", "5", "5.0", "0.0", "5", "5.0", "1.0", "30.0"]

    def test_again_over_the_old_one_and_elsewhere(self, written, tmp_path):
        folder = written.parent.parent
        assert write_report([folder], None) == written
        assert write_report([folder], tmp_path / "x" / "y") == tmp_path / "x" / "y" / "report.html"

    def test_what_an_earlier_report_showed_and_this_one_does_not_is_removed(self, written):
        for name in ("mine.png", "files.txt"):
            (written.parent / name).write_text("main.png")
        shutil.rmtree(written.parent.parent / cell("spectral_norm", "sngan_a", 2))
        write_report([written.parent.parent], None)
        names = {path.name for path in written.parent.iterdir()}
        assert "curves_fid.png" not in names
        assert names >= {"mine.png", "files.txt", "main.png", "scores_fid.csv", "report.html"}

    def test_texts_of_cells_that_write(self, make):
        folder = make(GRID)
        samples = folder / cell("spectral_norm", "sngan_a", 0) / "samples"
        samples.mkdir()
        (samples / "000050.txt").write_text("early\n")
        (samples / "last_by_class.txt").write_text("other")
        (samples / "000100.txt").write_text("".join(f"line {n}\n" for n in range(64)))
        rows = text_table("t", read_sweep(folder)).rows
        assert rows == [[cell("spectral_norm", "sngan_a", 0), "line 0\nline 1\nline 2\nline 3\nline 4\nline 5"]]

    def test_several_sweeps_on_one_page(self, make, tmp_path):
        first, second = make(GRID, "one"), make(GRID, "two", figure=FIGURE | {"title": "Figure 2"})
        html = write_report([first, second], tmp_path / "both").read_text()
        assert "Figure 1; Figure 2" in html
        assert {path.name for path in (tmp_path / "both").glob("*main.png")} == {"one_main.png", "two_main.png"}

    @pytest.mark.parametrize("kind", ["lines", "curves", "table", "time"])
    def test_other_kinds(self, make, kind):
        cells = {f"method=wgan_gp/optim={n}/seed={seed}": results(n, [(50, 7.0)]) for n in (1, 2) for seed in (0, 1)}
        folder = write_report([make(cells, figure=FIGURE | {"kind": kind})], None).parent
        shown = {"lines": "main.png", "curves": "curves_fid.png", "table": "scores_fid.csv", "time": "main.png"}
        assert (folder / shown[kind]).exists()

    def test_a_search_of_many_cells(self, make, monkeypatch):
        cells = {f"optim.d.lr={n}/optim.g.lr={n + 0.5}": results(float(n), [(50, 7.0)]) for n in range(1, 41)}
        folder = make(cells, figure=None)
        for name in cells:
            (folder / name / "samples").mkdir()
            Image.new("L", (8, 8)).save(folder / name / "samples" / "000100.png")
        sheets = []
        monkeypatch.setattr(figures, "tile_sheet", lambda tiles: sheets.append(len(tiles)) or tile_sheet(tiles))
        written = write_report([folder], None).parent
        assert sheets == [MOST_SHOWN]
        with Image.open(written / "samples.png") as picture:
            assert picture.height < 5000

    def test_html_is_escaped(self):
        table = Table("t", "a < b", ["<i>"], [["&"]])
        assert "a &lt; b" in table.html()
        assert "<td>&amp;</td>" in table.html()
        assert "<h1>a &lt; b</h1>" in html_page("a < b", [])
        assert r"x \| y" in Table("t", "t", ["c"], [["x | y"]]).markdown()

    def test_more_hues_than_colours_stay_apart(self):
        drawn = styles([str(n) for n in range(16)])
        assert len(set(drawn.values())) == 16
        assert drawn["0"].colour == drawn["8"].colour == COLOURS[0]


class TestTables:
    def rows_of(self, table):
        return list(csv.DictReader(table.csv().splitlines()))

    def test_csv_has_mean_deviation_and_n_in_full_precision(self, make):
        cells = {cell("wgan_gp", x, seed): results(fid) for x, seed, fid in self.FIDS}
        (row,) = self.rows_of(score_table("t", only(make(cells))))
        assert float(row["A mean"]) == statistics.fmean([100 / 3, 200 / 7])
        assert float(row["A std"]) == statistics.stdev([100 / 3, 200 / 7])
        assert (row["A n"], row["A failed"], row["B mean"], row["B std"], row["B n"]) == ("2", "0", "50.0", "", "1")
        assert (row["best mean"], row["best setting"]) == (row["A mean"], "A")

    FIDS = (("sngan_a", 0, 100 / 3), ("sngan_a", 1, 200 / 7), ("sngan_b", 0, 50.0))

    def test_csv_says_how_many_failed_and_leaves_empty_what_is_not_there(self, make):
        rows = self.rows_of(score_table("t", only(make(GRID))))
        assert [(row["A mean"], row["A failed"]) for row in rows] == [("12.0", "0"), ("40.0", "1"), ("", "1")]
        assert [(row["B mean"], row["B n"]) for row in rows][2] == ("", "")

    def test_every_score_of_every_cell_in_full(self, make):
        folder = write_report([make({cell("wgan_gp", "sngan_a"): results(100 / 3)})], None).parent
        (row,) = csv.DictReader((folder / "cells.csv").open())
        assert float(row["value"]) == 100 / 3

    def test_differences_and_what_they_must_exceed(self, make):
        (row,) = self.rows_of(difference_table("t", only(make(GRID))))
        found = difference(summarize([10.0, 14.0]), summarize([30.0, 32.0]))
        assert float(row["WGAN-GP"]) == found.value
        assert float(row["WGAN-GP must exceed"]) == found.threshold

    def test_latex_is_a_table_of_booktabs(self):
        table = Table("scores_fid", "FID_1: 50 % & more", ["method", "A"], [["SN-GAN", "12.0 ± 2.8"], ["a_b", "–"]])
        assert table.latex().splitlines() == [
            r"% \usepackage{booktabs,graphicx}",
            r"\begin{table}",
            r"\centering",
            r"\caption{FID\_1: 50 \% \& more}",
            r"\label{tab:scores_fid}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            r"\begin{tabular}{ll}",
            r"\toprule",
            r"method & A \\",
            r"\midrule",
            r"SN-GAN & 12.0 $\pm$ 2.8 \\",
            r"a\_b & -- \\",
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]

    @pytest.mark.parametrize(
        ("text", "latex"),
        [
            ("x < y > z", "x $<$ y $>$ z"),
            ("a\\b~^", r"a\textbackslash{}b\textasciitilde{}\textasciicircum{}"),
            ("{#$}", r"\{\#\$\}"),
            ("two\nlines", "two lines"),
            ("−1 ≤ |x| ≤ ∞", r"$-$1 $\le$ \textbar{}x\textbar{} $\le$ $\infty$"),
        ],
    )
    def test_what_latex_would_misread(self, text, latex):
        assert latex_text(text) == latex

    def test_a_row_cannot_begin_with_an_argument_of_the_line_before(self):
        table = Table("t", "t", ["[a]", "b"], [["[spectral,r1]", "[x]"], ["*", "y"], ["", "z"]])
        lines = table.latex().splitlines()
        assert [line for line in lines if line.endswith(r"\\")] == [
            r"{}[a] & b \\",
            r"{}[spectral,r1] & [x] \\",
            r"{}* & y \\",
            r" & z \\",
        ]

    @pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs LaTeX: apt install texlive-latex-recommended")
    def test_latex_makes_a_page_of_it_that_is_as_wide_as_the_text(self, tmp_path):
        odd = r"a_b & 5 % #1 $x {y} \z ~ ^ < > | ± − – ↑ ↓ ≤ ≥ ∞ ² é"
        table = Table("odd_names", odd, ["[method]", odd, odd], [["[spectral,r1]", odd, odd], ["*", "", "−1.5"]])
        (tmp_path / "table.tex").write_text(table.latex(), encoding="utf-8")
        page = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}\input{table}\end{document}"
        (tmp_path / "page.tex").write_text(page)
        words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
        asked = {"cwd": tmp_path, "stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 100}
        run = subprocess.run(words, **asked)
        assert (run.returncode, b"Overfull" in run.stdout) == (0, False), run.stdout.decode("latin1")

    def test_a_table_without_rows(self):
        table = Table("t", "t", ["a", "b"], [])
        assert table.csv() == "a,b\r\n"
        assert r"\midrule" in table.latex()


class TestMarks:
    def test_a_score_leads_to_its_cells_and_goes_with_its_method_and_setting(self, make):
        page = page_of(make(GRID))
        row = re.search(r'<tr class="h0"><td>SN-GAN</td><td class="x0"><a href="#([^"]+)">12.0 ± 2.8</a></td>', page)
        assert row[1] == "cells-sweep-spectral_norm-sngan_a"
        assert f'<div id="{row[1]}" class="cells h0 x0">' in page

    def test_files_of_figures_lead_to_the_page(self, make):
        svg = Writer(read_sweep(make(GRID)), "").part.sections[0].pictures[0].svg
        assert 'xlink:href="report.html#cells-sweep-spectral_norm-sngan_a"' in svg
        assert re.search(r'<g class="h0 x0">', svg)
        assert "mark:" not in svg
        assert "_blank" not in svg

    def test_cells_of_other_axes_have_lists_of_their_own(self, make):
        cells = {f"model={model}/method=wgan_gp/optim=a/seed=0": results(1.0) for model in ("dcgan", "sngan_cnn")}
        page = page_of(make(cells))
        lists = re.findall(r'<div id="(cells-[^"]+)"', page)
        assert lists == ["cells-sweep-model=dcgan-wgan_gp-a", "cells-sweep-model=sngan_cnn-wgan_gp-a"]
        assert {*re.findall(r'href="#(cells-[^"]+)"', page)} == {*lists}

    def test_nothing_to_switch_in_a_sweep_of_one_method(self, make):
        page = page_of(make({cell("wgan_gp", "sngan_a"): results(1.0)}))
        assert "<form" not in page

    def test_each_of_several_sweeps_has_its_own_switches(self, make):
        page = page_of(make(GRID, "one"), make(GRID, "two"))
        assert page.count("<article>") == page.count("<form hidden>") == 2
        assert "#cells-one-" in page
        assert "#cells-two-" in page


class TestSamples:
    def samples(self, folder, name, *updates, ending="png"):
        (folder / name / "samples").mkdir(exist_ok=True)
        for update in updates:
            path = folder / name / "samples" / f"{update:06d}.{ending}"
            Image.new("L", (300, 300), update % 256).save(path) if ending == "png" else path.write_text(
                f"at {update}\n"
            )

    def test_the_same_updates_of_every_method_at_its_best_setting(self, make):
        folder = make(GRID)
        for name in (cell("spectral_norm", "sngan_a"), cell("spectral_norm", "sngan_b"), cell("wgan_gp", "sngan_b", 1)):
            self.samples(folder, name, *range(10, 101, 10))
        (film,) = Writer(read_sweep(folder), "").film()
        assert film.updates == [10, 30, 50, 80, 100]
        assert [strip.name for strip in film.strips] == ["SN-GAN, A", "WGAN-GP, B"]
        assert [path.stem for path in film.strips[0].paths] == ["000010", "000030", "000050", "000080", "000100"]

    def test_what_a_stopped_cell_has_not_drawn_is_left_open(self, make):
        folder = make({cell("wgan_gp", "a"): results(1.0), cell("spectral_norm", "a"): results(2.0)})
        self.samples(folder, cell("wgan_gp", "a"), 50, 100)
        self.samples(folder, cell("spectral_norm", "a"), 50)
        (film,) = Writer(read_sweep(folder), "").film()
        assert [[path and path.stem for path in strip.paths] for strip in film.strips] == [
            ["000050", "000100"],
            ["000050", None],
        ]

    def test_text_is_shown_as_text(self, make):
        folder = make({cell("wgan_gp", "a"): results(1.0)})
        self.samples(folder, cell("wgan_gp", "a"), 50, 100, ending="txt")
        page = page_of(folder)
        assert "<pre>at 50</pre>" in page
        assert "<pre>at 100</pre>" in page

    def test_pictures_are_small(self, make):
        folder = make({cell("wgan_gp", "a"): results(1.0)})
        self.samples(folder, cell("wgan_gp", "a"), 100)
        page = page_of(folder)
        for data in re.findall(r"data:image/webp;base64,([^\"]+)", page):
            with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
                assert max(picture.size) <= 240

    def test_spread(self):
        assert spread([1, 2, 3], 5) == [1, 2, 3]
        assert spread(list(range(11)), 3) == [0, 5, 10]


class TestSingleRun:
    @pytest.fixture
    def run(self, make):
        course = results(11.0, [(50, 70.0), (100, 80.0)], warnings=["it collapsed"])
        course["evaluations"] = [record(100, 100 / 3, PROTOCOL | {"name": "modern"})]
        folder = make({cell("wgan_gp", "sngan_a"): course}) / cell("wgan_gp", "sngan_a")
        lines = ["update,d/hinge,g/hinge,gradient_norm/d,gradient_norm/g", "50,1,2,0.5,0.6", "100,1,1,0.4,0.7"]
        (folder / "metrics.csv").write_text("\n".join([*lines, ""]))
        (folder / "samples").mkdir()
        for update in (50, 100):
            Image.new("L", (16, 16)).save(folder / "samples" / f"{update:06d}.png")
        return folder

    def test_shows_curves_samples_over_the_training_and_scores(self, run):
        page = write_report([run], None)
        html = page.read_text()
        titles = re.findall(r'<h2 id="s\d+">([^<]+)</h2>', html)
        assert titles == ["Curves", "Samples over the training", "Scores", "Finished with warnings", "What was run"]
        assert html.count("<figure data-update=") == 2
        rows = list(csv.DictReader((page.parent / "scores.csv").open()))
        assert [(row["protocol"], float(row["fid"])) for row in rows] == [("full", 11.0), ("modern", 100 / 3)]
        assert len(list(csv.DictReader((page.parent / "course.csv").open()))) == 2

    def test_gradient_norms_have_a_panel(self, run):
        panels = {panel.title: panel.curves for panel in read_panels(run / "metrics.csv")}
        assert panels["gradient norms"] == {"D": ([50, 100], [0.5, 0.4]), "G": ([50, 100], [0.6, 0.7])}

    def test_beside_a_sweep(self, run, make, tmp_path):
        waiting = make({cell("wgan_gp", "sngan_a"): results(1.0)}, "other")
        html = write_report([run, waiting], tmp_path / "both").read_text()
        assert html.count("<article>") == 2
        assert f"{run}: Curves" in html

    def test_a_run_that_has_nothing_to_show(self, make):
        begun = results(None, status="running", updates=0)
        folder = make({cell("wgan_gp", "sngan_a"): begun}) / cell("wgan_gp", "sngan_a")
        with pytest.raises(UserError, match="has neither curves nor samples yet"):
            write_report([folder], None)

    @pytest.mark.parametrize("file", ["config.yaml", "cell.json"], ids=["a run", "a cell of a sweep"])
    def test_a_run_that_has_no_results_yet(self, tmp_path, file):
        (tmp_path / ".hydra").mkdir()
        (tmp_path / ".hydra" / file).write_text("{}")
        with pytest.raises(
            UserError, match=f"^{tmp_path} has neither curves nor samples yet: wait for the first update"
        ):
            write_report([tmp_path], None)

    def test_a_damaged_run(self, make):
        folder = make({cell("wgan_gp", "sngan_a"): "{"}) / cell("wgan_gp", "sngan_a")
        with pytest.raises(UserError, match=r"results\.json is damaged"):
            write_report([folder], None)


class TestBadInput:
    def call(self, monkeypatch, capsys, *arguments):
        monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            command.main()
        return ended.value.code

    def test_no_directory(self, monkeypatch, capsys, tmp_path):
        message = self.call(monkeypatch, capsys, tmp_path / "absent")
        assert message.startswith("lit_gan: ")
        assert "absent does not exist" in message

    def test_no_sweep(self, tmp_path):
        with pytest.raises(UserError, match="holds no sweep"):
            write_report([tmp_path], None)

    def test_no_score_yet(self, make):
        folder = make({cell("wgan_gp", "sngan_a"): None, cell("wgan_gp", "sngan_b"): results(None, status="running")})
        with pytest.raises(UserError, match="no cell has a score yet: 1 stopped, 1 waiting"):
            write_report([folder], None)
        assert not (folder / "report").exists()

    def test_the_same_sweep_twice(self, make):
        folder = make(GRID)
        twins = [make({cell("wgan_gp", "sngan_a"): results(1.0)}, name) for name in ("x-y", "x_y")]
        with pytest.raises(UserError, match=r"hold x-y and x_y, of which all files would be called x_y_\*"):
            write_report(twins, None)
        with pytest.raises(UserError, match="hold the same sweep, sweep"):
            write_report([folder, folder], None)

    @pytest.mark.parametrize("content", ["{", '{"status": "finished"}', '{"course": [{"update": 1}]}'])
    def test_a_damaged_cell_is_reported_and_the_others_go_on(self, make, content):
        folder = make(GRID | {cell("spectral_norm", "sngan_a", 5): content})
        assert only(folder).values["sngan_a", "spectral_norm"] == [10.0, 14.0]
        rows = unfinished_table("t", read_sweep(folder)).rows
        (row,) = [row for row in rows if row[1] == "damaged"]
        assert row[0] == cell("spectral_norm", "sngan_a", 5)
        assert "results.json is damaged" in row[3]

    def test_a_cell_of_an_older_version(self, make):
        old = results(3.0) | {"final": record(100, 3.0, {"name": "full"})}
        runs = read_sweep(make(GRID | {cell("spectral_norm", "sngan_a", 5): old})).runs
        assert "results.json is from an older version" in runs[-1].cell.results["error"]

    def test_all_cells_damaged(self, make):
        with pytest.raises(UserError, match=r"results\.json is damaged"):
            write_report([make({cell("wgan_gp", "sngan_a"): "{", cell("wgan_gp", "sngan_b"): None})], None)

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"kind": "pie"}, r"figure\.kind=pie of the sweep sweep does not exist"),
            ({"x": "loss"}, r"figure\.x=loss is no axis of the sweep sweep: it has method, optim, seed"),
        ],
    )
    def test_a_figure_that_cannot_be_drawn(self, make, change, sentence):
        with pytest.raises(UserError, match=sentence):
            write_report([make(GRID, figure=FIGURE | change)], None)

    def test_a_folder_that_cannot_be_written(self, make, monkeypatch, capsys, tmp_path):
        (tmp_path / "file").write_text("")
        message = self.call(monkeypatch, capsys, make(GRID), "--output", tmp_path / "file" / "report")
        assert "Not a directory" in message


class TestCaveats:
    REASON = "200 real images are too few for 1280 features, which makes it too large"

    @pytest.fixture
    def marked(self, make):
        """Two methods whose FID, during training and at the end, is of too few images."""

        def of(fid):
            content = results(fid, course=[(50, fid + 1), (100, fid)])
            for each in (*content["course"], content["final"], content["best"]):
                each["caveats"] = {"digits/fid": self.REASON}
            return content

        return make({cell("spectral_norm", "sngan_a"): of(3.0), cell("wgan_gp", "sngan_a"): of(4.0)})

    def test_the_tables_of_a_run_and_of_cells_have_it_too(self, marked):
        run = marked / cell("wgan_gp", "sngan_a")
        for folder, table in ((run, "Scores after the training"), (marked, "Every final score of every cell")):
            page = write_report([folder], None).read_text(encoding="utf-8")
            at = page.index(table)
            assert "fid*" in page[at : at + 2000].lower()
            assert self.REASON in page[at : at + 2000]

    def test_seeds_of_other_lengths_have_one(self, make):
        longer = results(3.0, final=record(200, 3.0), updates=200)
        found = only(make({cell("wgan_gp", "a", 0): results(4.0), cell("wgan_gp", "a", 1): longer}))
        assert found.caveat == "seeds of one setting were scored at updates 100 and 200"
        assert only(make({cell("wgan_gp", "a"): results(4.0), cell("wgan_gp", "b"): longer}, "two")).caveat is None

    def test_a_score_of_too_few_images_has_a_star_and_a_sentence_wherever_it_is_shown(self, marked):
        page = write_report([marked], None).read_text(encoding="utf-8")
        for start in (
            "FID*: digits",
            "Ranking by FID*",
            "FID*, difference",
            "FID* during training",
            "FID*, best against",
        ):
            after = page[page.index(start) :]
            assert f"(* {self.REASON}; compare with scores of the same numbers of images only.)" in after[:600]
        assert not re.search(r"FID(?!\*)[:,] ", page)
        assert only(marked).name == "FID*"

    def test_other_scores_have_neither(self, make):
        folder = make({cell("spectral_norm", "sngan_a"): results(3.0), cell("wgan_gp", "sngan_a"): results(4.0)})
        page = write_report([folder], None).read_text(encoding="utf-8")
        assert "FID: digits" in page
        assert "FID*" not in page
        assert "compare with scores" not in page


def test_protocols_of_one_name_are_told_apart_by_what_differs():
    few, many = ({"name": "quick", "generated": n, "ema": False} for n in (10, 1000))
    other = {"name": "full", "generated": 10, "ema": True}
    of = {"checkpoint": "last", "update": 4, "weights": "raw", "scores": {"digits/fid": 1.0}}
    table = record_rows("scores", "Scores", [of | {"protocol": each} for each in (few, many, other)])
    assert [row[3] for row in table.rows] == ["quick (generated 10)", "quick (generated 1000)", "full"]
    assert "quick (generated 10)" in table.csv()
