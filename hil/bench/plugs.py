"""Taking enclosures away and bringing them back: consent, actuators, and what must be put right afterwards."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hil.bench.console import untouchable
from hil.control import DETACHING
from hil.errors import HilError, NotSupported, says_enough
from hil.model import Router, RouterRole, from_dict, to_dict

if TYPE_CHECKING:
    from hil.bench.bench import Bench
    from hil.bench.calls import Call
    from hil.bench.device import Device
    from hil.hosts.bench_sections import ActuatorEntry

__tracebackhide__ = says_enough
LOOK_DEADLINE = 60.0
"""Seconds on top for the looking itself; `system_profiler` may take half a minute on a busy Mac."""


class Plugs:
    """The cables of one bench. What is pulled is written beside the device's lock until it is plugged in again."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._detached: dict[str, Device] = {}
        self._along: dict[str, tuple[Router, ...]] = {}
        """Enclosures that went with each one that is detached: those daisy-chained behind it."""
        self._leaving: set[str] = set()
        """Enclosures whose cable was pulled, and of which the host may not have noticed yet."""

    def cannot_unplug(self, device: Device) -> str:
        """Why `device` cannot be unplugged here; empty if it can."""
        if device.facts.enclosure is None:
            return "it sits in no enclosure"
        never = untouchable(device, "unplug")
        if never:
            return never
        if not self._bench.allow.unplug:
            return "the bench does not allow unplugging (allow.unplug)"
        if self._actuator(device.facts.enclosure) is None:
            return f"no actuator of the bench acts on its enclosure {device.facts.enclosure.device_name}"
        return ""

    def cannot_move(self, device: Device) -> str:
        """Why `device` cannot be plugged into another port of the host; empty if it can."""
        reason = self.cannot_unplug(device)
        enclosure = device.facts.enclosure
        if reason or enclosure is None:
            return reason
        above = next((r for r in self._bench.inventory.routers if r.name == enclosure.parent), None)
        if above is not None and above.role is not RouterRole.HOST:
            return f"its enclosure hangs behind {above.device_name}, not on a port of the host"
        entry = self._require_actuator(enclosure, device)
        asked = {"enclosure": to_dict(enclosure), "kind": entry.kind, "options": entry.options}
        if not self._bench.host_call("ports_can_be_chosen", **asked):
            return f"the actuator {entry.kind} of its enclosure cannot plug it into another port"
        return "" if self.free_ports() else "all ports of the host are taken"

    def free_ports(self) -> list[int]:
        """Receptacles of the host, from 0, that nothing is plugged into.

        A domain counts as one receptacle, which is so on Macs; a host controller that has two shows one of them here.
        """
        inventory = self._bench.inventory
        taken = {router.domain for router in inventory.routers if router.role is not RouterRole.HOST}
        return [n for n, domain in enumerate(inventory.domains) if domain.name not in taken]

    def port_of(self, device: Device) -> int:
        """The receptacle that `device`'s enclosure, or the chain it is part of, hangs on, as `free_ports` counts."""
        names = [domain.name for domain in self._bench.inventory.domains]
        return names.index(device.require_enclosure().domain)

    def detach_call(self, device: Device, *, after: float = 0.0) -> Call:
        """Submit the pulling of `device`'s cable, `after` seconds from now on the host's clock.

        Raises:
            NotPermitted: the bench does not allow it.
            NotSupported: nothing can do it.

        """
        self._bench.require("unplug", device)
        enclosure = device.require_enclosure()
        entry = self._require_actuator(enclosure, device)
        self._remember(device)
        self._leaving.add(enclosure.uid)
        return self._bench.host_submit(
            "detach",
            deadline=after + self._bench.deadlines.detach,
            enclosure=to_dict(enclosure),
            kind=entry.kind,
            options=entry.options,
            after=after,
        )

    def detach(self, device: Device) -> float:
        """Pull `device`'s cable and wait until the host has noticed; seconds that took."""
        self._bench.counting.look()  # plugged in again, the link is trained anew
        self.detach_call(device).result()
        return self.await_gone(device)

    def await_gone(self, device: Device, *, deadline: float | None = None) -> float:
        """Wait until the host no longer shows `device` nor its enclosure; seconds.

        Raises:
            DeviceFault: it still does after `deadline` seconds (`None` = the bench's for a detach).

        """
        deadline = self._bench.deadlines.detach if deadline is None else deadline
        enclosure = device.require_enclosure()
        self._leaving.discard(enclosure.uid)
        found = (e for e in self._bench.inventory.enclosures if e.router.uid == enclosure.uid)
        seconds = self._bench.host_call(
            "await_gone",
            enclosure=to_dict(enclosure),
            functions=[address for one in found for address in one.functions],
            router_too=True,
            within=deadline,
            deadline=deadline + LOOK_DEADLINE,
        )
        return float(seconds)

    def attach(self, device: Device, *, port: int | None = None, deadline: float | None = None) -> float:
        """Plug `device`'s enclosure in and wait until it is usable; seconds that took.

        Raises:
            NotSupported: nothing can do it.
            DeviceFault: enclosure or GPU did not come back within `deadline` seconds (`None` = the bench's).

        """
        enclosure = device.require_enclosure()
        self._require_actuator(enclosure, device)
        if enclosure.uid in self._leaving:
            # Plugged in before the host noticed, it would be taken for there although it has lost everything.
            with suppress(HilError):
                self.await_gone(device)
        together = self._devices_in(enclosure)
        seconds = self._push(enclosure, gpus=len(together), port=port, deadline=deadline)
        for behind in self._along.pop(enclosure.uid, ()):
            if behind.uid not in self._detached:
                theirs = self._devices_in(behind)
                self._await_present(behind, gpus=len(theirs), deadline=deadline)
                together += theirs
        self._forget(enclosure.uid)
        inventory = self._bench.refresh()
        for one in together:
            one.relocate(inventory)
            one.renew()
        return seconds

    def replug(self, device: Device) -> None:
        """Detach, if it is attached, and attach."""
        if device.require_enclosure().uid not in self._detached:
            with suppress(HilError):  # half gone already: what counts is whether it comes back
                self.detach(device)
        self.attach(device)

    def restore(self) -> list[str]:
        """Plug in all that is unplugged; what could not be, one sentence each."""
        complaints: list[str] = []
        for device in list(self._detached.values()):
            try:
                self.attach(device)
            except HilError as error:
                complaints.append(f"{device.alias} could not be plugged in again: {error}")
        return complaints

    def put_right(self, state: dict[str, Any]) -> tuple[list[str], bool]:
        """Plug in what a run that died had unplugged, from the `state` beside its lock.

        Returns:
            What was done, one sentence each; whether nothing is left to do.

        """
        said: list[str] = []
        done = True
        for away in state.get("detached", ()):
            try:
                enclosure, gpus = from_dict(Router, away["enclosure"]), int(away["gpus"])
            except (KeyError, TypeError, ValueError):
                said.append("a run that died left a record that cannot be read; see that all enclosures are plugged in")
                continue
            name = f"{enclosure.vendor_name} {enclosure.device_name}"
            try:
                self._push(enclosure, gpus=gpus)
            except HilError as error:
                done = False
                said.append(f"a run that died had unplugged {name}, and it could not be plugged in again: {error}")
            else:
                said.append(f"a run that died had unplugged {name}: it was plugged in again")
        return said, done

    def _push(self, enclosure: Router, *, gpus: int, port: int | None = None, deadline: float | None = None) -> float:
        within = self._bench.deadlines.attach if deadline is None else deadline
        entry = self._require_actuator(enclosure)
        self._bench.host_call(
            "attach",
            deadline=within,
            enclosure=to_dict(enclosure),
            kind=entry.kind,
            options=entry.options,
            port=port,
        )
        return self._await_present(enclosure, gpus=gpus, deadline=deadline)

    def _await_present(self, enclosure: Router, *, gpus: int, deadline: float | None) -> float:
        within = self._bench.deadlines.attach if deadline is None else deadline
        seconds = self._bench.host_call(
            "await_present",
            enclosure=to_dict(enclosure),
            gpus=gpus,
            within=within,
            deadline=within + LOOK_DEADLINE,
        )
        return float(seconds)

    def _devices_in(self, enclosure: Router) -> list[Device]:
        return [d for d in self._bench.devices if d.facts.enclosure and d.facts.enclosure.uid == enclosure.uid]

    def _remember(self, device: Device) -> None:
        enclosure = device.require_enclosure()
        self._detached[enclosure.uid] = device
        self._along[enclosure.uid] = self._bench.inventory.behind(enclosure)[1:]
        away = {"enclosure": to_dict(enclosure), "gpus": len(self._devices_in(enclosure))}
        self._bench.left.put(device, "detached", [away])

    def _forget(self, enclosure: str) -> None:
        device = self._detached.pop(enclosure, None)
        if device is not None:
            self._bench.left.put(device, "detached", [])

    def _actuator(self, enclosure: Router) -> ActuatorEntry | None:
        return self._bench.actuator(enclosure, DETACHING)

    def _require_actuator(self, enclosure: Router, device: Device | None = None) -> ActuatorEntry:
        entry = self._actuator(enclosure)
        if entry is None:
            raise NotSupported(
                f"no actuator of bench {self._bench.name} acts on enclosure {enclosure.device_name}: plug it by hand, "
                "or name an actuator for it",
                device=device.alias if device else None,
            )
        return entry
