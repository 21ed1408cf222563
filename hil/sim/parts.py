"""What a simulated machine is made of: functions, enclosures, cards, and the face it shows as an operating system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hil.hosts.base import Completed
from hil.hosts.wires.tinygpu import BOOT_0, BOOT_42, WPR2_ADDR_HI
from hil.sim.config_space import ConfigSpace
from hil.sim.faults.base import CardIdentity, Chunk, Training
from hil.sim.memory import Heap, SharedMemory
from hil.sim.profile import EnclosureSpec, GpuSpec
from hil.sim.thermal import Thermal

NVIDIA = 0x10DE
"""PCI vendor id."""


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
    retrying: bool = False
    """Whether the vendor id reads as configuration request retry status, until `retry_until` at the most."""
    retry_until: float = 0.0
    fallen: bool = False
    """It stopped answering by itself: no reset reaches it and no enumeration finds it; only losing power helps."""
    aer: dict[str, dict[str, int]] = field(default_factory=dict)
    """Counters by severity (``correctable``, ``fatal``, ``nonfatal``) and name."""


@dataclass(eq=False, slots=True)
class SimEnclosure:
    """An enclosure, plugged in or not."""

    spec: EnclosureSpec
    port: int
    attached: bool = False
    """Whether the cable is in and the enclosure has power."""
    powered: bool = True
    """Whether it has its supply."""
    waits: bool = False
    """Whether the cable is in while it has no supply: it comes up with that."""
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
    """What its router calls itself."""
    slot: int = 0
    """The slot that its first card is in, from 0."""
    bridges: int = 0
    """Bridges too many above its first card."""
    usb_present: bool = True
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
    identity: CardIdentity = field(init=False)
    """What it shows itself as."""

    def __post_init__(self) -> None:
        self.thermal = Thermal(self.spec)
        self.identity = self.own_identity()

    def own_identity(self) -> CardIdentity:
        """What it is."""
        spec = self.spec
        return CardIdentity(
            self.index, spec.uuid, NVIDIA, spec.device_id, (spec.subsystem_vendor_id, spec.subsystem_device_id)
        )

    def power_on(self) -> None:
        """Set the registers of BAR0 as they are before a driver came."""
        self.registers = {BOOT_0: self.spec.boot_0, BOOT_42: self.spec.boot_0 & 0x1FF00000, WPR2_ADDR_HI: 0}

    @property
    def reachable(self) -> bool:
        """Whether it answers on the bus."""
        return self.function is not None and self.function.ready and not self.function.retrying

    @property
    def driven(self) -> bool:
        """Whether it answers and a driver has it."""
        return self.function is not None and self.reachable and bool(self.function.driver)


class Carrier(Protocol):
    """What brings the chunks of copies to where they go."""

    def arrive(self, chunk: Chunk) -> None:
        """Put `chunk` where it goes."""

    def held(self, chunk: Chunk) -> bytes:
        """What is there now."""


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

    def link_retrained(self, enclosure: SimEnclosure, before: Training) -> None:
        """The link of an enclosure that is plugged in and visible is another than `before`."""

    def errors_counted(self, function: Function, kind: str, times: int) -> None:
        """A function noticed an error of the bus (`hil.sim.aer`); it has counted it already."""

    def function_fell(self, function: Function) -> None:
        """A function stopped answering, and its driver noticed."""

    def slept(self) -> None:
        """The host fell asleep."""

    def woke(self) -> None:
        """The host is awake again, and everything usable."""

    def crashed(self, report: str) -> None:
        """The host is up again after a panic that `report` tells of."""

    def approve(self, state: str) -> None:
        """TinyGPU's driver extension is in another state; macOS."""

    def run(self, argv: Sequence[str]) -> tuple[Completed, float] | None:
        """Run a command of the operating system; `None` = there is no such command. Seconds it takes beside it."""
