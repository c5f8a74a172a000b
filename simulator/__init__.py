"""A stand-in for every provider: their wires, their faults, real bytes, and a bill that is the oracle for money."""
