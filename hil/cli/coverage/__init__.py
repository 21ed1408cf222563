"""``hil coverage``: what share of the catalogue's faults the suites catch, and what they take for a fault."""
