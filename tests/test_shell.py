"""The commands that a run prints work where the user stands."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lit_gan.system.shell import interpreter, shell_command


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A virtual environment below the present folder, whose Python is a link as usual, and another Python's folder."""
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / ".venv" / "bin", tmp_path / "other" / "bin"):
        folder.mkdir(parents=True)
        (folder / "python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    return tmp_path


def test_without_a_python_on_the_path_the_interpreter_is_named_from_the_present_folder(environment):
    assert interpreter() == ".venv/bin/python"


def test_elsewhere_the_interpreter_is_named_by_its_whole_path(environment, monkeypatch):
    monkeypatch.chdir(environment / "other")
    assert interpreter() == str(environment / ".venv" / "bin" / "python")
    monkeypatch.chdir(environment / ".venv" / "bin")
    assert interpreter() == str(environment / ".venv" / "bin" / "python")


def test_in_an_activated_environment_it_is_python(environment, monkeypatch):
    monkeypatch.setenv("PATH", str(environment / ".venv" / "bin"))
    assert interpreter() == "python"


def test_the_python_of_another_environment_is_another_one(environment, monkeypatch):
    monkeypatch.setenv("PATH", str(environment / "other" / "bin"))
    assert interpreter() == ".venv/bin/python"


@pytest.mark.parametrize("path", ["", f"{Path(sys.executable).parent}"])
def test_a_printed_command_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join(filter(None, [path, "/usr/bin", "/bin"])))
    line = shell_command("sample", "--help")
    answer = subprocess.run(line, shell=True, check=False, capture_output=True, text=True)
    assert (answer.returncode, "interpolation" in answer.stdout) == (0, True), answer.stderr


def test_arguments_are_quoted_for_the_shell():
    assert shlex.split(shell_command("report", "/a b"))[1:] == ["-m", "lit_gan.report", "/a b"]
