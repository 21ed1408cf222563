"""Faults of the simulated machine: one file each, registered under the entry-point group ``hil.faults``."""
