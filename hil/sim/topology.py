"""Which PCI functions an attached enclosure or a card in a slot brings, and their addresses."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hil.model import GIB, MIB
from hil.sim.config_space import (
    DOWNSTREAM_PORT,
    ROOT_COMPLEX_ENDPOINT,
    ROOT_PORT,
    UPSTREAM_PORT,
    ConfigSpace,
)
from hil.sim.parts import NVIDIA, Function, SimEnclosure, SimGpu
from hil.sim.profile import SLOTS

if TYPE_CHECKING:
    from hil.sim.machine import Machine

INTEL, APPLE = 0x8086, 0x106B
VGA, AUDIO, BRIDGE, USB4_HOST = 0x030000, 0x040300, 0x060400, 0x0C0340
BUSES_A_PORT = 0x20
"""Bus numbers that firmware sets aside below each hot-plug port."""
MOST_BRIDGES = 3
"""That fit between an enclosure's first slot and its card, with the bus numbers that there are."""
ONWARD = 4
"""Device number of the downstream port that leads on to the next enclosure; those of the slots are 1 … 3."""


def root_address(machine: Machine, port: int) -> str:
    """BDF of the tunnel's root port of a receptacle: always there, whether something is plugged in or not."""
    return f"0000:00:07.{port}" if machine.profile.host.system == "Linux" else f"0000:{port * BUSES_A_PORT:02x}:00.0"


def controller_address(port: int) -> str:
    """BDF of the host controller (NHI) that owns the domain of a receptacle; Linux hosts only."""
    return f"0000:00:{0x0D + (port + 2) // 8:02x}.{(port + 2) % 8}"


def root_functions(machine: Machine) -> list[Function]:
    """The tunnels' root ports, one a receptacle; on Linux also the host controllers, which are PCI functions there."""
    linux = machine.profile.host.system == "Linux"
    maker, device = (INTEL, 0xA76E) if linux else (APPLE, 0x100C)
    found = []
    for port in range(machine.profile.host.ports):
        # A tunnel's root port is virtual and always says 2.5 GT/s x4, whatever the cable carries.
        config = ConfigSpace(
            vendor_id=maker, device_id=device, class_code=BRIDGE, generation=1, width=4, max_generation=1,
            port_type=ROOT_PORT,
        )  # fmt: skip
        first = port * BUSES_A_PORT + 2
        address = root_address(machine, port)
        config.forward(int(address[5:7], 16), first, first + BUSES_A_PORT - 3)
        found.append(Function(address, "root", config, None, driver="pcieport"))
        if linux:
            controller = ConfigSpace(
                vendor_id=INTEL, device_id=0xA73E, class_code=USB4_HOST, generation=1, width=1, max_generation=1,
                bar_sizes={0: 256 << 10}, port_type=ROOT_COMPLEX_ENDPOINT,
            )  # fmt: skip
            controller.place(low=0x7000_0000 + port * MIB)
            found.append(Function(controller_address(port), "controller", controller, None, driver="thunderbolt"))
    return found


def enclosure_functions(machine: Machine, enclosure: SimEnclosure) -> list[Function]:
    """An enclosure's switch (upstream, a downstream port for each card, one that leads on) and its cards' functions."""
    base = enclosure.port * BUSES_A_PORT + 2
    above = root_address(machine, enclosure.port)
    depth = 0
    holder = enclosure
    while holder.spec.behind:
        depth += 1
        front = machine.enclosure(holder.spec.behind)
        assert front is not None  # noqa: S101  (the profile was checked)
        holder = front
    if depth:
        # The switch in front leads on to the enclosure behind it.
        above = f"0000:{base + (depth - 1) * 8 + 1:02x}:{ONWARD:02x}.0"
        base += depth * 8
    maker, device = INTEL, 0x15DA

    last = (enclosure.port + 1) * BUSES_A_PORT - 1

    def bridge(bus: int, device_number: int, parent: str, buses: tuple[int, int]) -> Function:
        role, port_type = ("downstream", DOWNSTREAM_PORT) if device_number else ("upstream", UPSTREAM_PORT)
        config = ConfigSpace(
            vendor_id=maker, device_id=device, class_code=BRIDGE, generation=1, width=4, max_generation=1,
            port_type=port_type,
        )  # fmt: skip
        config.forward(bus, *buses)
        address = f"0000:{bus:02x}:{device_number:02x}.0"
        return Function(address, role, config, parent, enclosure=enclosure, driver="pcieport")

    upstream = bridge(base, 0, above, (base + 1, last))
    onward = bridge(base + 1, ONWARD, upstream.address, (base + 8, last))
    cards = [gpu for gpu in machine.gpus if gpu.enclosure is enclosure]
    first = min(enclosure.slot, SLOTS - max(len(cards), 1))
    slots = []
    extra = min(enclosure.bridges, MOST_BRIDGES)
    bus = base + 2 + first
    for n in range(max(len(cards), 1)):  # an empty slot has a port too
        buses = bus if n == 0 else bus + n + extra, base + 7 if n + 1 >= len(cards) else bus + n + extra
        slots.append(bridge(base + 1, 1 + first + n, upstream.address, buses))
    found = [upstream, *slots, onward]
    for n in range(extra):
        found.append(bridge(bus + n, 1, slots[0].address, (bus + n + 1, bus + extra)))
        slots[0] = found[-1]
    for n, gpu in enumerate(cards):
        functions = _card(gpu, f"0000:{bus + extra + n:02x}:00", slots[n].address, enclosure)
        found += [function for function in functions if _PARTS[function.role] not in gpu.identity.missing]
    return found


