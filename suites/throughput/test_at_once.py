"""Several devices that copy at once: each on a controller of its own has its link for itself."""

from __future__ import annotations

import pytest

from hil.fixtures.measure import Measure
from hil.fixtures.neighbours import Neighbours
from hil.model import GB, Direction

pytestmark = [pytest.mark.needs("band", "second device"), pytest.mark.severity("normal")]
IN_COMPANY = 0.75
"""Share of its band's floor that a device reaches while others copy: the host's memory has bandwidth for all of them;
an IOMMU or a root complex may cost a little, and not half."""


@pytest.mark.parametrize("direction", [Direction.H2D.value, Direction.D2H.value])
def test_devices_that_copy_at_once_do_not_slow_each_other_down(
    neighbours: Neighbours, measure: Measure, direction: str
) -> None:
    """All devices copy at once for a quarter of a second: this one still reaches three quarters of its band's floor.

    Those that hang on one host controller share its tunnel, and reach that together. A failure means that something in
    the host serves one device at a time: a lock of the driver, an IOMMU's queue, a root port behind both.
    """
    seen = neighbours.rate_at_once(Direction(direction))
    measure(seen.what, seen.rate / GB, unit="GB/s", at_least=IN_COMPANY * seen.floor / GB)
