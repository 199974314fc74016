"""The window of `python -m lit_gan.explore` in a real browser: what is clicked, and what is then seen."""

import base64
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

import lit_gan
from explored_runs import trained_run
from forks import run_fork
from lit_gan.figures.pictures import picture
from lit_gan.sampling import Sampler
from lit_gan.tasks.sample import draw_samples

pytest.importorskip("gradio", reason="needs Gradio: pip install 'lit_gan[explore]'")
SECONDS = 60
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class Outside:
    """A proxy that leads nowhere, and counts who wants to go through it."""

    def __init__(self):
        self.server, self.asked = socket.create_server(("127.0.0.1", 0)), 0
        self.environment = dict.fromkeys(PROXIES, f"http://127.0.0.1:{self.server.getsockname()[1]}")
        threading.Thread(target=self.count, daemon=True).start()

    def count(self):
        while True:
            self.server.accept()[0].close()
            self.asked += 1


def heed_ctrl_c():
    """A shell has what it starts in the background ignore Ctrl-C, and all that this starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Command:
    """`python -m lit_gan.explore` in a process of its own; `address` is where it says that the page is."""

    def __init__(self, *arguments, **environment):
        words = [sys.executable, "-m", "lit_gan.explore", *map(str, arguments)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        streams["preexec_fn"] = heed_ctrl_c
        self.process = subprocess.Popen(words, encoding="utf-8", env=os.environ | environment, **streams)
        self.first_line = self.process.stdout.readline()
        self.address = re.match(r"(http://127\.0\.0\.1:\d+) is the page", self.first_line)[1]
        self.port = int(self.address.rpartition(":")[2])

    def end(self, number):
        """Sends a signal; the exit code, and what has been printed and said."""
        self.process.send_signal(number)
        printed, said = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, self.first_line + printed, said


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose two checkpoints differ."""
    directory = trained_run(tmp_path_factory.mktemp("window") / "run", "labels=projection")
    last, best = (directory / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
    content = torch.load(last, weights_only=True)
    content["global_step"] = 2
    content["state_dict"] = {name: value * 0.5 for name, value in content["state_dict"].items()}
    torch.save(content, best)
    return directory


@pytest.fixture(scope="module")
def outside():
    return Outside()


@pytest.fixture(scope="module")
def command(run, outside, browser):
    cleared = {"no_proxy": "", "NO_PROXY": ""}
    started = Command(f"run={run}", "n=30", **outside.environment, **cleared)
    yield started
    started.process.kill()


@pytest.fixture
def opened(command, browser):
    browser.get(command.address)
    wait(browser, lambda: images(browser, "samples"))
    browser.get_log("browser")  # what the page before has said of being left
    yield browser
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def wait(browser, until):
    """Waits until something is true; an element that the page replaced meanwhile is looked for again."""
    replaced = [StaleElementReferenceException]
    return WebDriverWait(browser, SECONDS, ignored_exceptions=replaced).until(lambda _: until())


def images(browser, part):
    """The pixels of the images in a part of the page, as arrays."""
    script = "return [...document.querySelectorAll(arguments[0])].map(each => each.src)"
    sources = browser.execute_script(script, f"#{part} img")
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    return [np.array(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))) for source in sources]


def wait_for(browser, part, *expected):
    """Waits until a part shows just these pictures."""
    last = []

    def same():
        last[:] = images(browser, part)
        return len(last) == len(expected) and all(map(np.array_equal, last, expected))

    wait(browser, same)


def grid(run, n=30, seed=0, label=None, truncation=None, **which):
    """What the page has to show, by `lit_gan.load` and `Sampler`."""
    sampler = Sampler(lit_gan.load(run, **which).network, seed, truncation=truncation)
    if label is None:
        return picture(*sampler.grid(n)).numpy()
    return picture(draw_samples(sampler, n, label, 250)).numpy()


def type_into(browser, name, value):
    field = browser.find_element(By.CSS_SELECTOR, f"#{name} input[type=number]")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(str(value), Keys.TAB)


def choose(browser, name, choice):
    browser.find_element(By.CSS_SELECTOR, f"#{name} input").click()
    click(browser, "[role=option]", lambda option: option.get_attribute("aria-label") == choice)


def open_tab(browser, title):
    click(browser, "button[role=tab]", lambda tab: tab.text == title and tab.is_displayed())


def click(browser, selector, which):
    """Clicks on the first element for which `which` is true, as soon as the page shows one."""

    def clicked():
        for element in filter(which, browser.find_elements(By.CSS_SELECTOR, selector)):
            element.click()
            return True

    wait(browser, clicked)


def test_it_begins_with_the_samples_of_the_settings(opened, run):
    wait_for(opened, "samples", grid(run))
    assert opened.find_element(By.TAG_NAME, "h1").text == str(run)
    assert "last, EMA weights of update 4" in opened.find_element(By.ID, "samples").text
    assert opened.title == f"lit_gan: {run}"


def test_another_seed_and_number(opened, run):
    type_into(opened, "seed", 7)
    wait_for(opened, "samples", grid(run, seed=7))
    type_into(opened, "n", 50)
    wait_for(opened, "samples", grid(run, n=50, seed=7))


def test_a_class_and_all_again(opened, run):
    choose(opened, "class", "3")
    wait_for(opened, "samples", grid(run, label=3))
    command = opened.find_element(By.CSS_SELECTOR, "#samples code").text
    assert command.endswith("-m lit_gan.sample run=" + f"{run} checkpoint=last ema=true n=30 seed=0 class=3")
    choose(opened, "class", "all")
    wait_for(opened, "samples", grid(run))


