"""Causes that act within a word of memory, or on an address: found in all words of a window at once.

What is told here: bits that flip or are stuck, bytes turned round or in another order, address bits without effect.
What remains, a `hil.integrity.scan.Scanner` goes through.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hil.integrity.evidence import Alias, Evidence, Flips, Inverted, Reordered, Stuck
from hil.integrity.word import WORD_BYTES, Words

WINDOW = 1 << 18
"""Bytes of memory that are looked at together; windows begin at addresses that are multiples of it."""
Local = Flips | Stuck | Inverted | Reordered | Alias

_FEW_BITS = 3  # of one word; two words of the pattern differ in 18 and more
_SPREAD_BITS = 8  # so many are flips only where they lie in several bytes: a byte of chance differs in 4 bits
_TURNED = 0xFF
_BYTE_AND_NEXT = 2
_ENOUGH = 16  # words that read the same bits: chance does that once in 2^16
_STUCK_BITS = 32  # and no more: what makes more bits constant is no bit that is stuck
_LONE = 4  # wrong bytes or words: fewer agree by chance too often
_ORDERS: tuple[Reordered | Alias, ...] = (
    *(Reordered(size, unit) for size, unit in ((8, 4), (8, 1), (4, 1), (2, 1), (8, 2), (4, 2))),
    *(Alias(bit, upwards) for bit in (2, 1, 0) for upwards in (False, True)),
)
_POPCOUNT = np.array([value.bit_count() for value in range(256)], dtype=np.uint8)
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


@dataclass(slots=True)
class Window:
    """Words of memory, from a word's start at `start` of the buffer on."""

    start: int
    words: Words
    """What is there; where there is nothing to judge, what should be."""
    right: Words
    """What should be there."""
    known: Words
    """All ones; zeros in bits that are not to be judged."""
    left: Any = field(init=False)
    """Which words are wrong and not explained yet."""

    def __post_init__(self) -> None:
        self.left = self.words != self.right

    def wrong_bytes(self) -> Any:
        """Which bytes are wrong in words that are not explained."""
        return ((self.words ^ self.right) * self.left).view(np.uint8) != 0

    def places(self, which: Any, *, joined: bool) -> tuple[Any, Any]:
        """First wrong byte, and the offset behind the last, of the words with numbers `which`.

        Args:
            which: numbers of words, in order.
            joined: make one place of words that are neighbours.

        """
        wrong = (self.words[which] ^ self.right[which]).view(np.uint8).reshape(-1, WORD_BYTES) != 0
        base = self.start + which.astype(np.int64) * WORD_BYTES
        starts, ends = base + wrong.argmax(1), base + WORD_BYTES - wrong[:, ::-1].argmax(1)
        if not joined:
            return starts, ends
        breaks = np.flatnonzero(np.diff(which) > 1)
        return starts[np.r_[0, breaks + 1]], ends[np.r_[breaks, which.size - 1]]


def window(evidence: Evidence, low: int, high: int) -> Window:
    """The words of memory that ``low … high`` of the buffer touches, with nothing outside of it to judge."""
    start = low - (evidence.address + low) % WORD_BYTES
    end = high + -(evidence.address + high) % WORD_BYTES
    right = evidence.right(start, end)
    words, known = right.copy(), np.zeros_like(right)
    words[low - start : high - start] = evidence.actual[low:high]
    known[low - start : high - start] = 0xFF
    return Window(start, words.view(np.uint64), right.view(np.uint64), known.view(np.uint64))


def explain(evidence: Evidence, seen: Window) -> Iterator[tuple[Local, Any]]:
    """Causes, each with the numbers of the words that it explains, which then are no longer `Window.left`."""
    found = _stuck(seen)
    if found is not None:
        yield found, _taken(seen, seen.left.copy())
        return
    if not seen.left.any():
        return
    wrong = (seen.words ^ seen.right).view(np.uint8).reshape(-1, WORD_BYTES)
    count = (wrong != 0).sum(1)
    turned = seen.left & ((wrong == 0) | (wrong == _TURNED)).all(1) & (count > 1)
    if turned.any():
        yield Inverted(), _taken(seen, turned)
    for order in _ORDERS:
        for made in _in_order(seen.right, order):
            hit = seen.left & (((seen.words ^ made) & seen.known) == 0)
            if (hit & (count >= _LONE)).any() or hit.sum() >= _LONE:
                yield order, _taken(seen, hit | _halves(seen, made, hit))
    alias = _alias(evidence, seen)
    if alias is not None:
        yield alias[0], _taken(seen, alias[1])
    yield from _flips(evidence, seen, wrong)


