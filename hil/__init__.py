"""Hardware-in-the-loop tests for NVIDIA GPUs in Thunderbolt / USB4 enclosures."""

__version__ = "0.1.0"
