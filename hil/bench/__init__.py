"""The bench: what hangs on it, the processes that drive its devices, their health, locks and recovery."""

from hil.bench.bench import Bench
from hil.bench.device import Device, DeviceFacts
from hil.bench.opening import HardwareRequired, Wish, open_bench
from hil.hosts.selection import Selection, parse

__all__ = ["Bench", "Device", "DeviceFacts", "HardwareRequired", "Selection", "Wish", "open_bench", "parse"]
