"""Parity with recordings of the public VITA-Audio code: ``python -m labkit.parity DIR...``."""
