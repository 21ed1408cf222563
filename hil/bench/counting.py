"""What a device's links counted and its driver logged while a test ran: one cheap reading from one test to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.errors import HilError
from hil.model import from_dict
from hil.watch import Observations

if TYPE_CHECKING:
    from hil.bench.bench import Bench
    from hil.bench.device import Device


class Counting:
    """The window of one bench: open on one device at a time.

    Attributes:
        provoked: what was done meanwhile that makes a sound link count errors and a sound driver log Xids (a cable
            pulled, a reset, a client killed), in words; cleared by `begin`.

    """

    def __init__(self, bench: Bench) -> None:
        self.provoked: list[str] = []
        self._bench = bench
        self._open_on = ""
        self._blind = False

    def begin(self, device: Device, *, afresh: bool = False) -> None:
        """Open the window on `device`.

        Where the last one to be closed was its own, that reading serves: nothing happened in between, unless
        `afresh` says so.
        """
        self.provoked.clear()
        address = _address(device)
        if not address or self._bench.captured:
            self._open_on = ""
        elif afresh or address != self._open_on:
            self._open_on = address if self._asked("window_open", gpu=device.gpu_facts()) is not None else ""

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

    def _asked(self, operation: str, **arguments: Any) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] | None = self._bench.host_call(operation, **arguments)
        except HilError as error:
            if not self._blind:
                self._blind = True
                self._bench.notes.append(f"error counters and kernel log were not read around every test: {error}")
            return None
        return found or {}


def _address(device: Device) -> str:
    return device.facts.gpu.function.address if device.facts.gpu else ""
