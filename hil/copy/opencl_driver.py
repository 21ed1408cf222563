"""pyopencl, found lazily: its devices under stable names, and its errors as ours."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hil.copy.base import EngineDevice
from hil.errors import DeviceGone, DriverError, NotSupported, OutOfMemory
from hil.model import aliases, slug

if TYPE_CHECKING:
    from collections.abc import Iterator

# Codes of cl.h that tell more than "the driver refused".
_GONE = frozenset({-2})  # DEVICE_NOT_AVAILABLE
# MEM_OBJECT_ALLOCATION_FAILURE, OUT_OF_RESOURCES, INVALID_BUFFER_SIZE
_NO_MEMORY = frozenset({-4, -5, -61})
_NO_PLATFORM = -1001  # PLATFORM_NOT_FOUND_KHR, from the loader (cl_khr_icd)
_NOT_INSTALLED = "the opencl engine needs pyopencl, which is not installed: pip install 'hil[opencl]'"


def load() -> Any:
    """The module pyopencl.

    Raises:
        NotSupported: it, or the OpenCL loader that it needs, is not installed.

    """
    try:
        import pyopencl  # noqa: PLC0415  (an optional dependency, and slow to import)
    except ImportError as error:
        raise NotSupported(f"{_NOT_INSTALLED} ({error})", operation="open OpenCL") from error
    return pyopencl


@contextmanager
def driver_errors(operation: str, device: str) -> Iterator[None]:
    """Raise what OpenCL refuses within as `DriverError`, `OutOfMemory` or `DeviceGone`."""
    cl = load()
    try:
        yield
    except cl.Error as error:
        raise failure(error.code, operation, device) from error


def failure(code: int, operation: str, device: str) -> DriverError | DeviceGone:
    """The error that stands for OpenCL's error `code`."""
    cl = load()
    kind: type[DriverError | DeviceGone] = DriverError
    advice = "the driver refused; its log may tell why"
    if code in _GONE:
        kind, advice = DeviceGone, "the device is not available any more: is it still attached?"
    elif code in _NO_MEMORY:
        kind, advice = OutOfMemory, "the device has not so much memory to give: free some or ask for less"
    name = cl.status_code.to_string(code, "error %d")
    return kind(
        f"{operation} on {device}: OpenCL returned {name} ({code}): {advice}",
        code=code,
        device=device,
        operation=operation,
    )


def found_devices() -> list[tuple[EngineDevice, Any]]:
    """Every OpenCL device of every platform with its pyopencl object, in order of target.

    The target is ``platform/device`` in slugs. Equal devices get a number, by PCI address where the driver
    tells it, else in the driver's own order.

    Raises:
        NotSupported: pyopencl is not installed.
        DriverError: a platform failed to list its devices.

    """
    cl = load()
    handles: dict[str, Any] = {}
    wishes: dict[str, str] = {}
    try:
        platforms = cl.get_platforms()
    except cl.Error as error:
        if error.code == _NO_PLATFORM:
            return []
        raise failure(error.code, "list OpenCL platforms", "the host") from error
    for platform in platforms:
        with driver_errors("list OpenCL devices", f"platform {platform.name}"):
            for device in platform.get_devices():
                key = f"{pci_address(device)} {len(handles):04}"
                handles[key] = device
                wishes[key] = f"{slug(platform.name)}/{slug(device.name)}"
    named = {target: handles[key] for key, target in aliases(wishes).items()}
    return [(facts(target, named[target]), named[target]) for target in sorted(named)]


def facts(target: str, device: Any) -> EngineDevice:
    """What OpenCL tells of `device`."""
    return EngineDevice(
        target=target,
        name=device.name.strip(),
        vram_bytes=device.global_mem_size,
        driver_version=device.driver_version,
        pci_address=pci_address(device),
    )


def pci_address(device: Any) -> str:
    """BDF as ``0000:04:00.0`` by NVIDIA's extension; empty where not told."""
    if "cl_nv_device_attribute_query" not in device.extensions.split():
        return ""
    cl = load()
    info = cl.device_info
    try:
        domain, bus, slot = (
            device.get_info(what) for what in (info.PCI_DOMAIN_ID_NV, info.PCI_BUS_ID_NV, info.PCI_SLOT_ID_NV)
        )
    except cl.Error:
        return ""  # an older driver: the fact is optional
    return f"{domain:04x}:{bus:02x}:{slot >> 3:02x}.{slot & 7}"
