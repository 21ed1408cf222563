"""The files of one PCI function in the simulated sysfs: ids, link, config, BARs, reset, AER counters.

A real kernel lets memory BARs be mapped only; here ``resourceN`` is read and written like a file, so that every access
passes the machine's faults.
"""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING

from hil.sim import aer
from hil.sim import config_space as layout
from hil.sim.linux_attributes import READ_WRITE, Folder, number, refused
from hil.sim.tree import File

if TYPE_CHECKING:
    from hil.sim.machine import Function, Machine

RESET_LIMIT = 60.0
"""Seconds for which the kernel waits for a function after a reset (PCIE_RESET_READY_POLL_MS)."""
RESET_NOISE = 1.0
"""Seconds after which it says so (PCI_RESET_WAIT)."""
_SPEEDS = {1: "2.5", 2: "5.0", 3: "8.0", 4: "16.0", 5: "32.0", 6: "64.0"}
_SEVERITIES = {
    "correctable": ("COR", tuple(aer.CORRECTABLE)),
    "fatal": ("FATAL", tuple(aer.UNCORRECTABLE)),
    "nonfatal": ("NONFATAL", tuple(aer.UNCORRECTABLE)),
}
_BAR_FLAGS, _WIDE_BAR_FLAGS = 0x40200, 0x14220C
"""Memory, aligned to its size; the wide ones also prefetchable and 64-bit (include/linux/ioport.h)."""
_RESOURCES, _BRIDGE_RESOURCES = 13, 17


def show_function(machine: Machine, function: Function, folder: Folder) -> None:
    """Fill `folder` with the files of `function`; links and what removes it are the bus's."""
    config = function.config
    subsystem = config.subsystem
    folder.show("vendor", f"{config.vendor_id:#06x}")
    folder.show("device", f"{config.device_id:#06x}")
    folder.show("class", f"{config.class_code:#08x}")
    folder.show("subsystem_vendor", f"{subsystem[0]:#06x}")
    folder.show("subsystem_device", f"{subsystem[1]:#06x}")
    folder.show("revision", f"{config.read(8, 1)[0]:#04x}")
    folder.show("irq", "0")
    folder.show("numa_node", "-1")
    folder.show("enable", "1")
    folder.show("power_state", "D0")
    folder.show("modalias", _modalias(function))
    folder.show("uevent", lambda: _uevent(function))
    if function.role == "vga":
        # Firmware shows its screens on the first card in a slot: what is tunnelled comes up too late for that.
        first = next((gpu for gpu in machine.gpus if gpu.enclosure is None), None)
        folder.show("boot_vga", str(int(first is not None and function.gpu is first)))
    if function.enclosure is not None:
        folder.show("removable", "removable")
    folder.show("resource", lambda: _resources(function))
    _show_link(machine, function, folder)
    _show_registers(machine, function, folder)
    if config.can_flr:
        _show_reset(machine, function, folder)
    if function.role != "controller":
        for severity in _SEVERITIES:
            folder.show(f"aer_dev_{severity}", partial(_counters, function, severity))


def _show_link(machine: Machine, function: Function, folder: Folder) -> None:
    def register(offset: int) -> int:
        return int.from_bytes(machine.config_read(function, offset, 2), "little")

    def speed(offset: int) -> str:
        known = _SPEEDS.get(register(offset) & 0xF)
        return f"{known} GT/s PCIe" if known else "Unknown"

    def width(offset: int) -> str:
        return str(register(offset) >> 4 & 0x3F)

    for name, offset in (("current", layout.LINK_STATUS), ("max", layout.LINK_CAPABILITIES)):
        folder.show(f"{name}_link_speed", partial(speed, offset))
        folder.show(f"{name}_link_width", partial(width, offset))


def _show_registers(machine: Machine, function: Function, folder: Folder) -> None:
    def write_config(data: bytes, offset: int) -> int:
        machine.config_write(function, offset, data)
        return min(len(data), max(layout.SIZE - offset, 0))

    folder.add(
        "config",
        File(
            read=lambda: machine.config_read(function, 0, layout.SIZE),
            write=lambda data: machine.config_write(function, 0, data),
            pread=lambda size, offset: machine.config_read(function, offset, max(min(size, layout.SIZE - offset), 0)),
            pwrite=write_config,
            mode=READ_WRITE,
        ),
    )  # fmt: skip
    for bar, size in function.config.bar_sizes.items():
        folder.add(f"resource{bar}", _bar_file(machine, function, bar, size))
    if function.config.possible_bar_sizes():
        folder.show(
            f"resource{layout.RESIZABLE_INDEX}_resize",
            lambda: f"{function.config.possible_bar_sizes():016x}",
            lambda data: _resize(function, data),
        )


