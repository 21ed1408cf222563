"""Which way leads to a GPU's PCI function on this host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.errors import DeviceGone, NotSupported
from hil.pci.base import VENDOR_ID
from hil.pci.capabilities import read_number
from hil.pci.ready import presence
from hil.pci.sysfs import DEVICES, SysfsFunction
from hil.pci.tinygpu import open_tinygpu

if TYPE_CHECKING:
    from hil.hosts import Host
    from hil.model import Gpu
    from hil.pci.base import FunctionAccess


def open_function(host: Host, gpu: Gpu) -> FunctionAccess:
    """Open the PCI function of `gpu`: through sysfs on Linux, through the TinyGPU server on a Mac.

    Raises:
        NotSupported: neither way exists on this host.
        DeviceGone: the function is not there.
        BenchFault: the TinyGPU server does not run, has no driver, or serves another GPU.
        DriverError: the TinyGPU server refused.

    """
    facts, address = host.facts(), gpu.function.address
    if facts.system == "Linux":
        try:
            host.stat(f"{DEVICES}/{address}")
        except OSError as error:
            raise DeviceGone(
                f"opening {address} ({gpu.name}): {DEVICES} has no such function; discover again",
                code=error.errno,
                operation="open",
            ) from error
        return SysfsFunction(host, address)
    if facts.system != "Darwin":
        raise NotSupported(f"opening {address}: no way to PCI functions is known on {facts.system!r}")
    if facts.arch == "x86_64":
        raise NotSupported(f"opening {address}: TinyGPU makes Intel Macs panic; use a Mac with Apple silicon")
    access = open_tinygpu(host, address)
    try:
        _must_be(access, gpu)
    except BaseException:
        access.close()
        raise
    return access


def _must_be(access: FunctionAccess, gpu: Gpu) -> None:
    # The server takes the first GPU that matched its driver; with two plugged in it need not be this one.
    if presence(access) != "ready":
        return
    found = read_number(access, VENDOR_ID, 4)
    drives = f"{found & 0xFFFF:04x}:{found >> 16:04x}"
    wanted = gpu.function.device_id << 16 | gpu.function.vendor_id
    if found != wanted:
        raise NotSupported(
            f"opening {gpu.function.address} ({gpu.name}): the TinyGPU server drives {drives}, "
            f"not {wanted & 0xFFFF:04x}:{wanted >> 16:04x}; leave one GPU plugged in",
            operation="open",
        )
