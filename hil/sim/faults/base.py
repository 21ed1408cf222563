"""What a fault of the simulated machine is: parameters, a trigger, and a hook for every place where a stack goes wrong.

A fault acts at the wire: on bytes in flight and in VRAM, registers, files, answers, events, log lines and time; never
inside the code under test. Write a subclass, override the hooks you need, and name it with ``--hil-fault``
(see docs/faults.md). Hooks run inside the machine with its lock held: they must not block. To let something happen
later, use `Site.after`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from hil.hosts.base import Completed, Event
from hil.model import Direction


class Trigger(BaseModel):
    """Parameters that every fault has: when it strikes. Subclass it to add a fault's own, each with a range."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpu: Annotated[int | None, Field(ge=0, description="index of the GPU it acts on; none = all")] = None
    at_bytes: Annotated[int | None, Field(ge=0, description="not before so many bytes have passed")] = None
    at_time: Annotated[float | None, Field(ge=0, description="not before so many seconds of the machine's clock")] = (
        None
    )
    nth: Annotated[int | None, Field(ge=1, description="at the n-th opportunity and no other")] = None
    probability: Annotated[float, Field(ge=0, le=1, description="chance at each opportunity")] = 1.0
    times: Annotated[int | None, Field(ge=1, description="how often at the most; none = without end")] = None
    seed: Annotated[int, Field(ge=0, description="of the fault's own random numbers")] = 0


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


@dataclass(slots=True)
class DriverCall:
    """A call to the driver, before it acts."""

    gpu: int | None
    name: str
    """``open``, ``alloc``, ``free``, ``host_alloc``, ``copy``, ``synchronize``, ``record``, ``elapsed``, ``memory``."""
    arguments: tuple[int, ...]
    delay: float = 0.0
    """Seconds it takes; infinity = it never returns."""
    status: int | None = None
    """Answer with this code, without acting; `None` = act."""


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
    """Seconds for which the vendor id reads as 0xffff0001 (configuration request retry status)."""


@dataclass(slots=True)
class Training:
    """What a link trains to."""

    enclosure: str
    lane_gbps: float
    lanes: int
    pcie_gts: float
    pcie_width: int


@dataclass(slots=True)
class Identity:
    """What comes back when an enclosure is attached."""

    enclosure: str
    uid: str
    gpus_present: bool = True
    """Whether the PCIe tunnel comes up: without it the router is there and its functions are not."""
    event: bool = True
    """Whether the host tells that something came."""
    seconds: float = 0.0
    """Added to the time until it is there."""


class Site(Protocol):
    """What a fault may do to the machine: from within a hook, from an action of `after`, or when it is armed."""

    def now(self) -> float:
        """Seconds of the machine's clock."""
        ...

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Let `action` happen later; it does not move time by itself."""
        ...

    def remove(self, gpu: int) -> None:
        """Pull the cable of the enclosure that holds `gpu` (or the card out of its slot), at once."""
        ...

    def log(self, text: str) -> None:
        """Add a line to the kernel log."""
        ...

    def land(self, chunk: Chunk) -> None:
        """Let `chunk` arrive now, as if it came off the link; for one that a hook held back. Nothing if its copy is
        over and its destination gone.
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

    def vram_bytes(self, gpu: int) -> int:
        """Size of the card's memory."""
        ...


