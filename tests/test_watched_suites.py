"""The suites watch the kernel log where a driver is most likely to go wrong: a client dies, the host sleeps."""

from __future__ import annotations

import re

import pytest
from pytest_runs import ROOT, Suite

pytestmark = pytest.mark.slow  # a whole run of pytest in processes of its own
COMPLAINS = """
from hil.sim.faults.base import Fault

class Complains(Fault):
    name, domain, story, seen_by = "complains", "host", "DMA goes on, and GSP halts at a wake.", "driver"
    begun = False

    def on_chunk(self, chunk):
        if not self.begun:
            self.begun = True
            self.site.after(3.0, self.complain)
        return (chunk,)

    def complain(self):
        self.site.log("AppleT8110DART: dart-apciec0: DART exception: translation fault, read of 0x8000")
        self.site.after(1.0, self.complain)

    def on_sleep(self, plan):
        self.site.after(plan.seconds + 1.0, lambda: self.site.log("NVRM: Xid (PCI:0000:04:00): 62, pid=1, halted"))
"""


def test_what_the_host_logs_behind_a_clients_death_fails_that_test_on_a_mac(tmp_path):
    done = run(tmp_path, "client_died_in_a_copy", "macbook-pro-usb4")

    assert re.search(
        r"DriverError: \S+ after a client's death: the host's IOMMU logged: AppleT8110DART: dart-apciec0: DART "
        r"exception: translation fault, read of 0x8000 \(the first of \d such lines\)",
        done.out,
    )


def test_an_xid_that_a_sleep_does_not_explain_fails_the_test_of_the_driver(tmp_path):
    done = run(tmp_path, "survives_the_wake", "linux-two-enclosures", "--hil-device=rtx-6000-ada-egpu-node-titan")

    assert re.search(r"DriverError: \S+ after the sleep: the driver logged Xid 62 at 0000:04:00", done.out)


def run(folder, chosen, profile, *more):
    (folder / "complains.py").write_text(COMPLAINS)
    lab = Suite(ROOT)
    fault = f"--hil-fault={folder / 'complains.py'}:Complains"
    done = lab.run("suites/driver", "-k", chosen, f"--hil-bench=sim:{profile}", fault, *more)
    lab.tmp.rmdir()
    assert set(done.outcomes().values()) == {"FAILED"}
    return done