def slot_functions(machine: Machine, gpu: SimGpu) -> list[Function]:
    """A card in a slot inside the host, behind a root port of its own."""
    n = [g for g in machine.gpus if g.enclosure is None].index(gpu)
    bus = n * BUSES_A_PORT + 1  # the one that a port's tunnel does not use
    config = ConfigSpace(
        vendor_id=INTEL, device_id=0xA70D, class_code=BRIDGE, generation=gpu.spec.pcie_gen,
        width=gpu.spec.pcie_width, max_generation=gpu.spec.pcie_gen, port_type=ROOT_PORT,
    )  # fmt: skip
    config.forward(0, bus, bus)
    root = Function(f"0000:00:01.{n}", "root", config, None, driver="pcieport")
    return [root, *_card(gpu, f"0000:{bus:02x}:00", root.address, None)]


def _card(gpu: SimGpu, slot: str, parent: str, enclosure: SimEnclosure | None) -> list[Function]:
    spec, identity = gpu.spec, gpu.identity
    subsystem = identity.subsystem
    gts: int = spec.pcie_gen
    width: int = spec.pcie_width
    if enclosure is not None and enclosure.training is not None:
        gts = _GENERATION[enclosure.training.pcie_gts]
        width = enclosure.training.pcie_width
    # Through a tunnel only the 256 MiB window fits; in a slot the BAR covers the card's memory.
    window = 256 * MIB if enclosure is not None else _power_of_two(spec.vram_bytes)
    serial = int.from_bytes(hashlib.sha256(identity.uuid.encode()).digest()[:8], "little")
    vga = ConfigSpace(
        vendor_id=identity.vendor_id, device_id=identity.device_id, class_code=VGA, subsystem=subsystem,
        generation=gts, width=width,
        max_generation=spec.pcie_gen, max_width=spec.pcie_width, bar_sizes={0: 16 * MIB, 1: window, 3: 32 * MIB},
        largest_bar=_power_of_two(spec.vram_bytes), serial=serial,
    )  # fmt: skip
    audio = ConfigSpace(
        vendor_id=NVIDIA, device_id=0x22BA, class_code=AUDIO, subsystem=subsystem, generation=gts, width=width,
        max_generation=spec.pcie_gen, max_width=spec.pcie_width, bar_sizes={0: 16 << 10}, serial=serial,
    )  # fmt: skip
    low, high = 0x8000_0000 + gpu.index * 64 * MIB, 0x40_0000_0000 + gpu.index * 256 * GIB
    vga.place(low, high)
    audio.place(low + 32 * MIB, high)
    if "memory BAR" in identity.missing:
        vga.unassign(1)
    return [
        Function(f"{slot}.0", "vga", vga, parent, gpu=gpu, enclosure=enclosure, driver="nvidia"),
        Function(f"{slot}.1", "audio", audio, parent, gpu=gpu, enclosure=enclosure, driver="snd_hda_intel"),
    ]


def _power_of_two(size: int) -> int:
    return max(1 << (size - 1).bit_length(), GIB)


_PARTS = {"vga": "gpu", "audio": "audio"}
"""Functions of a card by role, as `CardIdentity.missing` names them."""
_GENERATION = {2.5: 1, 5.0: 2, 8.0: 3, 16.0: 4, 32.0: 5, 64.0: 6}
