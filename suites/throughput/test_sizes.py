"""From four bytes to a quarter of a gigabyte: fixed cost and bandwidth, and what is better off on the card."""

from __future__ import annotations

import pytest

from hil.fixtures.measure import Measure
from hil.fixtures.throughput import Throughput
from hil.fixtures.workload import Workload
from hil.model import GB, MIB, Direction

pytestmark = pytest.mark.severity("minor")


@pytest.mark.parametrize("direction", [Direction.H2D.value, Direction.D2H.value])
def test_times_follow_one_line_from_bytes_to_a_quarter_gigabyte(
    throughput: Throughput, measure: Measure, direction: str
) -> None:
    """Copies of 4 B … 256 MiB cost a fixed time and so much a byte (Hockney's model), with no size that breaks it.

    Both figures are series of their own: a driver that waits longer for each copy and one that moves fewer bytes a
    second are different bugs. A failure is a size at which the driver changes its way and pays for it.
    """
    fit = throughput.sweep(Direction(direction))
    measure(f"{direction} fixed cost", fit.alpha * 1e6, unit="µs", at_most=50_000)
    measure(f"{direction} asymptotic bandwidth", fit.beta / GB, unit="GB/s")
    measure(f"{direction} largest distance from the fit", fit.worst, unit="of a copy's time", at_most=5.0)


@pytest.mark.needs("gpu")
def test_work_on_resident_data_pays_off_where_it_was_predicted(
    throughput: Throughput, workload: Workload, measure: Measure
) -> None:
    """A buffer read k times in VRAM, against sending it anew before each: as fast as fixed cost and bandwidth predict.

    The prediction says from how many reads on a workload is better off on the eGPU than in Apple's unified memory; here
    it is tried on passes of the card's own memory. A failure means that work on the device has costs that no copy
    shows: clocks that fall between copies, passes that wait for the host.
    """
    path = throughput.sweep(Direction.H2D, [4096, MIB, 8 * MIB])
    residency = workload.residency(path, throughput.sample(Direction.D2D, 8 * MIB))
    seen = workload.reuse(8 * MIB, reads=(1, 4, 16))
    measure("streamed over resident, 16 reads", seen.streamed[-1] / seen.resident[-1], unit="×", at_least=1.0)
    workload.must_be_as_predicted(residency, seen)
