"""The host itself is away: asleep until its wake, or starting again after a panic. Whoever asks it meanwhile waits.

What a sleep leaves, as chosen here: the links go down and train again; every function loses its power and forgets its
config space, and the operating system puts it back (Linux: `pci_restore_state`; macOS: IOPCIFamily). Memory of the
cards and what was open on them outlives it only where the driver saves it: on Linux with
``NVreg_PreserveVideoMemoryAllocations=1``, which is not the default; TinyGPU's extension keeps nothing. What is lost is
refused by the driver, never answered with other bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from hil.sim.faults.base import SleepPlan

if TYPE_CHECKING:
    from hil.sim.machine import Machine, SimEnclosure

RESUME_SECONDS = 1.6
"""From the wake to functions that answer: a tunnel is trained and enumerated anew."""
_BOOTS = uuid.UUID("5f0c7d0e-6d0d-4d5e-9d36-0f6f7a4b8c11")
"""Namespace of the boot ids."""


class Absence:
    """One machine's sleeps and panics. All methods are called with the machine's lock held."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._up = machine.clock.signal()
        self._why = ""
        self.sleeps = 0
        """How often it has slept since it was switched on."""
        self.woke_at = 0.0
        """Seconds of the machine's clock; 0 = it has not slept yet."""
        self.on_crash: list[Callable[[float], None]] = []
        """Called with the seconds that it takes, as the host panics: all connections to it break."""

    @property
    def away(self) -> bool:
        """Whether nothing on the host runs."""
        return bool(self._why)

    def wait(self, client: str) -> None:
        """Let `client` wait until the host runs. Raises as `hil.sim.clock.VirtualClock.wait`."""
        while self._why:
            self._machine.clock.wait(client, self._up, what=self._why)

    def sleep(self, seconds: float) -> SleepPlan:
        """Fall asleep now, for `seconds`; how it will go. The caller spends no time here."""
        machine = self._machine
        kept = machine.profile.host.system == "Linux" and machine.profile.host.preserve_video_memory
        plan = SleepPlan(seconds, RESUME_SECONDS, vram_survives=kept, context_survives=kept)
        machine.hooks.tell("sleep", plan)
        self._why = "the host, which sleeps"
        machine.face.slept()
        if not plan.context_survives:
            for gpu in machine.gpus:
                machine.interrupt(gpu, vram=False, contexts=True)
        machine.clock.at(plan.seconds + plan.resume_seconds, lambda: self._wake(plan))
        return plan

    def crash(self, seconds: float, report: str) -> None:
        """Panic now, and be up again after `seconds` with another boot id and a report of it."""
        machine = self._machine
        if self._why:
            return  # what is down cannot fall
        self._why = "the host, which is starting again"
        enclosures, cards = machine.stop()
        for listener in list(self.on_crash):
            listener(seconds)

        def boot() -> None:
            machine.lines.clear()
            machine.boot_id = str(uuid.uuid5(_BOOTS, machine.boot_id))
            machine.face.boot()
            machine.start(enclosures, cards)
            machine.face.crashed(report)
            self._return()

        machine.clock.at(seconds, boot)

    def _wake(self, plan: SleepPlan) -> None:
        machine = self._machine
        for enclosure in machine.enclosures:
            if enclosure.attached and enclosure.spec.name in plan.lost:
                machine.detach(enclosure)
            elif enclosure.attached:
                self._train(enclosure)
        for function in machine.functions.values():
            if function.enclosure is None and function.gpu is None:
                continue  # the host's own ports and controllers keep their power
            saved = function.config.snapshot()
            function.config.reset()
            if plan.restores_config:
                function.config.restore(saved)
        for gpu in machine.gpus:
            if gpu.function is not None:
                gpu.power_on()
                machine.interrupt(gpu, vram=not plan.vram_survives, contexts=not plan.context_survives)
        self.sleeps += 1
        self.woke_at = machine.clock.now()
        machine.face.woke()
        self._return()

    def _train(self, enclosure: SimEnclosure) -> None:
        before, best = enclosure.training, enclosure.best
        if before is None or best is None:
            return
        enclosure.training = replace(best)
        self._machine.hooks.tell("link_training", enclosure.training)
        if enclosure.visible and enclosure.training != before:
            self._machine.face.link_retrained(enclosure, before)

    def _return(self) -> None:
        self._why = ""
        self._up.fire()
