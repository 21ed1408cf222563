"""Tests of memory by what it holds: every address its own data, moving inversions, March C-, bits that fade."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.bench.operations.aliases import with_aliases
from hil.bench.operations.inverses import not_written
from hil.bench.operations.places import Block, blocks, whole_card
from hil.bench.operations.session import Session, session
from hil.bench.operations.verdicts import verdict
from hil.integrity import Report, fill, merged, verify
from hil.model import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.bench.worker import Context

CARD = 30
"""Number of the memory in the pattern; where in it a byte is, is its address."""
SAMPLE = 256 * MIB
"""Bytes that are gone through where the device's memory is the host's."""
AT_ONCE = 32 * MIB
"""Bytes that are on their way at a time."""
EXPLAINED = 64
"""Wrong blocks of a pass that are gone into; the others are counted: a card that is half wrong would take hours."""
READ = ("below the one that is read", "which is read", "above the one that is read")
ELEMENTS = ((1, True), (1, False), (-1, True), (-1, False))
"""March C- behind its first element: the order of addresses, and whether the inverse is written; each reads first.
van de Goor, "Testing Semiconductor Memories", 1991: {⇕(w0); ⇑(r0,w1); ⇑(r1,w0); ⇓(r0,w1); ⇓(r1,w0); ⇕(r0)}."""


def fill_card(
    context: Context, *, epoch: int, seed: int, inversions: int = 0, budget: int | None = None
) -> dict[str, Any]:
    """Write to every block its own address, all before the first is read; then the inverse, as often as asked for.

    Args:
        context: of this process.
        epoch: 2 … 4095, of the pattern.
        seed: of the sample.
        inversions: further passes, each with every bit turned round.
        budget: bytes to go through; `None` = the whole card, and `SAMPLE` of one whose memory is the host's.

    Returns:
        See `verdict`; and ``nbytes`` that were gone through.

    """
    work = session(context)
    budget = SAMPLE if budget is None and work.engine.in_host_memory else budget
    with whole_card(work) as memory:
        places = blocks(memory, budget=budget, seed=seed)
        passes: list[list[Report]] = []
        for number in range(1 + inversions):
            inverted = number % 2 == 1
            _write(work, places, epoch, inverted=inverted)
            context.progress(f"written {number + 1} of {1 + inversions} times")
            found = _read(work, places, epoch, inverted=inverted)
            passes.append(with_aliases(list(zip(places, map(not_written, found) if number else found, strict=True))))
    told = zip(map(str, places), map(merged, zip(*passes, strict=True)), strict=True)
    return {**verdict(told), "nbytes": sum(place.nbytes for place in places)}


def march(context: Context, *, nbytes: int, block: int, epoch: int) -> dict[str, Any]:
    """March C- over `nbytes` bytes of device memory in steps of `block` bytes: the pattern as 0, its inverse as 1.

    Returns:
        See `verdict`; a part is a block.

    """
    work, engine = session(context), session(context).engine
    there, here = work.alloc(nbytes), work.borrow(block)
    start = engine.window(there) or 0
    places = [Block(there, offset, block, start + offset) for offset in range(0, nbytes, block)]
    seen: dict[int, list[Report]] = {place.address: [] for place in places}
    wrong: set[int] = set()
    view = here.view[:block]

    def put(place: Block, *, inverted: bool) -> None:
        fill(view, epoch=epoch, buffer_id=CARD, first_byte=place.address, inverted=inverted)
        engine.upload(there, here, block, dst_offset=place.offset)
        engine.synchronize()

    def look(place: Block, *, inverted: bool) -> None:
        fill(view, epoch=epoch - 1, buffer_id=CARD, first_byte=place.address)
        engine.download(here, there, block, src_offset=place.offset)
        engine.synchronize()
        explain = place.address in wrong or len(wrong) < EXPLAINED  # stuck bits show over several passes
        report = _report(view, place, epoch, inverted=inverted, explain=explain)
        if not report.intact:
            wrong.add(place.address)
        # From the second look on a block has held both.
        seen[place.address].append(not_written(report) if seen[place.address] else report)

    for place in places:
        put(place, inverted=False)
    for order, inverted in ELEMENTS:
        for place in places[::order]:
            look(place, inverted=not inverted)
            put(place, inverted=inverted)
    for place in places:
        look(place, inverted=False)
    view.release()
    engine.free(there)
    work.give_back(here)
    return verdict((str(place), merged(seen[place.address])) for place in places)


def fade(context: Context, *, nbytes: int, seconds: float, epoch: int) -> dict[str, Any]:
    """Leave `nbytes` bytes of device memory alone for `seconds` of the host's clock, then look: half of it inverted.

    Returns:
        See `verdict`; a part is a block.

    """
    work, engine = session(context), session(context).engine
    there = work.alloc(nbytes)
    start, size = engine.window(there) or 0, 256 * KIB
    places = [Block(there, offset, size, start + offset) for offset in range(0, nbytes, size)]
    halves = [(places[0::2], False), (places[1::2], True)]
    for half, inverted in halves:
        _write(work, half, epoch, inverted=inverted)
    context.host.clock.sleep(seconds)
    checked = [
        (str(place), report)
        for half, inverted in halves
        for place, report in zip(half, _read(work, half, epoch, inverted=inverted), strict=True)
    ]
    engine.free(there)
    return verdict(checked)


def reread(context: Context, *, block: int, times: int, looks: int, epoch: int) -> dict[str, Any]:
    """Read a block of device memory again and again, and look at it and at both its neighbours now and then.

    Args:
        context: of this process.
        block: bytes of each of the three.
        times: reads between two looks, as many through the link and within the device. An odd number: a bit that
            turns at every so many reads shall not have turned back by the next look.
        looks: how often; none behind the first that finds something.
        epoch: 2 … 4095, of the pattern.

    Returns:
        See `verdict`; a part is a block.

    """
    work, engine = session(context), session(context).engine
    there, aside, here = work.alloc(len(READ) * block), work.alloc(block), work.borrow(block)
    start = engine.window(there) or 0
    places = [Block(there, n * block, block, start + n * block) for n in range(len(READ))]
    _write(work, places, epoch, inverted=False)
    checked: list[tuple[str, Report]] = []
    for look in range(1, looks + 1):
        for _ in range(times):
            engine.download(here, there, block, src_offset=block)
            engine.move(aside, there, block, src_offset=block)
        engine.synchronize()
        names = (f"{place}, {which}, after {2 * times * look} reads" for place, which in zip(places, READ, strict=True))
        checked = list(zip(names, _read(work, places, epoch, inverted=False), strict=True))
        if not all(report.intact for _, report in checked):
            break
    for memory in (there, aside):
        engine.free(memory)
    work.give_back(here)
    return verdict(checked)


def _write(work: Session, places: Sequence[Block], epoch: int, *, inverted: bool) -> None:
    for part in _parts(places):
        here = work.borrow(sum(place.nbytes for place in part))
        at = 0
        for place in part:
            fill(
                here.view,
                epoch=epoch,
                buffer_id=CARD,
                first_byte=place.address,
                offset=at,
                nbytes=place.nbytes,
                inverted=inverted,
            )
            work.engine.upload(place.buffer, here, place.nbytes, src_offset=at, dst_offset=place.offset)
            at += place.nbytes
        work.engine.synchronize()
        work.give_back(here)


def _read(work: Session, places: Sequence[Block], epoch: int, *, inverted: bool) -> list[Report]:
    reports: list[Report] = []
    wrong = 0
    for part in _parts(places):
        size = sum(place.nbytes for place in part)
        here = work.borrow(size)
        at, ends = 0, []
        for place in part:
            fill(
                here.view,
                epoch=epoch - 1,
                buffer_id=CARD,
                first_byte=place.address,
                offset=at,
                nbytes=place.nbytes,
            )
            work.engine.download(here, place.buffer, place.nbytes, src_offset=place.offset, dst_offset=at)
            ends.append((place, at))
            at += place.nbytes
        work.engine.synchronize()
        for place, at in ends:
            seen, explain = here.view[at : at + place.nbytes], wrong < EXPLAINED
            with seen:  # memory that is still looked at could not be freed
                reports.append(_report(seen, place, epoch, inverted=inverted, explain=explain))
            wrong += not reports[-1].intact
        work.give_back(here)
    return reports


def _report(view: memoryview, place: Block, epoch: int, *, inverted: bool, explain: bool) -> Report:
    return verify(
        view,
        epoch=epoch,
        buffer_id=CARD,
        first_byte=place.address,
        inverted=inverted,
        unwritten_epoch=epoch - 1,
        address=place.address,
        explain=explain,
    )


def _parts(places: Sequence[Block]) -> list[list[Block]]:
    parts: list[list[Block]] = [[]]
    size = 0
    for place in places:
        if parts[-1] and size + place.nbytes > AT_ONCE:
            parts.append([])
            size = 0
        parts[-1].append(place)
        size += place.nbytes
    return parts
