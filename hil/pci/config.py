"""Config space before and after: what a reset or a sleep clears, saved, compared and put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.errors import DeviceGone, DriverError
from hil.pci import capabilities
from hil.pci.base import ALL_ONES, COMMAND, COMMAND_MEMORY, VENDOR_ID
from hil.pci.capabilities import (
    ERROR_REPORTING,
    PCI_EXPRESS,
    RESIZABLE_BAR,
    find_capability,
    find_extended_capability,
    read_number,
)
from hil.pci.ready import presence

if TYPE_CHECKING:
    from hil.hosts import Clock
    from hil.pci.base import FunctionAccess

_HEADER_TYPE = 0x0E
# Name, offset, bytes. Sources: PCI Local Bus Specification 3.0, 6.1; PCI-to-PCI Bridge Architecture 1.2, 3.2.
_ENDPOINT = (
    *((f"BAR{bar}", 0x10 + 4 * bar, 4) for bar in range(6)),
    ("cache line size", 0x0C, 1),
    ("interrupt line", 0x3C, 1),
)
_BRIDGE = (
    *((f"BAR{bar}", 0x10 + 4 * bar, 4) for bar in range(2)),
    ("bus numbers", 0x18, 3),
    ("memory window", 0x20, 4),
    ("prefetchable window", 0x24, 4),
    ("prefetchable base, upper half", 0x28, 4),
    ("prefetchable limit, upper half", 0x2C, 4),
    ("bridge control", 0x3E, 2),
    ("cache line size", 0x0C, 1),
    ("interrupt line", 0x3C, 1),
)
_EXPRESS = (
    ("device control", capabilities.DEVICE_CONTROL, 2),
    ("link control", capabilities.LINK_CONTROL, 2),
)
_EXPRESS_2 = (
    ("device control 2", capabilities.DEVICE_CONTROL_2, 2),
    ("link control 2", capabilities.LINK_CONTROL_2, 2),
)
# Those of its registers that say what counts as an error; its status bits change by themselves.
_ERRORS = (
    ("uncorrectable error mask", 0x08, 4),
    ("uncorrectable error severity", 0x0C, 4),
    ("correctable error mask", 0x14, 4),
)
_POWER_MANAGEMENT = 0x01
"""Capability id (PCI Bus Power Management Interface Specification 1.2, 3.2)."""
_POWER_STATE = "power state"
_WAKING = 0.010
"""Seconds from D3hot to D0 until a function may be spoken to (the same specification, 5.6.1)."""
_STATES = 0x3
KEPT_BY_RESETS = (_POWER_STATE, *(name for name, _, _ in _ERRORS))
"""Names of registers that no reset changes of a function that is awake: D0 is where it ends, and what says which errors
count is sticky (PCI Express Base Specification 6.0, 6.6.2 and 7.8.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """One register of config space and what it read."""

    name: str
    offset: int
    size: int
    """Bytes."""
    value: int

    @property
    def text(self) -> str:
        """`value` in hexadecimal, as wide as the register."""
        return f"{self.value:#0{2 + 2 * self.size}x}"

    @property
    def asleep(self) -> bool:
        """Whether it is the power state, and not D0: every reset ends in D0, and nothing is lost by that."""
        return self.name == _POWER_STATE and bool(self.value & _STATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSnapshot:
    """The registers that a driver depends on and a reset clears, in the order in which they are put back."""

    address: str
    identity: int
    """Vendor id, device id in the upper half."""
    registers: tuple[Register, ...]


def snapshot(access: FunctionAccess) -> ConfigSnapshot:
    """Read what a reset would clear.

    Raises:
        DeviceGone: nobody answers.
        DriverError: the function is not ready.

    """
    doing = f"saving config space of {access.address}"
    _must_answer(access, doing)
    header = read_number(access, _HEADER_TYPE, 1) & 0x7F
    # Power first: asleep, a function takes little. Then sizes: they decide which bits of a BAR can be written.
    layout = [*_power(access), *_resizable(access), *(_BRIDGE if header == 1 else _ENDPOINT), *_errors(access)]
    at = find_capability(access, PCI_EXPRESS)
    if at is not None:
        version = read_number(access, at + 2, 2) & 0xF
        parts = _EXPRESS + (_EXPRESS_2 if version > 1 else ())
        layout += [(name, at + offset, size) for name, offset, size in parts]
    # Last: decoding must not be switched on before the BARs are right.
    layout.append(("COMMAND", COMMAND, 2))
    registers = tuple(
        Register(name=name, offset=offset, size=size, value=read_number(access, offset, size))
        for name, offset, size in layout
    )
    identity = read_number(access, VENDOR_ID, 4)
    if identity == ALL_ONES:
        raise DeviceGone(f"{doing}: it left meanwhile", operation=doing)
    return ConfigSnapshot(address=access.address, identity=identity, registers=registers)


def differences(before: ConfigSnapshot, after: ConfigSnapshot) -> tuple[str, ...]:
    """What changed, one sentence each (``COMMAND was 0x0407, is 0x0000``); empty = nothing did."""
    found = []
    if before.identity != after.identity:
        found.append(f"vendor and device id was {before.identity:#010x}, is {after.identity:#010x}")
    now = {register.name: register for register in after.registers}
    for register in before.registers:
        other = now.pop(register.name, None)
        if other is None:
            found.append(f"{register.name} was {register.text}, is not there")
        elif other.value != register.value and not register.asleep:
            found.append(f"{register.name} was {register.text}, is {other.text}")
    found += [f"{register.name} was not there, is {register.text}" for register in now.values()]
    return tuple(found)


def restore(access: FunctionAccess, saved: ConfigSnapshot, clock: Clock | None = None) -> tuple[str, ...]:
    """Put `saved` back, COMMAND last, and check that it took; `clock` lets a function wake up first.

    Returns:
        What had changed before, as `differences` says it.

    Raises:
        DeviceGone: nobody answers.
        DriverError: the function is not ready, is another device, or did not take the values.

    """
    doing = f"restoring config space of {access.address}"
    found = snapshot(access)
    if found.identity != saved.identity:
        raise DriverError(
            f"{doing}: another device answers: {found.identity:#010x}, not {saved.identity:#010x}",
            operation=doing,
        )
    changed = differences(saved, found)
    if any(sentence.startswith("BAR") for sentence in changed):
        # A BAR must not be moved or resized while it decodes.
        command = read_number(access, COMMAND, 2) & ~COMMAND_MEMORY
        access.config_write(COMMAND, command.to_bytes(2, "little"))
    for register in saved.registers:
        # Read again: a new BAR size clears address bits. What stands right is left alone.
        if not register.asleep and read_number(access, register.offset, register.size) != register.value:
            access.config_write(register.offset, register.value.to_bytes(register.size, "little"))
            if register.name == _POWER_STATE and clock is not None:
                clock.sleep(_WAKING)
    left = differences(saved, snapshot(access))
    if left:
        raise DriverError(f"{doing}: it did not take: {'; '.join(left)}", operation=doing)
    return changed


def _power(access: FunctionAccess) -> list[tuple[str, int, int]]:
    at = find_capability(access, _POWER_MANAGEMENT)
    return [] if at is None else [(_POWER_STATE, at + 4, 1)]


def _errors(access: FunctionAccess) -> list[tuple[str, int, int]]:
    at = find_extended_capability(access, ERROR_REPORTING)
    return [] if at is None else [(name, at + offset, size) for name, offset, size in _ERRORS]


def _resizable(access: FunctionAccess) -> list[tuple[str, int, int]]:
    at = find_extended_capability(access, RESIZABLE_BAR)
    if at is None:
        return []
    count = read_number(access, at + 8, 4) >> 5 & 0x7
    return [(f"BAR size control {n}", at + 8 + 8 * n, 4) for n in range(count)]


def _must_answer(access: FunctionAccess, doing: str) -> None:
    state = presence(access)
    if state == "gone":
        raise DeviceGone(f"{doing}: nobody answers; wait until it is ready, or replug", operation=doing)
    if state == "retry":
        raise DriverError(f"{doing}: it answers retry status: wait until it is ready", operation=doing)
