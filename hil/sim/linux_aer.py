"""What the simulated Linux does when a function reports an error: it prints as a kernel does, and clears registers.

Words and order: the kernel's drivers/pci/pcie/aer.c (`aer_print_port_info`, `aer_print_error`). Kernels from 6.16 on
print ten errors of a function in five seconds; here all do.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hil.sim import aer
from hil.sim import config_space as layout

if TYPE_CHECKING:
    from hil.sim.machine import Machine
    from hil.sim.parts import Function

BURST, INTERVAL = 10, 5.0
"""Errors of a function that are printed in so many seconds; all are counted."""
_WORDS = {
    "correctable": "Correctable",
    "nonfatal": "Uncorrectable (Non-Fatal)",
    "fatal": "Uncorrectable (Fatal)",
}
_PHYSICAL = frozenset({"RxErr"})
_DATA_LINK = frozenset({"BadTLP", "BadDLLP", "Rollover", "Timeout", "DLP"})
_AGENTS = {"Rollover": "Transmitter", "Timeout": "Transmitter", "CmpltTO": "Requester", "CmpltAbrt": "Completer"}


class LinuxAer:
    """The kernel's AER driver."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._printed: dict[str, deque[float]] = {}

    def report(self, function: Function, kind: str, times: int) -> None:
        """`function` reported `kind`; the kernel reads its registers, prints, and clears them."""
        grave = aer.severity(kind)
        if self._may_print(function.address):
            self._print(function, kind, grave, times)
        function.config.clear_errors()

    def _may_print(self, address: str) -> bool:
        now = self._machine.clock.now()
        printed = self._printed.setdefault(address, deque(maxlen=BURST))
        if len(printed) == BURST and now - printed[0] < INTERVAL:
            return False
        printed.append(now)
        return True

    def _print(self, function: Function, kind: str, grave: str, times: int) -> None:
        machine, config, word = self._machine, function.config, _WORDS[grave]
        port = aer.root(machine, function)
        several = "Multiple " if times > 1 else ""
        machine.log(f"pcieport {port.address}: AER: {several}{word} error message received from {function.address}")
        layer = "Physical" if kind in _PHYSICAL else "Data Link" if kind in _DATA_LINK else "Transaction"
        who = f"{function.driver or 'pci'} {function.address}"
        agent = _AGENTS.get(kind, "Receiver")
        machine.log(f"{who}: PCIe Bus Error: severity={word}, type={layer} Layer, ({agent} ID)")
        correctable = grave == "correctable"
        bit = (aer.CORRECTABLE if correctable else aer.UNCORRECTABLE)[kind]
        mask = int.from_bytes(config.read(layout.AER + (0x14 if correctable else 0x08), 4), "little")
        machine.log(
            f"{who}:   device [{config.vendor_id:04x}:{config.device_id:04x}] "
            f"error status/mask={1 << bit:08x}/{mask:08x}"
        )
        machine.log(f"{who}:    [{bit:2d}] {kind:<22}{'' if correctable else ' (First)'}")
