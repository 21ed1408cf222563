"""Holding a device's own figures against the limits of the bench file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hil.bench.device import Device
    from hil.bench.file import Limits

UNITS = {"temperature_c": "°C", "power_w": "W"}


def exceeded(limits: Limits, told: dict[str, Any]) -> tuple[str, ...]:
    """What is above its limit in `told` (a `hil.watch.telemetry.TelemetrySample` as a dict), one sentence each.

    A figure that the card does not tell breaks no limit.
    """
    return tuple(
        f"{key.rpartition('_')[0]} is {told[key]:g} {unit}, and limits.{key} of the bench is {limit:g} {unit}"
        for key, unit in UNITS.items()
        if (limit := getattr(limits, key)) is not None and told.get(key) is not None and told[key] > limit
    )


def over(device: Device) -> tuple[str, ...]:
    """What is above its limit on `device` now; nothing is asked of it where the bench has no limits.

    Raises:
        NotSupported: there is no NVML to ask; says why.
        DeviceFault: NVML lost the device, or answered with an error.

    """
    limits = device.bench.limits
    if device.facts.gpu is None or not any(getattr(limits, key) is not None for key in UNITS):
        return ()
    return exceeded(limits, device.bench.host_call("telemetry", gpu=device.gpu_facts()))
