"""What a device's links counted and its driver logged while a test ran: one cheap reading from one test to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.errors import DeviceHung, HilError
from hil.model import from_dict
from hil.watch import Observations

if TYPE_CHECKING:
    from hil.bench.bench import Bench
    from hil.bench.device import Device


class Counting:
    """The window of one bench: open on one device at a time.

    Attributes:
        provoked: what was done meanwhile that makes a sound link count errors and a sound driver log Xids (a cable
            pulled, a reset, a client killed), keys of `hil.watch.alarms.EXPLAINED`; cleared by `begin`.
        hung: how a reading around the present test did not come back: the first of a run that does so fails its test,
            a second one is the last.

    """

    def __init__(self, bench: Bench) -> None:
        self.provoked: list[str] = []
        self.hung: DeviceHung | None = None
        self._bench = bench
        self._open_on = ""
        self._blind = False
        self._hangs = 0

    def begin(self, device: Device, *, afresh: bool = False) -> None:
        """Open the window on `device`.

        Where the last one to be closed was its own, that reading serves: nothing happened in between, unless
        `afresh` says so.
        """
        self.provoked.clear()
        self.hung = None
        address = _address(device)
        if not address or self._bench.captured:
            self._open_on = ""
        elif afresh or address != self._open_on:
            self._open_on = address if self._asked("window_open", gpu=device.gpu_facts()) is not None else ""

    def look(self) -> None:
        """Look at the enclosure's link in the middle of a test: what is told at its end may have passed by then."""
        if self._open_on:
            self._asked("window_look")

    def end(self, device: Device) -> Observations | None:
        """What was seen since `begin`; `None` where nothing can be seen."""
        if not self._open_on:
            return None
        facts = self._asked("window_turn")
        if self._open_on != _address(device):
            self._open_on = ""  # it came back elsewhere
        if not facts:
            self._open_on = ""
            return None
        return from_dict(Observations, facts)

    @property
    def stuck(self) -> bool:
        """Whether a reading would only cost its whole deadline once more."""
        return self.hung is not None or self._hangs > 1

    def note_hang(self, error: DeviceHung) -> None:
        """Take down that a reading around the present test did not come back."""
        self._hangs += 1
        self._open_on = ""  # the window was in the process that was killed
        if self._hangs > 1:
            self._say(error)
        else:
            self.hung = error

    def _asked(self, operation: str, **arguments: Any) -> dict[str, Any] | None:
        if self.stuck:
            return None
        try:
            found: dict[str, Any] | None = self._bench.host_call(operation, **arguments)
        except DeviceHung as error:
            self.note_hang(error)
            return None
        except HilError as error:
            self._say(error)
            return None
        return found or {}

    def _say(self, error: HilError) -> None:
        if not self._blind:
            self._blind = True
            self._bench.notes.append(f"error counters and kernel log were not read around every test: {error}")


def _address(device: Device) -> str:
    return device.facts.gpu.function.address if device.facts.gpu else ""
