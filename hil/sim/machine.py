"""The machine's state: what hangs on it, what its memory holds, and what happens when someone pulls a cable."""

from __future__ import annotations

import hashlib
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from hil.errors import UsageError
from hil.hosts.base import Event, LogLine
from hil.model import MIB, HostFacts
from hil.sim import topology
from hil.sim.absence import Absence
from hil.sim.clock import VirtualClock
from hil.sim.faults.base import Departure, Fault, Identity, ResetPlan, Site, Training
from hil.sim.hooks import Hooks
from hil.sim.memory import Heap, SharedMemory
from hil.sim.parts import Carrier, Face, Function, SimEnclosure, SimGpu
from hil.sim.profile import Profile
from hil.sim.site import MachineSite
from hil.sim.tree import VirtualTree

__all__ = ["Face", "Function", "Machine", "SimEnclosure", "SimGpu"]

RETRY_STATUS = 0xFFFF0001
"""What the vendor id reads as while a function is not ready (PCIe: configuration request retry status)."""
DETACH_SECONDS = 0.004
ROUTER_SECONDS = 1.1
"""From the plug to the router being enumerated; owners report one to two seconds."""
TUNNEL_SECONDS = 0.35
"""From the router to its PCI functions."""
RESET_SECONDS = 0.017
"""A reset on a real kernel took 15–19 ms."""
LOG_LINES = 1 << 16
"""What the kernel log holds; then the oldest lines are lost."""


