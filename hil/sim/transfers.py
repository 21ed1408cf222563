"""Copies in virtual time: pieces on the timelines of links and memory; concurrent copies share, full duplex is full."""

from __future__ import annotations

import math
from collections import deque

from hil.hosts.wires.driver import Status
from hil.model import GB, Direction, PcieLink
from hil.sim.arrivals import Arrivals
from hil.sim.copies import Copy, Piece
from hil.sim.faults.base import Chunk, Completion, Submission, Training
from hil.sim.machine import Machine, SimEnclosure, SimGpu

PAGEABLE_FACTOR = 0.55
"""Share of the pinned rate that a copy from or to pageable memory reaches: each piece is staged first."""
PAGEABLE_LATENCY = 9e-6
"""Seconds that staging adds to a copy."""


class Lane:
    """One direction of a link, or a card's memory: serves its copies a piece at a time, in turn."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers
        self._queue: deque[Copy] = deque()
        self._served: Copy | None = None

    def enter(self, copy: Copy) -> None:
        """Let `copy` take part."""
        if copy.left:
            self._queue.append(copy)
            self._serve()
        else:
            self._transfers.complete(copy)

    def leave(self, copy: Copy) -> None:
        """`copy` was aborted: what it has on the lane is gone, the others go on."""
        if self._served is copy:
            self._served = None
            self._serve()

    def _serve(self) -> None:
        while self._queue and self._served is None:
            copy = self._queue.popleft()
            if copy.over:
                continue
            piece = next(copy.pieces)
            arriving = self._transfers.send(copy, piece)
            if not copy.over:  # what is sent may pull the cable
                self._occupy(copy, piece, arriving)

    def _occupy(self, copy: Copy, piece: Piece, arriving: list[Chunk] | None) -> None:
        rate = self._transfers.rate(copy)
        seconds = piece.length / rate if rate > 0 else math.inf
        seconds += sum(chunk.delay for chunk in arriving or ())

        def arrive() -> None:
            self._served = None
            self._transfers.land(copy, piece, arriving)
            copy.left -= piece.length
            if not copy.over and copy.left:
                # Behind all others that wait: copies on one lane take turns, so that they share its bandwidth.
                self._queue.append(copy)
            elif not copy.over:
                self._transfers.complete(copy)
            self._serve()

        self._served = copy
        copy.pending = self._transfers.machine.clock.at(seconds, arrive)


class Transfers:
    """All copies of one machine. All methods are called with the machine's lock held."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._lanes: dict[tuple[str, Direction], Lane] = {}
        self._copies = 0
        self._arrivals = machine.carrier = Arrivals(machine)

    def submit(self, copy: Copy) -> None:
        """Start `copy` after its latency."""
        self._copies += 1
        copy.number, copy.generation = self._copies, copy.gpu.generation
        latency = self._shaped(copy)
        if copy.over:
            return  # a fault pulled the cable
        if copy.looked_at:
            self._arrivals.expect(copy)
        copy.begin()
        copy.pieces = copy.cut(self.machine.hooks.chunk_bytes)
        lane = self._lane(copy)
        copy.pending = self.machine.clock.at(latency, lambda: lane.enter(copy))

    def _shaped(self, copy: Copy) -> float:
        """Let faults see `copy`, and change it, before it starts; the seconds until its first byte leaves."""
        plan = Submission(
            gpu=copy.gpu.index,
            direction=copy.direction,
            copy=copy.number,
            stream=copy.stream,
            source=copy.source.start,
            destination=copy.destination.start,
            source_pitch=copy.source.pitch,
            destination_pitch=copy.destination.pitch,
            row_bytes=copy.row_bytes,
            rows=copy.rows,
            pinned=copy.pinned,
            latency=copy.gpu.spec.latency_us * 1e-6 + (0.0 if copy.pinned else PAGEABLE_LATENCY),
        )
        before = copy.source, copy.destination, copy.row_bytes, copy.rows
        self.machine.hooks.tell("submit", plan)
        copy.source = copy.source._replace(start=plan.source, pitch=plan.source_pitch)
        copy.destination = copy.destination._replace(start=plan.destination, pitch=plan.destination_pitch)
        copy.row_bytes, copy.rows = max(plan.row_bytes, 0), max(plan.rows, 0)
        copy.left = copy.row_bytes * copy.rows
        copy.pinned, copy.share = plan.pinned, plan.share
        reshaped = before != (copy.source, copy.destination, copy.row_bytes, copy.rows)
        copy.looked_at = reshaped or self.machine.hooks.touches_bytes()
        return plan.latency

    def abort(self, copy: Copy) -> None:
        """Let nothing more happen to `copy`; what has landed has landed. Nothing if it is over."""
        copy.over = True
        if copy.pending is not None:
            self.machine.clock.cancel(copy.pending)
            self._lane(copy).leave(copy)

    def complete(self, copy: Copy) -> None:
        """All of `copy` has landed: tell, unless the news is lost."""
        completion = Completion(gpu=copy.gpu.index, copy=copy.number, stream=copy.stream)
        self.machine.hooks.tell("completion", completion)
        if completion.lost or copy.over:
            return

        def tell() -> None:
            copy.over = True
            copy.done(Status(completion.status))

        if completion.delay > 0:
            copy.pending = self.machine.clock.at(completion.delay, tell)
        else:
            tell()

    def rate(self, copy: Copy) -> float:
        """bytes/s that one copy alone gets now."""
        spec = copy.gpu.spec
        if copy.direction is Direction.D2D:
            rate = spec.vram_gb_s * GB / 2
        else:
            rate = self._carried(copy.gpu, spec.h2d if copy.direction is Direction.H2D else spec.d2h)
        if not copy.pinned:
            rate *= PAGEABLE_FACTOR
        return self.machine.hooks.change("bandwidth", copy.gpu.index, copy.direction, value=rate * copy.share)

    def send(self, copy: Copy, piece: Piece) -> list[Chunk] | None:
        """What arrives of `piece`; `None` = itself, untouched: its bytes need not be looked at."""
        if not copy.looked_at:
            return None
        start = copy.source.at(piece)
        end = start + piece.length
        memory = copy.source.memory
        first, last = min(max(start, 0), memory.size), max(min(end, memory.size), 0)
        if copy.direction is Direction.H2D:
            data = bytes(memory.view[first:last])
        else:
            data = self.machine.vram_read(copy.gpu, first, max(last - first, 0))
        if (first, last) != (start, end):  # as only a fault lets it be: nobody answers outside
            data = (b"\xff" * min(first - start, piece.length) + data).ljust(piece.length, b"\xff")
        chunk = Chunk(
            gpu=copy.gpu.index,
            direction=copy.direction,
            copy=copy.number,
            stream=copy.stream,
            row=piece.row,
            offset=piece.offset,
            destination=copy.destination.at(piece),
            data=data,
            total=copy.row_bytes * copy.rows,
            source=start,
            position=piece.row * copy.row_bytes + piece.offset,
            row_bytes=copy.row_bytes,
        )
        return self.machine.hooks.spread("chunk", chunk)

    def land(self, copy: Copy, piece: Piece, arriving: list[Chunk] | None) -> None:
        """Put what arrived where it goes."""
        copy.gpu.thermal.moved(piece.length, copy.direction, self.machine.clock.now())
        target = copy.destination.memory
        if arriving is None:
            alone = copy.seen == copy.changes()
            if copy.repeats and alone:
                return
            start = copy.source.at(piece)
            with copy.source.memory.view[start : start + piece.length] as data:
                target.write(copy.destination.at(piece), data)
            copy.repeats, copy.seen = False, copy.changes() if alone else None
            return
        for chunk in arriving:
            self._arrivals.arrive(chunk)

    def _carried(self, gpu: SimGpu, rate: float) -> float:
        """What is left of the path's `rate` (bytes/s) where a link on it trained to less than it can."""
        enclosure = gpu.enclosure
        if enclosure is None or enclosure.training is None or enclosure.best is None:
            return rate
        shares, holder = [_share(enclosure)], enclosure
        while holder.spec.behind and (front := self.machine.enclosure(holder.spec.behind)) is not None:
            shares.append(_share(front))
            holder = front
        rate *= min(shares)
        if enclosure.training == enclosure.best:
            return rate
        carried = _pcie_rate(enclosure.training)
        return min(rate, carried) if carried < _pcie_rate(enclosure.best) else rate

    def _lane(self, copy: Copy) -> Lane:
        # Enclosures on one port share its tunnel; a card's own memory it has for itself.
        gpu, direction = copy.gpu, copy.direction
        tunnelled = direction is not Direction.D2D and gpu.enclosure is not None
        key = f"port {gpu.enclosure.port}" if tunnelled and gpu.enclosure is not None else f"gpu {gpu.index}"
        return self._lanes.setdefault((key, direction), Lane(self))


def _share(enclosure: SimEnclosure) -> float:
    """What is left of an enclosure's link where it trained to less than it can."""
    now, best = enclosure.training, enclosure.best
    return (
        1.0 if now is None or best is None or now == best else now.lane_gbps * now.lanes / (best.lane_gbps * best.lanes)
    )


def _pcie_rate(training: Training) -> float:
    return PcieLink(gts=training.pcie_gts, width=training.pcie_width).payload_rate or 0.0
