"""One device under test: its process, its health, and what may be done to it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hil.bench.messages import full_name
from hil.bench.notes import GIVEN_UP
from hil.bench.recovery import Rung, recover
from hil.errors import BenchFault, DeviceFault, DeviceGone, HilError, LinkFault, NotCaptured, NotSupported, says_enough
from hil.model import Gpu, Inventory, LinkKind, Router, found_again, to_dict
from hil.watch import KILL

if TYPE_CHECKING:
    from hil.bench.bench import Bench
    from hil.bench.calls import Call
    from hil.bench.inline import InlineProcess
    from hil.bench.process import DeviceProcess

__tracebackhide__ = says_enough
QUARANTINE = "quarantine"
"""`operation` of the error that a test of a quarantined device ends with."""
PROBE_DEADLINE = 2.0
"""Seconds on the host's clock for the health probe, which takes milliseconds on a device that is well."""
NOTICE_SECONDS = 1.0
"""On the host's clock: a device that fails its probe and stays in the inventory for so long counts as being there. What
hangs on a cable that was pulled is off the bus at once, and the host notices a moment later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """What is known of a device for as long as the run lasts."""

    alias: str
    id: str
    name: str
    engine: str
    """Copy engine that drives it; empty where none can."""
    target: str
    """What the engine opens."""
    gpu: Gpu | None
    """`None` for an OpenCL device that is no GPU of the inventory."""
    simulated: bool
    vram_bytes: int | None = None
    driver: str = ""
    """Version of the driver, as its engine told it when the bench was opened; empty = it does not tell."""

    @property
    def link_kind(self) -> LinkKind:
        """The hop that bounds its bandwidth."""
        return self.gpu.link_kind if self.gpu else LinkKind.UNKNOWN

    @property
    def enclosure(self) -> Router | None:
        """Router of the enclosure it sits in."""
        return self.gpu.enclosure if self.gpu else None


class Device:
    """A device that tests are run on. Its process is started when it is first needed, and anew after it died."""

    def __init__(self, bench: Bench, facts: DeviceFacts) -> None:
        self.bench = bench
        self.facts = facts
        self.quarantine = ""
        """Why no test may use it any more; empty = it may be used."""
        self.left_well = False
        """Whether it was well when the last test of it ended."""
        self.complaint = ""
        """What the health probe last found wrong."""
        self.story: list[Rung] = []
        """Rungs of the recovery ladder that were climbed since this was last cleared."""
        self.saved_config: dict[str, Any] | None = None
        """Its config space as it was when it was well, since it was last plugged in; for a reset to put back."""
        self.kept: dict[str, Any] = {}
        """What fixtures remember of it from one test to the next, by name: how it first was, say."""
        self._process: DeviceProcess | InlineProcess | None = None

    def __repr__(self) -> str:
        return f"<Device {self.alias}>"

    @property
    def alias(self) -> str:
        """Its short name, stable over nights."""
        return self.facts.alias

    def call(self, operation: str, /, *, deadline: float | None = None, **kwargs: Any) -> Any:
        """Do ``module:function`` of `hil.bench.operations` on the open device and wait for what it returns.

        Args:
            operation: ``transfer:round_trip``; with a dot in the module it is taken as it is.
            deadline: seconds on the host's clock; `None` = the bench's for an operation.
            kwargs: builtin types.

        Raises:
            HilError: what went wrong there, or `DeviceHung`, `DeviceCrashed`.

        """
        deadline = self.bench.deadlines.operation if deadline is None else deadline
        return self.process().call(full_name(operation), deadline=deadline, **kwargs)

    def submit(self, operation: str, /, *, deadline: float | None = None, **kwargs: Any) -> Call:
        """As `call`, without waiting."""
        deadline = self.bench.deadlines.operation if deadline is None else deadline
        return self.process().submit(full_name(operation), deadline=deadline, **kwargs)

    def process(self) -> DeviceProcess | InlineProcess:
        """Its process, with the device open.

        Raises:
            BenchFault: no copy engine can drive it.
            HilError: it could not be opened.

        """
        if not self.facts.engine and self.bench.captured:
            raise NotCaptured(
                f"{self.facts.name} cannot be opened: only what was read of it is there", device=self.alias
            )
        if not self.facts.engine:
            raise NotSupported(
                f"no installed copy engine can open {self.facts.name}: `pip install 'hil[all]'`, then see "
                "docs/engines.md",
                device=self.alias,
            )
        if self._process is None or not self._process.alive:
            self._process = self.bench.start_process(self.alias)
        self._process.call(
            full_name("session:open_session"),
            deadline=self.bench.deadlines.open,
            name=self.facts.engine,
            target=self.facts.target,
        )
        return self._process

    def bare_call(self, operation: str, /, *, deadline: float, **kwargs: Any) -> Any:
        """As `call`, in its process, but without opening the device first."""
        if self._process is None or not self._process.alive:
            self._process = self.bench.start_process(self.alias)
        return self._process.call(full_name(operation), deadline=deadline, **kwargs)

    def rest(self, seconds: float) -> None:
        """Let `seconds` pass on the host's clock, with the device as it is; not without a look at its link before."""
        self.bench.counting.look()
        self.bare_call("soak:idle", seconds=seconds, deadline=seconds + 30.0)

    def close_session(self) -> None:
        """Let go of the device, so that it can be removed in order; nothing if it is not open."""
        if self._process is not None and self._process.alive:
            self._process.call(full_name("session:close_session"), deadline=self.bench.deadlines.open)

    def renew(self) -> None:
        """Forget what a re-plug has made stale: the open session, and the process where its engine needs that."""
        self.saved_config = None
        if (
            self._process is not None
            and self._process.alive
            and self._process.call(full_name("session:renew"), deadline=self.bench.deadlines.open)
        ):
            self._process.close()

    def stop(self) -> None:
        """End its process, however it is."""
        if self._process is not None:
            self._process.close()

    def kill(self) -> None:
        """SIGKILL its process, as a crash would."""
        if self._process is not None:
            self.bench.counting.provoked.append(KILL)
            self._process.kill()

    def stderr_text(self) -> str:
        """What its process has printed."""
        return self._process.stderr_text() if self._process is not None else ""

    # Health -----------------------------------------------------------------------------------------------------------

    def probe(self) -> str:
        """The cheap health probe: empty if it is well, else what is wrong."""
        gpu = None if self.facts.gpu is None else to_dict(self.facts.gpu)
        try:
            if self._process is not None and not self._process.alive:
                return f"its process has ended: {self._process.ending}"
            state = self.bare_call("bus:health", deadline=PROBE_DEADLINE, gpu=gpu)
        except HilError as error:
            return str(error)
        return "" if state == "ready" else str(state)

    def examine(self) -> str:
        """As `probe`; where something is wrong, with what the inventory says of it."""
        wrong = self.probe()
        gpu = self.facts.gpu
        if not wrong or gpu is None:
            return wrong
        try:
            with suppress(LinkFault):  # it stays: something else is wrong
                self.bench.host_call(
                    "await_functions",
                    name=self.alias,
                    functions=[gpu.function.address],
                    there=False,
                    within=NOTICE_SECONDS,
                )
            inventory = self.bench.refresh()
        except HilError as error:
            return f"{wrong}; and the inventory cannot be had: {error}"
        if found_again(inventory, gpu) is not None:
            return wrong
        there = gpu.enclosure is not None and gpu.enclosure.uid in {router.uid for router in inventory.routers}
        place = "" if gpu.enclosure is None else f", its enclosure is {'still there' if there else 'gone too'}"
        return f"{self.alias} is not in the inventory any more{place}: {wrong}"

    def ensure_healthy(self) -> None:
        """Probe it, climb the recovery ladder if it is not well, and quarantine it if nothing helps.

        Raises:
            BenchFault: it is quarantined; says why.

        """
        if not self.quarantine:
            wrong = self.examine()
            if not wrong:
                self._save_config()
                return
            self.complaint = wrong
            self.story += recover(self, wrong)
            if self.story[-1].ok:
                return
            steps = "; ".join(f"{rung.name}: {rung.sentence}" for rung in self.story)
            self.quarantine = f"it is not well ({wrong}) and nothing helped ({steps})"
            with suppress(HilError):  # the reason is told by every test of it, whether or not it could be noted
                self.bench.left.put(self, GIVEN_UP, [{"device": self.alias, "reason": wrong}])
        raise BenchFault(f"{self.alias} is quarantined: {self.quarantine}", device=self.alias, operation=QUARANTINE)

    def _save_config(self) -> None:
        if self.saved_config is None and self.facts.gpu is not None and not self.bench.captured:
            with suppress(HilError):  # where registers cannot be reached nothing is there to be put back either
                self.saved_config = self.bare_call("mending:save", deadline=PROBE_DEADLINE, gpu=self.gpu_facts())

    # Inventory --------------------------------------------------------------------------------------------------------

    def relocate(self, inventory: Inventory) -> None:
        """Take over where it is now: its BDF may change with a re-plug, its id does not.

        Raises:
            DeviceGone: it is not in `inventory`.

        """
        if self.facts.gpu is None:
            return
        now = found_again(inventory, self.facts.gpu)
        if now is None:
            raise DeviceGone(f"{self.alias} ({self.facts.id}) is not in the inventory", device=self.alias)
        facts = {field: getattr(self.facts, field) for field in self.facts.__slots__}
        self.facts = DeviceFacts(**{**facts, "gpu": now})

    def require_gpu(self) -> Gpu:
        """The GPU of the inventory that this device is.

        Raises:
            NotSupported: it is none.

        """
        if self.facts.gpu is None:
            raise NotSupported(f"{self.alias} is no GPU of the inventory", device=self.alias)
        return self.facts.gpu

    def without_registers(self) -> str:
        """Why this host offers no way to its registers; empty if it does."""
        if self.facts.gpu is None:
            return "it is no GPU of the inventory"
        return str(self.bare_call("bus:unreachable", deadline=PROBE_DEADLINE, gpu=self.gpu_facts()))

    def gpu_facts(self) -> dict[str, Any]:
        """`require_gpu` in builtin types, as operations take it."""
        facts: dict[str, Any] = to_dict(self.require_gpu())
        return facts

    def require_enclosure(self) -> Router:
        """The enclosure that holds it.

        Raises:
            NotSupported: it sits in none.

        """
        enclosure = self.facts.enclosure
        if enclosure is None:
            raise NotSupported(f"{self.alias} sits in no enclosure", device=self.alias)
        return enclosure

    def reset(self, kind: str | None = None, *, deadline: float | None = None) -> dict[str, Any]:
        """Reset it, wait until it answers and put its config space back; see `hil.bench.operations.bus.reset`.

        Raises:
            NotPermitted: the bench does not allow it.
            DeviceFault: it did not come back, or came back wrong.

        """
        return self.reset_outcome(self.reset_call(kind, deadline=deadline))

    def reset_call(self, kind: str | None = None, *, deadline: float | None = None, after: float = 0.0) -> Call:
        """Submit `reset`, `after` seconds from now on the host's clock; see `reset_outcome`.

        Raises:
            NotPermitted: the bench does not allow it.

        """
        self.bench.require("reset", self)
        deadline = self.bench.deadlines.reset if deadline is None else deadline
        if self._process is None or not self._process.alive:
            self._process = self.bench.start_process(self.alias)
        return self._process.submit(
            full_name("bus:reset"),
            deadline=after + deadline + 5.0,
            gpu=self.gpu_facts(),
            kind=kind,
            ready_within=deadline,
            after=after,
        )

    def reset_outcome(self, running: Call) -> dict[str, Any]:
        """What `reset` returns; raises what it raises."""
        facts: dict[str, Any] = running.result()
        if facts["wrong"]:
            raise DeviceFault(
                f"{self.alias} came back from its reset with a wrong config space: {'; '.join(facts['wrong'])}",
                device=self.alias,
                operation="reset",
            )
        return facts
