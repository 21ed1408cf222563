"""Actuators: what takes an enclosure away and brings it back. Whether they may act is asked in hil.bench."""

from hil.control.base import CAPABILITIES, GROUP, Actuator, SchedulingActuator, actuator, check_options
from hil.control.waiting import wait_gone, wait_present

__all__ = [
    "CAPABILITIES",
    "GROUP",
    "Actuator",
    "SchedulingActuator",
    "actuator",
    "check_options",
    "wait_gone",
    "wait_present",
]
