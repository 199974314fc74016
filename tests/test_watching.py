"""What is seen of a long command while it works: the first line, bars on a terminal, lines in a log."""

import fcntl
import io
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from importlib import import_module

import pytest

from lit_gan.callbacks import progress
from lit_gan.cli.launch import launch
from lit_gan.system import watching
from lit_gan.system.watching import watched

TINY = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "updates=4"]
TINY += ["updates_per_epoch=2", "metrics.final=quick", "trainer.log_every_n_steps=1"]


def on_a_terminal(*command: str) -> str:
    """What a command shows on a terminal of 120 columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=its, stderr=its) as process:
        os.close(its)
        shown = b""
        while part := read_or_end(ours):
            shown += part
    os.close(ours)
    assert process.returncode == 0, shown.decode()
    return shown.decode()


def read_or_end(terminal: int) -> bytes:
    """What comes next; nothing when the other side has gone, which Linux reports as an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


IMPATIENT = "from lit_gan.system import watching; watching.PATIENCE = 0; from lit_gan.{0} import main; main()"
"""Code of a command that draws the bars of short loops, too."""
STAGES = {"evaluating", "comparing real subsets", "comparing subsets", "finding neighbours", "comparing neighbours"}


def test_on_a_terminal_every_stage_has_a_bar_and_training_one_over_all_its_updates(tmp_path, monkeypatch):
    monkeypatch.setenv("LIT_GAN_CACHE", str(tmp_path / "cache"))
    shown = on_a_terminal(sys.executable, "-c", IMPATIENT.format("train"), *TINY, f"hydra.run.dir={tmp_path}/run")
    assert {int(total) for total in re.findall(r"training:.*?/(\d+) \[", shown)} == {4}
    assert re.search(r"training: 100%.*4/4 \[", shown)
    for line in re.split(r"[\r\n]+", shown):
        assert ("update 2/4" in line) <= line.lstrip("\x1b[A").startswith(tuple("0123456789")), line
    before, of_epochs, of_the_end = re.split(r"  Measuring|  scoring 1000 samples", shown, maxsplit=2)
    assert bars(before) == set()
    assert bars(of_epochs) == STAGES | {"real images", "training"}
    assert bars(of_the_end) == STAGES - {"comparing real subsets"}  # the epochs' evaluations know them
    shown = on_a_terminal(sys.executable, "-c", IMPATIENT.format("evaluate"), f"run={tmp_path}/run", "protocols=quick")
    assert bars(shown) == STAGES


def bars(shown):
    """The words before the bars that were drawn."""
    return set(re.findall(r"([a-z ]+): +\d+%\|", shown))


def test_what_is_printed_is_not_held_back(tmp_path):
    code = (
        "import os, time; from lit_gan.system.streams import take_streams; take_streams(); print('seen'); os._exit(0)"
    )
    for unbuffered, shown in (("1", "seen\n"), ("", "")):
        environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert process.stdout == shown


@pytest.fixture
def train(monkeypatch, tmp_path):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["train", *TINY, f"hydra.run.dir={tmp_path}", *arguments])
        launch(import_module("lit_gan.tasks.train").train, "train")

    return call


def test_no_bar_where_nobody_watches(train, tmp_path, capsys):
    train()
    assert "%|" not in "".join(capsys.readouterr())
    lines = (tmp_path / "train.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  (INFO|WARNING) ", line) for line in lines)
    assert [line for line in lines if "update 4/4" in line]
    assert [line for line in lines if "scoring 1000 samples under protocol quick" in line]


def test_a_line_now_and_then_in_a_long_epoch(train, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "SILENCE", 0.0)
    train("updates_per_epoch=4", "metrics=none")
    assert re.search(r"INFO     update 3/4  \d\d:\d\d left$", (tmp_path / "train.log").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "heavy", "words"),
    [
        ("train", "tasks.training", "training model=dcgan loss=hinge data=digits in "),
        ("evaluate", "tasks.evaluate", "scoring run=DIR"),
        ("sample", "tasks.sample", "drawing samples of run=DIR"),
        ("analyze", "tasks.analyze", "looking into run=DIR"),
    ],
)
def test_the_first_line_comes_before_the_libraries(name, heavy, words, tmp_path):
    code = f"""
import sys
sys.modules["lit_gan.{heavy}"] = None
from lit_gan.{name} import main
sys.argv[1:] = ["hydra.run.dir={tmp_path}"] + ["run=DIR"] * ({name!r} != "train")
main()
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert words in process.stderr.splitlines()[0]
    assert re.match(r"\d\d:\d\d:\d\d  ", process.stderr)


class TestWatched:
    @pytest.fixture
    def clock(self, monkeypatch):
        """Half a minute for each step."""
        times = iter(range(0, 10_000, 30))
        monkeypatch.setattr(watching.time, "perf_counter", lambda: float(next(times)))

    def test_a_line_a_minute_in_a_log(self, clock, caplog):
        with caplog.at_level(logging.INFO, "lit_gan"):
            assert list(watched("abcdef", 6, "evaluating")) == list("abcdef")
        assert caplog.messages == [
            "evaluating: 1 of 6 batches, 05:00 left",
            "evaluating: 3 of 6 batches, 02:00 left",
            "evaluating: 5 of 6 batches, 00:36 left",
        ]

    def test_nothing_of_a_loop_that_is_soon_over(self, caplog):
        with caplog.at_level(logging.INFO, "lit_gan"):
            assert list(watched(range(3), 3, "evaluating")) == [0, 1, 2]
        assert caplog.messages == []

    def test_a_bar_on_a_terminal(self, monkeypatch):
        terminal = io.StringIO()
        terminal.isatty = lambda: True
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr(watching, "PATIENCE", 0)
        assert list(watched(range(3), 3, "evaluating")) == [0, 1, 2]
        assert "evaluating:   0%" in terminal.getvalue()
        assert "0/3" in terminal.getvalue()
