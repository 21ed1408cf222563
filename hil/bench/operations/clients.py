"""Two clients of one device at once: what one of them holds is none of the other's business."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hil.bench.operations.session import Session, session
from hil.copy import engine
from hil.errors import DriverError, HilError
from hil.integrity import decode, fill, verify

if TYPE_CHECKING:
    from hil.bench.worker import Context

FIRST, SECOND = 51, 52
"""Numbers of the buffers in the pattern: whose data it is."""
PAGE = 4096


def strangers(context: Context, *, nbytes: int, epoch: int) -> dict[str, Any]:
    """Open the device a second time beside the open session, and let the second look for what the first has.

    Returns:
        ``refused``: why it cannot be opened twice (nothing else is told then); ``reached``: whether the second could
        read the first's buffer by its address; ``pages`` of fresh memory in which the second found the first's
        data; ``first``, ``second``: a sentence on what each one's data became, empty where it is intact; ``after``:
        the same of the first's, once the second has been closed.

    """
    work = session(context)
    card = work.engine
    try:
        other = Session(engine(card.name).open(context.host, card.describe().target))
    except DriverError as error:
        return {"refused": str(error), "code": error.code}
    try:
        mine = work.alloc(nbytes)
        here = work.borrow(nbytes)
        fill(here.view[:nbytes], epoch=epoch, buffer_id=FIRST)
        card.upload(mine, here, nbytes)
        card.synchronize()
        reached = _reads(other, mine, nbytes, epoch)
        theirs, there = other.alloc(nbytes), other.borrow(nbytes)
        pages = _pages(other, theirs, there, nbytes, epoch)
        fill(there.view[:nbytes], epoch=epoch, buffer_id=SECOND)
        other.engine.upload(theirs, there, nbytes)
        other.engine.synchronize()
        facts = {
            "reached": reached,
            "pages": pages,
            "first": _became(work, mine, nbytes, epoch, FIRST),
            "second": _became(other, theirs, nbytes, epoch, SECOND),
        }
    finally:
        other.engine.close()
    facts["after"] = _became(work, mine, nbytes, epoch, FIRST)
    card.free(mine)
    work.give_back(here)
    return facts


def _reads(other: Session, foreign: Any, nbytes: int, epoch: int) -> bool:
    back = other.borrow(nbytes)
    back.view[:nbytes] = bytes(nbytes)
    try:
        other.engine.download(back, foreign, nbytes)
        other.engine.synchronize()
    except (HilError, ValueError):
        return False
    return verify(back.view[:nbytes], epoch=epoch, buffer_id=FIRST).intact


def _pages(other: Session, theirs: Any, there: Any, nbytes: int, epoch: int) -> int:
    other.engine.download(there, theirs, nbytes)
    other.engine.synchronize()
    words = np.frombuffer(bytes(there.view[: nbytes // 8 * 8]), dtype="<u8")[:: PAGE // 8]
    origins = (decode(int(word)) for word in words)
    return sum(o is not None and (o.epoch, o.buffer_id) == (epoch, FIRST) for o in origins)


def _became(work: Session, buffer: Any, nbytes: int, epoch: int, whose: int) -> str:
    back = work.borrow(nbytes)
    back.view[:nbytes] = bytes(nbytes)
    work.engine.download(back, buffer, nbytes)
    work.engine.synchronize()
    report = verify(back.view[:nbytes], epoch=epoch, buffer_id=whose)
    work.give_back(back)
    return "" if report.intact else report.text()
