"""What stands beside the devices' locks: what a later run has to put right if this one dies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.bench.bench import Bench
    from hil.bench.device import Device

GIVEN_UP = "quarantine"
"""What a quarantine stands under."""


class Notes:
    """The notes of one run; several things may be away from one device at a time."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._states: dict[str, dict[str, Any]] = {}

    def put(self, device: Device, key: str, away: Any) -> None:
        """Note that `away` (builtin types) is to be put right under `key`; nothing (empty, `None`) is any more."""
        state = self._states.setdefault(device.facts.id, {})
        if away:
            state[key] = away
        else:
            state.pop(key, None)
        self._bench.host_call("note", device=device.facts.id, state=dict(state))


def given_up(state: Mapping[str, Any]) -> list[str]:
    """What a run that died had quarantined, from the `state` beside its lock, one sentence each.

    Nothing has to be put right: the health gate sees for itself how the device is now.
    """
    found = state.get(GIVEN_UP)
    if not isinstance(found, list):
        return []
    return [
        f"a run that died had quarantined {facts['device']} ({facts['reason']}): it is tried again"
        for facts in found
        if isinstance(facts, dict) and {"device", "reason"} <= facts.keys()
    ]
