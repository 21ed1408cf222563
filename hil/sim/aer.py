"""PCIe advanced error reporting: which errors there are, how grave each is, and which function tells of it.

Names are the kernel's (drivers/pci/pcie/aer.c), bits those of the status registers (PCI Express Base Specification 5.0,
7.8.4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hil.sim.machine import Machine
    from hil.sim.parts import Function, SimGpu

CORRECTABLE = {
    "RxErr": 0, "BadTLP": 6, "BadDLLP": 7, "Rollover": 8, "Timeout": 12, "NonFatalErr": 13, "CorrIntErr": 14,
    "HeaderOF": 15,
}  # fmt: skip
UNCORRECTABLE = {
    "Undefined": 0, "DLP": 4, "SDES": 5, "TLP": 12, "FCP": 13, "CmpltTO": 14, "CmpltAbrt": 15, "UnxCmplt": 16,
    "RxOF": 17, "MalfTLP": 18, "ECRC": 19, "UnsupReq": 20, "ACSViol": 21, "UncorrIntErr": 22, "BlockedTLP": 23,
    "AtomicOpBlocked": 24, "TLPBlockedErr": 25, "PoisonTLPBlocked": 26,
}  # fmt: skip
_FATAL = frozenset({"DLP", "SDES", "FCP", "RxOF", "MalfTLP", "UncorrIntErr"})
"""As the severity register has them when a function is powered on."""
_TOLD_ABOVE = frozenset({"CmpltTO", "CmpltAbrt", "UnxCmplt"})
"""Whoever asked tells of an answer that did not come: for what the host reads, that is the root port."""


def severity(kind: str) -> str:
    """``correctable``, ``nonfatal`` or ``fatal``.

    Raises:
        ValueError: there is no such error; names those there are.

    """
    if kind in CORRECTABLE:
        return "correctable"
    if kind in UNCORRECTABLE:
        return "fatal" if kind in _FATAL else "nonfatal"
    raise ValueError(f"no AER error {kind!r}; known: {', '.join((*CORRECTABLE, *UNCORRECTABLE))}")


def count(machine: Machine, gpu: SimGpu, kind: str, times: int) -> None:
    """Let the function that notices `kind` on the way to `gpu` count and report it; nothing if `gpu` is not there.

    Its status registers say so until somebody clears them: Linux does at once, macOS never, and tells nobody.
    """
    grave = severity(kind)
    function = gpu.function
    if function is None or times < 1:
        return
    if kind in _TOLD_ABOVE:
        function = root(machine, function)
    elif not function.ready:
        return
    counted = function.aer.setdefault(grave, {})
    counted[kind] = counted.get(kind, 0) + times
    function.config.note_error(grave, CORRECTABLE.get(kind, UNCORRECTABLE.get(kind, 0)))
    machine.face.errors_counted(function, kind, times)


def root(machine: Machine, function: Function) -> Function:
    """The root port above `function`, or the topmost of those above it that are there."""
    above = machine.functions.get(function.parent or "")
    return function if above is None else root(machine, above)