class Fault:
    """Base of all faults; every hook here changes nothing."""

    name: ClassVar[str]
    """As on the command line: lower case, dashes."""
    domain: ClassVar[str]
    """``link``, ``pcie``, ``dma``, ``memory``, ``driver``, ``thermal``, ``hot plug``, ``reset``, ``host``."""
    story: ClassVar[str]
    """What physically happens, in one sentence."""
    seen_by: ClassVar[str]
    """The suite that ought to see it: ``driver``, ``transfer`` or ``throughput``."""
    Parameters: ClassVar[type[Trigger]] = Trigger
    shows_as: ClassVar[str] = ""
    """Regular expression (case is ignored) that the message of the failing test matches where the diagnosis is right."""
    control: ClassVar[bool] = False
    """Whether this is a negative control: something that a bench must not take for a fault. All suites stay green."""
    unscored: ClassVar[str] = ""
    """What has to be built before the suites can see it; empty = it counts."""
    chunk_bytes: ClassVar[int | None] = None
    """Cut copies into pieces of at most this size; `None` = the machine's own 2 MiB."""

    def __init__(self, parameters: Trigger, site: Site) -> None:
        self.parameters = parameters
        self.site = site
        self.random = random.Random(parameters.seed)  # noqa: S311  (reproducible, not secret)
        self._opportunities = 0
        self._bytes = 0
        self._fired = 0

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """Parameters for one of the draws by which the suites are scored, as given on the command line.

        Args:
            severity: 0 … 1, from what a sharp eye just sees to what nobody overlooks.
            dice: for what severity does not decide (a direction, an address, a moment, …).

        """
        return {}

    @classmethod
    def below_sight(cls, parameters: Trigger) -> str:
        """Why nobody could see a fault with these parameters, in words; empty if somebody could."""
        return ""

    def armed(self) -> None:
        """The machine is up and this fault is in it: for what happens by itself, with `Site.after`."""

    @property
    def struck(self) -> int:
        """How often it has acted."""
        return self._fired

    def strikes(self, gpu: int | None = None, nbytes: int = 0) -> bool:
        """Count one opportunity of `nbytes` bytes on `gpu`; whether the fault acts on it, by its trigger."""
        p = self.parameters
        if p.gpu is not None and gpu is not None and gpu != p.gpu:
            return False
        self._opportunities += 1
        self._bytes += nbytes
        due = (
            (p.at_bytes is None or self._bytes > p.at_bytes)
            and (p.at_time is None or self.site.now() >= p.at_time)
            and (p.nth is None or self._opportunities == p.nth)
            and (p.times is None or self._fired < p.times)
            and (p.probability >= 1 or self.random.random() < p.probability)
        )
        self._fired += due
        return due

    # Bytes ------------------------------------------------------------------------------------------------------------

    def on_chunk(self, chunk: Chunk) -> Sequence[Chunk]:
        """A piece of a copy crosses the link: change, drop, repeat, reorder, redirect, delay or tear it."""
        return (chunk,)

    def on_vram_read(self, gpu: int, address: int, data: bytes) -> bytes:
        """The card's memory is read."""
        return data

    def on_vram_write(self, gpu: int, address: int, data: bytes) -> bytes:
        """The card's memory is written; what is returned is what lands."""
        return data

    # Driver -----------------------------------------------------------------------------------------------------------

    def on_driver_call(self, call: DriverCall) -> None:
        """The driver is called: delay it, let it hang, or answer in its place."""

    def on_allocate(self, gpu: int, nbytes: int) -> int:
        """Memory is allocated; the bytes really taken from the card."""
        return nbytes

    def on_free(self, gpu: int, address: int, nbytes: int) -> bool:
        """Memory is freed; whether it really becomes free again."""
        return True

    def on_completion(self, completion: Completion) -> None:
        """A copy is complete: delay the news, lose it, or change its status."""

    # Registers --------------------------------------------------------------------------------------------------------

    def on_config_read(self, address: str, offset: int, data: bytes) -> bytes:
        """Config space of the function at BDF `address` is read."""
        return data

    def on_config_write(self, address: str, offset: int, data: bytes) -> bytes | None:
        """Config space is written; `None` drops the write."""
        return data

    def on_bar_read(self, address: str, bar: int, offset: int, data: bytes) -> bytes:
        """A BAR is read."""
        return data

    def on_bar_write(self, address: str, bar: int, offset: int, data: bytes) -> bytes | None:
        """A BAR is written; `None` drops the write."""
        return data

    # Host -------------------------------------------------------------------------------------------------------------

    def on_file_read(self, path: str, data: bytes) -> bytes:
        """A file of the host is read; may raise `OSError`."""
        return data

    def on_file_write(self, path: str, data: bytes) -> bytes | None:
        """A file of the host is written; `None` swallows the write; may raise `OSError`."""
        return data

    def on_command(self, run: CommandRun) -> None:
        """A command is run: change its result, or how long it takes (infinity: it never ends)."""

    def on_nvml(self, function: str, answer: Any) -> Any:
        """NVML answers `function`."""
        return answer

    def on_event(self, event: Event) -> Event | None:
        """The host tells that something came or went; `None` keeps it silent."""
        return event

    def on_kernel_log(self, text: str) -> Sequence[str]:
        """The kernel logs a line; the lines that appear."""
        return (text,)

    # Plug, reset, links -----------------------------------------------------------------------------------------------

    def on_attach(self, identity: Identity) -> None:
        """An enclosure is attached: change what comes back."""

    def on_detach(self, enclosure: str) -> None:
        """An enclosure went."""

    def on_reset(self, plan: ResetPlan) -> None:
        """A function is reset: change how it goes."""

    def on_link_training(self, training: Training) -> None:
        """A link trains: change what it trains to."""

    def on_bandwidth(self, gpu: int, direction: Direction, rate: float) -> float:
        """The bytes/s that the path to `gpu` carries now."""
        return rate

    # Analogue ---------------------------------------------------------------------------------------------------------

    def on_temperature(self, gpu: int, celsius: float) -> float:
        """The GPU's temperature is read, in °C."""
        return celsius

    def on_power(self, gpu: int, watts: float) -> float:
        """The board's power is read, in W."""
        return watts

    def on_clock_rate(self, gpu: int, domain: str, hertz: float) -> float:
        """A clock of the GPU (``graphics``, ``memory``) is read, in Hz."""
        return hertz

    def on_device_clock(self, gpu: int, nanoseconds: int) -> int:
        """The GPU's own time is told, in ns."""
        return nanoseconds

    def on_host_clock(self, seconds: float) -> float:
        """The host's time is told, in s; it must not go back."""
        return seconds


NEVER = math.inf
"""A delay after which nothing comes."""
