"""The two inner loops compiled by numba, where it is installed (``pip install 'hil[fast]'``).

Nothing here is imported or compiled before `loops` is called. What was compiled is kept in a folder of the user's,
so that later processes load it (0.2 s) rather than compile it again; without a place for it they compile (0.5 s).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import platformdirs

from hil.integrity.word import Words


@dataclass(frozen=True, slots=True)
class Loops:
    """Go through `words`, which begin at word `low` of the block of ``keys[0]`` and need not be aligned in memory.

    Both are called as ``loop(words, tile, keys, low)`` and run without the interpreter's lock.
    """

    fill: Callable[[Words, Words, Words, int], None]
    """Write the pattern."""
    first_wrong: Callable[[Words, Words, Words, int], int]
    """Number of the first block (from 0, in `keys`) that holds a wrong word; -1 = none does."""


def available() -> bool:
    """Whether numba is installed; does not import it."""
    return find_spec("numba") is not None


@cache
def loops() -> Loops | None:
    """The compiled loops; `None` where numba is missing or of no use on this machine."""
    try:
        import numba  # noqa: PLC0415  (an extra, and slow to import)
        from numba import types  # noqa: PLC0415
    except ImportError:
        return None  # also what a numba that was built for another numpy raises
    readable = types.Array(types.uint64, 1, "C", readonly=True, aligned=False)
    writable = types.Array(types.uint64, 1, "C", readonly=False, aligned=False)
    tail = (readable, readable, types.int64)
    return Loops(
        fill=_compiled(numba, types.void(writable, *tail), _fill),
        first_wrong=_compiled(numba, types.int64(readable, *tail), _first_wrong),
    )


def _compiled(numba: Any, signature: Any, function: Callable[..., Any]) -> Any:
    asked = numba.config.CACHE_DIR
    # A place of its own: beside the source file may be read-only, and is not for programs to write to.
    numba.config.CACHE_DIR = asked or str(platformdirs.user_cache_path("hil") / "compiled")
    try:
        return numba.njit(signature, nogil=True, cache=True)(function)
    except (RuntimeError, OSError):  # no folder that could be written to
        return numba.njit(signature, nogil=True)(function)
    finally:
        numba.config.CACHE_DIR = asked


def _fill(words: Words, table: Words, keys: Words, low: int) -> None:
    position = 0
    for block in range(keys.size):
        count = min(table.size - low, words.size - position)
        # Views that begin at 0: with an offset in the index, LLVM does not make vector code of the loop.
        target, source = words[position : position + count], table[low : low + count]
        key = keys[block]
        for i in range(count):
            target[i] = source[i] ^ key
        position += count
        low = 0


def _first_wrong(words: Words, table: Words, keys: Words, low: int) -> int:
    position = 0
    for block in range(keys.size):
        count = min(table.size - low, words.size - position)
        actual, source = words[position : position + count], table[low : low + count]
        key = keys[block]
        differs = np.uint64(0)
        for i in range(count):
            differs |= actual[i] ^ source[i] ^ key
        if differs:
            return block
        position += count
        low = 0
    return -1
