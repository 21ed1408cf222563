"""What a GPU is set to, through the real pynvml on a simulated machine."""

from __future__ import annotations

import pytest
from sim_rig import Rig

from hil.discovery import discover
from hil.errors import DeviceGone, DriverError, NotSupported
from hil.sim.faults.base import Fault, Trigger
from hil.watch.settings import settings


class Strange(Fault):
    """NVML answers one question in its own way."""

    name, domain, story, seen_by = "strange", "driver", "", "driver"
    ask, code = "nvmlDeviceGetSerial", 999

    def on_nvml(self, function, answer):
        return {**answer, "code": self.code} if function == self.ask else answer


@pytest.fixture
def rig():
    made = []

    def make(*faults, profile="linux-two-enclosures"):
        made.append(Rig(profile, *faults))
        return made[-1], made[-1].host()

    yield make
    for one in made:
        one.close()


def test_settings_tell_what_the_card_tells(rig):
    _, host = rig()
    ada, geforce = (settings(host, gpu) for gpu in sorted(discover(host).gpus, key=lambda g: g.name, reverse=True))

    assert (ada.ecc, geforce.ecc) == (False, None)
    assert ada.serial
    assert geforce.serial is None
    assert (ada.max_graphics_mhz, ada.power_limit_w) == (2520, 320.0)
    assert ada.vbios.startswith("95.02.")


def test_a_card_that_left_is_gone(rig):
    machine, host = rig()
    gpu = discover(host).gpus[0]
    machine.do(machine.machine.site.remove, 0)
    machine.do(machine.machine.site.remove, 1)

    with pytest.raises(DeviceGone, match=r"settings of .*: NVML says .*; it was unplugged"):
        settings(host, gpu)


def test_another_error_of_nvmls_is_the_drivers(rig):
    _, host = rig(lambda site: Strange(Trigger(), site))

    with pytest.raises(DriverError, match=r"NVML says .* \(code 999\)"):
        settings(host, discover(host).gpus[0])


def test_a_mac_has_none(rig):
    _, host = rig(profile="macbook-pro-usb4")

    with pytest.raises(NotSupported, match="there is none on macOS"):
        settings(host, discover(host).gpus[0])
