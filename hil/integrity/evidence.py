"""What diagnosis looks at, the causes that wrong bytes may have, and runs of wrong bytes that have one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hil.integrity.pattern import Bytes, Stream
from hil.integrity.word import PATTERN_BYTES


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes of a pattern: those of `stream`, displaced by `displacement` bytes."""

    stream: Stream
    displacement: int


@dataclass(frozen=True, slots=True)
class Constant:
    """One value of 1, 2, 4 or 8 bytes, again and again."""

    value: bytes
    """As it lies in memory at addresses that are multiples of its length."""


@dataclass(frozen=True, slots=True)
class Flips:
    """Wrong bits of one word of memory."""

    mask: int


@dataclass(frozen=True, slots=True)
class Stuck:
    """Bits of all words of a region that read one value, whatever it should be."""

    mask: int
    value: int


@dataclass(frozen=True, slots=True)
class Inverted:
    """Whole bytes with every bit turned round."""


@dataclass(frozen=True, slots=True)
class Reordered:
    """Bytes of one word of memory in another order."""

    size: int
    """Bytes of the units that are in reverse order."""
    unit: int
    """Bytes of what is kept in order within: 1, or 4 where the halves of words change places."""


@dataclass(frozen=True, slots=True)
class Alias:
    """Places that hold what belongs where one bit of the address is the other way round."""

    bit: int
    upwards: bool
    """Whether what belongs at the lower address shows at the higher one."""


@dataclass(frozen=True, slots=True)
class Run:
    """Wrong bytes in a row with one explanation; `None` = nothing explains them."""

    offset: int
    end: int
    """Offset behind the last wrong byte."""
    cause: Source | Constant | Flips | None
    to_end: bool
    """Whether the explanation holds up to the end of the buffer."""

    @property
    def length(self) -> int:
        """Bytes up to and including the last wrong one."""
        return self.end - self.offset


@dataclass(frozen=True, slots=True)
class Evidence:
    """A buffer, and what it should hold."""

    actual: Bytes
    expected: Stream
    first_byte: int
    unwritten: Stream | None
    """What the destination was filled with before; `None` = not known."""
    address: int = 0
    """Of the first byte in memory, as far as alignment goes."""

    @property
    def nbytes(self) -> int:
        """Size of the buffer."""
        return int(self.actual.size)

    def right(self, start: int, end: int, stream: Stream | None = None) -> Bytes:
        """What belongs at ``start … end``, which may reach beyond the buffer; zeros beyond the pattern.

        With a `stream`, what would be there of that.
        """
        low, high = max(self.first_byte + start, 0), min(self.first_byte + end, PATTERN_BYTES)
        made = (stream or self.expected).read(low, max(high - low, 0))
        before, behind = low - self.first_byte - start, self.first_byte + end - high
        return np.pad(made, (before, behind)) if before or behind else made

    def wrong(self, start: int, end: int) -> Bytes:
        """Exclusive or of what is there and what should be."""
        return self.actual[start:end] ^ self.right(start, end)

    def is_right(self, start: int, end: int) -> bool:
        """Whether all of ``start … end`` lies in the buffer and is as it should be, by its first and last 4 KiB."""
        if start < 0 or end > self.nbytes:
            return False
        middle = (start + end) // 2
        parts = ((start, min(start + 4096, end)), (middle, min(middle + 512, end)), (max(end - 4096, start), end))
        return not any(self.wrong(*part).any() for part in parts)

    def predicted(self, cause: Source | Constant, start: int, end: int) -> Bytes:
        """What `cause` says of ``start … end``; short where the pattern ends."""
        if isinstance(cause, Source):
            low = self.first_byte - cause.displacement + start
            return cause.stream.read(low, max(min(end - start, PATTERN_BYTES - low), 0))
        unit = np.frombuffer(cause.value, dtype=np.uint8)
        if unit.size == 1:
            return np.full(end - start, unit[0], dtype=np.uint8)
        return unit[(np.arange(start, end) + self.address) % unit.size]
