"""Putting the host to sleep, with a wake that is scheduled before: ``pmset`` on macOS, ``rtcwake`` on Linux.

No actuator: it acts on the host and on everything that hangs on it, so there is nothing to choose in a bench file.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from hil.errors import BenchFault, DeviceHung, NotPermitted, NotSupported
from hil.hosts import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.hosts import Host

GRACE: Final = 60.0
"""Seconds beyond the sleep within which the host must be back: a wake took two to ten."""
LEAST: Final = 5
"""Seconds that a sleep lasts at the least: a wake that is due before the host sleeps wakes nobody."""
SLEEPS: Final = "/sys/power/suspend_stats/success"
_ANSWER: Final = 20.0
_POLL: Final = 1.0


def cannot_sleep(host: Host) -> str:
    """Why this host cannot be put to sleep and woken; empty if it can be."""
    system = host.facts().system
    if host.kind == "captured":
        return "a captured host does nothing"
    if system == "Darwin":
        return ""
    if system != "Linux":
        return f"no way to sleep is known on {system or 'this system'}"
    try:
        states = host.read("/sys/power/state").split()
    except OSError as error:
        return f"/sys/power/state cannot be read: {error.strerror or error}"
    return "" if b"mem" in states else "its kernel offers no suspend to RAM (/sys/power/state)"


def sleep_host(host: Host, seconds: int) -> float:
    """Let the host sleep for `seconds` and wait until it is back.

    Returns:
        Seconds of the host's clock from the order to its being back.

    Raises:
        NotSupported: it cannot.
        NotPermitted: this user may not.
        BenchFault: it did not fall asleep; says what may keep it awake.
        DeviceHung: it did not come back.
        ValueError: `seconds` is less than `LEAST`.

    """
    if seconds < LEAST:
        raise ValueError(f"`seconds` must be at least {LEAST}, not {seconds!r}")
    reason = cannot_sleep(host)
    if reason:
        raise NotSupported(f"sleep: {reason}", operation="sleep")
    begin = host.clock.now()
    if host.facts().system == "Darwin":
        _sleep_mac(host, seconds)
    else:
        _sleep_linux(host, seconds)
    return host.clock.now() - begin


def _sleep_linux(host: Host, seconds: int) -> None:
    before = host.read(SLEEPS)
    _order(host, ["rtcwake", "-m", "mem", "-s", str(seconds)], timeout=seconds + GRACE)
    if host.read(SLEEPS) == before:
        raise BenchFault(
            f"sleep: rtcwake came back, and {SLEEPS} still counts {before.decode().strip()}: the host did not sleep; "
            "`dmesg | grep PM:` tells what kept it awake",
            operation="sleep",
        )


def _sleep_mac(host: Host, seconds: int) -> None:
    before = _woke(host)
    _order(host, ["pmset", "relative", "wake", str(seconds)], timeout=_ANSWER)
    _order(host, ["pmset", "sleepnow"], timeout=_ANSWER)
    # It comes back at once, and the Mac sleeps a moment later: only the time of its last wake tells that it did.
    if not wait_until(host.clock, lambda: _woke(host) != before, deadline=seconds + GRACE, interval=_POLL):
        raise BenchFault(
            f"sleep: kern.waketime is the same {seconds + GRACE:g} s after `pmset sleepnow`: the Mac did not sleep; "
            "`pmset -g assertions` tells what keeps it awake",
            operation="sleep",
        )


def _woke(host: Host) -> bytes:
    return _order(host, ["sysctl", "-n", "kern.waketime"], timeout=_ANSWER)


def _order(host: Host, argv: Sequence[str], *, timeout: float) -> bytes:
    line = " ".join(argv)
    try:
        done = host.run(argv, timeout=timeout)
    except FileNotFoundError as error:
        raise NotSupported(f"sleep: there is no {argv[0]} on this host", code=error.errno, operation="sleep") from error
    if done.timed_out:
        raise DeviceHung(f"sleep: the host was not back {timeout:g} s after `{line}`", operation="sleep")
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip() or "it said nothing"
        refused = any(word in said.lower() for word in ("must be run as root", "permission denied", "not permitted"))
        kind = NotPermitted if refused else BenchFault
        raise kind(
            f"sleep: `{line}` ended with {done.returncode}: {said}" + ("; run it as root" if refused else ""),
            code=errno.EPERM if refused else done.returncode,
            operation="sleep",
        )
    return done.stdout
