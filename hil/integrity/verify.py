"""Fill a buffer with the pattern; compare a buffer with the pattern it should hold, and say what is wrong where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hil.integrity import speed
from hil.integrity.diagnosis import diagnosed
from hil.integrity.evidence import Evidence
from hil.integrity.examine import MOST_WINDOWS, Examination
from hil.integrity.findings import CELLS, INTACT, UNEXPLAINED, Finding, Report, letter
from hil.integrity.memory import as_bytes, part
from hil.integrity.pattern import Stream, check_range

LIMIT = 64
"""Findings of a report, unless told otherwise."""


def fill(
    buffer: Any,
    *,
    epoch: int = 1,
    buffer_id: int = 0,
    first_byte: int = 0,
    offset: int = 0,
    nbytes: int | None = None,
    inverted: bool = False,
) -> None:
    """Write the pattern of `epoch` and `buffer_id` over `buffer`, or over a part of it.

    Args:
        buffer: anything with a writable, contiguous buffer, of any length in bytes; or a DLPack tensor in memory that
            the CPU can write to.
        epoch: 0 … 4095: which transfer, run or pass; take another each time, and old data give themselves away.
        buffer_id: 0 … 255: which of the buffers, or streams, that are used at once.
        first_byte: which byte of the pattern the part begins with; need not be a multiple of 8.
        offset: where in `buffer` the part begins, in bytes.
        nbytes: size of the part in bytes; `None` = up to the end.
        inverted: turn every bit round.

    Raises:
        TypeError: `buffer` offers no memory (the error is a `ValueError`, too).
        ValueError: it is read-only, not contiguous or on a device, or a number is out of range.

    """
    stream = Stream(epoch, buffer_id, inverted)
    view = part(as_bytes(buffer, writable=True), offset, nbytes)
    check_range(first_byte, view.nbytes)
    speed.write(view, stream, first_byte)


def verify(
    buffer: Any,
    *,
    epoch: int = 1,
    buffer_id: int = 0,
    first_byte: int = 0,
    offset: int = 0,
    nbytes: int | None = None,
    inverted: bool = False,
    limit: int = LIMIT,
    unwritten_epoch: int | None = None,
    address: int = 0,
    explain: bool = True,
) -> Report:
    """Compare `buffer`, or a part of it, with what `fill` writes for the same arguments.

    Args:
        buffer: anything with a contiguous buffer, of any length in bytes; or a DLPack tensor in memory that the CPU
            can read.
        epoch: 0 … 4095.
        buffer_id: 0 … 255.
        first_byte: which byte of the pattern the part should begin with.
        offset: where in `buffer` the part begins, in bytes. Offsets in the report count from there.
        nbytes: size of the part in bytes; `None` = up to the end.
        inverted: whether it was filled so.
        limit: the most findings to report; wrong bytes are counted in any case.
        unwritten_epoch: what the destination was filled with before the transfer (same `buffer_id` and
            `first_byte`), if it was: tells *not written* from *stale*.
        address: of the part's first byte in the memory under test, where known: what hits words, pages and address
            bits is then told by that memory's own.
        explain: whether wrong bytes are to be explained, which takes milliseconds; else they are counted, and there
            are no findings. For the many parts of something of which the first have told what is wrong.

    Returns:
        The report; `Report.intact` is its verdict.

    Raises:
        TypeError: `buffer` offers no memory (the error is a `ValueError`, too).
        ValueError: it is not contiguous or on a device, or a number is out of range.

    """
    expected = Stream(epoch, buffer_id, inverted)
    unwritten = None if unwritten_epoch is None else Stream(unwritten_epoch, buffer_id)
    if unwritten == expected:
        raise ValueError(f"`unwritten_epoch` must differ from `epoch`; both are {epoch}")
    if limit < 1:
        raise ValueError(f"`limit` must be at least 1, not {limit}")
    if address < 0:
        raise ValueError(f"`address` must not be negative: {address}")
    view = part(as_bytes(buffer), offset, nbytes)
    check_range(first_byte, view.nbytes)
    evidence = Evidence(np.frombuffer(view, dtype=np.uint8), expected, first_byte, unwritten, address)
    pieces: list[tuple[int, int]] = []
    wrong, cells = 0, _Cells(view.nbytes)
    for start, size, count in speed.wrong_pieces(view, expected, first_byte):
        wrong += count
        cells.mark(start, size, UNEXPLAINED)
        if len(pieces) <= MOST_WINDOWS:
            pieces.append((start, size))
    facts: dict[str, Any] = {"epoch": epoch, "buffer_id": buffer_id, "first_byte": first_byte, "inverted": inverted}
    if not wrong:
        return Report(intact=True, nbytes=view.nbytes, wrong_bytes=0, **facts)
    if not explain:
        marks = cells.text()
        return Report(intact=False, nbytes=view.nbytes, wrong_bytes=wrong, complete=False, cells=marks, **facts)
    examination = Examination(evidence)
    examination.go_through(pieces)
    found = diagnosed(examination)
    if examination.complete:
        cells.clear()
    cells.show(found)
    return Report(
        intact=False,
        nbytes=view.nbytes,
        wrong_bytes=wrong,
        findings=_most(found, limit),
        complete=examination.complete and len(found) <= limit,
        cells=cells.text(),
        **facts,
    )


def _most(found: Sequence[Finding], limit: int) -> tuple[Finding, ...]:
    """The `limit` findings with most wrong bytes, in order of offset."""
    largest = sorted(found, key=lambda finding: -finding.nbytes)[:limit]
    return tuple(sorted(largest, key=lambda finding: finding.offset))


class _Cells:
    """The buffer in parts of equal size, and what is wrong in each."""

    def __init__(self, nbytes: int) -> None:
        self._size = max(-(-nbytes // CELLS), 1)
        self._marks = [INTACT] * -(-nbytes // self._size)

    def clear(self) -> None:
        """Forget all marks."""
        self._marks = [INTACT] * len(self._marks)

    def mark(self, offset: int, size: int, mark: str) -> None:
        """Mark ``offset … offset + size``."""
        for cell in range(offset // self._size, min((offset + size - 1) // self._size + 1, len(self._marks))):
            self._marks[cell] = mark

    def show(self, found: Iterable[Finding]) -> None:
        """Mark findings: what lies in few places over what lies in many."""
        for finding in sorted(found, key=lambda finding: -finding.nbytes):
            if finding.places > len(finding.spans):
                self._spread(finding)
            for offset, length in finding.spans:
                self.mark(offset, length, letter(finding.kind))

    def _spread(self, finding: Finding) -> None:
        """Places too many to be kept one by one: at their stride, or all over."""
        step = max(self._size, finding.stride)
        size = min(finding.spans[0][1], step)
        for offset in range(finding.offset, finding.offset + finding.length, step):
            self.mark(offset, size, letter(finding.kind))

    def text(self) -> str:
        """A character each."""
        return "".join(self._marks)
