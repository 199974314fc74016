"""What is printed stands as it is, whatever names hold."""

import ast
from pathlib import Path

import pytest
from rich.table import Table

import lit_gan
from lit_gan.system.console import plain_console
from lit_gan.tasks.summary import print_summary

ODD = "h[/b] photos [final] [red] :cat: \\[x]"


def test_markup_in_a_name_is_no_markup(capsys):
    plain_console(soft_wrap=True).print(ODD)
    table = Table(ODD, title=ODD, caption=ODD)
    table.add_row(ODD)
    plain_console().print(table)
    assert capsys.readouterr().out.count(ODD) == 5


def test_the_summary_of_a_run_in_an_odd_folder(capsys):
    results = {"course": [], "best": None, "final": None, "seconds": {"training": 0, "evaluation": 0}}
    print_summary(Path(f"/{ODD}"), results | {"status": "failed", "updates": 1}, (1, 8, 8))
    assert ODD in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(Path(lit_gan.__file__).parent.rglob("*.py")), ids=lambda path: path.name)
def test_nothing_prints_in_another_way(path):
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    names = {call.id for call in calls if isinstance(call, ast.Name)}
    assert "Console" not in names or path.name == "console.py"
