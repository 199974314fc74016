"""Claims of papers; `--claims FILE` writes what was claimed, on what it was tested and what was measured."""

import os
import platform
from pathlib import Path

import pytest
import torch

HEAD = """# Claims

What the papers claim of their methods, held against this implementation. `make claims` runs every row and writes this
file; each row is a test in `tests/claims/` that asserts the claim with a margin and fails when the method is switched
off. "no" is a claim that could not be reproduced, with what was tried. Made with torch {torch} on {machine}.

| claim | paper | tested on | measured | holds |
|---|---|---|---|---|
"""


@pytest.fixture
def measured(request):
    """measured(name, value) notes a number, or a text, for the table."""

    def note(name, value):
        request.node.user_properties.append((name, f"{value:.3g}" if isinstance(value, float) else str(value)))

    return note


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    marker = item.get_closest_marker("claim")
    if marker is not None:
        report.claim = (*marker.args, marker.kwargs["on"])
        expected = item.get_closest_marker("xfail")
        report.tried = expected.kwargs["reason"] if expected else ""
    return report


def pytest_terminal_summary(terminalreporter, config):
    """Writes the table of the claims that were run, one row for all cases of a claim."""
    if config.getoption("--claims"):
        kinds = ("passed", "failed", "xfailed", "xpassed")
        reports = [report for kind in kinds for report in terminalreporter.stats.get(kind, [])]
        claims = {}
        for report in sorted((r for r in reports if hasattr(r, "claim")), key=lambda report: report.nodeid):
            claims.setdefault(tuple(report.claim), []).append(report)
        machine = f"{platform.machine()}, {os.cpu_count()} cores"
        head = HEAD.format(torch=torch.__version__.partition("+")[0], machine=machine)
        Path(config.getoption("--claims")).write_text(head + "".join(row(*item) for item in claims.items()))


def row(claim, reports) -> str:
    """One line of the table."""
    numbers = "<br>".join(f"{name}: {value}" for report in reports for name, value in report.user_properties)
    tried = "; ".join(sorted({report.tried for report in reports if report.tried}))
    holds = "yes" if all(report.passed for report in reports) else f"no ({tried})" if tried else "no"
    cells = (*claim, numbers, holds)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
