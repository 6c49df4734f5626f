"""Memory between blocks: kept while they follow each other, and given back afterwards."""

import platform
from pathlib import Path

import pytest
import torch

from syn2real.merge.allocation import give_back, kept_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="advice to glibc")
SIZE = 4 << 20  # bytes of a block


def resident() -> int:
    """Bytes of this process that are in memory and not of a file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))


def test_what_lies_free_between_blocks_is_kept_and_then_given_back():
    give_back()  # what earlier tests left free would be used again, and nothing would grow
    before = resident()
    with kept_memory():
        blocks = [torch.ones(SIZE // 4) for _ in range(100)]
        left = blocks[::20]
        del blocks
        kept = resident() - before
    assert kept > 50 * SIZE
    assert resident() - before < 2 * len(left) * SIZE
