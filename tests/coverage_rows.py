"""Rows of a score as they might have been measured."""

from __future__ import annotations

from hil.cli.coverage.ledger import Head, Measured
from hil.cli.coverage.plan import Kind
from hil.cli.coverage.row import End, Row
from hil.cli.coverage.score import About

HEAD = Head(hil="1.0", mode="full", seed=1, draws=4, profiles=(), suites="aaaa", catalogue="bbbb")


def about(name="melts", **facts):
    return About(**{"name": name, "domain": "thermal", "seen_by": "driver", **facts})


def row(number=0, *, of=4, fault="melts", **facts):
    """A draw that a driver test caught, unless told otherwise."""
    return Row(
        **{
            "kind": Kind.FAULT,
            "fault": fault,
            "number": number,
            "profile": "mac",
            "seed": 7,
            "severity": number / (of - 1),
            "given": {"seed": "5"},
            "struck": 1,
            "end": End.ALARM,
            "test": "driver/test_heat.py::test_it_stays_solid[gpu-1]",
            "suite": "driver",
            "error": "DeviceGone",
            "message": "gone",
            "seconds": 2.0,
            "host_seconds": 10.0,
            **facts,
        }
    )


def green(number=0, **facts):
    """A draw that no test caught."""
    nothing = {"end": End.GREEN, "test": "", "suite": "", "error": "", "message": "", "right": None}
    return row(number, **{**nothing, **facts})


def clean(number=0, kind=Kind.CLEAN, **facts):
    return green(number, **{"kind": kind, "fault": "", "severity": None, "given": {}, "struck": None, **facts})


def measured(*rows, about=(about(),), head=HEAD, left=0):  # noqa: B008  (frozen)
    return Measured(head=head, about=tuple(about), runs=tuple(rows), left=left)
