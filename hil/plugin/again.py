"""How to do one test again: the command line that repeats it, and choices that are the same then."""

from __future__ import annotations

import random
import shlex
from typing import TYPE_CHECKING

from hil.plugin.run import current

if TYPE_CHECKING:
    import pytest


def command(item: pytest.Item) -> str:
    """The command line that runs `item` alone, on the same bench, with the same choices."""
    options = current(item.config).options
    faults = [word for fault in options.faults for word in ("--hil-fault", fault)]
    flags = [f"--hil-seed={options.seed}", "--hil-bench", str(options.bench), *faults]
    return shlex.join(["pytest", item.nodeid, *flags])


def dice(item: pytest.Item) -> random.Random:
    """A source of choices that depends on the seed of the run and on the test alone, not on what ran before it."""
    return random.Random(f"{current(item.config).options.seed} {item.name}")  # noqa: S311  (a sample, no secret)