def test_truncation(opened, run):
    opened.find_element(By.CSS_SELECTOR, "#truncated input").click()
    wait_for(opened, "samples", grid(run, truncation=0.7))
    type_into(opened, "truncation", 0.2)
    wait_for(opened, "samples", grid(run, truncation=0.2))
    opened.find_element(By.CSS_SELECTOR, "#truncated input").click()
    wait_for(opened, "samples", grid(run))


def test_two_checkpoints_side_by_side(opened, run):
    choose(opened, "beside", "best, EMA weights")
    wait_for(opened, "samples", grid(run), grid(run, checkpoint="best"))
    left, right = opened.find_elements(By.CSS_SELECTOR, "#samples img")
    assert left.rect["y"] == right.rect["y"]
    assert left.rect["x"] + left.rect["width"] < right.rect["x"]
    assert "of update 2" in opened.find_element(By.ID, "samples").text
    choose(opened, "checkpoint", "last, raw weights")
    wait_for(opened, "samples", grid(run, ema=False), grid(run, checkpoint="best"))
    choose(opened, "beside", "nothing")
    wait_for(opened, "samples", grid(run, ema=False))


def test_a_walk(opened, run):
    open_tab(opened, "Walk")
    type_into(opened, "to", 2)
    type_into(opened, "steps", 5)
    sampler = Sampler(lit_gan.load(run).network)
    z = sampler.vectors(3)
    line = torch.stack([z[0] + (z[2] - z[0]) * share for share in (0, 0.25, 0.5, 0.75, 1)]).repeat(10, 1)
    expected = picture(sampler.generate(line, torch.arange(10).repeat_interleave(5)), 5).numpy().astype(int)
    wait(opened, lambda: [each.shape for each in images(opened, "walk")] == [expected.shape])
    assert wait(opened, lambda: np.abs(images(opened, "walk")[0] - expected).max() <= 1)
    assert opened.find_element(By.CSS_SELECTOR, "#walk img").is_displayed()


@pytest.mark.parametrize(
    ("n", "classes", "end"), [(64, 10, 1), (20, 10, 1), (64, 64, 0), (64, 100, 0), (64, 0, 1), (1, 0, 0)]
)
def test_the_walk_that_is_shown_first_ends_at_a_place_of_the_grid(n, classes, end):
    import gradio

    from lit_gan.tasks.window import walk_controls

    with gradio.Blocks():
        controls = walk_controls(SimpleNamespace(classes=["a"] * classes), n)
    assert [control.value for control in controls[:2]] == [0, end]


def test_what_cannot_be_is_a_sentence_and_the_page_goes_on(opened, run):
    open_tab(opened, "Walk")
    type_into(opened, "to", 3)
    said = "to=3: this grid has the latent points 0 to 2."
    wait(opened, lambda: opened.find_element(By.ID, "walk").text == said)
    type_into(opened, "to", 2)
    wait(opened, lambda: images(opened, "walk"))


def test_the_course_of_the_scores(opened):
    open_tab(opened, "Scores")
    figure = wait(opened, lambda: opened.find_element(By.CSS_SELECTOR, "#scores img"))
    wait(opened, figure.is_displayed)
    svg = base64.b64decode(figure.get_attribute("src").partition(",")[2])
    assert figure.get_attribute("src").startswith("data:image/svg+xml")
    assert b"digits: FID" in svg
    assert opened.execute_script("return arguments[0].naturalWidth", figure) > 100
    assert "finished update 4 of 4" in opened.find_element(By.ID, "scores").text


def test_nothing_is_asked_of_the_internet(opened, command, outside):
    names = opened.execute_script("return performance.getEntriesByType('resource').map(each => each.name)")
    assert names
    assert [name for name in names if not name.startswith(command.address)] == []
    fonts = opened.execute_script("return getComputedStyle(document.querySelector('h1')).fontFamily")
    assert fonts == "system-ui, sans-serif"
    assert outside.asked == 0


def test_the_counter_of_the_internet_counts(outside):
    before = outside.asked
    port = int(outside.environment["http_proxy"].rpartition(":")[2])
    socket.create_connection(("127.0.0.1", port)).close()
    for _ in range(100):
        if outside.asked > before:
            break
        time.sleep(0.05)
    assert outside.asked == before + 1
    outside.asked = before


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux")
def test_it_listens_on_this_machine_only(command):
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    at_port = {
        local.rpartition(":")[0]
        for _, local, _, state, *_ in lines
        if state == "0A" and int(local.rpartition(":")[2], 16) == command.port
    }
    assert at_port == {"0100007F"}
    with pytest.raises(ConnectionRefusedError):  # another address of this very machine
        socket.create_connection(("127.0.0.2", command.port))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_ends_it_quietly_while_a_browser_looks_at_it(run, browser, number):
    started = Command(f"run={run}", f"port={free_port()}")
    try:
        browser.get(started.address)
        wait(browser, lambda: images(browser, "samples"))
        code, printed, said = started.end(number)
        assert (code, printed.splitlines()[1:]) == (0, ["closed"])
        assert re.fullmatch(r"\d\d:\d\d:\d\d  opening a window on run=.*\n", said)
    finally:
        started.process.kill()
        browser.get("about:blank")


def test_an_export_has_samples_and_no_course(run, browser, tmp_path):
    pytest.importorskip("safetensors")
    copy = shutil.copytree(run, tmp_path / "run")
    assert run_fork(tmp_path, "export", f"run={copy}", "format=safetensors").returncode == 0
    started = Command(f"run={copy / 'export'}", "n=30")
    try:
        browser.get(started.address)
        wait(browser, lambda: images(browser, "samples"))
        wait_for(browser, "samples", grid(copy / "export"))
        tabs = [tab.text for tab in browser.find_elements(By.CSS_SELECTOR, "button[role=tab]") if tab.text]
        assert tabs == ["Samples", "Walk"]
    finally:
        started.process.kill()
        browser.get("about:blank")
