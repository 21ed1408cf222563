"""A GPU's own figures while it works: temperature, power, clocks, throttling, PCIe link, memory. Through NVML."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from hil.errors import DeviceGone, DriverError
from hil.hosts import Host
from hil.hosts.nvml_session import GPU_IS_LOST, NOT_FOUND, NOT_SUPPORTED, NvmlSession, code_of, nvml_session
from hil.model import Gpu

THROTTLE_REASONS: Final[dict[int, str]] = {
    0x001: "idle",
    0x002: "application clocks",
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "power brake",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "reliability",
}
"""Bits of NVML's clocks event reasons (nvml.h, nvmlClocksEventReason…)."""
_FUNCTION_NOT_FOUND: Final = 13
_PSTATE_UNKNOWN: Final = 32
_FINDING, _READING = "telemetry: finding", "telemetry: reading"
_LOST_OR_UNKNOWN: Final = (GPU_IS_LOST, NOT_FOUND)
_GRAPHICS, _MEMORY, _GPU_SENSOR = 0, 2, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySample:
    """One reading. `None` = this card or its driver does not tell."""

    time: float
    """Seconds on the host's clock."""
    temperature_c: float | None = None
    power_w: float | None = None
    graphics_mhz: float | None = None
    memory_mhz: float | None = None
    performance_state: int | None = None
    """0 (fastest) … 15."""
    throttle_reasons: tuple[str, ...] | None = None
    """Of `THROTTLE_REASONS`; a bit that is not listed there as ``bit 0x…``."""
    pcie_generation: int | None = None
    """An idle card drops to 1: no verdict on it alone."""
    pcie_width: int | None = None
    """Lanes."""
    pcie_replays: int | None = None
    """Packets sent again since the driver was loaded."""
    memory_used_bytes: int | None = None


def sample(host: Host, gpu: Gpu) -> TelemetrySample:
    """Read `gpu` once. To read again and again, keep `sampling` open.

    Raises:
        NotSupported: there is no NVML to ask; says why.
        DeviceGone: NVML has lost the GPU, or does not know it any more.
        DriverError: NVML answered with another error.

    """
    with sampling(host, gpu) as take:
        return take()


@contextmanager
def sampling(host: Host, gpu: Gpu) -> Iterator[Callable[[], TelemetrySample]]:
    """Within the block, every call of what it gives is one reading of `gpu`; raises as `sample` does.

    NVML holds the driver open meanwhile: close it before the GPU is to be removed in order.
    """
    with nvml_session(host) as session:
        handle = _asked(session, gpu, _FINDING, lambda nvml: _handle(nvml, gpu), gone=_LOST_OR_UNKNOWN)
        yield lambda: _asked(session, gpu, _READING, lambda nvml: _read(nvml, handle, host.clock.now()))


@contextmanager
def asked_of(host: Host, gpu: Gpu, *, finding: str = _FINDING, reading: str = _READING) -> Iterator[Callable[..., Any]]:
    """Within the block, what it gives asks NVML one function of `gpu`: ``told("nvmlDeviceGetX", …)``.

    `None` where card or driver does not know it; raises as `sample` does, with messages that begin with `finding` or
    `reading`.
    """
    with nvml_session(host) as session:
        handle = _asked(session, gpu, finding, lambda nvml: _handle(nvml, gpu), gone=_LOST_OR_UNKNOWN)
        yield lambda function, *given: _asked(session, gpu, reading, lambda nvml: _told(nvml, handle, function, *given))


def replays(host: Host, gpu: Gpu) -> int | None:
    """Packets that were sent again on `gpu`'s link since its driver was loaded; `None` where the card does not tell.

    Raises as `sample`.
    """
    with asked_of(host, gpu) as told:
        count: int | None = told("nvmlDeviceGetPcieReplayCounter")
        return count


def _asked(
    session: NvmlSession, gpu: Gpu, doing: str, ask: Callable[[Any], Any], *, gone: tuple[int, ...] = (GPU_IS_LOST,)
) -> Any:
    try:
        with session.use() as nvml:
            return ask(nvml)
    except session.failure as error:
        code = code_of(error)
        what = f"{doing} {gpu.name} at {gpu.function.address}: NVML says {error} (code {code})"
        if code in gone:
            raise DeviceGone(f"{what}; it was unplugged, or its driver let go of it", code=code) from error
        raise DriverError(what, code=code) from error


def _handle(nvml: Any, gpu: Gpu) -> Any:
    # By UUID where it is known: at its old address there may be another card by now.
    if gpu.uuid:
        return nvml.nvmlDeviceGetHandleByUUID(gpu.uuid)
    return nvml.nvmlDeviceGetHandleByPciBusId(gpu.function.address)


def _read(nvml: Any, handle: Any, now: float) -> TelemetrySample:
    told = partial(_told, nvml, handle)
    power, memory, state = (
        told(name) for name in ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetPerformanceState")
    )
    return TelemetrySample(
        time=now,
        temperature_c=told("nvmlDeviceGetTemperature", _GPU_SENSOR),
        power_w=None if power is None else power / 1000,  # NVML counts milliwatts
        graphics_mhz=told("nvmlDeviceGetClockInfo", _GRAPHICS),
        memory_mhz=told("nvmlDeviceGetClockInfo", _MEMORY),
        performance_state=None if state == _PSTATE_UNKNOWN else state,
        throttle_reasons=_reasons(told("nvmlDeviceGetCurrentClocksThrottleReasons")),
        pcie_generation=told("nvmlDeviceGetCurrPcieLinkGeneration"),
        pcie_width=told("nvmlDeviceGetCurrPcieLinkWidth"),
        pcie_replays=told("nvmlDeviceGetPcieReplayCounter"),
        memory_used_bytes=None if memory is None else int(memory.used),
    )


def _told(nvml: Any, handle: Any, function: str, *arguments: Any) -> Any:
    try:
        return getattr(nvml, function)(handle, *arguments)
    except nvml.NVMLError as error:
        if error.value in (NOT_SUPPORTED, _FUNCTION_NOT_FOUND):
            return None
        raise


def _reasons(bits: int | None) -> tuple[str, ...] | None:
    if bits is None:
        return None
    single = [1 << n for n in range(64) if bits >> n & 1]
    return tuple(THROTTLE_REASONS.get(bit, f"bit {bit:#x}") for bit in single)
