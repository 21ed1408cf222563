"""Config space, BARs and reset of one PCI function, by whatever way the host has to it."""

from hil.pci.base import DEFAULT_RESET, FunctionAccess
from hil.pci.capabilities import decode_link, find_capability, maximum_link, negotiated_link
from hil.pci.config import ConfigSnapshot, Register, differences, restore, snapshot
from hil.pci.opening import open_function
from hil.pci.ready import Presence, presence, wait_ready
from hil.pci.refusal import refusal, write_attribute
from hil.pci.registers import ChipIdentity, identify
from hil.pci.sysfs import SysfsFunction
from hil.pci.tinygpu import TinyGpuFunction, open_tinygpu, socket_path

__all__ = [
    "DEFAULT_RESET",
    "ChipIdentity",
    "ConfigSnapshot",
    "FunctionAccess",
    "Presence",
    "Register",
    "SysfsFunction",
    "TinyGpuFunction",
    "decode_link",
    "differences",
    "find_capability",
    "identify",
    "maximum_link",
    "negotiated_link",
    "open_function",
    "open_tinygpu",
    "presence",
    "refusal",
    "restore",
    "snapshot",
    "socket_path",
    "wait_ready",
    "write_attribute",
]
