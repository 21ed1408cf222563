"""Figures over nights: where they are kept, what a change is, and since when there is one."""

from hil.history.cusum import Alarm, Reference, first_alarm
from hil.history.gate import Gate, gate
from hil.history.series import Key, Point
from hil.history.store import History, open_history
from hil.history.tonight import Tonight
from hil.history.verdict import Verdict, judge_series

__all__ = [
    "Alarm",
    "Gate",
    "History",
    "Key",
    "Point",
    "Reference",
    "Tonight",
    "Verdict",
    "first_alarm",
    "gate",
    "judge_series",
    "open_history",
]
