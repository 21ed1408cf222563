"""What exists on a bench: facts, frozen, without any I/O."""

from hil.model.dicts import from_dict, to_dict
from hil.model.identity import aliases, device_id, gpu_aliases, slug
from hil.model.inventory import (
    Domain,
    Enclosure,
    Gpu,
    HostFacts,
    Inventory,
    PciFunction,
    Retimer,
    Router,
    RouterRole,
)
from hil.model.links import BANDS, Band, LaneLink, LinkKind, PcieLink
from hil.model.units import GB, GIB, KIB, MIB, Direction, decimal_gb_s, size_text

__all__ = [
    "BANDS",
    "GB",
    "GIB",
    "KIB",
    "MIB",
    "Band",
    "Direction",
    "Domain",
    "Enclosure",
    "Gpu",
    "HostFacts",
    "Inventory",
    "LaneLink",
    "LinkKind",
    "PciFunction",
    "PcieLink",
    "Retimer",
    "Router",
    "RouterRole",
    "aliases",
    "decimal_gb_s",
    "device_id",
    "from_dict",
    "gpu_aliases",
    "size_text",
    "slug",
    "to_dict",
]
