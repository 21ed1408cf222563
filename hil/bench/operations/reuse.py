"""One buffer used again and again: what it held before must not come back, and what is done must have landed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.bench.operations.session import session
from hil.bench.operations.verdicts import verdict
from hil.errors import DataCorrupt
from hil.integrity import Report, fill, verify

if TYPE_CHECKING:
    from hil.bench.worker import Context

REUSED = 12
"""Number of the buffer in the pattern."""
SOON = 0.05
"""Seconds after which wrong data are looked at again."""
TOO_LATE = "; a later look finds it intact: it landed after its completion had been told"


def back_to_back(context: Context, *, nbytes: int, epochs: list[int], pinned: bool = True) -> dict[str, Any]:
    """Fill, upload, download and check the same three buffers once for each of `epochs`.

    The sending buffer is filled anew as soon as the upload was reported as done, before the download is submitted. The
    receiving one is looked at as soon as the download was, and holds the previous epoch until then.

    Returns:
        See `verdict`; a part is a turn.

    """
    work, engine = session(context), session(context).engine
    here, back = work.borrow(nbytes, pinned=pinned), work.borrow(nbytes, pinned=pinned)
    there = work.alloc(nbytes)
    ours, theirs = here.view[:nbytes], back.view[:nbytes]
    before = epochs[0] - 1
    fill(theirs, epoch=before, buffer_id=REUSED)
    fill(ours, epoch=epochs[0], buffer_id=REUSED)
    checked: list[tuple[str, Report]] = []
    for turn, epoch in enumerate(epochs):
        engine.upload(there, here, nbytes)
        engine.synchronize()
        if turn + 1 < len(epochs):
            fill(ours, epoch=epochs[turn + 1], buffer_id=REUSED)
        engine.download(back, there, nbytes)
        engine.synchronize()
        # A look of its own, at once and in one go: to compare takes long enough for a late copy to arrive.
        seen = bytes(theirs)
        report = verify(seen, epoch=epoch, buffer_id=REUSED, unwritten_epoch=before)
        late = ""
        if not report.intact:
            context.host.clock.sleep(SOON)
            late = TOO_LATE if verify(theirs, epoch=epoch, buffer_id=REUSED).intact else ""
            fill(theirs, epoch=epoch, buffer_id=REUSED)
        checked.append((f"turn {turn + 1} of {len(epochs)}{late}", report))
        before = epoch
    ours.release()
    theirs.release()
    engine.free(there)
    work.give_back(here)
    work.give_back(back)
    return verdict(checked)


def relay(context: Context, *, nbytes: int, turns: int, epoch: int) -> dict[str, Any]:
    """Send `turns` buffers through one buffer of the device, each moved on from there, in one stream without waiting.

    The next upload may not begin before the move that reads what it overwrites has ended: their stream says so.

    Returns:
        See `verdict`; a part is one of the buffers.

    """
    work, engine = session(context), session(context).engine
    hosts = [work.borrow(nbytes) for _ in range(turns)]
    middle, ends = work.alloc(nbytes), [work.alloc(nbytes) for _ in range(turns)]
    for number, host in enumerate(hosts):
        fill(host.view[:nbytes], epoch=epoch, buffer_id=REUSED + number)
    for host, end in zip(hosts, ends, strict=True):
        engine.upload(middle, host, nbytes)
        engine.move(end, middle, nbytes)
    engine.synchronize()
    for number, (host, end) in enumerate(zip(hosts, ends, strict=True)):
        fill(host.view[:nbytes], epoch=epoch - 1, buffer_id=REUSED + number)
        engine.download(host, end, nbytes)
    engine.synchronize()
    checked = [
        (
            f"buffer {number + 1} of {turns}",
            verify(host.view[:nbytes], epoch=epoch, buffer_id=REUSED + number, unwritten_epoch=epoch - 1),
        )
        for number, host in enumerate(hosts)
    ]
    for buffer in (middle, *ends):
        engine.free(buffer)
    for host in hosts:
        work.give_back(host)
    return verdict(checked)


def until_gone(context: Context, *, nbytes: int, streams: int, epoch: int) -> None:
    """Copy there and back on `streams` streams until the device is gone, and check all that was reported as done.

    Raises:
        DataCorrupt: what was reported as done is not there.
        DriverError, DeviceGone: how the driver said that the device is gone.

    """
    work, engine = session(context), session(context).engine
    here = [work.borrow(nbytes) for _ in range(streams)]
    back, there = [work.borrow(nbytes) for _ in here], [work.alloc(nbytes) for _ in here]
    for number, host in enumerate(here):
        fill(host.view[:nbytes], epoch=epoch, buffer_id=REUSED + number)
    while True:
        for number, host in enumerate(back):
            fill(host.view[:nbytes], epoch=epoch - 1, buffer_id=REUSED + number)
        for number in range(streams):
            engine.upload(there[number], here[number], nbytes, stream=number)
            engine.download(back[number], there[number], nbytes, stream=number)
        for number in range(streams):
            engine.synchronize(number)
            report = verify(
                back[number].view[:nbytes], epoch=epoch, buffer_id=REUSED + number, unwritten_epoch=epoch - 1
            )
            if report.headline:
                raise DataCorrupt(
                    f"{report.headline.sentence} (in a copy that was reported as done, just before the device was "
                    f"gone, on stream {number})",
                    operation="copy until it is gone",
                )