def _bar_file(machine: Machine, function: Function, bar: int, size: int) -> File:
    def read_whole() -> bytes:
        raise refused(errno.EIO)  # as a kernel answers any read of a memory BAR

    def pread(count: int, offset: int) -> bytes:
        return machine.bar_read(function, bar, offset, max(min(count, size - offset), 0))

    def pwrite(data: bytes, offset: int) -> int:
        if offset + len(data) > size:
            raise refused(errno.EINVAL)
        machine.bar_write(function, bar, offset, data)
        return len(data)

    return File(read=read_whole, pread=pread, pwrite=pwrite, mode=0o100600, size=size)


def _resize(function: Function, data: bytes) -> None:
    config = function.config
    wanted = number(data)
    if function.driver:
        raise refused(errno.EBUSY)
    if wanted > 63 or not config.possible_bar_sizes() >> wanted & 1:  # noqa: PLR2004  (the field has 6 bits)
        raise refused(errno.EINVAL)
    if 1 << wanted + 20 > config.bar_sizes[layout.RESIZABLE_INDEX]:
        raise refused(errno.ENOSPC)  # the bridges' windows are as large as firmware made them
    config.write(layout.RESIZABLE_BAR + 9, bytes([wanted]))


def _show_reset(machine: Machine, function: Function, folder: Folder) -> None:
    can = ("flr", "bus") if function.role == "vga" else ("flr",)
    chosen = [list(can)]

    def choose(data: bytes) -> None:
        names = data.decode("ascii", "replace").split()
        wanted = list(can) if names == ["default"] else names
        if not set(wanted) <= set(can) or len(set(wanted)) < len(wanted):
            raise refused(errno.EINVAL)
        chosen[0] = wanted

    def reset(data: bytes) -> float:
        if number(data) != 1:
            raise refused(errno.EINVAL)
        return _reset(machine, function, chosen[0])

    folder.show("reset_method", lambda: " ".join(chosen[0]), choose)
    folder.take("reset", reset)


def _reset(machine: Machine, function: Function, methods: list[str]) -> float:
    """One method after the other until one works, as the kernel does; seconds until the write call is over."""
    spent = 0.0
    for kind in methods:
        plan = machine.reset(function, kind, restores_config=True)
        what = f"{function.driver or 'pci'} {function.address}"
        after = "FLR" if kind == "flr" else "bus reset"
        if plan.succeeds and plan.seconds + plan.retry_status_for <= RESET_LIMIT:
            if plan.retry_status_for > RESET_NOISE:
                machine.log(f"{what}: not ready 1023ms after {after}; waiting")
            return spent + plan.seconds + plan.retry_status_for
        spent += min(plan.seconds, RESET_LIMIT)
        machine.log(f"{what}: not ready 65535ms after {after}; giving up")
    raise refused(errno.ENOTTY)


def _counters(function: Function, severity: str) -> str:
    total, names = _SEVERITIES[severity]
    counted = function.aer.get(severity, {})
    lines = [f"{name} {counted.get(name, 0)}" for name in dict.fromkeys((*names, *counted))]
    return "\n".join([*lines, f"TOTAL_ERR_{total} {sum(counted.values())}"])


def _resources(function: Function) -> str:
    config = function.config
    lines = ["0x0000000000000000 0x0000000000000000 0x0000000000000000"] * (
        _BRIDGE_RESOURCES if config.is_bridge else _RESOURCES
    )
    for bar, size in config.bar_sizes.items():
        if not config.assigned(bar):
            continue
        start = config.placed(bar)
        flags = _WIDE_BAR_FLAGS if layout.is_wide(bar) else _BAR_FLAGS
        lines[bar] = f"{start:#018x} {start + size - 1:#018x} {flags:#018x}"
    return "\n".join(lines)


def _modalias(function: Function) -> str:
    config, (vendor, device) = function.config, function.config.subsystem
    kind = config.class_code
    return (
        f"pci:v{config.vendor_id:08X}d{config.device_id:08X}sv{vendor:08X}sd{device:08X}"
        f"bc{kind >> 16:02X}sc{kind >> 8 & 0xFF:02X}i{kind & 0xFF:02X}"
    )


def _uevent(function: Function) -> str:
    config, (vendor, device) = function.config, function.config.subsystem
    lines = [f"DRIVER={function.driver}"] if function.driver else []
    return "\n".join(
        [
            *lines,
            f"PCI_CLASS={config.class_code:X}",
            f"PCI_ID={config.vendor_id:04X}:{config.device_id:04X}",
            f"PCI_SUBSYS_ID={vendor:04X}:{device:04X}",
            f"PCI_SLOT_NAME={function.address}",
            f"MODALIAS={_modalias(function)}",
        ]
    )
