"""Measuring: speed by mode, latency of the first audio, and what a machine could give at best."""
