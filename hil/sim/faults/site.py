"""What a fault may do to the machine that it is in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hil.sim.faults.facts import Chunk


class Site(Protocol):
    """What a fault may do to the machine: from within a hook, from an action of `after`, or when it is armed."""

    def now(self) -> float:
        """Seconds of the machine's clock."""
        ...

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Let `action` happen later; it does not move time by itself."""
        ...

    def take(self, seconds: float) -> None:
        """Let the access that is under way (to a file, a register, NVML, USB) take longer; `NEVER` = for ever."""
        ...

    def remove(self, gpu: int) -> None:
        """Pull the cable of the enclosure that holds `gpu` (or the card out of its slot), at once."""
        ...

    def replug(self, gpu: int, port: int | None = None) -> None:
        """Plug the cable of the enclosure that holds `gpu` in again, into `port` if given.

        Nothing for a card in a slot, or where that port is taken.
        """
        ...

    def rename(self, gpu: int, uid: str) -> None:
        """Let the enclosure that holds `gpu` call itself `uid` (16 hexadecimal digits) from now on."""
        ...

    def uid(self, gpu: int) -> str:
        """What the enclosure that holds `gpu` calls itself now; empty for a card in a slot."""
        ...

    def crash(self, seconds: float, report: str) -> None:
        """Let the host panic and be up again after `seconds`: all connections to it break, its boot id changes.

        Args:
            seconds: until it answers again.
            report: what the panic report says, which is there after the boot.

        """
        ...

    def approve(self, state: str) -> None:
        """Let TinyGPU's driver extension be in `state`, as ``systemextensionsctl`` names it; nothing on Linux."""
        ...

    def log(self, text: str) -> None:
        """Add a line to the kernel log."""
        ...

    def land(self, chunk: Chunk) -> None:
        """Let `chunk` arrive now, as if it came off the link; for one that a hook held back.

        Nothing if its destination is gone: the host buffer freed, or the card unplugged or reset since.
        """
        ...

    def held(self, chunk: Chunk) -> bytes:
        """What the place that `chunk` goes to holds now: what stays there if it never lands.

        Shorter than its data where a part of it would land nowhere.
        """
        ...

    def peek(self, gpu: int, address: int, nbytes: int) -> bytes:
        """Cells of the card's memory as they are: no hook is asked."""
        ...

    def poke(self, gpu: int, address: int, data: bytes) -> None:
        """Change cells of the card's memory: no hook is asked."""
        ...

    def leak(self, gpu: int, nbytes: int) -> int:
        """Take memory from the card that nobody will give back before it is reset.

        Returns:
            Bytes taken: whole pages of the allocator's, at least `nbytes`; 0 where no range is long enough.

        """
        ...

    def retrain(self, gpu: int, *, lane_gbps: float | None = None, lanes: int | None = None) -> None:
        """Let the link of the enclosure that holds `gpu` train anew, to less (or again to more) than before.

        Files, commands and rates show the new link at once. Nothing for a card in a slot.
        """
        ...

    def count_error(self, gpu: int, kind: str, count: int = 1) -> None:
        """Let the AER counter `kind` (``BadTLP``, ``RxErr``, …; `hil.sim` knows its severity) of `gpu` go up.

        The kernel logs it as it does, a line at a time.
        """
        ...

    def fall_off(self, gpu: int) -> None:
        """Let `gpu` stop answering on the bus while its cable stays in: all ones, no reset reaches it.

        Its driver loses it, and its kernel says so as it does. Unplugging and plugging in brings it back.
        """
        ...

    def gpu_indices(self, enclosure: str | None = None) -> tuple[int, ...]:
        """Indices of all GPUs, or of those in the enclosure of that name, plugged in or not."""
        ...

    def gpu_at(self, address: str) -> int | None:
        """Index of the GPU on whose card the function at BDF `address` is; `None` for a bridge or another device."""
        ...

    def link_gbps(self, gpu: int) -> float | None:
        """Gb/s of all lanes of the link of the enclosure that holds `gpu`, now; `None` for a card in a slot."""
        ...

    def vram_bytes(self, gpu: int) -> int:
        """Size of the card's memory."""
        ...
