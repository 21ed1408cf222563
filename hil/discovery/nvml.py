"""Discovery by NVML: UUIDs, names and memory of the GPUs that NVIDIA's driver has, through the real pynvml.

Linux only: there is no NVML on macOS. Nothing is loaded unless an NVIDIA GPU is on the bus. That NVML has nothing to
say is one problem then, and none on any other machine. A call may hang on a GPU that is just failing; who cannot wait
looks by `hil.discovery.glance`.

Read before: ``/sys/bus/pci/devices`` is listed, and of each function ``vendor`` and ``class``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.discovery import linux_pci, pci_ids
from hil.discovery.source import Contribution, GpuDetail
from hil.discovery.sysfs import Attributes, number
from hil.errors import HilError, NotSupported
from hil.hosts.nvml_session import NvmlSession, code_of, nvml_session

if TYPE_CHECKING:
    from hil.hosts.base import Host

_DISPLAY = {0x0300, 0x0302}  # PCI class VGA compatible and 3D controller


def discover(host: Host) -> Contribution | None:
    """What NVML on `host` knows of its GPUs; `None` where there is no NVIDIA GPU or no way to ask."""
    if host.facts().system != "Linux":
        return None
    addresses = _gpus(Attributes(host))
    if not addresses:
        return None
    try:
        with nvml_session(host) as session:
            return _described(session, addresses)
    except HilError as error:
        if isinstance(error, NotSupported) and error.code is None:
            return None  # pynvml is not installed, or the kind of host has no NVML: nothing is wrong with this machine
        return Contribution(problems=(f"{error}: UUIDs and memory sizes of the GPUs here are not known.",))


def _gpus(sysfs: Attributes) -> list[str]:
    """Addresses of the NVIDIA display functions on the bus."""
    addresses = sysfs.names(linux_pci.ROOT)
    told = sysfs.texts(linux_pci.ROOT, [f"{address}/{name}" for address in addresses for name in ("vendor", "class")])
    return [
        address
        for address in addresses
        if number(told[f"{address}/vendor"]) == pci_ids.NVIDIA
        and (number(told[f"{address}/class"]) or 0) >> 8 in _DISPLAY
    ]


def _described(session: NvmlSession, addresses: list[str]) -> Contribution:
    details: dict[str, GpuDetail] = {}
    silent: dict[str, str] = {}
    with session.use() as nvml:
        for address in addresses:
            try:
                details[address] = _detail(nvml, address)
            except session.failure as error:
                silent[address] = f"{error} (code {code_of(error)})"
    reasons = "; ".join(f"GPU {address}: {reason}" for address, reason in silent.items())
    return Contribution(
        details=details,
        looked_at=("NVML",),
        problems=(f"NVML tells neither UUID nor memory of {reasons}.",) if silent else (),
    )


def _detail(nvml: Any, address: str) -> GpuDetail:
    handle = nvml.nvmlDeviceGetHandleByPciBusId(address)
    return GpuDetail(
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        name=_text(nvml.nvmlDeviceGetName(handle)),
        vram_bytes=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
    )


def _text(value: str | bytes) -> str:
    # Older releases of pynvml return bytes.
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value
