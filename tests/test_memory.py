"""Freed memory stays with the process, where the C library can be told so."""

import ctypes
import platform
import subprocess
import sys

import pytest

from lit_gan.system.memory import keep_freed_memory

FAULTS = """
import resource, sys
import numpy as np
from lit_gan.system.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        maps = [np.ones(5_000_000) for _ in range(2)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc")
def test_the_pages_of_freed_maps_are_not_made_again():
    commands = [[sys.executable, "-c", FAULTS, how] for how in ("plain", "keep")]
    plain, kept = (int(subprocess.run(each, capture_output=True, text=True, check=True).stdout) for each in commands)
    assert kept < plain / 10


def test_other_c_libraries_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not keep_freed_memory()
