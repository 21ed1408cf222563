"""How a `Host` is opened from a description in builtin types, in the process that will use it."""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING, Any

from hil import registry
from hil.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.hosts.base import Host

# Named, not imported: a captured bench must not pay for the simulated machine, nor a Mac for Linux's parts.
_OURS = {
    "captured": "hil.hosts.captured:CapturedHost",
    "local": "hil.hosts.local:LocalHost",
    "simulated": "hil.hosts.simulated:SimulatedHost",
}


def open_host(spec: Mapping[str, Any]) -> Host:
    """Open the host that `spec` describes.

    Args:
        spec: ``{"kind": "local"}``, ``{"kind": "simulated", "address": path, "client": token}``,
            ``{"kind": "captured", "address": file}``,
            ``{"kind": "module", "class": "package.module:Class", "kwargs": {...}}``, or the name of a host
            registered under the entry-point group ``hil.hosts``; what stands beside ``kind`` is handed on.

    Raises:
        UsageError: no such kind of host, its class cannot be found, or it does not take these options.
        HilError, OSError: the host itself refused to open.

    """
    kind = spec.get("kind")
    options = {key: value for key, value in spec.items() if key != "kind"}
    if kind == "module":
        name, options = str(options.get("class")), dict(options.get("kwargs") or {})
        opener = _named(name)
    elif kind in _OURS:
        name, opener = _OURS[kind], _named(_OURS[kind])
    else:
        name, opener = f"hil.hosts {kind}", registry.load("hil.hosts", str(kind))
    # The address has no name of its own in a host's signature: it comes first.
    place = [options.pop("address")] if "address" in options else []
    try:
        host: Host = opener(*place, **options)
    except TypeError as error:
        raise UsageError(f"host {name} does not open with {sorted(options)}: {error}") from error
    return host


def _named(name: str) -> Any:
    if ":" not in name:
        raise UsageError(f"host class {name!r}: expected 'package.module:Class'")
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"host class {name!r} cannot be found: {error}") from error
