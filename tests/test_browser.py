"""The report in a real browser: what a reader can switch, where links lead, what is there without JavaScript."""

import json

import pytest
from omegaconf import OmegaConf
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from lit_gan.reporting.write import write_report

PROTOCOL = {"name": "full", "generated": 100, "real": 50, "data": "digits", "shape": [1, 8, 8], "extractor": "digits"}
MEASURED = {"protocol": PROTOCOL, "ends": {"digits/fid": "min"}}
SUITE = {"_target_": "lit_gan.metrics.FeatureMetrics", "extractor": None}
FIGURE = {"title": "A sweep", "kind": "bars", "x": "optim", "hue": "method", "scores": ["fid"], "paper": None}
METHODS, SETTINGS, SEEDS, UPDATES = ("plain", "spectral", "penalty"), ("slow", "fast"), (0, 1), (50, 100)


def write_cell(directory, fid, kind, seed):
    """A finished cell with samples of two updates."""
    (directory / ".hydra").mkdir(parents=True)
    config = {"figure": FIGURE | {"kind": kind}, "metrics": {"suite": SUITE}, "data": {"name": "digits"}}
    OmegaConf.save(OmegaConf.create(config), directory / ".hydra" / "config.yaml")
    records = [
        {"update": update, "checkpoint": "last", "scores": {"digits/fid": fid + 100 - update}, **MEASURED}
        for update in UPDATES
    ]
    content = {"status": "finished", "updates": 100, "updates_planned": 100, "course": records, "final": records[-1]}
    content |= {"best": None, "seconds": {"training": 5.0, "evaluation": 1.0}, "updates_per_second": 20.0}
    (directory / "results.json").write_text(json.dumps(content | {"versions": {"torch": "2"}, "seed": seed}))
    (directory / "samples").mkdir()
    for update in UPDATES:
        Image.new("L", (16, 16), update).save(directory / "samples" / f"{update:06d}.png")


@pytest.fixture(scope="module", params=["bars", "lines"])
def page(request, tmp_path_factory):
    """The report on a sweep of three methods at two settings, two seeds each."""
    folder, cells = tmp_path_factory.mktemp("sweep"), []
    for number, method in enumerate(METHODS):
        for optim in SETTINGS:
            for seed in SEEDS:
                cells.append(f"method={method}/optim={optim}/seed={seed}")
                write_cell(folder / cells[-1], 10.0 * number + seed + 5 * (optim == "slow") + 1, request.param, seed)
    (folder / "sweep.json").write_text(
        json.dumps({"sweep": "mine", "axes": ["method", "optim", "seed"], "cells": cells})
    )
    return write_report([folder], None)


@pytest.fixture
def opened(page, browser):
    browser.get(page.as_uri())
    WebDriverWait(browser, 30).until(lambda browser: shown(browser, "figure"))  # a busy machine lays it out late
    yield browser
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def shown(browser, selector):
    """The elements that can be seen."""
    seen = "each.checkVisibility() && each.getClientRects().length"  # the one alone overlooks SVG, the other <details>
    return browser.execute_script(f"return [...document.querySelectorAll('{selector}')].filter(each => {seen})")


def switch(browser, value):
    browser.find_element(By.CSS_SELECTOR, f"form input[value={value}]").click()


def test_all_is_shown_at_first(opened):
    boxes = shown(opened, "form input")
    assert [box.get_attribute("value") for box in boxes] == ["h0", "h1", "h2", "x0", "x1"]
    assert all(box.is_selected() for box in boxes)
    for mark in ("h0", "h1", "h2", "x0", "x1"):
        assert shown(opened, f"svg .{mark}")


def test_a_method_is_switched_off_in_figures_tables_and_samples_and_on_again(opened):
    parts = "svg .h{0}, tr.h{0}, .strip.h{0}, .cells.h{0}"
    before = [len(shown(opened, parts.format(number))) for number in range(3)]
    assert all(before)
    switch(opened, "h1")
    assert not shown(opened, ".h1")
    assert [len(shown(opened, parts.format(number))) for number in range(3)] == [before[0], 0, before[2]]
    names = opened.execute_script(
        "return [...document.querySelectorAll('td')].filter(e => e.checkVisibility()).map(e => e.innerText)"
    )
    assert "plain" in names
    assert "spectral" not in names
    switch(opened, "h1")
    assert [len(shown(opened, parts.format(number))) for number in range(3)] == before


