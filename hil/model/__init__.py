"""What exists on a bench: facts, frozen, without any I/O."""

from hil.model.dicts import from_dict, to_dict
from hil.model.identity import aliases, device_id, found_again, gpu_aliases, slug
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
    UsbFunction,
)
from hil.model.links import BANDS, NOMINAL_GBPS, PCIE_PAYLOAD, Band, LaneLink, LinkKind, PcieLink
from hil.model.spread import MAD_TO_SD, robust_sd
from hil.model.units import GB, GIB, KIB, MIB, Direction, decimal_gb_s, size_text

__all__ = [
    "BANDS",
    "GB",
    "GIB",
    "KIB",
    "MAD_TO_SD",
    "MIB",
    "NOMINAL_GBPS",
    "PCIE_PAYLOAD",
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
    "UsbFunction",
    "aliases",
    "decimal_gb_s",
    "device_id",
    "found_again",
    "from_dict",
    "gpu_aliases",
    "robust_sd",
    "size_text",
    "slug",
    "to_dict",
]
