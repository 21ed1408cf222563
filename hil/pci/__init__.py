"""Config space, BARs and reset of one PCI function, by whatever way the host has to it."""

from hil.pci.bars import Bar, disagreements, memory_bars
from hil.pci.base import COMMAND, DEFAULT_RESET, FunctionAccess
from hil.pci.binding import bind, bound_driver, unbind
from hil.pci.capabilities import decode_link, find_capability, maximum_link, negotiated_link, read_number, serial_number
from hil.pci.config import KEPT_BY_RESETS, ConfigSnapshot, Register, differences, restore, snapshot
from hil.pci.opening import open_function
from hil.pci.payload import Payload, misfits, payload_of
from hil.pci.ready import Presence, presence, wait_ready
from hil.pci.refusal import refusal, write_attribute
from hil.pci.registers import ChipIdentity, identify
from hil.pci.status import CORRECTED, clear_error_bits, error_bits
from hil.pci.sysfs import SysfsFunction
from hil.pci.tinygpu import TinyGpuFunction, open_tinygpu, socket_path

__all__ = [
    "COMMAND",
    "CORRECTED",
    "DEFAULT_RESET",
    "KEPT_BY_RESETS",
    "Bar",
    "ChipIdentity",
    "ConfigSnapshot",
    "FunctionAccess",
    "Payload",
    "Presence",
    "Register",
    "SysfsFunction",
    "TinyGpuFunction",
    "bind",
    "bound_driver",
    "clear_error_bits",
    "decode_link",
    "differences",
    "disagreements",
    "error_bits",
    "find_capability",
    "identify",
    "maximum_link",
    "memory_bars",
    "misfits",
    "negotiated_link",
    "open_function",
    "open_tinygpu",
    "payload_of",
    "presence",
    "read_number",
    "refusal",
    "restore",
    "serial_number",
    "snapshot",
    "socket_path",
    "unbind",
    "wait_ready",
    "write_attribute",
]
