"""Which exit code an error has, and how it is told."""

from __future__ import annotations

import sys
from typing import Any, Final

from nearfield.domain.errors import (
    InvalidFilter,
    InvalidRequest,
    InvalidSchema,
    InvalidSetting,
    ModelUnknown,
    NearfieldError,
    UnsupportedByEngine,
)

GOOD: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2
INTERRUPTED: Final = 130

_OF_THE_FLAGS: Final = (
    InvalidFilter,
    InvalidRequest,
    InvalidSchema,
    InvalidSetting,
    ModelUnknown,
    UnsupportedByEngine,
)
"""Errors that a flag's value or an environment variable causes; the others come from the data or the machine."""


def exit_code(error: NearfieldError) -> int:
    """WRONG_USE when the command has to be written differently, else FAILED."""
    return WRONG_USE if isinstance(error, _OF_THE_FLAGS) else FAILED


def tell(error: NearfieldError, *, as_json: bool) -> None:
    """`error: what happened (code)` on standard error; with as_json a problem object on standard output instead."""
    tell_failure(error.code, str(error), as_json=as_json, field=error.field, retryable=error.retryable)


def tell_failure(code: str, detail: str, *, as_json: bool, **more: Any) -> None:
    """As `tell` does, of what is no error of this process. more: members of the problem object."""
    if as_json:
        tell_problem(code, detail, **more)
    else:
        sys.stderr.write(f"error: {detail} ({code})\n")


def tell_problem(code: str, detail: str, **more: Any) -> None:
    """A problem object on standard output, in the form of the HTTP service's."""
    from nearfield.cli.terminal import write_json  # noqa: PLC0415  rich is slow to load, and --help needs this file

    write_json(sys.stdout, {"type": f"urn:nearfield:error:{code}", "code": code, "detail": detail, **more})
