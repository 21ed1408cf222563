"""Actuators: what takes an enclosure away and brings it back. Whether they may act is asked in hil.bench."""

from hil.control.base import (
    CAPABILITIES,
    DETACHING,
    GROUP,
    Actuator,
    PowerActuator,
    actuator,
    capabilities,
    check_options,
)
from hil.control.news import names_on_buses
from hil.control.sleep import cannot_sleep, sleep_host
from hil.control.waiting import wait_functions, wait_gone, wait_present

__all__ = [
    "CAPABILITIES",
    "DETACHING",
    "GROUP",
    "Actuator",
    "PowerActuator",
    "actuator",
    "cannot_sleep",
    "capabilities",
    "check_options",
    "names_on_buses",
    "sleep_host",
    "wait_functions",
    "wait_gone",
    "wait_present",
]
