"""What holds of any bench, with a device or without."""

from __future__ import annotations

import pytest

from hil.bench import Bench

pytestmark = [pytest.mark.severity("normal"), pytest.mark.quick]


def test_discovery_finds_the_same_twice(hil_bench: Bench) -> None:
    """Nothing was done in between, so nothing comes or goes. (PCIe speeds are left out: an idle GPU lowers its own.)

    A failure means a flapping link, or enumeration that depends on its own order.
    """
    changes = hil_bench.refresh().changes(hil_bench.refresh())
    assert not changes, f"nothing was done, and the host differs from what it was: {'; '.join(changes)}"


def test_discovery_has_nothing_to_complain_of(hil_bench: Bench) -> None:
    """All that discovery reads can be read, and fits together.

    Each problem is a sentence that says what could not be read or joined; `hil doctor` says what to do about it.
    """
    assert hil_bench.refresh().problems == ()


def test_every_tunnelled_gpu_has_its_enclosure(hil_bench: Bench) -> None:
    """A GPU behind a PCIe tunnel is joined to the enclosure it sits in.

    A failure means that an unplug would act on the wrong box.
    """
    lost = [gpu.name for gpu in hil_bench.refresh().gpus if gpu.function.tunnelled and gpu.enclosure is None]
    assert lost == []
