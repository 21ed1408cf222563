"""How long things may take on a bench, in seconds on the clock of the host under test."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from hil.hosts.bench_sections import Section
from hil.hosts.toml_file import Expected

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), Expected("a number of seconds > 0")]


class Deadlines(Section):
    """What a test does not say itself. The real-time backstop (``--hil-backstop``) is another matter."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    attach: Seconds = 20.0
    """From the plug to a usable GPU; owners report two to five."""
    detach: Seconds = 5.0
    """From the pull until the host has noticed."""
    reset: Seconds = 10.0
    """From a reset until the GPU answers again; a real kernel takes 0.02."""
    open: Seconds = 60.0
    """Opening a device; a cold boot of its firmware through a tunnel takes up to 30."""
    operation: Seconds = 30.0
    """Any other operation on a device for which the test names none."""
