"""Verification: compare a buffer with the pattern it should hold, and say what is wrong where."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from hil.integrity.diagnosis import Constant, Flips, Run, Scanner, Source
from hil.integrity.findings import Finding, Kind, Report
from hil.integrity.pattern import Stream, as_bytes, check_range, wrong_tiles
from hil.integrity.word import WORD_BYTES
from hil.model import size_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import ReadableBuffer

_FLIPS_PER_FINDING = 64  # a stuck data line flips half of all words: enough of them tell


def verify(
    buffer: ReadableBuffer,
    *,
    epoch: int,
    buffer_id: int,
    first_byte: int = 0,
    limit: int = 64,
    unwritten_epoch: int | None = None,
) -> Report:
    """Compare `buffer` with what `fill` writes for the same `epoch`, `buffer_id` and `first_byte`.

    Args:
        buffer: anything with a contiguous buffer, of any length in bytes.
        epoch: 0 … 4095.
        buffer_id: 0 … 255.
        first_byte: which byte of the pattern the buffer should begin with.
        limit: the most findings to make; wrong bytes are counted in any case.
        unwritten_epoch: what the destination was filled with before the transfer (same `buffer_id` and
            `first_byte`), if it was: tells *not written* from *stale*.

    Returns:
        The report; `Report.intact` is its verdict.

    Raises:
        TypeError: `buffer` has no buffer.
        ValueError: it is not contiguous, or a number is out of range.

    """
    expected = Stream(epoch, buffer_id)
    unwritten = None if unwritten_epoch is None else Stream(unwritten_epoch, buffer_id)
    if unwritten == expected:
        raise ValueError(f"`unwritten_epoch` must differ from `epoch`; both are {epoch}")
    if limit < 1:
        raise ValueError(f"`limit` must be at least 1, not {limit}")
    view = as_bytes(buffer)
    check_range(first_byte, view.nbytes)
    tiles, wrong = wrong_tiles(view, expected, first_byte)
    if not tiles:
        return Report(intact=True, nbytes=view.nbytes, wrong_bytes=0)
    scanner = Scanner(np.frombuffer(view, dtype=np.uint8), expected, first_byte, unwritten, tiles)
    most = limit * _FLIPS_PER_FINDING
    runs = list(islice(scanner.runs(), most + 1))
    groups = _grouped(runs[:most])
    return Report(
        intact=False,
        nbytes=view.nbytes,
        wrong_bytes=wrong,
        findings=tuple(_finding(group, scanner) for group in groups[:limit]),
        complete=len(runs) <= most and len(groups) <= limit,
    )


def _grouped(runs: Iterable[Run]) -> list[list[Run]]:
    """Runs by finding: flips of the same bits in word after word are one finding, all else stands alone."""
    groups: list[list[Run]] = []
    for run in runs:
        if groups and isinstance(run.cause, Flips) and groups[-1][0].cause == run.cause:
            groups[-1].append(run)
        else:
            groups.append([run])
    return groups


def _finding(group: list[Run], scanner: Scanner) -> Finding:
    run = group[0]
    if isinstance(run.cause, Flips):
        return _flip_finding(group, run.cause, scanner)
    size = run.end - run.offset
    subject = f"{size_text(size)} at {run.offset:#x}"
    if isinstance(run.cause, Source):
        return _source_finding(run, run.cause, subject, scanner)
    kind, says = (
        Kind.GARBAGE,
        "hold no pattern of this program: garbage, written by something else or scrambled",
    )
    if isinstance(run.cause, Constant) and run.cause.value:
        kind, says = Kind.ALL_ONES, "are all ones: what reads return when the device is off the bus"
    elif isinstance(run.cause, Constant):
        kind, says = Kind.ZEROS, "are zeros: memory that was cleared and never written"
        if run.to_end and run.offset:
            kind = Kind.SHORT_TAIL
            says = f"are zeros up to the end: the transfer stopped after {size_text(run.offset)}"
    return Finding(kind=kind, offset=run.offset, length=size, sentence=f"{subject} {_verb(size, says)}")


def _source_finding(run: Run, source: Source, subject: str, scanner: Scanner) -> Finding:
    expected, found = scanner.expected, source.stream
    home = run.offset - source.displacement
    place = ""
    if source.displacement:
        place = f" that belongs at {_signed(home)}, displaced by {_signed(source.displacement)} bytes"
    other = "" if found.buffer_id == expected.buffer_id else f" of buffer {found.buffer_id}"
    old = f"the data of epoch {found.epoch}{other}{place}"
    if found == scanner.unwritten and not source.displacement:
        kind = Kind.NOT_WRITTEN
        says = "hold what the destination was filled with before the transfer: not written"
    elif found.epoch != expected.epoch:
        kind, says = Kind.STALE, f"hold {old}: stale (epoch {expected.epoch} was expected)"
    elif other:
        kind = Kind.WRONG_BUFFER
        says = f"hold this epoch's data{other}{place}: wrong buffer (buffer {expected.buffer_id} was expected)"
    else:
        kind, says = Kind.MISPLACED, f"hold data{place}: misplaced"
    if run.to_end and run.offset and not source.displacement and kind in (Kind.NOT_WRITTEN, Kind.STALE) and not other:
        holds = "what they held before" if kind is Kind.NOT_WRITTEN else old
        kind = Kind.SHORT_TAIL
        says = f"hold, up to the end, {holds}: the transfer stopped after {size_text(run.offset)}"
    size = run.end - run.offset
    return Finding(
        kind=kind,
        offset=run.offset,
        length=size,
        sentence=f"{subject} {_verb(size, says)}",
        epoch=found.epoch,
        buffer_id=found.buffer_id,
        displacement=source.displacement,
    )


def _flip_finding(group: list[Run], flips: Flips, scanner: Scanner) -> Finding:
    first, last = group[0], group[-1]
    bits = tuple(bit for bit in range(8 * WORD_BYTES) if flips.mask >> bit & 1)
    start = first.offset - (scanner.first_byte + first.offset) % WORD_BYTES
    reads = ", ".join(
        f"bit {bit % 8} of the byte at {place:#x} reads {scanner.actual[place] >> bit % 8 & 1}"
        for bit in bits
        for place in [start + bit // 8]
    )
    sentence = f"bit flip: {reads} and should not"
    if len(group) > 1:
        lanes = " and ".join(str(bit) for bit in bits)
        sentence += (
            f"; the same in {len(group)} words up to {last.offset:#x}: "
            f"look for a stuck or weak data line ({'bit' if len(bits) == 1 else 'bits'} {lanes} of 64)"
        )
    return Finding(
        kind=Kind.BIT_FLIP,
        offset=first.offset,
        length=last.end - first.offset,
        sentence=sentence,
        bits=bits,
        words=len(group),
    )


def _signed(value: int) -> str:
    return f"{'-' if value < 0 else ''}{abs(value):#x}"


def _verb(size: int, says: str) -> str:
    """`says`, in the singular where the subject is a single byte."""
    if size > 1:
        return says
    return f"holds{says[4:]}" if says.startswith("hold") else f"is{says[3:]}"
