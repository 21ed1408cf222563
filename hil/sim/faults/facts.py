"""What hooks of faults are given: pieces of copies, calls, resets, what is attached. They change it in place."""

from __future__ import annotations

from dataclasses import dataclass, field

from hil.hosts.base import Completed
from hil.model import Direction


@dataclass(slots=True)
class Chunk:
    """A piece of a copy in flight. Hooks may change any field, or replace the chunk by none or several."""

    gpu: int
    direction: Direction
    copy: int
    """Number of the copy since the machine was switched on."""
    stream: int
    row: int
    """Row of a pitched copy; 0 in a plain one."""
    offset: int
    """Of the chunk's first byte within its row."""
    destination: int
    """Device address, or offset in the host buffer, that its first byte goes to."""
    data: bytes
    total: int
    """Bytes of the whole copy."""
    delay: float = 0.0
    """Seconds added to its time on the link."""
    source: int = 0
    """Device address, or offset in the host buffer, that its first byte comes from."""
    position: int = 0
    """Bytes of the copy before it. ``position + len(data) == total`` in the last chunk, as it is sent."""
    row_bytes: int = 0
    """Of a row; the whole copy in a plain one."""


@dataclass(slots=True)
class DriverCall:
    """A call to the driver, before it acts."""

    gpu: int | None
    name: str
    """``open``, ``alloc``, ``free``, ``host_alloc``, ``copy``, ``synchronize``, ``record``, ``elapsed``, ``memory``."""
    arguments: tuple[int, ...]
    """As `hil.hosts.wires.driver` has them; the driver acts on what hooks leave here."""
    delay: float = 0.0
    """Seconds it takes; infinity = it never returns."""
    status: int | None = None
    """Answer with this code, without acting; 0 = success without effect; `None` = act."""


@dataclass(slots=True)
class DriverAnswer:
    """What the driver answers to a call, after it acted (or did not)."""

    call: DriverCall
    status: int
    """0 = success. An error that becomes 0 is swallowed."""
    results: tuple[int, ...] = ()
    """As `hil.hosts.wires.driver` has them: the address of an allocation, free bytes, nanoseconds, …"""
    text: str = ""


@dataclass(slots=True)
class Submission:
    """A copy that was submitted, before its first chunk leaves."""

    gpu: int
    direction: Direction
    copy: int
    """Number of the copy since the machine was switched on."""
    stream: int
    source: int
    """Device address, or offset in the host buffer, that it comes from."""
    destination: int
    source_pitch: int
    """Bytes from row to row."""
    destination_pitch: int
    row_bytes: int
    rows: int
    pinned: bool
    """Whether no end of it is pageable memory."""
    latency: float
    """Seconds until its first byte leaves."""
    share: float = 1.0
    """Of the path's rate that it gets."""


@dataclass(slots=True)
class Completion:
    """A copy that the hardware has done and that the driver is about to be told of."""

    gpu: int
    copy: int
    stream: int
    delay: float = 0.0
    lost: bool = False
    """The interrupt never comes."""
    status: int = 0


@dataclass(slots=True)
class CommandRun:
    """A command of the operating system, as it will end."""

    completed: Completed
    seconds: float


@dataclass(slots=True)
class ResetPlan:
    """How a reset will go."""

    address: str
    """BDF of the function."""
    kind: str
    """``flr`` or ``bus``."""
    seconds: float
    """Until the function answers again."""
    succeeds: bool = True
    restores_config: bool = False
    """Whether the operating system puts the config space back, as Linux does; TinyGPU does not."""
    retry_status_for: float = 0.0
    """Seconds for which the vendor id reads as 0xffff0001 (configuration request retry status); infinity = for ever."""
    vram_survives: bool = False
    """Whether the card's memory keeps its bytes; else nobody reads the last owner's."""
    context_survives: bool = False
    """Whether the driver takes calls on what was opened and allocated before."""
    config: dict[int, bytes] = field(default_factory=dict)
    """Bytes that config space holds afterwards, by offset, whatever was cleared or restored."""


@dataclass(slots=True)
class Training:
    """What a link trains to."""

    enclosure: str
    lane_gbps: float
    lanes: int
    pcie_gts: float
    pcie_width: int


@dataclass(slots=True)
class CardIdentity:
    """A card as it shows itself when its enclosure is attached."""

    gpu: int
    """Its index."""
    uuid: str
    """What NVML and the driver call it; its PCI serial number follows from it."""
    vendor_id: int
    device_id: int
    subsystem: tuple[int, int]
    """Vendor and device id of the board's maker."""
    missing: set[str] = field(default_factory=set)
    """``gpu``, ``audio``: functions that are not enumerated. ``memory BAR``: BAR 1 gets no address."""


@dataclass(slots=True)
class Identity:
    """What comes back when an enclosure is attached."""

    enclosure: str
    """Its name in the profile, whatever it calls itself."""
    uid: str
    gpus_present: bool = True
    """Whether the PCIe tunnel comes up: without it the router is there and its functions are not."""
    event: bool = True
    """Whether the host tells that something came."""
    seconds: float = 0.0
    """Added to the time until it is there; infinity = it never is."""
    usb_present: bool = True
    """Whether its USB devices come up."""
    port: int | None = None
    """Receptacle of the host that it comes up on; `None` = where its cable is. Nothing if that one is taken."""
    slot: int = 0
    """Slot of the enclosure that its first card shows itself in, from 0 to 2."""
    bridges: int = 0
    """PCI bridges that show up above its first card and were not there before; at most 3."""
    cards: list[CardIdentity] = field(default_factory=list)
    """Its cards, by slot."""


@dataclass(slots=True)
class Departure:
    """How the host takes it that an enclosure's cable was pulled. The cards are off the bus at once in any case."""

    enclosure: str
    """Its name in the profile."""
    gpus: list[int]
    """Indices of its cards."""
    event: bool = True
    """Whether the host tells that something went."""
    seconds: float = 0.0
    """Added to the time until the host notices; infinity = it goes on showing what is not there any more."""


@dataclass(slots=True)
class SleepPlan:
    """How a sleep of the host will go."""

    seconds: float
    """From its falling asleep to the wake that was asked for; infinity = it never wakes."""
    resume_seconds: float
    """From the wake until everything is usable."""
    vram_survives: bool
    """Whether cards' memory is as it was."""
    context_survives: bool
    """Whether what was opened before can be used on; else the driver refuses it."""
    restores_config: bool = True
    """Whether the operating system puts back the config space of what lost its power."""
    lost: set[str] = field(default_factory=set)
    """Names of enclosures that are not there any more after the wake, as if their cable had been pulled."""


@dataclass(slots=True)
class HelperRequest:
    """A request to TinyGPU's server, the helper process of the Mac's driver."""

    command: str
    """``PROBE``, ``MAP_BAR``, ``CFG_READ``, ``CFG_WRITE``, ``RESET``, ``MMIO_READ``, ``MMIO_WRITE``, ``RESIZE_BAR``, …;
    ``ACCEPT`` as a client connects; ``EXIT`` as the server ends because its GPU left."""
    delay: float = 0.0
    """Seconds it takes on top; infinity = it never comes back."""
    refused: bool = False
    """Answer that there is no driver, and hang up."""