def _flips(evidence: Evidence, seen: Window, wrong: Any) -> Iterator[tuple[Flips, Any]]:
    """Few wrong bits in words that stand alone; `wrong` holds what differs in the bytes of each word."""
    count = (wrong != 0).sum(1)
    bits = _POPCOUNT[wrong].sum(1)
    few = (bits <= _FEW_BITS) | ((bits <= _SPREAD_BITS) & (2 * count >= bits) & (count > _BYTE_AND_NEXT))
    # Beside words that are wrong otherwise, few wrong bits are the edge of those.
    other = np.pad(seen.left & ~few, 1)
    few &= seen.left & ~other[:-2] & ~other[2:]
    if few.any() and evidence.unwritten is not None:
        few &= ~_old(evidence, seen, bits)
    masks = seen.words ^ seen.right
    for mask in np.unique(masks[few])[:_STUCK_BITS] if few.any() else ():
        yield Flips(int(mask)), _taken(seen, few & (masks == mask))
    if (few := few & seen.left).any():
        yield Flips(0), _taken(seen, few)


def _old(evidence: Evidence, seen: Window, bits: Any) -> Any:
    """Words whose wrong bytes are what was there before: by chance with one bit, unless it is the last byte of all."""
    before = evidence.right(seen.start, seen.start + seen.words.nbytes, evidence.unwritten)
    now, right = seen.words.view(np.uint8), seen.right.view(np.uint8)
    same = ((now == before) | (now == right)).reshape(-1, WORD_BYTES).all(1)
    last = np.arange(same.size) == (evidence.nbytes - 1 - seen.start) // WORD_BYTES
    return same & ((bits > 1) | last)


def _taken(seen: Window, which: Any) -> Any:
    seen.left &= ~which
    return np.flatnonzero(which)


def _stuck(seen: Window) -> Stuck | None:
    """Bits that all words between the first wrong one and the last read alike, if those alone are wrong."""
    wrong = np.flatnonzero(seen.left)
    if wrong.size < _ENOUGH:
        return None
    mask = np.bitwise_or.reduce(seen.words[wrong] ^ seen.right[wrong])
    if int(mask).bit_count() > _STUCK_BITS:
        return None
    span = seen.words[wrong[0] : wrong[-1] + 1] & mask
    return Stuck(int(mask), int(span[0])) if (span == span[0]).all() else None


def _in_order(right: Words, order: Reordered | Alias) -> Iterator[Words]:
    """What should be there, with the bytes of each word as `order` would have them."""
    if isinstance(order, Alias):
        lanes = np.arange(WORD_BYTES)
        lanes = np.where((lanes >> order.bit & 1) == order.upwards, lanes ^ 1 << order.bit, lanes)
        yield np.ascontiguousarray(right.view(np.uint8).reshape(-1, WORD_BYTES)[:, lanes]).view(np.uint64).reshape(-1)
        return
    units = right.view(np.uint8).reshape(-1, order.size // order.unit, order.unit)
    yield np.ascontiguousarray(units[:, ::-1]).reshape(-1).view(np.uint64)
    if (order.size, order.unit) == (8, 4):
        halves = right.view(np.uint32).copy()
        halves[1:-1] = halves[1:-1].reshape(-1, 2)[:, ::-1].reshape(-1)
        yield halves.view(np.uint64)


def _halves(seen: Window, made: Words, hit: Any) -> Any:
    """Words beside those in `hit` of which one half is as `made`, and the other as it should be."""
    halves = ((seen.words ^ made) & seen.known).view(np.uint32) == 0
    halves |= (seen.words ^ seen.right).view(np.uint32) == 0
    beside = np.pad(hit, 1)
    return seen.left & halves.reshape(-1, 2).all(1) & (beside[:-2] | beside[2:])


def _alias(evidence: Evidence, seen: Window) -> tuple[Alias, Any] | None:
    """An address bit without effect in all of the window, and the words that show it."""
    wrong = np.flatnonzero(seen.left)
    if not wrong.size:
        return None
    # Numbers of words by address, so that turning a bit of the number round turns one of the address round.
    numbers = np.arange(seen.words.size) + (evidence.address + seen.start) % WINDOW // WORD_BYTES
    shift = int(numbers[0])
    for bit in range(3, WINDOW.bit_length() - 1):
        home = (numbers ^ 1 << bit - 3) - shift
        first = int(home[wrong[0]])
        if not (0 <= first < seen.words.size and seen.words[wrong[0]] == seen.right[first]):
            continue
        inside = (home >= 0) & (home < seen.words.size)
        place = np.where(inside, home, 0)
        hit = inside & (((seen.words ^ seen.right[place]) & seen.known) == 0)
        upper = bool(numbers[wrong[0]] >> bit - 3 & 1)
        predicted = inside & ((numbers >> bit - 3 & 1) == upper) & (seen.known == _ONES) & (seen.known[place] == _ONES)
        hit &= seen.left & ((numbers >> bit - 3 & 1) == upper)
        blocks = np.unique(numbers[hit] >> bit - 2).size
        if blocks > 1 and not (predicted & ~hit).any():
            return Alias(bit, upper), hit
    return None
