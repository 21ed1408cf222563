"""Wire formats that both a client room and the simulated machine speak: one definition for both ends."""
