"""The recovery ladder: from the gentlest rung to the harshest, with evidence at each, until the device is well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.errors import HilError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.bench.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One attempt at making a device well."""

    name: str
    ok: bool
    sentence: str
    """What was done and what came of it."""


def recover(device: Device, wrong: str) -> list[Rung]:
    """Climb the ladder until the health probe is content; `wrong` is what it complained of.

    Returns:
        The rungs climbed, in order; only the last can be `ok`.

    """
    climbed: list[Rung] = []
    for name, forbidden, act in _LADDER:
        reason = forbidden(device)
        if reason:
            climbed.append(Rung(name=name, ok=False, sentence=f"not tried: {reason}"))
            continue
        try:
            act(device)
            device.process()
            still = device.probe()
        except HilError as error:
            still = str(error)
        ok = not still
        climbed.append(Rung(name=name, ok=ok, sentence=f"well again after: {wrong}" if ok else still))
        if ok:
            break
    return climbed


def _reopen(device: Device) -> None:
    device.stop()
    device.relocate(device.bench.refresh())


def _reset(device: Device) -> None:
    device.reset()


def _replug(device: Device) -> None:
    device.stop()
    device.bench.plugs.replug(device)


def _may_reopen(_: Device) -> str:
    return ""


def _may_reset(device: Device) -> str:
    return device.bench.cannot_reset(device)


def _may_replug(device: Device) -> str:
    return device.bench.plugs.cannot_unplug(device)


_LADDER: tuple[tuple[str, Callable[[Device], str], Callable[[Device], None]], ...] = (
    ("reopen", _may_reopen, _reopen),
    ("reset", _may_reset, _reset),
    ("replug", _may_replug, _replug),
)
