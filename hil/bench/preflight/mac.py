"""Checks of a Mac: architecture, macOS, TinyGPU's app, extension and server, and helpers that no longer answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hil.bench.preflight.base import Finding, Scene, advice, must, ok
from hil.pci.tinygpu import socket_path

MACOS = 13
"""The first macOS whose DriverKit TinyGPU runs on."""
EXTENSION = "org.tinygrad.tinygpu.driver2"
APP = "/Applications/TinyGPU.app"
SERVER = f"{APP}/Contents/MacOS/TinyGPU"
_SECONDS = 10.0
_SETTINGS = "System Settings > General > Login Items & Extensions > Driver Extensions"


def computer(scene: Scene) -> Iterator[Finding]:
    """Chip and macOS."""
    facts = scene.inventory.host
    if scene.system != "Darwin":
        return
    if facts.arch == "x86_64":
        yield must("mac.chip", "this is an Intel Mac, which TinyGPU makes panic", "use a Mac with Apple silicon")
    else:
        yield ok("mac.chip", f"{facts.model or 'Mac'}, {facts.arch}")
    major = re.match(r"\d+", facts.os_version)
    if major is None:
        yield advice("mac.macos", "this Mac does not tell its macOS", f"see that it is macOS {MACOS} or newer")
    elif int(major[0]) < MACOS:
        yield must("mac.macos", f"macOS {facts.os_version} is too old for TinyGPU", f"update to macOS {MACOS} or newer")
    else:
        yield ok("mac.macos", f"macOS {facts.os_version}")


def app(scene: Scene) -> Iterator[Finding]:
    """TinyGPU.app: hil never installs it."""
    if scene.system != "Darwin":
        return
    try:
        scene.host.stat(APP)
    except FileNotFoundError:
        yield Finding(
            check="mac.app",
            level=scene.serious,
            sentence=f"{APP} is not installed: it is the only driver for an NVIDIA GPU on a Mac",
            todo="install TinyGPU.app yourself (https://github.com/tinygrad/tinygrad), then run "
            f"`{SERVER} install` and approve it",
        )
        return
    yield ok("mac.app", APP)


def extension(scene: Scene) -> Iterator[Finding]:
    """The state of TinyGPU's driver extension, as ``systemextensionsctl`` names it."""
    if scene.system != "Darwin":
        return
    check = "mac.extension"
    done = scene.host.run(["systemextensionsctl", "list"], timeout=_SECONDS)
    if done.timed_out or done.returncode:
        said = "did not end in time" if done.timed_out else f"ended with status {done.returncode}"
        yield advice(check, f"`systemextensionsctl list` {said}: the driver's state is not known", "restart the Mac")
        return
    lines = [line for line in done.stdout.decode("utf-8", "replace").splitlines() if EXTENSION in line]
    states = [match[1] for line in lines if (match := re.search(r"\[([^\]]*)\]\s*$", line))]
    level = scene.serious
    if "activated enabled" in states:
        yield ok(check, f"{EXTENSION} is activated and enabled")
    elif any("waiting for user" in state for state in states):
        yield Finding(
            check=check,
            level=level,
            sentence=f"{EXTENSION} waits for your approval",
            todo=f"approve TinyGPU in {_SETTINGS}",
        )
    elif not states:
        yield Finding(
            check=check,
            level=level,
            sentence=f"{EXTENSION} is not installed",
            todo=f"run `{SERVER} install`, then approve TinyGPU in {_SETTINGS}",
        )
    elif any("uninstall" in state for state in states):
        yield Finding(
            check=check,
            level=level,
            sentence=f"{EXTENSION} is being removed ({', '.join(states)}), which ends with a restart",
            todo=f"restart the Mac, then run `{SERVER} install`",
        )
    else:
        yield Finding(
            check=check,
            level=level,
            sentence=f"{EXTENSION} is in state {', '.join(states)}",
            todo=f"see {_SETTINGS}; expected is [activated enabled]",
        )


def server(scene: Scene) -> Iterator[Finding]:
    """Whether TinyGPU's server listens: the health probe speaks to it before every test."""
    if scene.system != "Darwin":
        return
    path = socket_path()
    try:
        scene.host.connect(path).close()
    except OSError as error:
        yield Finding(
            check="mac.server",
            level=scene.serious,
            sentence=f"no TinyGPU server listens at {path} ({error.strerror or error})",
            todo=f"run `{SERVER} server {path}`",
        )
        return
    yield ok("mac.server", f"TinyGPU's server listens at {path}")


def helpers(scene: Scene) -> Iterator[Finding]:
    """Commands that hang: a driver's helper is stuck, and takes them with it."""
    for command in scene.timed_out:
        yield must(
            "host.commands",
            f"`{command}` did not end by its deadline and was killed: a driver's helper may be stuck after a removal",
            "unplug the enclosure and restart the host",
        )
