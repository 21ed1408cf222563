"""Zeros and ones over other data: what a driver, a link or a memory may take for nothing to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hil.bench.operations.session import session
from hil.bench.operations.verdicts import verdict
from hil.integrity import Finding, Kind, Report, fill, letter
from hil.integrity.findings import CELLS, INTACT
from hil.integrity.sentences import ADVICE, told
from hil.integrity.tally import Tally

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hil.bench.worker import Context

    Bytes = NDArray[np.uint8]

BEFORE = 13
"""Number of the buffer in the pattern that lies there before."""
VALUES = {"zeros": 0x00, "ones": 0xFF}
"""Of every byte."""
CHANCE = 16
"""Bytes between two wrong ones that may be right by chance: a byte of the pattern is 0 or 255 once in 256."""


def over_pattern(context: Context, *, nbytes: int, epoch: int, pinned: bool = True) -> dict[str, Any]:
    """Send zeros, then ones, over a pattern, move them over another within the device, and fetch them over a third.

    Args:
        context: of this process.
        nbytes: of each copy.
        epoch: 2 … 4095, of the patterns on the device; the host's buffer that receives holds the one before.
        pinned: kind of host memory.

    Returns:
        See `verdict`; a part is a value, up or moved.

    """
    work, engine = session(context), session(context).engine
    here, back = work.borrow(nbytes, pinned=pinned), work.borrow(nbytes, pinned=pinned)
    first, second = work.alloc(nbytes), work.alloc(nbytes)
    before = {"on the device": _pattern(nbytes, epoch), "in the host's buffer": _pattern(nbytes, epoch - 1)}
    ours, theirs = (np.frombuffer(buffer.view, np.uint8)[:nbytes] for buffer in (here, back))
    checked: list[tuple[str, Report]] = []
    for name, value in VALUES.items():
        ours[:] = before["on the device"]
        for memory in (first, second):
            engine.upload(memory, here, nbytes)
        engine.synchronize()
        ours[:] = value
        engine.upload(first, here, nbytes)
        engine.move(second, first, nbytes)
        engine.synchronize()
        for memory, way in ((first, "sent to the device"), (second, "moved on within the device")):
            theirs[:] = before["in the host's buffer"]
            engine.download(back, memory, nbytes)
            engine.synchronize()
            checked.append((f"{name}, {way}", _report(theirs, value, before)))
    del ours, theirs
    for memory in (first, second):
        engine.free(memory)
    for buffer in (here, back):
        work.give_back(buffer)
    return verdict(checked)


def _pattern(nbytes: int, epoch: int) -> Bytes:
    made = np.empty(nbytes, np.uint8)
    fill(made, epoch=epoch, buffer_id=BEFORE)
    return made


def _report(seen: Bytes, value: int, before: dict[str, Bytes]) -> Report:
    """Whether every byte of `seen` is `value`, and if not, whether it is what lay there before the copy."""
    wrong = np.flatnonzero(seen != value)
    if not wrong.size:
        return Report(intact=True, nbytes=seen.size, wrong_bytes=0)
    found: list[Finding] = []
    rest = wrong
    for where, held in before.items():
        left = seen[rest] == held[rest]
        # Of what is wrong for another reason, a byte in 256 is by chance what was there.
        if np.count_nonzero(left) * 2 > left.size:
            found.append(_finding(Kind.NOT_WRITTEN, rest[left], seen.size, f"hold what was {where} before"))
            rest = rest[~left]
    if rest.size:
        turned = seen[rest] ^ np.uint8(value)
        kind = Kind.GARBAGE if (turned & (turned - 1)).any() else Kind.BIT_FLIP
        says = f"hold other bits than {value:#04x}, {seen[rest[0]]:#04x} the first, and not what was there before"
        found.append(_finding(kind, rest, seen.size, says))
    return Report(
        intact=False,
        nbytes=seen.size,
        wrong_bytes=wrong.size,
        findings=tuple(sorted(found, key=lambda finding: finding.offset)),
        cells=_cells(wrong, seen.size, found[0].kind),
    )


def _finding(kind: Kind, wrong: NDArray[np.intp], nbytes: int, says: str) -> Finding:
    """One finding on all bytes at `wrong`, what lies closer together than `CHANCE` taken for one place."""
    cuts = np.flatnonzero(np.diff(wrong) > CHANCE)
    tally = Tally()
    tally.add(wrong[np.r_[0, cuts + 1]], wrong[np.r_[cuts, wrong.size - 1]] + 1)
    return Finding(
        kind=kind,
        offset=tally.first,
        length=tally.end - tally.first,
        sentence=told(kind, tally, nbytes, says),
        advice=ADVICE[kind],
        places=tally.places,
        nbytes=tally.nbytes,
        spans=tuple(tally.spans),
    )


def _cells(wrong: NDArray[np.intp], nbytes: int, kind: Kind) -> str:
    size = -(-nbytes // CELLS)
    marks = [INTACT] * -(-nbytes // size)
    for cell in np.unique(wrong // size):
        marks[cell] = letter(kind)
    return "".join(marks)
