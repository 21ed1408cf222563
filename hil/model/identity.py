"""Who a device is: an id that outlives re-plugs, and a short alias that outlives enumeration order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from hil.model.inventory import Gpu, Inventory


def slug(text: str) -> str:
    """`text` in lower case with everything but letters and digits folded to single dashes; marks dropped.

    Vendor words that every card carries (NVIDIA, GeForce) are left out, so that aliases stay short.
    """
    words = re.sub(r"\b(nvidia|geforce|corporation|inc|generation)\b", " ", text.lower())
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-") or "device"


def device_id(
    *,
    uuid: str = "",
    vendor_id: int,
    device_id: int,
    subsystem: tuple[int | None, int | None] = (None, None),
    enclosure_uid: str = "",
    path: str = "",
) -> str:
    """The id of a device: its NVML UUID if known, else where it sits and what it is.

    Args:
        uuid: NVML UUID, ``GPU-…``.
        vendor_id: PCI vendor, 16 bits.
        device_id: PCI device, 16 bits.
        subsystem: PCI subsystem vendor and device; `None` = not reported.
        enclosure_uid: uid of the enclosure's router; empty for an internal slot.
        path: path below the enclosure (``0`` for its first GPU), or ``domain:slot`` of an internal card.

    """
    if uuid:
        return uuid
    sub = "-".join("xxxx" if part is None else f"{part:04x}" for part in subsystem)
    return f"{enclosure_uid or 'slot'}/{vendor_id:04x}-{device_id:04x}-{sub}/{path or '0'}"


def aliases(names: Mapping[str, str]) -> dict[str, str]:
    """Aliases for devices, given ``{device id: wished alias}``.

    On a clash a number is appended by sorted device id, never by order of enumeration: a bench that comes up in
    another order tonight keeps its names and so its histories.

    Returns:
        ``{device id: alias}``.

    """
    clashes = Counter(names.values())
    result: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for device in sorted(names):
        wish = names[device]
        counts[wish] += 1
        result[device] = wish if clashes[wish] == 1 else f"{wish}-{counts[wish]}"
    return result


def gpu_aliases(inventory: Inventory) -> dict[str, str]:
    """Aliases of all GPUs of `inventory`: their names with their enclosures', numbered on a clash.

    Numbered by the ids by place, which are known every night: a night without NVML must not swap two names.

    Returns:
        ``{device id: alias}``.

    """
    ids = {gpu.path_id or gpu.id: gpu.id for gpu in inventory.gpus}
    wishes = {
        gpu.path_id or gpu.id: slug(gpu.name + (f" {gpu.enclosure.device_name}" if gpu.enclosure else ""))
        for gpu in inventory.gpus
    }
    return {ids[place]: alias for place, alias in aliases(wishes).items()}


def found_again(inventory: Inventory, known: Gpu) -> Gpu | None:
    """The GPU of `inventory` that `known` is, under the id that it was known by; `None` if it is not there.

    By its id, else by its place: after a re-plug NVML may not know it yet, or not any more. A card with another UUID at
    that place is another card.
    """
    now = inventory.gpu(known.id) or (inventory.gpu(known.path_id) if known.path_id else None)
    if now is None or (known.uuid and now.uuid and known.uuid != now.uuid):
        return None
    return replace(now, id=known.id, uuid=now.uuid or known.uuid)
