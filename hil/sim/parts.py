"""What a simulated machine is made of: functions, enclosures, cards, and the face it shows as an operating system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hil.hosts.base import Completed
from hil.hosts.wires.tinygpu import BOOT_0, BOOT_42, WPR2_ADDR_HI
from hil.sim.config_space import ConfigSpace
from hil.sim.faults.base import Training
from hil.sim.memory import Heap, SharedMemory
from hil.sim.profile import EnclosureSpec, GpuSpec
from hil.sim.thermal import Thermal


@dataclass(eq=False, slots=True)
class Function:
    """One PCI function: a bridge of the tunnel, or a card's."""

    address: str
    role: str
    """``root``, ``upstream``, ``downstream``, ``vga``, ``audio``; on Linux ``controller``, a Thunderbolt host
    controller."""
    config: ConfigSpace
    parent: str | None
    gpu: SimGpu | None = None
    enclosure: SimEnclosure | None = None
    driver: str = ""
    ready: bool = True
    """False from the beginning of a reset to its end, or for ever where it fails."""
    retry_until: float = 0.0
    """Until then the vendor id reads as configuration request retry status."""
    aer: dict[str, dict[str, int]] = field(default_factory=dict)
    """Counters by severity (``correctable``, ``fatal``, ``nonfatal``) and name."""


@dataclass(eq=False, slots=True)
class SimEnclosure:
    """An enclosure, plugged in or not."""

    spec: EnclosureSpec
    port: int
    attached: bool = False
    """Whether the cable is in."""
    visible: bool = False
    """Whether the host has enumerated its router."""
    authorized: int = 1
    plugs: int = 0
    """Counts attachments: what an earlier one had still in store does not happen to a later one."""
    training: Training | None = None
    """What its links trained to when it was last plugged in."""
    best: Training | None = None
    """What they can."""
    uid: str = ""
    functions: list[Function] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class SimGpu:
    """A card: its memory and whether it can be reached."""

    index: int
    spec: GpuSpec
    memory: SharedMemory
    heap: Heap
    enclosure: SimEnclosure | None
    function: Function | None = None
    generation: int = 0
    """Counts attachments and resets: what was opened before is lost."""
    registers: dict[int, int] = field(default_factory=dict)
    thermal: Thermal = field(init=False)

    def __post_init__(self) -> None:
        self.thermal = Thermal(self.spec)

    def power_on(self) -> None:
        """Set the registers of BAR0 as they are before a driver came."""
        self.registers = {BOOT_0: self.spec.boot_0, BOOT_42: self.spec.boot_0 & 0x1FF00000, WPR2_ADDR_HI: 0}

    @property
    def reachable(self) -> bool:
        """Whether it answers on the bus."""
        return self.function is not None and self.function.ready


class Face(Protocol):
    """How the machine shows itself through its operating system: files, commands, log lines."""

    def boot(self) -> None:
        """The machine was switched on; nothing is attached yet but cards in its own slots."""

    def router_attached(self, enclosure: SimEnclosure) -> None:
        """A router was enumerated."""

    def functions_attached(self, functions: Sequence[Function], *, event: bool) -> None:
        """PCI functions were enumerated."""

    def functions_detached(self, functions: Sequence[Function], *, surprise: bool) -> None:
        """PCI functions are gone; they are still in the list given, no longer in the machine."""

    def router_detached(self, enclosure: SimEnclosure) -> None:
        """A router is gone."""

    def run(self, argv: Sequence[str]) -> tuple[Completed, float] | None:
        """Run a command of the operating system; `None` = there is no such command. Seconds it takes beside it."""
