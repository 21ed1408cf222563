"""Guard zones: memory on both sides of a buffer that nobody may write to, filled so that whoever does is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hil.integrity.findings import Finding, Kind, Report
from hil.integrity.memory import as_bytes, part
from hil.integrity.sentences import ADVICE
from hil.integrity.verify import fill, verify
from hil.integrity.word import BUFFERS, EPOCHS
from hil.model import KIB, size_text

GUARD_BYTES = 4 * KIB
"""Of a guard zone that is wide enough: more than the largest burst of PCIe (a TLP carries up to 4 KiB)."""
_GUARD = BUFFERS - 1
_SMALL = 15  # bytes that may not hold a whole word of a pattern
_CHANCE = 2  # bytes at an edge that agree by chance


def fill_guards(buffer: Any, start: int, nbytes: int, *, epoch: int, buffer_id: int = _GUARD) -> None:
    """Fill all of `buffer` but ``start … start + nbytes``, the data between the guard zones.

    Args:
        buffer: as for `fill`: the lower guard zone, the data, the upper guard zone.
        start: bytes of the lower guard zone.
        nbytes: bytes of the data.
        epoch: 0 … 4095: of the guards; best the one before the data's.
        buffer_id: 0 … 255: of the guards, another for each buffer and for data.

    Raises:
        TypeError, ValueError: as `fill`.

    """
    view = as_bytes(buffer, writable=True)
    end = start + part(view, start, nbytes).nbytes
    fill(view[:start], epoch=epoch, buffer_id=buffer_id)
    fill(view[end:], epoch=epoch, buffer_id=buffer_id, first_byte=end)


def check_guards(
    buffer: Any,
    start: int,
    nbytes: int,
    *,
    epoch: int,
    buffer_id: int = _GUARD,
    absent: int = 0,
    name: str = "the buffer",
) -> tuple[Finding, ...]:
    """What was written into the guard zones around ``start … start + nbytes`` of `buffer`.

    Args:
        buffer: as `fill_guards` left it, but for the data.
        start: bytes of the lower guard zone.
        nbytes: bytes of the data.
        epoch: of the guards.
        buffer_id: of the guards.
        absent: bytes of data that lie between the zones where they guard, and not in `buffer`: for zones that were
            fetched from a device without what is between them.
        name: of what is guarded, for the sentences.

    Returns:
        Findings, empty if the guards are as they were: `Kind.OVERRUN` or `Kind.UNDERRUN` where something was written
        to them; what else is wrong, such as bits that flipped, as what it is. Offsets count from the first byte of
        the data.

    Raises:
        TypeError, ValueError: as `verify`.

    """
    view = as_bytes(buffer)
    end = start + part(view, start, nbytes).nbytes
    lower = verify(view[:start], epoch=epoch, buffer_id=buffer_id)
    upper = verify(view[end:], epoch=epoch, buffer_id=buffer_id, first_byte=end)
    data = nbytes + absent
    return (*_findings(lower, -start, data, name), *_findings(upper, data, data, name))


def _findings(report: Report, base: int, nbytes: int, name: str) -> tuple[Finding, ...]:
    """Findings of one guard zone, which begins at `base` as seen from the data; all that was written to it as one."""
    side = "below" if base < 0 else "behind"
    edge = report.nbytes if base < 0 else 0
    written = [found for found in report.findings if _is_written(found, report, edge)]
    moved = [
        replace(
            found,
            offset=found.offset + base,
            sentence=f"{found.sentence}, in the guard zone {side} {name}",
            spans=tuple((offset + base, length) for offset, length in found.spans),
            flips=tuple((offset + base, bit, value) for offset, bit, value in found.flips),
        )
        for found in report.findings
        if found not in written
    ]
    if written:
        moved.append(_written(written, base, nbytes, name))
    return tuple(sorted(moved, key=lambda found: found.offset))


def _is_written(found: Finding, guard: Report, edge: int) -> bool:
    """Whether somebody wrote here; or else the guard did not keep what it held, or never came to hold it.

    What is beside the data (`edge`) and too small to tell what it is, is taken for a write that went too far.
    """
    beside = min(abs(found.offset - edge), abs(found.offset + found.length - edge)) <= _CHANCE
    small = found.nbytes <= _SMALL and beside and (found.kind is not Kind.BIT_FLIP or len(found.flips) > 1)
    if small or found.kind in (Kind.GARBAGE, Kind.CONSTANT):
        return True
    if found.epoch is None or (found.epoch, found.buffer_id) == (guard.epoch, guard.buffer_id):
        return False
    return not 0 < (guard.epoch - found.epoch) % EPOCHS < EPOCHS // 2  # older than the guard


def _written(found: list[Finding], base: int, nbytes: int, name: str) -> Finding:
    kind = Kind.UNDERRUN if base < 0 else Kind.OVERRUN
    first, last = found[0].offset + base, max(f.offset + f.length for f in found) + base
    main = max(found, key=lambda finding: finding.nbytes)
    gap = -last if base < 0 else first - nbytes
    side = f"below the start of {name}" if base < 0 else f"behind the end of {name}"
    near = f", {size_text(gap)} away," if gap > _CHANCE else ""
    size = last - first
    return Finding(
        kind=kind,
        offset=first,
        length=size,
        sentence=(
            f"{kind}: {size_text(size)} in the guard zone {side}{near} {'was' if size == 1 else 'were'} overwritten: "
            f"of them, {main.sentence.partition(': ')[2]}"
        ),
        advice=ADVICE[kind],
        places=len(found),
        nbytes=sum(f.nbytes for f in found),
        spans=tuple((offset + base, length) for f in found for offset, length in f.spans),
        epoch=main.epoch,
        buffer_id=main.buffer_id,
        displacement=main.displacement,
    )
