"""Cutting an enclosure's supply and giving it back: consent, actuators, and what must be put right afterwards."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hil.bench.console import untouchable
from hil.errors import DeviceFault, HilError, NotSupported, says_enough
from hil.model import Router, from_dict, to_dict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.bench.bench import Bench
    from hil.bench.device import Device
    from hil.hosts.bench_sections import ActuatorEntry

__tracebackhide__ = says_enough
DISCHARGE_SECONDS = 10.0
"""On the host's clock, without supply, since capacitors keep alive what is to be cleared. A choice on the safe side:
what an enclosure needs is published nowhere."""
NOTE = "powered off"
"""What it stands under beside a device's lock."""


class Supplies:
    """The supplies of one bench. What is switched off is written beside the device's lock until it is on again."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._off: dict[str, tuple[Device, list[dict[str, Any]]]] = {}

    def cannot_cycle(self, device: Device) -> str:
        """Why the supply of `device` cannot be cut here; empty if it can."""
        enclosure = device.facts.enclosure
        if enclosure is None:
            return "it sits in no enclosure"
        never = untouchable(device, "power_cycle")
        if never:
            return never
        if not self._bench.allow.power_cycle:
            return "the bench does not allow cutting a supply (allow.power_cycle)"
        if self._actuator(enclosure) is None:
            return f"no actuator of the bench switches the supply of its enclosure {enclosure.device_name}"
        return ""

    def off(self, device: Device) -> float:
        """Cut the supply of `device`'s enclosure and wait until the host has noticed; seconds that took.

        Raises:
            NotPermitted: the bench does not allow it.
            NotSupported: nothing can do it.
            DeviceFault: the host still shows it at its deadline.

        """
        self._bench.require("power_cycle", device)
        enclosure = device.require_enclosure()
        self._require_actuator(enclosure, device)
        along = [
            {"enclosure": to_dict(router), "gpus": len(self._devices_in(router))}
            for router in (enclosure, *self._bench.inventory.behind(enclosure)[1:])
        ]
        self._off[enclosure.uid] = device, along
        self._bench.left.put(device, NOTE, along)
        self._switch(enclosure, on=False)
        return self._bench.plugs.await_gone(device)

    def on(self, device: Device) -> float:
        """Give it back after `DISCHARGE_SECONDS`, and wait until all that hung on it is there; seconds since it came.

        Raises:
            NotSupported: nothing can do it.
            DeviceFault: something did not come back within the bench's deadline for an attach.

        """
        enclosure = device.require_enclosure()
        _, along = self._off.get(enclosure.uid, (device, [{"enclosure": to_dict(enclosure), "gpus": 1}]))
        seconds = self._give(along)
        if self._off.pop(enclosure.uid, None):
            self._bench.left.put(device, NOTE, [])
        inventory = self._bench.refresh()
        for away in along:
            for one in self._devices_in(from_dict(Router, away["enclosure"])):
                one.relocate(inventory)
                one.renew()
        return seconds

    def cycle(self, device: Device) -> float:
        """Switch it off and on; seconds from the supply's return until the device was there."""
        if device.require_enclosure().uid not in self._off:
            with suppress(DeviceFault):  # shown still, or half gone already: what counts is whether it comes back
                self.off(device)
        return self.on(device)

    def restore(self) -> list[str]:
        """Give all back that is off; what could not be, one sentence each."""
        complaints: list[str] = []
        for device, _ in list(self._off.values()):
            try:
                self.on(device)
            except HilError as error:
                complaints.append(f"the supply of {device.alias} could not be given back: {error}")
        return complaints

    def put_right(self, state: dict[str, Any]) -> tuple[list[str], bool]:
        """Give back what a run that died had switched off, from the `state` beside its lock.

        Returns:
            What was done, one sentence each; whether nothing is left to do.

        """
        along = state.get(NOTE)
        if not along:
            return [], True
        try:
            enclosure = from_dict(Router, along[0]["enclosure"])
            name = f"{enclosure.vendor_name} {enclosure.device_name}"
        except (KeyError, TypeError, ValueError, LookupError):
            return ["a run that died left a record that cannot be read; see that all enclosures have power"], True
        try:
            self._give(along)
        except HilError as error:
            said = f"a run that died had cut the supply of {name}, and it could not be given back: {error}"
            return [said], False
        return [f"a run that died had cut the supply of {name}: it was given back"], True

    def _give(self, along: Sequence[dict[str, Any]]) -> float:
        self._switch(from_dict(Router, along[0]["enclosure"]), on=True)
        within = self._bench.deadlines.attach
        seconds = [
            self._bench.host_call("await_present", **away, within=within, deadline=within + 60.0) for away in along
        ]
        return float(sum(seconds))

    def _switch(self, enclosure: Router, *, on: bool) -> None:
        entry = self._require_actuator(enclosure)
        after = DISCHARGE_SECONDS if on else 0.0
        self._bench.host_call(
            "power",
            deadline=after + self._bench.deadlines.attach,
            enclosure=to_dict(enclosure),
            kind=entry.kind,
            options=entry.options,
            on=on,
            after=after,
        )

    def _devices_in(self, enclosure: Router) -> list[Device]:
        return [d for d in self._bench.devices if d.facts.enclosure and d.facts.enclosure.uid == enclosure.uid]

    def _actuator(self, enclosure: Router) -> ActuatorEntry | None:
        return self._bench.actuator(enclosure, frozenset({"power"}))

    def _require_actuator(self, enclosure: Router, device: Device | None = None) -> ActuatorEntry:
        entry = self._actuator(enclosure)
        if entry is None:
            raise NotSupported(
                f"no actuator of bench {self._bench.name} switches the supply of enclosure {enclosure.device_name}: "
                "switch it by hand, or name an actuator that can (simulated, pdu)",
                device=device.alias if device else None,
            )
        return entry
