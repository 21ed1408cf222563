"""Memory of the card through BAR 1, its window on the bus: what the copy engine sees there, and the other way round."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hil.bench.operations.session import Session, session
from hil.copy import engine
from hil.errors import DriverError, NotSupported
from hil.integrity import fill, verify
from hil.model import MIB, Gpu, from_dict, size_text, to_dict
from hil.pci import disagreements, identify, memory_bars, negotiated_link, open_function

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.bench.worker import Context
    from hil.copy import DeviceBuffer
    from hil.pci import FunctionAccess

BAR = 1
SHOWN, AROUND, FAR = 11, 12, 13
"""Numbers of the buffers in the pattern."""
SMALL = 256 * MIB
"""What firmware gives a window through a tunnel."""
SIZES = (64, 256, 128, 192)
"""Bytes of single writes: what drivers write their page tables and doorbells with."""
_FILLER = 64 * MIB
_CONFIG_END = 4096


def shown(_: Context, *, name: str) -> bool:
    """Whether copy engine `name` tells where device memory shows in BAR 1."""
    return bool(name) and engine(name).shows_memory


def layout(context: Context, *, gpu: dict[str, Any]) -> dict[str, Any]:
    """``sizes`` of the memory BARs in bytes by index (as text), and ``wrong``: what does not fit together."""
    with _opened(context, gpu) as access:
        found = memory_bars(access)
    return {
        "sizes": {str(bar.index): bar.size for bar in found},
        "wrong": [sentence for bar in found for sentence in disagreements(bar)],
    }


def read_through(context: Context, *, gpu: dict[str, Any], nbytes: int, skew: int, epoch: int) -> dict[str, Any]:
    """Upload a pattern, and read it back through the window from its byte `skew` on: a `Report` as a dict."""
    work = session(context)
    with _opened(context, gpu) as access, _memory(work, nbytes) as there:
        _upload(work, there, nbytes, epoch=epoch, buffer=SHOWN)
        at = _place(work, access, there)
        seen = access.mmio_read(BAR, at + skew, nbytes - skew)
    return _told(verify(seen, epoch=epoch, buffer_id=SHOWN, first_byte=skew, unwritten_epoch=epoch - 1))


def write_through(context: Context, *, gpu: dict[str, Any], nbytes: int, at: int, epoch: int) -> dict[str, Any]:
    """Write `nbytes` bytes through the window in one burst, and fetch them by the copy engine.

    Args:
        context: of this process.
        gpu: a `Gpu` as a dict.
        nbytes: of the burst.
        at: where in the buffer it begins, in bytes; the buffer is larger on both sides, and holds another pattern.
        epoch: of the pattern.

    Returns:
        ``burst`` and ``around``: a `Report` as a dict of the bytes that were written, and of those that were not;
        ``boot_0`` and ``link``, each before and after.

    """
    work, span = session(context), at + nbytes + at
    context.progress(f"a burst of {size_text(nbytes)} through BAR {BAR}")
    with _opened(context, gpu) as access, _memory(work, span) as there:
        _upload(work, there, span, epoch=epoch, buffer=AROUND)
        start = _place(work, access, there)
        data = bytearray(nbytes)
        fill(data, epoch=epoch, buffer_id=SHOWN)
        before = _state(access)
        access.mmio_write(BAR, start + at, bytes(data))
        back = access.mmio_read(BAR, start + at, nbytes)  # writes are posted: a read pushes them out before it
        after = _state(access)
        seen = _download(work, there, span)
    around = verify(seen[:at], epoch=epoch, buffer_id=AROUND)
    if around.intact:
        around = verify(seen[at + nbytes :], epoch=epoch, buffer_id=AROUND, first_byte=at + nbytes)
    return {
        "burst": _told(verify(seen[at : at + nbytes], epoch=epoch, buffer_id=SHOWN)),
        "back": _told(verify(back, epoch=epoch, buffer_id=SHOWN)),
        "around": _told(around),
        "boot_0": [before[0], after[0]],
        "link": [before[1], after[1]],
    }


def write_pieces(context: Context, *, gpu: dict[str, Any], count: int, epoch: int) -> dict[str, Any]:
    """Write `count` pieces of `SIZES` bytes through the window, one behind the other and each its own data.

    Returns:
        ``nbytes`` of all of them; ``report``, a `Report` as a dict of what the copy engine fetches in one copy then.

    """
    sizes = [SIZES[n % len(SIZES)] for n in range(count)]
    work, data = session(context), bytearray(sum(sizes))
    fill(data, epoch=epoch, buffer_id=SHOWN)
    with _opened(context, gpu) as access, _memory(work, len(data)) as there:
        _upload(work, there, len(data), epoch=epoch - 1, buffer=SHOWN)
        start, at = _place(work, access, there), 0
        for size in sizes:
            access.mmio_write(BAR, start + at, bytes(data[at : at + size]))
            at += size
        access.mmio_read(BAR, start, 4)  # writes are posted: a read pushes them out before it
        seen = _download(work, there, len(data))
    report = verify(seen, epoch=epoch, buffer_id=SHOWN, unwritten_epoch=epoch - 1)
    return {"nbytes": len(data), "report": _told(report)}


def edge(context: Context, *, gpu: dict[str, Any], nbytes: int) -> dict[str, int]:
    """Read the last `nbytes` bytes of the window; NV_PMC_BOOT_0 ``before`` and ``after``, and bytes that ``came``."""
    with _opened(context, gpu) as access:
        before = identify(access).boot_0
        came = len(access.mmio_read(BAR, access.bar_size(BAR) - nbytes, nbytes))
        return {"before": before, "came": came, "after": identify(access).boot_0}


def past_the_end(context: Context, *, gpu: dict[str, Any]) -> str:
    """Read behind config space: what that was refused with; empty if it was answered.

    Behind a BAR nothing can be asked: `hil.pci` itself refuses that, since a driver may not.
    """
    with _opened(context, gpu) as access:
        try:
            access.config_read(_CONFIG_END, 4)
        except (DriverError, NotSupported) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            identify(access)
    return ""


def beyond(context: Context, *, gpu: dict[str, Any], nbytes: int, epoch: int) -> dict[str, Any]:
    """Copy to and from memory that lies behind the window's end, beside memory at its beginning.

    Where all of the card's memory shows, the window is read where the end of a small one would be.

    Returns:
        ``end`` in bytes; ``far`` and ``near``, a `Report` as a dict each, ``shown`` a third where the far memory shows:
        memory whose address has the same low bits must not take its place.

    """
    work = session(context)
    with _opened(context, gpu) as access:
        size = access.bar_size(BAR)
        all_shows = work.engine.memory()[1] <= size
        end = min(size, SMALL) if all_shows else size
        held = [work.alloc(_FILLER)]
        try:
            while (work.engine.window(held[-1]) or 0) < end:
                held.append(work.alloc(_FILLER))
            near, far = held[0], held[-1]
            _upload(work, near, nbytes, epoch=epoch, buffer=SHOWN)
            _upload(work, far, nbytes, epoch=epoch, buffer=FAR)
            reports = {
                "far": verify(_download(work, far, nbytes), epoch=epoch, buffer_id=FAR),
                "near": verify(_download(work, near, nbytes), epoch=epoch, buffer_id=SHOWN),
            }
            if all_shows:
                seen = access.mmio_read(BAR, _place(work, access, far), nbytes)
                reports["shown"] = verify(seen, epoch=epoch, buffer_id=FAR)
        finally:
            for buffer in held:
                work.engine.free(buffer)
    return {"end": end, **{name: _told(report) for name, report in reports.items()}}


def paths(context: Context, *, gpu: dict[str, Any], nbytes: int, epoch: int) -> dict[str, Any]:
    """Data sent H2D and moved D2D, seen D2H and through the window: a `Report` as a dict by the way it took."""
    work = session(context)
    with _opened(context, gpu) as access, _memory(work, nbytes) as first, _memory(work, nbytes) as second:
        _upload(work, second, nbytes, epoch=epoch - 1, buffer=SHOWN)
        _upload(work, first, nbytes, epoch=epoch, buffer=SHOWN)
        work.engine.move(second, first, nbytes)
        work.engine.synchronize()
        seen = {
            "H2D, D2H": _download(work, first, nbytes),
            "H2D, BAR": access.mmio_read(BAR, _place(work, access, first), nbytes),
            "H2D, D2D, D2H": _download(work, second, nbytes),
            "H2D, D2D, BAR": access.mmio_read(BAR, _place(work, access, second), nbytes),
        }
    return {
        way: _told(verify(data, epoch=epoch, buffer_id=SHOWN, unwritten_epoch=epoch - 1)) for way, data in seen.items()
    }


@contextmanager
def _opened(context: Context, gpu: dict[str, Any]) -> Iterator[FunctionAccess]:
    access = open_function(context.host, from_dict(Gpu, gpu))
    try:
        yield access
    finally:
        access.close()


@contextmanager
def _memory(work: Session, nbytes: int) -> Iterator[DeviceBuffer]:
    buffer = work.alloc(nbytes)
    try:
        yield buffer
    finally:
        work.engine.free(buffer)


def _place(work: Session, access: FunctionAccess, buffer: DeviceBuffer) -> int:
    at, size = work.engine.window(buffer), access.bar_size(BAR)
    if at is None or at + buffer.nbytes > size:
        raise NotSupported(
            f"{size_text(buffer.nbytes)} of device memory do not show in BAR {BAR} of {access.address}, which has "
            f"{size_text(size)}: they lie at {'no known place' if at is None else f'{at:#x}'}",
            operation="find memory in the window",
        )
    return at


def _upload(work: Session, there: DeviceBuffer, nbytes: int, *, epoch: int, buffer: int) -> None:
    here = work.borrow(nbytes)
    fill(here.view[:nbytes], epoch=epoch, buffer_id=buffer)
    work.engine.upload(there, here, nbytes)
    work.engine.synchronize()
    work.give_back(here)


def _download(work: Session, there: DeviceBuffer, nbytes: int) -> bytes:
    here = work.borrow(nbytes)
    here.view[:nbytes] = bytes(nbytes)
    work.engine.download(here, there, nbytes)
    work.engine.synchronize()
    seen = bytes(here.view[:nbytes])
    work.give_back(here)
    return seen


def _state(access: FunctionAccess) -> tuple[int, str]:
    return identify(access).boot_0, str(negotiated_link(access))


def _told(report: Any) -> dict[str, Any]:
    return {**to_dict(report), "text": report.text()}