def test_a_setting_is_switched_off_beside_a_method(opened):
    columns = len(shown(opened, "td.x0, th.x0"))
    assert columns
    switch(opened, "x0")
    assert not shown(opened, ".x0")
    assert shown(opened, "svg .h0.x1")
    switch(opened, "h0")
    assert not shown(opened, ".h0")
    assert shown(opened, "svg .h1.x1")


def test_all_and_none(opened):
    none, every = (opened.find_element(By.CSS_SELECTOR, f"fieldset button[value={name}]") for name in ("none", "all"))
    none.click()
    assert not shown(opened, ".h0, .h1, .h2")
    every.click()
    assert all(shown(opened, f"svg .{mark}") for mark in ("h0", "h1", "h2"))


def test_a_bar_or_a_point_leads_to_the_cells_that_it_is_the_mean_of(opened):
    links = opened.find_elements(By.CSS_SELECTOR, "svg .h1.x1 a")
    addresses = {link.get_attribute("href") or link.get_attribute("xlink:href") for link in links}
    assert addresses == {"#cells-mine-spectral-fast"}
    # at no point of the screen: a bar on a logarithmic axis goes on far below it
    opened.execute_script("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", links[0])
    (target,) = WebDriverWait(opened, 10).until(lambda page: page.find_elements(By.CSS_SELECTOR, ":target"))
    assert target.is_displayed()
    for seed in SEEDS:
        assert f"method=spectral/optim=fast/seed={seed}" in target.text
    assert "fid 11" in target.text
    assert "fid 12" in target.text
    assert len(target.find_elements(By.TAG_NAME, "img")) == 2


def test_every_link_leads_somewhere(opened):
    script = """
        return [...document.querySelectorAll("a")].map(a => a.getAttribute("href") || a.getAttribute("xlink:href"))
          .filter(href => !href.startsWith("#") || !document.getElementById(href.slice(1)))
    """
    assert opened.execute_script(script) == []


def test_no_two_parts_have_the_same_id(opened):
    script = 'return [...document.querySelectorAll("[id]")].map(each => each.id)'
    ids = opened.execute_script(script)
    assert len(ids) == len(set(ids))


def test_all_methods_side_by_side_at_one_update(opened):
    frames = ".film figure"
    assert len(shown(opened, frames)) == len(METHODS) * len(UPDATES)
    slider = opened.find_element(By.CSS_SELECTOR, ".film input")
    opened.execute_script("arguments[0].value = 1; arguments[0].dispatchEvent(new Event('input'))", slider)
    assert [each.text for each in shown(opened, frames)] == ["update 50"] * len(METHODS)
    assert opened.find_element(By.CSS_SELECTOR, ".film output").text == "update 50"
    switch(opened, "h2")
    assert len(shown(opened, frames)) == len(METHODS) - 1
    opened.execute_script("arguments[0].value = 0; arguments[0].dispatchEvent(new Event('input'))", slider)
    assert len(shown(opened, frames)) == (len(METHODS) - 1) * len(UPDATES)


def test_every_picture_is_there(opened):
    assert opened.execute_script("return [...document.images].every(each => each.naturalWidth > 0)")


def test_without_javascript_all_is_there_but_the_switches(page, browser):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(page.as_uri())
        assert not shown(browser, "form, .tool")
        assert len(shown(browser, ".film figure")) == len(METHODS) * len(UPDATES)
        assert all(shown(browser, f"svg .{mark}") for mark in ("h0", "h1", "h2", "x0", "x1"))
        browser.get(f"{page.as_uri()}#cells-mine-spectral-fast")
        assert browser.find_element(By.CSS_SELECTOR, ":target").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_in_print_the_switches_are_gone_and_what_is_switched_off_is_too(opened):
    switch(opened, "h1")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not shown(opened, "form, .tool, .h1")
        assert shown(opened, "svg .h0")
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_nothing_is_asked_of_the_network(opened):
    assert opened.execute_script("return performance.getEntriesByType('resource').map(each => each.name)") == []
