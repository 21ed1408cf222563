"""Marketing names of NVIDIA GPUs by PCI device id: desktop and workstation cards that fit an enclosure.

The facts come from the PCI ID repository (pci.ids, https://pci-ids.ucw.cz), names in brackets there.
"""

from __future__ import annotations

NVIDIA = 0x10DE

_NAMES = {
    0x2203: "GeForce RTX 3090 Ti",
    0x2204: "GeForce RTX 3090",
    0x2206: "GeForce RTX 3080",
    0x2208: "GeForce RTX 3080 Ti",
    0x220A: "GeForce RTX 3080 12GB",
    0x2216: "GeForce RTX 3080",
    0x2230: "RTX A6000",
    0x2231: "RTX A5000",
    0x2232: "RTX A4500",
    0x2233: "RTX A5500",
    0x2235: "A40",
    0x2236: "A10",
    0x2482: "GeForce RTX 3070 Ti",
    0x2484: "GeForce RTX 3070",
    0x2486: "GeForce RTX 3060 Ti",
    0x2488: "GeForce RTX 3070",
    0x2489: "GeForce RTX 3060 Ti",
    0x24B0: "RTX A4000",
    0x24C9: "GeForce RTX 3060 Ti",
    0x2503: "GeForce RTX 3060",
    0x2504: "GeForce RTX 3060",
    0x2507: "GeForce RTX 3050",
    0x2531: "RTX A2000",
    0x2571: "RTX A2000 12GB",
    0x2582: "GeForce RTX 3050",
    0x2584: "GeForce RTX 3050 6GB",
    0x25B0: "RTX A1000",
    0x25B2: "RTX A400",
    0x2684: "GeForce RTX 4090",
    0x2685: "GeForce RTX 4090 D",
    0x26B1: "RTX 6000 Ada Generation",
    0x26B2: "RTX 5000 Ada Generation",
    0x26B3: "RTX 5880 Ada Generation",
    0x26B5: "L40",
    0x26B9: "L40S",
    0x2702: "GeForce RTX 4080 SUPER",
    0x2703: "GeForce RTX 4080 SUPER",
    0x2704: "GeForce RTX 4080",
    0x2705: "GeForce RTX 4070 Ti SUPER",
    0x2709: "GeForce RTX 4070",
    0x2782: "GeForce RTX 4070 Ti",
    0x2783: "GeForce RTX 4070 SUPER",
    0x2786: "GeForce RTX 4070",
    0x2788: "GeForce RTX 4060 Ti",
    0x27B0: "RTX 4000 SFF Ada Generation",
    0x27B1: "RTX 4500 Ada Generation",
    0x27B2: "RTX 4000 Ada Generation",
    0x27B8: "L4",
    0x2803: "GeForce RTX 4060 Ti",
    0x2805: "GeForce RTX 4060 Ti 16GB",
    0x2808: "GeForce RTX 4060",
    0x2882: "GeForce RTX 4060",
    0x28B0: "RTX 2000 Ada Generation",
    0x2B85: "GeForce RTX 5090",
    0x2B87: "GeForce RTX 5090 D",
    0x2BB1: "RTX PRO 6000 Blackwell Workstation Edition",
    0x2BB4: "RTX PRO 6000 Blackwell Max-Q Workstation Edition",
    0x2BB5: "RTX PRO 6000 Blackwell Server Edition",
    0x2C02: "GeForce RTX 5080",
    0x2C05: "GeForce RTX 5070 Ti",
    0x2C31: "RTX PRO 4500 Blackwell",
    0x2C34: "RTX PRO 4000 Blackwell",
    0x2D04: "GeForce RTX 5060 Ti",
    0x2D05: "GeForce RTX 5060",
    0x2D83: "GeForce RTX 5050",
    0x2F04: "GeForce RTX 5070",
}


def is_known(device_id: int) -> bool:
    """Whether `device_id` (16 bits) is in the table, and so certainly a GPU."""
    return device_id in _NAMES


def name(device_id: int) -> str:
    """Marketing name of NVIDIA's `device_id` (16 bits), or ``NVIDIA 10de:2704`` if the table lacks it."""
    known = _NAMES.get(device_id)
    return f"NVIDIA {known}" if known else f"NVIDIA {NVIDIA:04x}:{device_id:04x}"
