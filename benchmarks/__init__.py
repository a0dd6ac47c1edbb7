"""Measurements. `make bench`, or `python -m benchmarks NAME... [--rows N] [--rounds N]`; never part of the tests.

Contenders run side by side in one process tree and take turns; figures are medians of several rounds with their spread.
"""
