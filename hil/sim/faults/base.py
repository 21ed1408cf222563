"""What a fault of the simulated machine is: parameters, a trigger, and a hook for every place where a stack goes wrong.

A fault acts at the wire: on bytes in flight and in VRAM, registers, files, answers, events, log lines and time; never
inside the code under test. Write a subclass, override the hooks you need, and name it with ``--hil-fault``
(see docs/faults.md). Hooks run inside the machine with its lock held: they must not block. To let something happen
later, use `Site.after`. All that such a subclass needs can be imported from here.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from hil.hosts.base import Event
from hil.model import Direction
from hil.sim.faults.facts import (
    CardIdentity,
    Chunk,
    CommandRun,
    Completion,
    Departure,
    DriverAnswer,
    DriverCall,
    HelperRequest,
    Identity,
    ResetPlan,
    SleepPlan,
    Submission,
    Training,
)
from hil.sim.faults.site import Site

__all__ = [
    "NEVER",
    "CardIdentity",
    "Chunk",
    "CommandRun",
    "Completion",
    "Departure",
    "DriverAnswer",
    "DriverCall",
    "Fault",
    "HelperRequest",
    "Identity",
    "ResetPlan",
    "Site",
    "SleepPlan",
    "Submission",
    "Training",
    "Trigger",
]


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
    """Regular expression (case is ignored) that the failing test's message matches where the diagnosis is right."""
    control: ClassVar[bool] = False
    """Whether this is a negative control: something that a bench must not take for a fault. All suites stay green."""
    unscored: ClassVar[str] = ""
    """What has to be built before the suites can see it; empty = it counts."""
    soaks: ClassVar[bool] = False
    """Whether it shows only after minutes of load: the score runs the soaks of its kind, too, and first.
    """
    systems: ClassVar[tuple[str, ...]] = ("Linux", "Darwin")
    """Operating systems of the host on which it can happen; on another it is a usage error."""
    profiles: ClassVar[tuple[str, ...]] = ()
    """Shipped profiles on which the suites are scored against it, in turn; empty = the default one. For a fault that
    shows only where there are two GPUs, Linux, NVML, a slot, ….
    """
    chunk_bytes: int | None = None
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

    def strikes(self, gpu: int | None = None, nbytes: int = 0, *, chance: float | None = None) -> bool:
        """Count one opportunity of `nbytes` bytes on `gpu`; whether the fault acts on it, by its trigger.

        `chance` takes the place of the trigger's `probability`: 1 where the dice were thrown already.
        """
        p = self.parameters
        chance = p.probability if chance is None else chance
        if p.gpu is not None and gpu is not None and gpu != p.gpu:
            return False
        self._opportunities += 1
        self._bytes += nbytes
        due = (
            (p.at_bytes is None or self._bytes > p.at_bytes)
            and (p.at_time is None or self.site.now() >= p.at_time)
            and (p.nth is None or self._opportunities == p.nth)
            and (p.times is None or self._fired < p.times)
            and (chance >= 1 or self.random.random() < chance)
        )
        self._fired += due
        return due

    def spare(self) -> None:
        """Take back the strike that `strikes` has just counted: it changed nothing, so that nobody can have seen it."""
        self._fired -= 1

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
        """The driver is called: delay it, let it hang, change what it is asked, or answer in its place."""

    def on_driver_answer(self, answer: DriverAnswer) -> None:
        """The driver answers: change what it says."""

    def on_submit(self, submission: Submission) -> None:
        """A copy is submitted: change where it goes, its shape, its latency or its rate."""

    def on_allocate(self, gpu: int, nbytes: int) -> int:
        """Memory is allocated; the bytes really taken from the card."""
        return nbytes

    def on_free(self, gpu: int, address: int, nbytes: int) -> bool:
        """Memory is freed; whether it really becomes free again."""
        return True

    def on_scrub(self, gpu: int, address: int, nbytes: int) -> bool:
        """Memory that was freed is wiped, before anybody else gets it; whether it really is."""
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

    def on_departure(self, departure: Departure) -> None:
        """An enclosure's cable was pulled: change when the host notices, and whether it tells."""

    def on_detach(self, enclosure: str) -> None:
        """An enclosure went."""

    def on_supply(self, enclosure: str, on: bool) -> None:
        """An enclosure's supply is cut, or comes back: what only a power cycle clears is clear."""

    def on_reset(self, plan: ResetPlan) -> None:
        """A function is reset: change how it goes."""

    def on_sleep(self, plan: SleepPlan) -> None:
        """The host falls asleep: change how that goes, and what it finds when it wakes."""

    def on_helper(self, request: HelperRequest) -> None:
        """TinyGPU's server is asked something: delay it, or let it refuse."""

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
