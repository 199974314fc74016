"""Commands whose terminal is missing, leaves early, or speaks another encoding."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lit_gan
from forks import run_fork

TINY = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "metrics=none", "updates=2"]
ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
OTHERS = ("evaluate", "sample", "analyze", "export", "explore", "classify", "pack", "score", "report", "dashboard")
DOORS = ["train", "status", *(pytest.param(door, marks=pytest.mark.slow) for door in OTHERS)]
"""One whose settings Hydra reads, one that reads its arguments itself, and the others."""
TEXT_FILES = {"open", "fdopen", "read_text", "write_text", "NamedTemporaryFile", "TemporaryFile"}
BINARY_OWNERS = {"os", "Image", "tarfile", "archive"}
"""Modules, and a method that gives a ZipFile, whose `open` opens no text."""


def command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"lit_gan.{module}", *map(str, arguments)]


def in_shell(line: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """A shell's line in which "$@" is a command; what it prints, as bytes."""
    return subprocess.run(
        ["bash", "-c", line, "bash", *arguments], capture_output=True, env=os.environ | environment, check=False
    )


def status(directory: Path) -> str:
    return json.loads((directory / "results.json").read_text(encoding="utf-8"))["status"]


def without_encoding(text: str) -> list[str]:
    """The calls of a source that open a text file, or read a process as text, in the locale's encoding."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return [ast.unparse(call) for call in calls if opens_text(call) and not has(call, "encoding")]


def opens_text(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    value = getattr(call.func, "value", None)
    value = value.func if isinstance(value, ast.Call) else value
    owner = getattr(value, "attr", getattr(value, "id", ""))
    modes = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    binary = any("b" in mode and len(mode) <= 3 for mode in modes)
    files = name in TEXT_FILES and not (name == "open" and owner in BINARY_OWNERS) and not binary
    own = isinstance(call.func, ast.Name) and name != "open"  # read_text and write_text are functions of ours
    return (files and not own) or has(call, "text") or has(call, "universal_newlines")


def has(call: ast.Call, keyword: str) -> bool:
    return any(each.arg == keyword for each in call.keywords)


@pytest.mark.parametrize("line", ["open(p)", "p.read_text()", "p.open('w')", "run(c, text=True)", "os.fdopen(3)"])
def test_a_text_file_in_the_encoding_of_the_locale_is_found(line):
    assert without_encoding(line)


def test_every_text_file_is_opened_as_utf_8():
    root = Path(lit_gan.__file__).parent
    found = {str(path): without_encoding(path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.py"))}
    assert len(found) > 100
    assert {path: calls for path, calls in found.items() if calls} == {}


class TestOtherEncodings:
    @pytest.mark.slow
    def test_ascii_trains_a_cell_in_a_folder_with_an_umlaut(self, tmp_path):
        directory = tmp_path / "grün"
        scored = [*TINY[:4], "updates=1", "protocol.quick.generated=32", "metrics.final=quick"]
        arguments = ["--multirun", "seed=0", f"hydra.sweep.dir={directory}", *scored]
        trained = in_shell('"$@"', *command("train", *arguments), **ASCII)
        assert (trained.returncode, trained.stderr) == (0, b"")
        assert trained.stdout.isascii()
        cell = directory / "all"
        assert status(cell) == "finished"
        assert "update 1/1" in (cell / "output.log").read_text(encoding="utf-8")
        assert f"resume={cell}" not in (cell / ".hydra" / "overrides.yaml").read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        "environments",
        [pytest.param((ASCII, {}), id="from ascii"), pytest.param(({}, ASCII), id="to ascii", marks=pytest.mark.slow)],
    )
    def test_a_run_in_a_folder_with_an_umlaut_goes_on_in_another_locale(self, tmp_path, environments):
        directory = tmp_path / "grün"
        first, second = environments
        trained = in_shell('"$@"', *command("train", f"hydra.run.dir={directory}", *TINY), **first)
        resume = [f"resume={directory}", "updates=3"]
        again = (
            in_shell('"$@"', *command("train", *resume), **second) if second else run_fork(tmp_path, "train", *resume)
        )
        assert (trained.returncode, again.returncode) == (0, 0), (trained.stderr, again.stderr)
        assert "grün" in (directory / ".hydra" / "hydra.yaml").read_text(encoding="utf-8")

    def test_what_the_terminal_lacks_is_printed_as_an_escape(self):
        line = "from lit_gan.system.streams import take_streams; take_streams(); print('gr\\xfcn \\udcff \\u2500')"
        shown = in_shell('"$@"', sys.executable, "-c", line, LC_ALL="C.UTF-8", PYTHONIOENCODING="latin-1")
        assert shown.stdout == b"gr\xfcn \\udcff \\u2500\n"


class TestMissingStreams:
    @pytest.mark.parametrize("closed", [pytest.param("2>&-", marks=pytest.mark.slow), "<&- >&- 2>&-"])
    def test_closed_streams(self, tmp_path, closed):
        directory = tmp_path / "run"
        ended = in_shell(f'"$@" {closed}', *command("train", f"hydra.run.dir={directory}", *TINY))
        assert (ended.returncode, ended.stderr, status(directory)) == (0, b"", "finished")
        assert "update 2/2" in (directory / "train.log").read_text(encoding="utf-8")

    @pytest.mark.parametrize(("closed", "number"), [(">&-", 1), ("2>&-", 2)])
    def test_what_is_printed_into_a_closed_stream_reaches_no_file(self, tmp_path, closed, number):
        path = tmp_path / "file"
        line = (
            "import os, sys; from lit_gan.system.streams import take_streams; take_streams(); "
            f"file = open(sys.argv[1], 'wb'); os.write({number}, b'lost'); print('lost', file=sys.stderr)"
        )
        ended = in_shell(f'"$@" {closed}', sys.executable, "-c", line, str(path))
        assert (ended.returncode, path.read_bytes()) == (0, b"")

    def test_a_mistake_without_stderr_is_an_exit_code(self, tmp_path):
        ended = in_shell('"$@" 2>&-', *command("train", f"hydra.run.dir={tmp_path}", "model.widht=4"))
        assert (ended.returncode, ended.stdout) == (1, b"")

    def test_a_training_survives_its_reader(self, tmp_path):
        directory = tmp_path / "run"
        line = '"$@" | head -c 1; echo ${PIPESTATUS[0]}'
        ended = in_shell(line, *command("train", f"hydra.run.dir={directory}", *TINY))
        assert (ended.stdout[1:], status(directory)) == (b"0\n", "finished")
        assert b"Error" not in ended.stderr

    @pytest.mark.parametrize("door", DOORS)
    def test_help_into_nothing_ends_quietly(self, door):
        ended = in_shell('"$@" | true; echo ${PIPESTATUS[0]}', *command(door, "--help"))
        assert (ended.stdout, ended.stderr) == (b"0\n", b"")
