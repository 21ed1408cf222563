"""The sections that a bench file and a simulated machine's profile share: consent and actuators."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of everything read from TOML: unknown keys are errors, values are not coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Allow(Section):
    """What may be done to the devices of this bench. Nothing destructive happens unasked: the default is no."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    reset: bool = False
    """Function-level and bus resets of a GPU."""
    unplug: bool = False
    """Detach an enclosure by an actuator, orderly or by surprise; revoke its authorization."""
    unbind: bool = False
    """Take the kernel's driver from a GPU, or the GPU from the kernel, and give it back. Linux."""
    sleep: bool = False
    """Put the host to sleep."""
    power_cycle: bool = False
    """Cut an enclosure's supply."""
    bar_write: bool = False
    """Write through a GPU's memory window (BAR 1), into memory that the test itself allocated."""


class ActuatorEntry(Section):
    """One actuator: what acts, and on which enclosure."""

    kind: str
    """Name under the entry-point group ``hil.actuators``."""
    enclosure: str
    """uid of the enclosure's router, or its device name where that is unique."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The actuator's own settings (serial port, outlet, …)."""
