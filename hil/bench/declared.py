"""What a bench file declares of a device's link: the floor that suites hold it to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.throughput import LeastLink

if TYPE_CHECKING:
    from hil.bench.device import Device


def least_link(device: Device) -> LeastLink:
    """The least that the link to `device` must be: ``min_gbps``, ``min_lanes``, ``pcie_width`` of its ``expect``.

    What is not declared is what its kind of link promises.
    """
    file = device.bench.file
    entry = next((one for one in file.device if one.alias == device.alias), None) if file else None
    if file is None or entry is None:
        return LeastLink()
    expect = entry.expect
    declared = (expect.min_gbps, expect.min_lanes, expect.pcie_width)
    source = f"declared by bench {file.name}" if any(declared) else LeastLink().source
    return LeastLink(gbps=expect.min_gbps, lanes=expect.min_lanes, pcie_width=expect.pcie_width, source=source)
