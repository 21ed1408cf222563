"""The simulated lab machine: a process that speaks the wires of a real one, with virtual time and faults."""
