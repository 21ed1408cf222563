"""What verification found: kinds of corruption, findings, the report; in sentences one can act on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hil.model import size_text


class Kind(StrEnum):
    """What wrong bytes are, as far as they tell."""

    BIT_FLIP = "bit flip"
    STALE = "stale"
    """The data of another epoch: an earlier transfer's, or a later one's that came too soon."""
    WRONG_BUFFER = "wrong buffer"
    """This epoch's data, but another buffer's."""
    MISPLACED = "misplaced"
    """This buffer's own data, from another place."""
    NOT_WRITTEN = "not written"
    """What the destination was filled with before the transfer."""
    ZEROS = "zeros"
    ALL_ONES = "all ones"
    """What reads from a device that left the bus return."""
    SHORT_TAIL = "short tail"
    """From some place to the end, the destination holds what it held before."""
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One run of wrong bytes, and what it is."""

    kind: Kind
    offset: int
    """Bytes from the start of the buffer; the first wrong byte."""
    length: int
    """Bytes up to and including the last wrong one."""
    sentence: str
    epoch: int | None = None
    """Epoch that the bytes belong to; `None` where they are no pattern."""
    buffer_id: int | None = None
    displacement: int | None = None
    """Bytes from where they belong to where they lie: positive = too far up; `None` = they are no pattern."""
    bits: tuple[int, ...] = ()
    """Flipped bits of the 8-byte word of the pattern, 0 … 63."""
    words: int = 0
    """How many words have those same bits flipped."""


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
    """Whether every wrong byte belongs to a finding; false when there were more than the limit asked for."""

    def text(self) -> str:
        """The report in lines: what is wrong in all, then one line a finding."""
        if self.intact:
            return f"all {size_text(self.nbytes)} are intact"
        share = 100 * self.wrong_bytes / self.nbytes
        lines = [f"{self.wrong_bytes} of {self.nbytes} bytes are wrong ({share:.3g} %):"]
        lines += [f"  {finding.sentence}" for finding in self.findings]
        if not self.complete:
            lines.append("  more is wrong behind that; diagnosis stopped at its limit")
        return "\n".join(lines)
