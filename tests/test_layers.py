"""The layers of the package, from its source: who may import whom, and what the entry points may know."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import lit_gan.conf
import pytest

ROOT = Path(lit_gan.__file__).parent
COMMANDS = ("train", "evaluate", "sample", "analyze", "export", "explore", "classify", "pack", "score", "status")
COMMANDS += ("report", "dashboard", "options")
DOORS = [f"lit_gan.{command}" for command in COMMANDS]
METHODS = ("lit_gan.losses", "lit_gan.models", "lit_gan.reg")


def sources():
    """(module name, path) of every file of the package."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


SOURCES = dict(sources())


def modules(text):
    """The modules of the package that a source imports anywhere in it, in either form of the statement."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in names if name in SOURCES} or {node.module}
    return {name for name in found if name.partition(".")[0] == "lit_gan"}


def imports(name):
    return modules(SOURCES[name].read_text())


def below(*parents):
    return [name for name in SOURCES if name.startswith(parents)]


def room(name):
    """The folder of a module, or the file at the top of the package: "records", "build"."""
    return name.split(".")[1] if "." in name else ""


def rooms():
    """room -> the other rooms that its files import, early or late."""
    found = {}
    for name in SOURCES:
        found.setdefault(room(name), set()).update(map(room, imports(name)))
    return {here: there - {here, ""} for here, there in found.items() if here}


def cycle(graph):
    """The rooms, or files, that can be reached from themselves."""
    reached = {here: set(there) for here, there in graph.items()}
    for _ in graph:
        for here in graph:
            reached[here] |= set().union(*(reached.get(there, set()) for there in reached[here]))
    return {here for here in graph if here in reached[here]}


def test_a_cycle_is_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {"b", "c"}


def test_the_rooms_of_the_package_have_no_cycle():
    assert len(rooms()) > 25
    assert cycle(rooms()) == set()


def test_the_files_of_the_package_have_no_cycle():
    assert cycle({name: imports(name) - {name} for name in SOURCES}) == set()


def test_records_know_no_network():
    assert rooms()["records"] <= {"errors", "overrides", "ranges", "settings"}
    assert rooms()["settings"] <= {"errors", "parts", "ranges"}  # which know classes by the names in a config alone


@pytest.mark.parametrize("name", SOURCES)
def test_nobody_imports_a_door(name):
    assert not imports(name) & set(DOORS)


@pytest.mark.parametrize("door", DOORS)
def test_doors_import_the_command_line_only_and_name_their_task(door):
    assert imports(door) == {"lit_gan.cli.door"}
    command = door.rpartition(".")[2]
    task = SOURCES[f"lit_gan.tasks.{command}"].read_text()
    assert f'"lit_gan.tasks.{command}:{command}"' in SOURCES[door].read_text()
    assert f"\ndef {command}(" in task


def test_sweeps_do_not_know_what_trains_a_cell():
    assert not rooms()["sweep"] & {"tasks", "cli"}


def test_tasks_know_no_command_line():
    assert "cli" not in rooms()["tasks"]


def test_the_parser_sees_every_form_of_import():
    text = """
import torch, lit_gan.losses
from lit_gan import game
def late():
    from lit_gan.reg.weights import WeightClip
"""
    assert modules(text) == {"lit_gan.losses", "lit_gan.game", "lit_gan.reg.weights"}


def test_the_vocabulary_imports_nothing_of_the_package():
    assert imports("lit_gan.system.processes") == set()
    assert imports("lit_gan.game") <= {"lit_gan.errors", "lit_gan.ranges"}
    assert imports("lit_gan.errors") == set()
    assert imports("lit_gan.ranges") == {"lit_gan.errors"}
    assert imports("lit_gan.layers") == {"lit_gan.errors", "lit_gan.game"}
    assert imports("lit_gan.styles") == {"lit_gan.game", "lit_gan.layers"}


def test_no_protocol_is_checked_at_run_time():
    """Since Python 3.12 such a check does not find the parts of a module, which `__getattr__` gives."""
    assert [name for name, path in SOURCES.items() if "runtime_checkable" in path.read_text()] == []


@pytest.mark.parametrize("name", below(*METHODS))
def test_losses_networks_and_tricks_know_the_vocabulary_only(name):
    allowed = {"lit_gan.game", "lit_gan.layers", "lit_gan.errors", "lit_gan.ranges", "lit_gan.system.processes"}
    allowed |= {"lit_gan.styles"}
    if name.startswith("lit_gan.models"):
        allowed |= {"lit_gan.models.layers", "lit_gan.models.blocks", "lit_gan.models.attention"}
        allowed |= {"lit_gan.models.biggan"} if name == "lit_gan.models.biggan_deep" else set()
    if name == "lit_gan.reg.class_heads":
        allowed |= {"lit_gan.reg.labels"}
    assert imports(name) <= allowed


@pytest.mark.parametrize(
    "name", ["lit_gan.module", "lit_gan.optim", "lit_gan.curves", "lit_gan.build", "lit_gan.tasks.training"]
)
def test_the_step_and_the_assembly_name_no_method(name):
    assert not [found for found in imports(name) if found.startswith(METHODS)]


def test_nobody_but_the_configs_names_a_method():
    users = {name for name in SOURCES if any(found.startswith(METHODS) for found in imports(name))}
    assert not {name for name in users if not name.startswith(METHODS)}


@pytest.mark.parametrize("name", ["build", "tasks.train", "tasks.training", "tasks.run_callbacks"])
def test_what_trains_names_no_loss_network_or_trick(name):
    conf = Path(lit_gan.conf.__file__).parent
    methods = {path.stem for group in ("loss", "model", "reg") for path in (conf / group).glob("*.yaml")} - {"none"}
    words = set(re.findall(r"[a-z_0-9]+", SOURCES[f"lit_gan.{name}"].read_text().lower()))
    assert len(methods) > 10
    assert not methods & words


@pytest.mark.parametrize("module", [*DOORS, "lit_gan.tasks.status", "lit_gan.tasks.report"])
def test_the_command_line_answers_without_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_step_asks_nothing_of_what_kind_it_is():
    """No condition of the game looks at the class or the name of a loss, a network or a trick."""
    tree = ast.parse(SOURCES["lit_gan.module"].read_text())
    game = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == "GAN")
    conditions = [node.test for node in ast.walk(game) if isinstance(node, ast.If | ast.IfExp | ast.While)]
    asked = {name.id for test in conditions for name in ast.walk(test) if isinstance(name, ast.Name)}
    assert conditions
    assert not asked & {"isinstance", "type", "hasattr", "getattr"}
