"""Letting the kernel take a device from its driver, from its bus or from its tunnel, and give it back: Linux."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hil.bench.console import untouchable
from hil.errors import HilError, says_enough
from hil.model import to_dict

if TYPE_CHECKING:
    from collections.abc import Collection

    from hil.bench.bench import Bench
    from hil.bench.calls import Call
    from hil.bench.device import Device

__tracebackhide__ = says_enough
Way = Literal["unbind", "remove", "revoke"]
"""``unbind``: from its driver. ``remove``: all functions of its card from the bus. ``revoke``: its enclosure's
authorization, and with that the PCIe tunnel."""
WORDS: dict[Way, str] = {
    "unbind": "taken from its driver",
    "remove": "removed from its bus",
    "revoke": "deprived of its enclosure's authorization",
}
LOOK_DEADLINE = 60.0
"""Seconds on top for the looking itself, as for a plug."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """What was taken."""

    device: Device
    what: list[dict[str, Any]]
    """As the host's process takes and gives it, and as it is noted: in builtin types."""
    functions: tuple[str, ...]
    """BDFs that go from the bus and come back."""
    along: tuple[Device, ...]
    """All devices that went: `device`, and those in the same enclosure or behind it."""


class Removals:
    """What the kernel was told to let go of on one bench. It stands beside the device's lock until it is given back."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._away: dict[tuple[Way, str], Away] = {}

    def cannot(self, way: Way, device: Device) -> str:
        """Why `device` cannot be taken away in this `way`; empty if it can."""
        gpu, bench = device.facts.gpu, self._bench
        if gpu is None:
            return "it is no GPU of the inventory"
        system = bench.inventory.host.system
        if system != "Linux":
            return f"no software of {system or 'this host'} takes a GPU from its driver, its bus or its tunnel"
        if way == "revoke":
            return self._cannot_revoke(device)
        if way == "unbind" and not gpu.function.driver:
            return "no driver has it"
        forbidden = "" if bench.allow.unbind else "the bench does not allow to take it from the kernel (allow.unbind)"
        return untouchable(device, "unbind") or forbidden

    def _cannot_revoke(self, device: Device) -> str:
        enclosure = device.facts.enclosure
        if enclosure is None:
            return "it sits in no enclosure"
        if enclosure.authorized is None:
            return "this host knows no authorization"
        forbidden = "" if self._bench.allow.unplug else "the bench does not allow unplugging (allow.unplug)"
        return untouchable(device, "unplug") or forbidden

    def revocable(self, device: Device) -> bool:
        """Whether the domain of `device` says that it lets an authorization be revoked."""
        enclosure = device.require_enclosure()
        domains = self._bench.inventory.domains
        return any(domain.deauthorization for domain in domains if domain.name == enclosure.domain)

    def take_call(self, way: Way, device: Device, *, after: float = 0.0) -> Call:
        """Submit the taking of `device`, `after` seconds from now on the host's clock.

        Raises:
            NotPermitted: the bench does not allow it.

        """
        self._bench.require("unplug" if way == "revoke" else "unbind", device)
        away = self._about(way, device)
        self._away[way, device.facts.id] = away
        self._bench.left.put(device, way, {"what": away.what, "functions": list(away.functions)})
        return self._bench.host_submit(
            "removal:take", deadline=after + self._bench.deadlines.detach, way=way, what=away.what, after=after
        )

    def take(self, way: Way, device: Device) -> float:
        """Take `device` away in this `way` and wait until nothing is left of it; seconds that took."""
        call = self.take_call(way, device)
        call.result()
        return call.duration + self.await_taken(way, device)

    def await_taken(self, way: Way, device: Device) -> float:
        """Wait until the functions that were to go are not shown any more; seconds.

        Raises:
            DeviceFault: some are, after the bench's deadline for a detach.

        """
        functions = self._away[way, device.facts.id].functions
        return self._await(device.alias, functions, there=False, within=self._bench.deadlines.detach)

    def give(self, way: Way, device: Device) -> float:
        """Give `device` back what was taken from it in this `way`, and wait until its functions are there; seconds.

        Raises:
            DeviceFault: they did not come back within the bench's deadline for an attach.

        """
        within = self._bench.deadlines.attach
        away = self._away[way, device.facts.id]
        call = self._bench.host_submit("removal:give", deadline=within, way=way, what=away.what)
        call.result()
        seconds = call.duration + self._await(device.alias, away.functions, there=True, within=within)
        del self._away[way, device.facts.id]
        self._bench.left.put(device, way, None)
        inventory = self._bench.refresh()
        for one in away.along:
            one.relocate(inventory)
            one.renew()
        return seconds

    def restore(self, device: Device | None = None) -> list[str]:
        """Give back all that was taken (of `device`, if given); what could not be, one sentence each."""
        complaints: list[str] = []
        for (way, _), away in reversed(list(self._away.items())):
            if device not in (None, away.device):
                continue
            try:
                self.give(way, away.device)
            except HilError as error:
                complaints.append(f"{away.device.alias} was {WORDS[way]} and could not be given back: {error}")
        return complaints

    def put_right(self, state: dict[str, Any]) -> tuple[list[str], bool]:
        """Give back what a run that died had taken, from the `state` beside its lock.

        Returns:
            What was done, one sentence each; whether nothing is left to do.

        """
        said: list[str] = []
        done = True
        for way, words in reversed(WORDS.items()):
            if way not in state:
                continue
            within = self._bench.deadlines.attach
            try:
                what, functions = state[way]["what"], state[way]["functions"]
                self._bench.host_call("removal:give", deadline=within, way=way, what=what)
                self._await("a device", functions, there=True, within=within)
            except (KeyError, TypeError):
                said.append(
                    f"a run that died left a record of a device {words} that cannot be read; see that it is back"
                )
            except HilError as error:
                done = False
                said.append(f"a run that died had left a device {words}, and it could not be given back: {error}")
            else:
                said.append(f"a run that died had left a device {words}: it was given back")
        return said, done

    def _about(self, way: Way, device: Device) -> Away:
        own = device.require_gpu().function
        if way == "unbind":
            what = [{"address": own.address, "driver": own.driver}]
            return Away(device=device, what=what, functions=(), along=(device,))
        inventory = self._bench.inventory
        if way == "remove":
            card = {f.address for f in inventory.card(own)} | {own.address}
            # The GPU's own function last: what belongs to it goes first.
            functions = tuple(sorted(card, reverse=True))
            return Away(device=device, what=[{"address": a} for a in functions], functions=functions, along=(device,))
        # Those behind it go along, and have to be granted again one by one.
        routers = [r for r in inventory.behind(device.require_enclosure()) if r.authorized]
        uids = {router.uid for router in routers}
        return Away(
            device=device,
            what=[to_dict(router) for router in routers],
            functions=tuple(a for e in inventory.enclosures if e.router.uid in uids for a in e.functions),
            along=tuple(d for d in self._bench.devices if d.facts.enclosure and d.facts.enclosure.uid in uids),
        )

    def _await(self, name: str, functions: Collection[str], *, there: bool, within: float) -> float:
        if not functions:
            return 0.0
        seconds = self._bench.host_call(
            "await_functions",
            name=name,
            functions=list(functions),
            there=there,
            within=within,
            deadline=within + LOOK_DEADLINE,
        )
        return float(seconds)
