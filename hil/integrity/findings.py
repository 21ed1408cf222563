"""What verification found: kinds of corruption, findings, the report; in sentences one can act on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from hil.model import size_text

INTACT = "."
"""In `Report.cells`: a part of the buffer without a wrong byte."""
UNEXPLAINED = "?"
"""In `Report.cells`: wrong bytes that diagnosis did not get to."""
CELLS = 1024
"""At most so many parts does `Report.cells` tell of."""


class Kind(StrEnum):
    """What wrong bytes are, as far as they tell."""

    BIT_FLIP = "bit flip"
    STUCK_BIT = "stuck bit"
    """The same bit reads the same value whatever was written: in many words, or over several passes."""
    STALE = "stale"
    """The data of another epoch: an earlier transfer's, or a later one's that came too soon."""
    WRONG_BUFFER = "wrong buffer"
    """This epoch's data, but another buffer's or stream's."""
    MISPLACED = "misplaced"
    """This buffer's own data, from another place; what belongs at that place is not there either."""
    DUPLICATED = "duplicated"
    """This buffer's own data, which are at their right place, too."""
    SWAPPED = "swapped"
    """Two pieces, each at the other's place."""
    PERMUTED = "permuted"
    """Three and more pieces, each at another's place."""
    BYTE_SHIFTED = "byte-shifted"
    """A stretch that lies some bytes beside its place."""
    ROW_PITCH = "row pitch"
    """Each row lies further from its place than the one before."""
    ALIAS = "alias"
    """Two addresses that differ in one bit are one place."""
    NOT_WRITTEN = "not written"
    """What the destination was filled with before the transfer."""
    TORN = "torn"
    """Old data up to, or from, the middle of a piece of which the rest arrived."""
    SHORT_TAIL = "short tail"
    """From some place to the end, the destination holds what it held before."""
    ZEROS = "zeros"
    ALL_ONES = "all ones"
    """What reads from a device that left the bus return."""
    CONSTANT = "constant"
    """One value, again and again: poison of a driver or firmware."""
    INVERTED = "inverted"
    """Bytes with every bit turned round."""
    DWORD_SWAP = "dword swap"
    """The two halves of 8-byte words change places."""
    BYTE_ORDER = "byte order"
    """The bytes of each word are in reverse."""
    OVERRUN = "overrun"
    """Somebody wrote behind the end of the buffer."""
    UNDERRUN = "underrun"
    """Somebody wrote before the start of the buffer."""
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Wrong bytes that have one cause, in one place or in many."""

    kind: Kind
    offset: int
    """Bytes from the start of the buffer; the first wrong byte. In a guard zone below the buffer it is negative."""
    length: int
    """Bytes up to and including the last wrong one."""
    sentence: str
    """What is wrong where; leads with the kind."""
    advice: str = ""
    """Where a driver engineer would look."""
    places: int = 1
    """In how many runs (for bits: words) the wrong bytes lie."""
    nbytes: int = 0
    """Bytes of all these runs together."""
    spans: tuple[tuple[int, int], ...] = ()
    """Offset and length of the first of these runs."""
    stride: int = 0
    """Bytes from each run to the next, where that is regular; 0 where it is not."""
    epoch: int | None = None
    """Epoch that the bytes belong to; `None` where they are no pattern."""
    buffer_id: int | None = None
    displacement: int | None = None
    """Bytes from where they belong to where they lie: positive = too far up; `None` = they are no pattern."""
    address_bit: int | None = None
    """For an alias: which bit of the address, 0 = the lowest."""
    bits: tuple[int, ...] = ()
    """Wrong bits of the 8-byte word of memory, 0 … 63."""
    words: int = 0
    """How many words have those same bits wrong."""
    flips: tuple[tuple[int, int, int], ...] = ()
    """The first of the wrong bits: offset of the byte, bit in it (0 … 7), and the value that it reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Whether a buffer holds what it should, and if not, what it holds instead."""

    intact: bool
    nbytes: int
    """Size of what was verified."""
    wrong_bytes: int
    findings: tuple[Finding, ...] = ()
    """In order of offset."""
    complete: bool = True
    """Whether every wrong byte belongs to a finding; false when there were more than diagnosis goes through."""
    cells: str = ""
    """The buffer in parts of equal size, a character each: `INTACT`, `UNEXPLAINED`, or the letter of a kind (see
    `letter`); empty where all is intact."""
    epoch: int = 0
    """What was expected."""
    buffer_id: int = 0
    first_byte: int = 0
    inverted: bool = False

    @property
    def headline(self) -> Finding | None:
        """The finding that tells most: the one with most wrong bytes; of equals, the first."""
        return max(self.findings, key=lambda finding: finding.nbytes, default=None)

    def text(self) -> str:
        """The report in lines: what is wrong in all, then each finding, the headline first, and where to look."""
        if self.intact:
            return f"all {size_text(self.nbytes)} are intact"
        outside = any(not 0 <= f.offset < self.nbytes for f in self.findings)
        beside = "what lies around them is not" if outside else ""
        lines = [f"all {size_text(self.nbytes)} are intact, {beside}:"]
        if self.wrong_bytes:
            share = f"{100 * self.wrong_bytes / self.nbytes:.3g} %"
            also = f", and {beside} intact" if outside else ""
            lines = [f"{self.wrong_bytes} of {self.nbytes} bytes are wrong ({share}){also}:"]
        first = self.headline
        ordered = [*([first] if first else []), *(f for f in self.findings if f is not first)]
        told: set[str] = set()
        for finding in ordered:
            lines.append(f"  {finding.sentence}")
            if finding.advice and finding.advice not in told:
                lines.append(f"    {finding.advice}")
            told.add(finding.advice)
        if not self.complete:
            lines.append("  more is wrong behind that; diagnosis stopped at its limit")
        return "\n".join(lines)

    def with_findings(self, more: tuple[Finding, ...]) -> Report:
        """The report with findings of the memory around the buffer."""
        if not more:
            return self
        ordered = sorted((*self.findings, *more), key=lambda finding: finding.offset)
        return replace(self, intact=False, findings=tuple(ordered), cells=self.cells or INTACT)


def letter(kind: Kind) -> str:
    """The character that stands for `kind` in `Report.cells`."""
    return chr(ord("a") + list(Kind).index(kind))
