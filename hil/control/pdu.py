"""A switched outlet (PDU) that an enclosure's supply hangs on, by labgrid's power backends: some thirty makes."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from hil.control.base import check_options
from hil.errors import BenchFault, NotSupported, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.hosts import Host
    from hil.model import Router

OPTIONS: Final = ("model", "host", "index")
BACKENDS: Final = "labgrid.driver.power"
"""Package of labgrid whose modules know one make each."""


class _Backend(Protocol):
    def power_set(self, host: str, port: int | None, index: int, value: bool) -> None: ...

    def power_get(self, host: str, port: int | None, index: int) -> bool: ...


class PduOutlet:
    """One outlet; implements `hil.control.base.PowerActuator`.

    Options: ``model``, the name of a module of ``labgrid.driver.power`` (``shelly_gen2``, ``gude``, ``netio``, …);
    ``host``, the address or URL as that model takes it; ``index``, the outlet, counted as the model counts. The
    computer that the enclosure hangs on talks to it.
    """

    capabilities = frozenset({"power"})

    def __init__(self, backend: _Backend, host: str, index: int, enclosure: Router) -> None:
        self.name = f"outlet {index} of {host}, which feeds {enclosure.device_name or enclosure.uid}"
        self._backend = backend
        self._host = host
        self._index = index
        port: Any = getattr(backend, "PORT", None)
        self._port: int | None = port

    @classmethod
    def open(cls, host: Host, enclosure: Router, options: Mapping[str, Any]) -> PduOutlet:  # noqa: ARG003  (as all are)
        """Load the backend of the model, and see that the outlet answers. Switches nothing.

        Raises:
            UsageError: an option is not known, missing, or has no meaning.
            NotSupported: labgrid, or what it needs for this model, is not installed.
            BenchFault: the outlet does not answer.

        """
        check_options("pdu", options, OPTIONS)
        model, address, index = options.get("model"), options.get("host"), options.get("index", 0)
        if not isinstance(model, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", model):
            raise UsageError(f"actuator pdu: model = {model!r}; expected a module of {BACKENDS}, such as 'shelly_gen2'")
        if not isinstance(address, str) or not address:
            raise UsageError(f"actuator pdu: host = {address!r}; expected the address or URL of the PDU")
        if isinstance(index, bool) or not isinstance(index, int) or index < 0:
            raise UsageError(f"actuator pdu: index = {index!r}; expected the outlet's number")
        outlet = cls(_load(model), address, index, enclosure)
        outlet._is_on("open")
        return outlet

    def power_off(self) -> None:
        """Cut the supply.

        Raises:
            BenchFault: the outlet does not answer, or stays on.

        """
        self._switch(on=False)

    def power_on(self) -> None:
        """Give the supply back.

        Raises:
            BenchFault: the outlet does not answer, or stays off.

        """
        self._switch(on=True)

    def close(self) -> None:
        """Nothing is held; the outlet stays as it is."""

    def _switch(self, *, on: bool) -> None:
        doing = f"power {'on' if on else 'off'}"
        try:
            self._backend.power_set(self._host, self._port, self._index, on)
        except Exception as error:
            # Of whatever type: thirty makes, each with errors of its own.
            raise self._failed(doing, error) from error
        if self._is_on(doing) is not on:
            raise BenchFault(
                f"{doing} by {self.name}: it was told so and says that it is {'off' if on else 'on'}; look at the "
                "outlet, and at whether something else switches it",
                operation=doing,
            )

    def _is_on(self, doing: str) -> bool:
        try:
            return bool(self._backend.power_get(self._host, self._port, self._index))
        except Exception as error:
            raise self._failed(doing, error) from error

    def _failed(self, doing: str, error: Exception) -> BenchFault:
        return BenchFault(
            f"{doing} by {self.name}: {type(error).__name__}: {error}. Is it reachable from the computer that the "
            "enclosure hangs on, and do model, host and index fit?",
            operation=doing,
        )


def _load(model: str) -> _Backend:
    name = f"{BACKENDS}.{model}"
    try:
        return cast("_Backend", importlib.import_module(name))
    except ModuleNotFoundError as error:
        if error.name == name:
            raise UsageError(f"actuator pdu: labgrid has no power backend {model!r}; see its documentation") from error
        what = "labgrid" if (error.name or "").partition(".")[0] == "labgrid" else f"{error.name} (of labgrid's extras)"
        raise NotSupported(
            f"actuator pdu: {what} is not installed on the computer that the enclosure hangs on: "
            "`pip install 'hil[pdu]'`, in an environment without hil[serial]: labgrid brings a pyserial of its own"
        ) from error
