"""What a GPU is set to and keeps over a reset or a re-plug: ECC, limits of its clocks and power. Through NVML."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hil.errors import DeviceGone, DriverError
from hil.hosts import Host
from hil.hosts.nvml_session import GPU_IS_LOST, NOT_FOUND, NOT_SUPPORTED, NvmlSession, code_of, nvml_session
from hil.model import Gpu

_NOT_TOLD: Final = (NOT_SUPPORTED, 13)
"""nvml.h's NOT_SUPPORTED and FUNCTION_NOT_FOUND."""
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
    with nvml_session(host) as session, session.use() as nvml:
        try:
            return _read(nvml, _handle(nvml, gpu), session)
        except session.failure as error:
            code = code_of(error)
            what = f"settings of {gpu.name} at {gpu.function.address}: NVML says {error} (code {code})"
            if code in (GPU_IS_LOST, NOT_FOUND):
                raise DeviceGone(f"{what}; it was unplugged, or its driver let go of it", code=code) from error
            raise DriverError(what, code=code) from error


def _handle(nvml: Any, gpu: Gpu) -> Any:
    # By UUID where it is known: at its old address there may be another card by now.
    if gpu.uuid:
        return nvml.nvmlDeviceGetHandleByUUID(gpu.uuid)
    return nvml.nvmlDeviceGetHandleByPciBusId(gpu.function.address)


def _read(nvml: Any, handle: Any, session: NvmlSession) -> GpuSettings:
    def told(ask: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return ask(handle, *arguments)
        except session.failure as error:
            if code_of(error) in _NOT_TOLD:
                return None
            raise

    ecc = told(nvml.nvmlDeviceGetEccMode)
    power = told(nvml.nvmlDeviceGetEnforcedPowerLimit)
    return GpuSettings(
        ecc=None if ecc is None else bool(ecc[0]),
        ecc_pending=None if ecc is None else bool(ecc[1]),
        max_graphics_mhz=told(nvml.nvmlDeviceGetMaxClockInfo, _GRAPHICS),
        max_memory_mhz=told(nvml.nvmlDeviceGetMaxClockInfo, _MEMORY),
        power_limit_w=None if power is None else power / 1000,  # NVML counts milliwatts
        vbios=_text(told(nvml.nvmlDeviceGetVbiosVersion)),
        serial=_text(told(nvml.nvmlDeviceGetSerial)),
    )


def _text(value: str | bytes | None) -> str | None:
    # Older releases of pynvml return bytes.
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value