class Machine:
    """One simulated computer. All methods are called with `clock.lock` held."""

    def __init__(self, profile: Profile, faults: Callable[[Site], Sequence[Fault]] = lambda _: ()) -> None:
        self.profile = profile
        self.clock = VirtualClock()
        self.tree = VirtualTree()
        self.boot_id = str(uuid.UUID(bytes=hashlib.sha256(profile.model_dump_json().encode()).digest()[:16]))
        self.functions: dict[str, Function] = {}
        self.enclosures = [SimEnclosure(spec, spec.port) for spec in profile.enclosure]
        self.gpus: list[SimGpu] = []
        self.lines: deque[LogLine] = deque(maxlen=LOG_LINES)
        self.listeners: list[Callable[[Event], None]] = []
        """Called with every event that the host announces."""
        self.on_change: list[Callable[[], None]] = []
        """Called when functions came, went or were reset: what was opened before may be lost."""
        self.carrier: Carrier | None = None
        """What moves chunks, once it is there."""
        self.booted = False
        self.absence = Absence(self)
        """Whether the host itself is away: asleep, or starting again."""
        self._silent = False
        self._fixed: list[Function] = []
        """Functions that are part of the machine or sit in its slots: a rescan finds them again."""
        self.hooks = Hooks(())
        self.site = MachineSite(self)
        for index, spec in enumerate(profile.gpu):
            holder = next((e for e in self.enclosures if e.spec.name == spec.enclosure), None)
            memory, heap = SharedMemory(spec.vram_bytes), Heap(spec.vram_bytes, reserved=64 * MIB)
            self.gpus.append(SimGpu(index, spec, memory, heap, holder))
        self.hooks = Hooks(self._checked(faults(self.site)), self.clock.switch_off)
        self.face = _face(self)
        self.face.boot()
        self._fixed = topology.root_functions(self)
        self._bring_up(self._fixed, event=False)
        self.start(self.enclosures, self.gpus)
        self.booted = True
        for fault in self.hooks.faults:
            fault.armed()

    def _checked(self, faults: Sequence[Fault]) -> Sequence[Fault]:
        system = self.profile.host.system
        for fault in faults:
            if system not in fault.systems:
                where = " or ".join(fault.systems)
                raise UsageError(f"fault {fault.name} happens on {where}, and this machine runs {system}")
            gpu = fault.parameters.gpu
            if gpu is not None and gpu >= len(self.gpus):
                # It would never strike, and a run that passes would say nothing.
                raise UsageError(
                    f"fault {fault.name}: gpu = {gpu}: this machine has {len(self.gpus)} GPUs, counted from 0"
                )
        return faults

    def start(self, enclosures: Sequence[SimEnclosure], cards: Sequence[SimGpu]) -> None:
        """Enumerate, as at the boot, what is in slots (of `cards`) and what `enclosures` bring; nothing is told."""
        with self._told(event=False):
            found = [f for gpu in cards if gpu.enclosure is None for f in topology.slot_functions(self, gpu)]
            slots = [f for f in found if f.address not in self.functions]  # their ports stay with the host
            self._fixed += slots
            self._bring_up(slots, event=False)
            for enclosure in enclosures:
                self._begin_attach(enclosure)
                self._show_router(enclosure)
                self._show_functions(enclosure, Identity(enclosure.spec.name, enclosure.spec.uid, event=False))

    def stop(self) -> tuple[list[SimEnclosure], list[SimGpu]]:
        """Forget, without a word, all that `start` enumerates; what that was."""
        with self._told(event=False):
            enclosures = [enclosure for enclosure in self.enclosures if enclosure.attached]
            cards = [gpu for gpu in self.gpus if gpu.function is not None]
            slots = [f for f in self._fixed if f.gpu is not None]
            self._fixed = [f for f in self._fixed if f not in slots]
            for function in [*slots, *(f for e in enclosures for f in e.functions)]:
                function.ready = False
                self._lose(function)
            self._take_down(slots, surprise=False)
            for enclosure in enclosures:
                enclosure.attached = False
                enclosure.plugs += 1  # what it had still in store does not happen any more
                self._hide(enclosure, list(enclosure.functions), event=False)
        return enclosures, cards

    # What the host knows ----------------------------------------------------------------------------------------------

    def facts(self) -> HostFacts:
        """The host, as its own system calls tell it."""
        spec = self.profile.host
        return HostFacts(
            system=spec.system,
            arch=spec.arch,
            model=spec.model,
            os_version=spec.os_version,
            hostname="simulated",
            boot_id=self.boot_id,
            simulated=True,
        )

    def host_time(self) -> float:
        """Seconds on the host's clock: the machine's, unless a fault lets the host's go wrong."""
        return self.hooks.change("host_clock", value=self.clock.now())

    def log(self, text: str) -> None:
        """Add a line to the kernel log."""
        for line in self.hooks.spread("kernel_log", text):
            self.lines.append(LogLine(time=self.host_time(), text=line))

    def tell(self, action: str, subsystem: str, path: str) -> None:
        """Let the host announce that something came, went or changed."""
        if self._silent:
            return
        event = self.hooks.change_or_drop(
            "event", value=Event(action=action, subsystem=subsystem, path=path, time=self.host_time())
        )
        if event is not None:
            for listener in list(self.listeners):
                listener(event)

    # Cards ------------------------------------------------------------------------------------------------------------

    def fall_off(self, card: SimGpu) -> None:
        """Let a card stop answering on the bus while its cable stays in; only a re-plug brings it back."""
        if card.function is None or card.function.fallen:
            return
        for function in self.functions.values():
            if function.gpu is card:
                function.ready, function.fallen = False, True
        self.face.function_fell(card.function)
        card.generation += 1
        self._clear(card)
        self._news()

    def pull(self, card: SimGpu) -> None:
        """Pull a card out of its slot."""
        pulled = [f for f in self.functions.values() if f.gpu is card]
        self._fixed = [f for f in self._fixed if f not in pulled]
        for function in pulled:
            function.ready = False
            self._lose(function)
        self._take_down(pulled, surprise=True)

    # Plug -------------------------------------------------------------------------------------------------------------

    def enclosure(self, name: str) -> SimEnclosure | None:
        """The enclosure of that name or uid (its own, or the one it came back with)."""
        return next((e for e in self.enclosures if name in (e.spec.name, e.spec.uid, e.uid)), None)

    def why_not(self, enclosure: SimEnclosure, port: int | None) -> str:
        """Why the enclosure's cable cannot be plugged in (into `port`, if given), in words; empty if it can."""
        front = self.enclosure(enclosure.spec.behind) if enclosure.spec.behind else None
        if front is not None:
            if port not in (None, front.port):
                return f"it hangs behind {front.spec.name}, not on a port of the host"
            return "" if front.attached else f"{front.spec.name}, which it hangs behind, is not plugged in"
        port = enclosure.port if port is None else port
        if port not in range(self.profile.host.ports):
            return f"there is no port {port}: the host has {self.profile.host.ports}, counted from 0"
        taken = [e.spec.name for e in self.enclosures if e.attached and e.port == port and not e.spec.behind]
        return f"port {port} is taken by {taken[0]}" if taken and not enclosure.attached else ""

    def detach(self, enclosure: SimEnclosure) -> None:
        """Pull an enclosure's cable: its cards are off the bus at once, the host notices a moment later."""
        enclosure.waits = False
        if not enclosure.attached:
            return
        for behind in self.enclosures:
            if behind.spec.behind == enclosure.spec.name:
                self.detach(behind)
        enclosure.attached = False
        departure = Departure(enclosure.spec.name, [g.index for g in self.gpus if g.enclosure is enclosure])
        self.hooks.tell("departure", departure)
        self.hooks.tell("detach", enclosure.spec.name)
        gone = list(enclosure.functions)
        for function in gone:
            function.ready = False
            self._lose(function)
        seconds = DETACH_SECONDS + departure.seconds
        self.clock.at(seconds, lambda: self._hide(enclosure, gone, event=departure.event))

    def attach(self, enclosure: SimEnclosure, port: int | None = None) -> None:
        """Plug an enclosure's cable in, into `port` if given. Link training and enumeration take their time."""
        if enclosure.attached:
            return
        if port is not None:
            enclosure.port = port
        enclosure.waits = not enclosure.powered
        if enclosure.waits:
            return
        if enclosure.visible or enclosure.functions:
            # The host has not noticed yet that it was away; it does now.
            self._hide(enclosure, list(enclosure.functions), event=True)
        self._begin_attach(enclosure)
        identity = self._identity(enclosure)
        seconds = ROUTER_SECONDS + identity.seconds
        plug = enclosure.plugs

        def show() -> None:
            if enclosure.plugs == plug:
                self._show_router(enclosure, event=identity.event)

        self.clock.at(seconds, show)
        if identity.gpus_present:
            self._tunnel(enclosure, identity, seconds + TUNNEL_SECONDS)
        for behind in self.enclosures:
            if behind.spec.behind == enclosure.spec.name:
                self.attach(behind, enclosure.port)

    def _identity(self, enclosure: SimEnclosure) -> Identity:
        """What `enclosure` comes back as; it shows itself so from now on."""
        cards = [gpu for gpu in self.gpus if gpu.enclosure is enclosure]
        identity = Identity(enclosure.spec.name, enclosure.spec.uid, cards=[gpu.own_identity() for gpu in cards])
        self.hooks.tell("attach", identity)
        enclosure.uid, enclosure.slot, enclosure.usb_present = identity.uid, identity.slot, identity.usb_present
        enclosure.bridges = identity.bridges
        for card in identity.cards:
            self.gpus[card.gpu].identity = card
        elsewhere = identity.port is not None and identity.port != enclosure.port and not enclosure.spec.behind
        taken = [e.port for e in self.enclosures if e.attached and e is not enclosure]
        if elsewhere and identity.port in range(self.profile.host.ports) and identity.port not in taken:
            assert identity.port is not None  # noqa: S101  (just asked)
            enclosure.port = identity.port
        return identity

    def power(self, enclosure: SimEnclosure, *, on: bool) -> None:
        """Cut an enclosure's supply or give it back: link and cards go and come, and what they had latched is gone."""
        if on == enclosure.powered:
            return
        enclosure.powered = on
        waits = enclosure.waits if on else enclosure.attached
        if not on:
            self.detach(enclosure)
        enclosure.waits = waits and not on
        self.hooks.tell("supply", enclosure.spec.name, on)
        if waits and on and not self.why_not(enclosure, None):
            self.attach(enclosure)

    def remove_function(self, address: str) -> None:
        """The operating system lets go of a function and all below it (Linux: ``remove``)."""
        below = [f for f in self.functions.values() if self._is_below(f, address)]
        for function in below:
            self._lose(function)
        self._take_down(below, surprise=False)

    def authorize(self, enclosure: SimEnclosure, *, granted: bool) -> None:
        """The operating system grants or revokes the PCIe tunnel of a router (Linux: ``authorized``).

        Revoking takes those behind it down too; they stay revoked when it is granted again.
        """
        enclosure.authorized = int(granted)
        if granted:
            self._tunnel(enclosure, Identity(enclosure.spec.name, enclosure.uid), TUNNEL_SECONDS)
            return
        for behind in self.enclosures:
            if behind.spec.behind == enclosure.spec.name and behind.authorized:
                self.authorize(behind, granted=False)
        gone, enclosure.functions = enclosure.functions, []
        for function in gone:
            self._lose(function)
        self._take_down(gone, surprise=False)

    def drive(self, function: Function, driver: str) -> None:
        """Let `driver` take a function, or nobody (empty): whatever was open on it is lost."""
        function.driver = driver
        gpu = function.gpu
        if function.role == "vga" and gpu is not None:
            gpu.generation += 1
            self._clear(gpu)
        self._news()

    def rescan(self) -> None:
        """The operating system looks for functions that are there but not known (Linux: ``rescan``)."""
        fixed = [f for f in self._fixed if f.address not in self.functions and not f.fallen]
        if fixed:
            self._bring_up(fixed, event=True)
        for enclosure in self.enclosures:
            missing = [f for f in enclosure.functions if f.address not in self.functions and not f.fallen]
            if enclosure.attached and enclosure.visible and enclosure.authorized and missing:
                self._bring_up(missing, event=True)

    def _begin_attach(self, enclosure: SimEnclosure) -> None:
        spec = enclosure.spec
        gpu = next((g for g in self.gpus if g.enclosure is enclosure), None)
        training = Training(
            enclosure=spec.name,
            lane_gbps=spec.lane_gbps,
            lanes=spec.lanes,
            # The hop inside the enclosure: its own PCIe bridge has four lanes, whatever the card could do.
            pcie_gts=_GTS[min(gpu.spec.pcie_gen, 4)] if gpu else 8.0,
            pcie_width=min(gpu.spec.pcie_width, 4) if gpu else 4,
        )
        enclosure.best = replace(training)
        self.hooks.tell("link_training", training)
        enclosure.attached, enclosure.training, enclosure.uid = True, training, spec.uid
        enclosure.plugs += 1
        # As a desktop's daemon does with every enclosure it has seen before.
        enclosure.authorized = enclosure.spec.authorized

    def _tunnel(self, enclosure: SimEnclosure, identity: Identity, seconds: float) -> None:
        plug = enclosure.plugs

        def come_up() -> None:
            if enclosure.plugs == plug and enclosure.authorized:
                self._show_functions(enclosure, identity)

        self.clock.at(seconds, come_up)

    def _show_router(self, enclosure: SimEnclosure, *, event: bool = True) -> None:
        if enclosure.attached and not enclosure.visible:
            enclosure.visible = True
            with self._told(event=event):
                self.face.router_attached(enclosure)

    def _show_functions(self, enclosure: SimEnclosure, identity: Identity) -> None:
        if enclosure.attached and enclosure.authorized and not enclosure.functions:
            enclosure.functions = topology.enclosure_functions(self, enclosure)
            self._bring_up(enclosure.functions, event=identity.event)

    def _hide(self, enclosure: SimEnclosure, gone: list[Function], *, event: bool) -> None:
        enclosure.functions = [f for f in enclosure.functions if f not in gone]
        with self._told(event=event):
            self._take_down(gone, surprise=True)
            if enclosure.visible and not enclosure.attached:
                enclosure.visible = False
                self.face.router_detached(enclosure)

    @contextmanager
    def _told(self, *, event: bool) -> Iterator[None]:
        """Whether the host announces what happens within."""
        before, self._silent = self._silent, self._silent or not event
        try:
            yield
        finally:
            self._silent = before

    def _bring_up(self, functions: Sequence[Function], *, event: bool) -> None:
        for function in functions:
            function.ready = True
            self.functions[function.address] = function
            if function.role == "vga" and function.gpu is not None:
                gpu = function.gpu
                gpu.function = function
                gpu.power_on()
        self.face.functions_attached(functions, event=event)
        self._news()

    def _take_down(self, functions: Sequence[Function], *, surprise: bool) -> None:
        known = [f for f in functions if self.functions.pop(f.address, None) is not None]
        if known:
            self.face.functions_detached(known, surprise=surprise)
            self._news()

    def _lose(self, function: Function) -> None:
        gpu = function.gpu
        if function.role == "vga" and gpu is not None and gpu.function is not None:
            gpu.function = None
            gpu.generation += 1
            self._clear(gpu)
            self._news()

    def _news(self) -> None:
        for listener in list(self.on_change):
            listener()

    def _clear(self, gpu: SimGpu, *, vram: bool = True, contexts: bool = True) -> None:
        # What loses power forgets; a driver scrubs what a reset left. Either way nobody reads the last owner's data.
        if vram:
            gpu.memory.clear(0, gpu.memory.size)
        if contexts:
            gpu.heap = Heap(gpu.spec.vram_bytes, reserved=gpu.heap.reserved)

    def interrupt(self, gpu: SimGpu, *, vram: bool, contexts: bool) -> None:
        """A card was reset or slept: its memory (`vram`) and what was open on it (`contexts`) are lost, or not."""
        gpu.generation += contexts
        self._clear(gpu, vram=vram, contexts=contexts)
        self._news()

    def _is_below(self, function: Function, address: str) -> bool:
        at: str | None = function.address
        while at is not None:
            if at == address:
                return True
            above = self.functions.get(at)
            at = above.parent if above else None
        return False

    # Registers --------------------------------------------------------------------------------------------------------

    def config_read(self, function: Function, offset: int, size: int) -> bytes:
        """Config space as the bus answers: all ones where nobody does."""
        if not function.ready:
            data = b"\xff" * size
        elif self._retries(function):
            data = (RETRY_STATUS.to_bytes(4, "little") + b"\xff" * 4096)[offset : offset + size]
        else:
            data = function.config.read(offset, size)
        return self.hooks.change("config_read", function.address, offset, value=data)

    def _retries(self, function: Function) -> bool:
        # Asked by the clock too: who waited for just so long must not find the timer that is due now still to come.
        function.retrying = function.retrying and self.clock.now() < function.retry_until
        return function.retrying

    def config_write(self, function: Function, offset: int, data: bytes) -> None:
        """Write config space; lost where nobody listens."""
        changed = self.hooks.change_or_drop("config_write", function.address, offset, value=data)
        if changed is not None and function.ready:
            function.config.write(offset, changed)
            if function.config.asks_for_reset(offset, changed):
                self.reset(function, "flr", restores_config=False)

    def bar_read(self, function: Function, bar: int, offset: int, size: int) -> bytes:
        """Read a BAR: 0 registers, 1 memory. All ones where nobody answers or memory decoding is off."""
        gpu = function.gpu
        if gpu is None or not function.ready or self._retries(function) or not function.config.decodes(bar):
            data = b"\xff" * size
        elif function.role != "vga" or bar not in (0, 1):
            data = bytes(size)  # registers that nothing is known about
        elif bar == 1:
            data = self.vram_read(gpu, offset, size).ljust(size, b"\xff")
        else:
            first = offset & ~3
            words = range(first, offset + size, 4)
            whole = b"".join(gpu.registers.get(word, 0).to_bytes(4, "little") for word in words)
            data = whole[offset - first : offset - first + size]
        return self.hooks.change("bar_read", function.address, bar, offset, value=data)

    def bar_write(self, function: Function, bar: int, offset: int, data: bytes) -> None:
        """Write a BAR (posted: lost without a word where nobody listens)."""
        gpu = function.gpu
        changed = self.hooks.change_or_drop("bar_write", function.address, bar, offset, value=data)
        if changed is None or gpu is None or function.role != "vga":
            return
        if not function.ready or self._retries(function) or not function.config.decodes(bar):
            return
        if bar == 1:
            self.vram_write(gpu, offset, changed)
        elif bar == 0 and offset % 4 == 0:
            for i in range(0, len(changed) - 3, 4):
                gpu.registers[offset + i] = int.from_bytes(changed[i : i + 4], "little")

    def vram_read(self, gpu: SimGpu, address: int, size: int) -> bytes:
        """Bytes of the card's memory."""
        return self.hooks.change(
            "vram_read", gpu.index, address, value=bytes(gpu.memory.view[address : address + size])
        )

    def vram_write(self, gpu: SimGpu, address: int, data: bytes) -> None:
        """Write the card's memory; what falls outside it is lost."""
        data = self.hooks.change("vram_write", gpu.index, address, value=data)
        if 0 <= address < gpu.memory.size:
            gpu.memory.write(address, data[: gpu.memory.size - address])

    def bar_size(self, function: Function, bar: int) -> int:
        """Size of a BAR in bytes; 0 = there is none."""
        return function.config.bar_sizes.get(bar, 0) if function.config.assigned(bar) else 0

    def reset(self, function: Function, kind: str, *, restores_config: bool) -> ResetPlan:
        """Begin a reset: the function does not answer for ``plan.seconds``, then it has forgotten everything.

        The caller spends the time (`plan.seconds`) and answers its client by `plan.succeeds`.
        """
        plan = ResetPlan(function.address, kind, RESET_SECONDS, restores_config=restores_config)
        self.hooks.tell("reset", plan)
        plan.succeeds = plan.succeeds and not function.fallen
        saved = function.config.snapshot()
        function.ready = False
        gpu = function.gpu if function.role == "vga" else None
        if gpu is not None:
            self.interrupt(gpu, vram=not plan.vram_survives, contexts=not plan.context_survives)

        def settle(function: Function) -> None:
            self._retries(function)

        def done() -> None:
            if self.functions.get(function.address) is not function:
                return  # it was unplugged meanwhile
            function.config.reset()
            if plan.restores_config:
                function.config.restore(saved)
            for offset, held in plan.config.items():
                function.config.overwrite(offset, held)
            function.ready = True
            function.retrying = plan.retry_status_for > 0
            function.retry_until = self.clock.now() + plan.retry_status_for
            self.clock.at(plan.retry_status_for, lambda: settle(function))
            if gpu is not None:
                gpu.power_on()
            self._news()

        if plan.succeeds:
            self.clock.at(plan.seconds, done)
        return plan


_GTS = {1: 2.5, 2: 5.0, 3: 8.0, 4: 16.0, 5: 32.0, 6: 64.0}


def _face(machine: Machine) -> Face:
    if machine.profile.host.system == "Linux":
        from hil.sim.linux import LinuxFace  # noqa: PLC0415  (each face knows the machine)

        return LinuxFace(machine)
    from hil.sim.macos import MacFace  # noqa: PLC0415

    return MacFace(machine)
