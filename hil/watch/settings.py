"""What a GPU is set to and keeps over a reset or a re-plug: ECC, limits of its clocks and power. Through NVML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hil.hosts import Host
from hil.model import Gpu
from hil.watch.telemetry import asked_of

_SUBJECT: Final = "settings of"
_GRAPHICS, _MEMORY = 0, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSettings:
    """One reading. `None` = this card or its driver does not tell."""

    ecc: bool | None = None
    ecc_pending: bool | None = None
    """What it will be after the next restart."""
    max_graphics_mhz: float | None = None
    max_memory_mhz: float | None = None
    power_limit_w: float | None = None
    vbios: str | None = None
    serial: str | None = None


def settings(host: Host, gpu: Gpu) -> GpuSettings:
    """Read what `gpu` is set to.

    Raises:
        NotSupported: there is no NVML to ask; says why.
        DeviceGone: NVML has lost the GPU, or does not know it any more.
        DriverError: NVML answered with another error.

    """
    with asked_of(host, gpu, finding=_SUBJECT, reading=_SUBJECT) as told:
        ecc, power = told("nvmlDeviceGetEccMode"), told("nvmlDeviceGetEnforcedPowerLimit")
        return GpuSettings(
            ecc=None if ecc is None else bool(ecc[0]),
            ecc_pending=None if ecc is None else bool(ecc[1]),
            max_graphics_mhz=told("nvmlDeviceGetMaxClockInfo", _GRAPHICS),
            max_memory_mhz=told("nvmlDeviceGetMaxClockInfo", _MEMORY),
            power_limit_w=None if power is None else power / 1000,  # NVML counts milliwatts
            vbios=_text(told("nvmlDeviceGetVbiosVersion")),
            serial=_text(told("nvmlDeviceGetSerial")),
        )


def _text(value: str | bytes | None) -> str | None:
    # Older releases of pynvml return bytes.
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value
