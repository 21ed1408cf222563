"""Rows of the grid: many small copies with every mix of offsets and boundaries, in one go, checked one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.bench.operations.placing import DATA, LARGEST, Cell, Slot, laid_out
from hil.bench.operations.session import Session, session
from hil.bench.operations.verdicts import verdict
from hil.errors import UsageError
from hil.integrity import Report, fill

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hil.bench.worker import Context
    from hil.copy import DeviceBuffer, HostBuffer

MOST = 48 << 20
"""Bytes of one buffer; a row that needs more is done in parts."""
ON_THE_WAY_BACK = (
    " (fetched a second time it is intact: it went wrong on the way back, in the download that looks at it)"
)
Checked = tuple[str, Report]


def copies(context: Context, *, way: str, cells: list[list[int]], epoch: int, pinned: bool = True) -> dict[str, Any]:
    """Do all `cells`, each between two places of its own, then check every byte of the destinations and around them.

    What is not under test goes through one large copy: an upload to prepare the device, a download to look at it.

    Args:
        context: of this process.
        way: ``H2D``, ``D2H``, ``D2D``, or ``round trip``: there and back.
        cells: ``[nbytes, source offset, destination offset, boundary]`` each; see `Cell`.
        epoch: 2 … 4095, of the pattern.
        pinned: kind of host memory.

    Returns:
        See `verdict`.

    Raises:
        UsageError: there is no such way.

    """
    if way not in _WAYS:
        raise UsageError(f"no way of a copy is called {way!r}; known: {', '.join(_WAYS)}")
    work = session(context)
    found: list[Checked] = []
    for part in _parts([Cell(*cell) for cell in cells]):
        batch = _Batch(work, part, epoch, pinned)
        try:
            found += _WAYS[way](batch)
        finally:
            batch.close()
    return verdict(found)


def _parts(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    part: list[Cell] = []
    size = 0
    for cell in cells:
        need = cell.nbytes + max(cell.straddle, 4096) + 4 * 4096
        if part and size + need > MOST:
            yield part
            part, size = [], 0
        part.append(cell)
        size += need
    yield part


class _Batch:
    """Cells that are done at once, and the memory that they need."""

    def __init__(self, work: Session, cells: Sequence[Cell], epoch: int, pinned: bool) -> None:
        self.work, self.cells, self.epoch = work, cells, epoch
        room = LARGEST + max(laid_out(cells, base=LARGEST - 1, at_source=s)[-1].end for s in (True, False))
        self.host: list[HostBuffer] = [work.borrow(room, pinned=pinned) for _ in range(2)]
        self.device: list[DeviceBuffer] = []
        self.room = room
        self.sources = laid_out(cells, base=0, at_source=True)
        self.targets = laid_out(cells, base=0, at_source=False)

    def source(self, buffer: HostBuffer) -> None:
        """Fill all of it with the data under test."""
        fill(buffer.view[: self.room], epoch=self.epoch, buffer_id=DATA)

    def memory(self) -> DeviceBuffer:
        """Device memory for all of it."""
        self.device.append(self.work.alloc(self.room))
        return self.device[-1]

    def base(self, buffer: DeviceBuffer) -> int:
        """Bytes by which device memory begins behind a multiple of the largest boundary, where that is known."""
        return (self.work.engine.window(buffer) or 0) % LARGEST

    def prepare(self, slots: Sequence[Slot], buffer: HostBuffer, sources: Sequence[Slot]) -> None:
        """Let the places hold older data, between guard zones."""
        for slot, source in zip(slots, sources, strict=True):
            slot.prepare(buffer.view, source.begin, self.epoch)

    def look(self, slots: Sequence[Slot], buffer: HostBuffer, sources: Sequence[Slot]) -> list[Checked]:
        """What the places hold now."""
        return [
            (str(cell), slot.look(buffer.view, source.begin, self.epoch))
            for cell, slot, source in zip(self.cells, slots, sources, strict=True)
        ]

    def fetched(
        self, device: DeviceBuffer, slots: Sequence[Slot], buffer: HostBuffer, sources: Sequence[Slot]
    ) -> list[Checked]:
        """What the places on the device hold; what looks wrong is fetched again, to tell where it went wrong."""
        self._fetch(device, slots, buffer)
        first = self.look(slots, buffer, sources)
        if all(report.intact for _, report in first):
            return first
        self._fetch(device, slots, buffer)
        again = [report.intact for _, report in self.look(slots, buffer, sources)]
        return [
            (f"{name}{ON_THE_WAY_BACK if sound and not report.intact else ''}", report)
            for (name, report), sound in zip(first, again, strict=True)
        ]

    def _fetch(self, device: DeviceBuffer, slots: Sequence[Slot], buffer: HostBuffer) -> None:
        """Download all places over what reads as wrong if it does not arrive."""
        end = slots[-1].end
        fill(buffer.view[:end], epoch=0, buffer_id=DATA)
        self.work.engine.download(buffer, device, end)
        self.work.engine.synchronize()

    def close(self) -> None:
        """Give all memory back."""
        for buffer in self.device:
            self.work.engine.free(buffer)
        for host in self.host:
            self.work.give_back(host)


def _up(batch: _Batch) -> list[Checked]:
    engine, (here, other), there = batch.work.engine, batch.host, batch.memory()
    targets = laid_out(batch.cells, base=batch.base(there), at_source=False)
    batch.prepare(targets, other, batch.sources)
    engine.upload(there, other, targets[-1].end)
    engine.synchronize()
    batch.source(here)
    for source, target in zip(batch.sources, targets, strict=True):
        engine.upload(there, here, source.nbytes, src_offset=source.begin, dst_offset=target.begin)
    engine.synchronize()
    return batch.fetched(there, targets, other, batch.sources)


def _down(batch: _Batch) -> list[Checked]:
    engine, (here, other), there = batch.work.engine, batch.host, batch.memory()
    sources = laid_out(batch.cells, base=batch.base(there), at_source=True)
    batch.source(other)
    engine.upload(there, other, batch.room)
    engine.synchronize()
    batch.prepare(batch.targets, here, sources)
    for source, target in zip(sources, batch.targets, strict=True):
        engine.download(here, there, source.nbytes, src_offset=source.begin, dst_offset=target.begin)
    engine.synchronize()
    return batch.look(batch.targets, here, sources)


def _across(batch: _Batch) -> list[Checked]:
    engine, (here, other), first, second = batch.work.engine, batch.host, batch.memory(), batch.memory()
    sources = laid_out(batch.cells, base=batch.base(first), at_source=True)
    targets = laid_out(batch.cells, base=batch.base(second), at_source=False)
    batch.source(here)
    batch.prepare(targets, other, sources)
    engine.upload(first, here, batch.room)
    engine.upload(second, other, targets[-1].end)
    engine.synchronize()
    for source, target in zip(sources, targets, strict=True):
        engine.move(second, first, source.nbytes, src_offset=source.begin, dst_offset=target.begin)
    engine.synchronize()
    return batch.fetched(second, targets, other, sources)


def _there_and_back(batch: _Batch) -> list[Checked]:
    engine, (here, other), there = batch.work.engine, batch.host, batch.memory()
    targets = laid_out(batch.cells, base=batch.base(there), at_source=False)
    batch.source(here)
    batch.prepare(batch.sources, other, batch.sources)
    pairs = list(zip(batch.sources, targets, strict=True))
    for source, target in pairs:
        engine.upload(there, here, source.nbytes, src_offset=source.begin, dst_offset=target.begin)
    for source, target in pairs:
        engine.download(other, there, source.nbytes, src_offset=target.begin, dst_offset=source.begin)
    engine.synchronize()
    return batch.look(batch.sources, other, batch.sources)


_WAYS = {"H2D": _up, "D2H": _down, "D2D": _across, "round trip": _there_and_back}
