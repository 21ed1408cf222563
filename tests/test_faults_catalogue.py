"""What holds of every fault that is registered: names, pattern, and draws that are parameters of it."""

from __future__ import annotations

import re

import pytest
from fault_rig import LINUX, draws, kind, machine_of

from hil import registry
from hil.sim.faults import choice

DOMAINS = ("link", "pcie", "dma", "memory", "driver", "thermal", "hot plug", "reset", "host")


@pytest.mark.parametrize("name", registry.names(choice.GROUP))
def test_draws_are_parameters_and_the_most_severe_can_be_seen(name):
    fault, site = kind(name), machine_of(LINUX).site

    assert fault.name == name
    assert fault.domain in DOMAINS
    assert fault.seen_by in ("driver", "transfer", "throughput")
    assert fault.story.endswith((".", "…"))
    re.compile(fault.shows_as)
    assert bool(fault.shows_as) is not fault.control
    unseen = [fault.below_sight(choice.make(text, site).parameters) for text in draws(name)]
    assert unseen[-1] == "", "nobody could see the worst of it"
