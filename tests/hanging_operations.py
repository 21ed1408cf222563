"""Operations that hang: in one call of the reference driver, in the host's clock, in a loop of Python."""

from __future__ import annotations

import math

from sim_rig import Wire

from hil.hosts.wires.driver import Call, Way

MIB = 1 << 20


def call(context, *, name):
    """All that the driver can be asked, up to the call `name`."""
    wire = Wire(context.host)
    arguments = {Call.OPEN: (0,), Call.ALLOC: (MIB,), Call.HOST_ALLOC: (MIB, 1), Call.RECORD: (0,)}
    made = {}
    for one in (
        *(Call.DEVICES, Call.OPEN, Call.MEMORY, Call.ALLOC, Call.HOST_ALLOC, Call.RECORD, Call.COPY),
        *(Call.SYNCHRONIZE, Call.ELAPSED, Call.FREE, Call.HOST_FREE, Call.CLOSE),
    ):
        if one is Call.COPY:
            arguments[one] = (Way.H2D, 0, made[Call.HOST_ALLOC], 0, made[Call.ALLOC], 0, MIB, 1, 0, 0)
        elif one is Call.ELAPSED:
            arguments[one] = (made[Call.RECORD], made[Call.RECORD])
        elif one in (Call.FREE, Call.HOST_FREE):
            arguments[one] = (made[Call.ALLOC if one is Call.FREE else Call.HOST_ALLOC],)
        results = wire.ok(one, *arguments.get(one, ()))
        made[one] = results[0] if results else 0
        if one.name.lower() == name:
            return


def wait(context):
    context.host.clock.sleep(1e9)


def burn(context):
    number = 0.0
    while True:
        number = math.sin(number)
