"""Nearfield: find documents by meaning. `nearfield.open()` is the door; the errors are in `nearfield.errors`."""

__version__ = "0.1.0"
