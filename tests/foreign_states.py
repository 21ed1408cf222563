"""Faults that do not come with hil: what stays wrong after an event, and answers that are wrong."""

from __future__ import annotations

from typing import Any

from hil.sim import config_space as layout
from hil.sim.faults.base import DriverAnswer, DriverCall, Fault, Identity, ResetPlan, SleepPlan
from hil.sim.faults.config_fields import with_field

WRONG_CODES, OUT_OF_MEMORY = (1, 3, 4), 2


class CardSlowAfterWake(Fault):
    """After a sleep the card's own link stays at 8 GT/s until its enclosure is plugged in again."""

    name, domain, story, seen_by = "card-slow-after-wake", "pcie", "Equalization is not done again.", "driver"
    slow = False

    def on_sleep(self, plan: SleepPlan) -> None:
        self.slow = True

    def on_attach(self, identity: Identity) -> None:
        self.slow = False

    def on_config_read(self, address: str, offset: int, data: bytes) -> bytes:
        gpu, at = self.site.gpu_at(address), layout.LINK_STATUS - offset
        if not self.slow or gpu is None or not 0 <= at < len(data) or data[at] & 0xF <= 3:
            return data
        return with_field(data, offset, layout.LINK_STATUS, 0x000F, 3)


class ErrorsAfterWake(Fault):
    """From a wake on each GPU's link counts two bad TLPs a second."""

    name, domain, story, seen_by = "errors-after-wake", "pcie", "Equalization is not done again.", "driver"
    sleeps = 0

    def on_sleep(self, plan: SleepPlan) -> None:
        self.sleeps += 1
        if self.sleeps == 1:
            self.site.after(plan.seconds + plan.resume_seconds + 0.5, self.tick)

    def tick(self) -> None:
        for gpu in self.site.gpu_indices():
            self.site.count_error(gpu, "BadTLP")
        self.site.after(0.5, self.tick)


class LaterWakesLate(Fault):
    """The first wake is quick; each later one takes 50 s more."""

    name, domain, story, seen_by = "later-wakes-late", "host", "A firmware timeout.", "driver"
    sleeps = 0

    def on_sleep(self, plan: SleepPlan) -> None:
        self.sleeps += 1
        if self.sleeps > 1:
            plan.resume_seconds += 50.0


class TransmitsOnOneLane(Fault):
    """Links send on one lane and receive on two, as Linux tells."""

    name, domain, story, seen_by = "transmits-on-one-lane", "link", "A lane adapter is down.", "driver"

    def on_file_read(self, path: str, data: bytes) -> bytes:
        return b"1\n" if path.endswith("/tx_lanes") else data


class Contained(Fault):
    """A port contains an error twice a minute, and is brought back."""

    name, domain, story, seen_by = "contained", "pcie", "DPC triggers and recovers.", "driver"
    text = "pcieport 0000:00:07.0: DPC: containment event, status:0x1f01 source:0x0000"

    def armed(self) -> None:
        self.site.after(1.0, self.tick)

    def tick(self) -> None:
        self.site.log(self.text)
        self.site.after(1.0, self.tick)


class NobodyCared(Contained):
    """The kernel switches off an interrupt that no driver claims."""

    name, story = "nobody-cared", "An interrupt without an owner."
    text = 'irq 145: nobody cared (try booting with the "irqpoll" option)'


class AudioDeafAfterReset(Fault):
    """A reset of the GPU clears COMMAND of its card's audio function."""

    name, domain, story, seen_by = "audio-deaf-after-reset", "reset", "It reaches the whole card.", "driver"
    deaf: frozenset[str] = frozenset()

    def on_reset(self, plan: ResetPlan) -> None:
        self.deaf |= {f"{plan.address[:-1]}1"}

    def on_config_read(self, address: str, offset: int, data: bytes) -> bytes:
        if address in self.deaf and 0 <= layout.COMMAND - offset < len(data):
            return with_field(data, offset, layout.COMMAND, 0xFFFF, 0)
        return data


class LimitAfterRescan(Fault):
    """After a rescan of the bus the card's power limit is half of what it was."""

    name, domain, story, seen_by = "limit-after-rescan", "driver", "Its defaults are not applied.", "driver"
    low = False

    def on_file_write(self, path: str, data: bytes) -> bytes | None:
        self.low |= path.endswith("/rescan")
        return data

    def on_nvml(self, function: str, answer: dict[str, Any]) -> dict[str, Any]:
        if self.low and function == "nvmlDeviceGetEnforcedPowerLimit" and answer["code"] == 0:
            answer["values"]["value"] //= 2
        return answer


class WindowReadsStale(Fault):
    """The first read behind a write through the window shows what was there before it."""

    name, domain, story, seen_by = "window-reads-stale", "pcie", "A read buffer is not invalidated.", "driver"
    old: tuple[int, bytes] | None = None

    def on_bar_write(self, address: str, bar: int, offset: int, data: bytes) -> bytes | None:
        gpu = self.site.gpu_at(address)
        if bar == 1 and gpu is not None:
            self.old = offset, self.site.peek(gpu, offset, len(data))
        return data

    def on_bar_read(self, address: str, bar: int, offset: int, data: bytes) -> bytes:
        if bar != 1 or self.old is None or self.old[0] != offset:
            return data
        old, self.old = self.old[1][: len(data)], None
        return old + data[len(old) :]


class CodesMixed(Fault):
    """What is refused for a wrong argument is told as out of memory."""

    name, domain, story, seen_by = "codes-mixed", "driver", "An error path returns the default code.", "driver"

    def on_driver_answer(self, answer: DriverAnswer) -> None:
        if answer.status in WRONG_CODES:
            answer.status, answer.text = OUT_OF_MEMORY, "out of memory"


class OpensDrag(Fault):
    """An open in four takes four seconds."""

    name, domain, story, seen_by = "opens-drag", "driver", "Firmware is loaded twice.", "driver"

    def on_driver_call(self, call: DriverCall) -> None:
        if call.name == "open" and self.strikes(chance=0.25):
            call.delay += 4.0


class EventsLostAfterGrant(Fault):
    """What comes up because a router was authorized is not announced."""

    name, domain, story, seen_by = "events-lost-after-grant", "hot plug", "The queue of events is full.", "driver"
    until = -1.0

    def on_file_write(self, path: str, data: bytes) -> bytes | None:
        if path.endswith("/authorized") and data.strip() != b"0":
            self.until = self.site.now() + 10.0
        return data

    def on_event(self, event: Any) -> Any:
        lost = event.action == "add" and event.subsystem == "pci" and self.site.now() < self.until
        return None if lost else event
