"""A machine as its faults see it: what they may do to it, and learn of it (`hil.sim.faults.site.Site`)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from hil.sim import aer
from hil.sim.faults.facts import Chunk

if TYPE_CHECKING:
    from hil.sim.machine import Machine


class MachineSite:
    """What the faults of one machine may do. All methods are called with the machine's lock held."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        # By thread: each serves one connection, and calls the hooks that what it was asked for passes.
        self._due = threading.local()

    def now(self) -> float:
        """Seconds of the machine's clock."""
        return self._machine.clock.now()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Let `action` happen later; it does not move time by itself."""
        self._machine.clock.at(seconds, action, daemon=True)

    def take(self, seconds: float) -> None:
        """Let the access that is under way take so much longer."""
        self._due.seconds = getattr(self._due, "seconds", 0.0) + seconds

    def taken(self) -> float:
        """Seconds that hooks want what this thread has just answered to take longer; asked once."""
        seconds: float = getattr(self._due, "seconds", 0.0)
        self._due.seconds = 0.0
        return seconds

    def log(self, text: str) -> None:
        """Add a line to the kernel log."""
        self._machine.log(text)

    def land(self, chunk: Chunk) -> None:
        """Let a chunk arrive now."""
        if self._machine.carrier is not None:
            self._machine.carrier.arrive(chunk)

    def held(self, chunk: Chunk) -> bytes:
        """What the place that `chunk` goes to holds now."""
        return self._machine.carrier.held(chunk) if self._machine.carrier is not None else b""

    def peek(self, gpu: int, address: int, nbytes: int) -> bytes:
        """Cells of the card's memory as they are; what lies outside it is left out."""
        return bytes(self._machine.gpus[gpu].memory.view[max(address, 0) : max(address + nbytes, 0)])

    def poke(self, gpu: int, address: int, data: bytes) -> None:
        """Change cells of the card's memory; what lies outside it is left out."""
        memory = self._machine.gpus[gpu].memory
        data, address = data[max(-address, 0) :], max(address, 0)
        if address < memory.size:
            memory.write(address, data[: memory.size - address])

    def leak(self, gpu: int, nbytes: int) -> int:
        """Take memory from the card that nobody gives back before it is reset; the bytes taken."""
        heap = self._machine.gpus[gpu].heap
        address = heap.allocate(nbytes)
        return 0 if address is None else heap.taken[address]

    def vram_bytes(self, gpu: int) -> int:
        """Size of the card's memory."""
        return self._machine.gpus[gpu].memory.size

    def gpu_indices(self, enclosure: str | None = None) -> tuple[int, ...]:
        """Indices of all GPUs, or of those in the enclosure of that name, plugged in or not."""
        holders = {gpu.index: gpu.enclosure for gpu in self._machine.gpus}
        return tuple(i for i, e in holders.items() if enclosure is None or (e is not None and e.spec.name == enclosure))

    def gpu_at(self, address: str) -> int | None:
        """Index of the GPU on whose card the function at BDF `address` is; `None` = on no card's."""
        function = self._machine.functions.get(address)
        return None if function is None or function.gpu is None else function.gpu.index

    def link_gbps(self, gpu: int) -> float | None:
        """Gb/s of all lanes of the link of the enclosure that holds `gpu`, now; `None` for a card in a slot."""
        enclosure = self._machine.gpus[gpu].enclosure
        if enclosure is None or enclosure.training is None:
            return None
        return enclosure.training.lane_gbps * enclosure.training.lanes

    def retrain(self, gpu: int, *, lane_gbps: float | None = None, lanes: int | None = None) -> None:
        """Let the link of the enclosure that holds `gpu` train anew, at most to what it can; `None` = as now."""
        enclosure = self._machine.gpus[gpu].enclosure
        if enclosure is None or not enclosure.attached or enclosure.training is None or enclosure.best is None:
            return
        before, best = enclosure.training, enclosure.best
        enclosure.training = replace(
            before,
            lane_gbps=min(lane_gbps or before.lane_gbps, best.lane_gbps),
            lanes=min(lanes or before.lanes, best.lanes),
        )
        if enclosure.visible and enclosure.training != before:
            self._machine.face.link_retrained(enclosure, before)

    def count_error(self, gpu: int, kind: str, count: int = 1) -> None:
        """Let the function that notices the AER error `kind` on the way to `gpu` count and report it."""
        aer.count(self._machine, self._machine.gpus[gpu], kind, count)

    def fall_off(self, gpu: int) -> None:
        """Let a GPU stop answering on the bus while its cable stays in; only a re-plug brings it back."""
        self._machine.fall_off(self._machine.gpus[gpu])

    def remove(self, gpu: int) -> None:
        """Pull the cable of the enclosure that holds `gpu`, or the card out of its slot."""
        card = self._machine.gpus[gpu]
        if card.enclosure is not None:
            self._machine.detach(card.enclosure)
        elif card.function is not None:
            self._machine.pull(card)

    def replug(self, gpu: int, port: int | None = None) -> None:
        """Plug the cable of the enclosure that holds `gpu` in again."""
        enclosure = self._machine.gpus[gpu].enclosure
        if enclosure is not None and not self._machine.why_not(enclosure, port):
            self._machine.attach(enclosure, port)

    def rename(self, gpu: int, uid: str) -> None:
        """Let the enclosure that holds `gpu` call itself `uid` from now on."""
        enclosure = self._machine.gpus[gpu].enclosure
        if enclosure is not None:
            enclosure.uid = uid

    def uid(self, gpu: int) -> str:
        """What the enclosure that holds `gpu` calls itself now; empty for a card in a slot."""
        enclosure = self._machine.gpus[gpu].enclosure
        return "" if enclosure is None else enclosure.uid

    def crash(self, seconds: float, report: str) -> None:
        """Let the host panic, and be up again after `seconds`."""
        self._machine.absence.crash(seconds, report)

    def approve(self, state: str) -> None:
        """Let TinyGPU's driver extension be in `state`."""
        self._machine.face.approve(state)
