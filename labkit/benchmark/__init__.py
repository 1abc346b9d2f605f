"""Measuring: speed by mode, the way to the first sound, what a machine could give at best, and models of cost.

`python -m labkit.benchmark --help` says how to run the measurements; everything goes to JSON.
"""
