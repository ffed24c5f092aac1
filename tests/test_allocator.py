"""Freed memory is kept: large tensors made again and again cost hardly any new pages."""

import resource
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, torch
from synatt.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(20):
    torch.ones(8 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(8 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_large_tensors_reuse_the_pages_of_those_before() -> None:
    faults = {
        how: int(subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True).stdout)
        for how in ("keep", "plain")
    }
    assert faults["keep"] < 0.1 * faults["plain"], faults
    assert resource.getpagesize() * faults["plain"] > 20 * (8 << 20)
