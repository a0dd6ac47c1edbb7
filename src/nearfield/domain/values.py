"""One value of one field type, read from what a caller sent: the same for a document and for a filter.

Each `read_*` returns the plain value of a row (see `filters.Row`) or raises Misfit, whose text says what was expected
and what was given. Its callers, `rows` and `binding`, add the field's name and raise an error of the tree.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final

from nearfield.domain.filters import GeoPoint, Scalar
from nearfield.domain.schema import FieldType
from nearfield.domain.spelling import shorten

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
MAX_KEYWORD_LENGTH: Final = 8_192  # characters
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?\Z"
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_LONGITUDE_NAMES: Final = ("lon", "lng")


class Misfit(ValueError):
    """A value that is not of the type asked. Never leaves the domain."""


def describe(value: object) -> str:  # noqa: PLR0911 - one return per kind
    """A value for a message: `the string "abc"`, `the number 5`, `null`, `a list`; long ones are cut."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() if abs(value) >= 1 << 128:
            return "a number of more than 38 digits"
        case int() | float():
            return f"the number {value}"
        case str():
            return f'the string "{shorten(value, 40)}"'
        case date():
            return f"the date {value.isoformat()}"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "an object"
        case _:
            return f"a Python {type(value).__name__}"


def has_surrogate(text: str) -> bool:
    """Whether a text holds a lone surrogate, which UTF-8 cannot write down."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def read_text(value: object) -> str:
    """A string of any length that UTF-8 can hold."""
    if not isinstance(value, str):
        raise Misfit(f"expected a string, got {describe(value)}")
    if has_surrogate(value):
        raise Misfit("expected text that UTF-8 can hold, got a string with a lone surrogate")
    return value


def read_keyword(value: object) -> str:
    """A string of at most MAX_KEYWORD_LENGTH characters."""
    text = read_text(value)
    if len(text) > MAX_KEYWORD_LENGTH:
        raise Misfit(
            f"expected a keyword of at most {MAX_KEYWORD_LENGTH} characters, got {len(text)}; declare the field as text"
        )
    return text


def read_int(value: object) -> int:
    """A whole number of 64 bits with sign; 5.0 is 5. A bool is no number."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Misfit(f"expected int, got {describe(value)}")
    if not INT64_MIN <= value <= INT64_MAX:
        raise Misfit(f"expected int of 64 bits, got {describe(value)}")
    return int(value)


def read_float(value: object) -> float:
    """A finite float64. An int is taken as the nearest one, exact up to 2**53. A bool is no number; -0.0 is 0.0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Misfit(f"expected float, got {describe(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Misfit(f"expected a finite float, got {describe(value)}")
    return number + 0.0  # -0.0 and 0.0 are equal here but not in every engine


def read_bool(value: object) -> bool:
    """true or false; 1, 0 and "true" are not."""
    if not isinstance(value, bool):
        raise Misfit(f"expected bool (true or false), got {describe(value)}")
    return value


def read_instant(value: object) -> int:
    """Microseconds since 1970-01-01 UTC of an ISO 8601 date or time, or of a Python date or datetime.

    A date is its midnight, a time without offset is UTC; digits beyond the microsecond are dropped.
    """
    if isinstance(value, str):
        value = _parse_instant(value)
    if isinstance(value, datetime):
        moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    else:
        raise Misfit(_not_an_instant(value))
    return (moment - _EPOCH) // _MICROSECOND


def _parse_instant(text: str) -> datetime:
    try:
        if _INSTANT.match(text):
            return datetime.fromisoformat(text)
    except ValueError as exc:
        raise Misfit(f"{_not_an_instant(text)} ({exc})") from exc
    raise Misfit(_not_an_instant(text))


def _not_an_instant(value: object) -> str:
    return f'expected datetime in ISO 8601 such as "2024-05-01" or "2024-05-01T09:30:00Z", got {describe(value)}'


def read_geo(value: object) -> GeoPoint:
    """A point from `{"lat", "lon"}` (or `lng`) or `[lat, lon]`, in degrees: -90 to 90, then -180 to 180."""
    match value:
        case Mapping() if len(value) == 2 and "lat" in value and any(name in value for name in _LONGITUDE_NAMES):
            lat, lon = value["lat"], value.get("lon", value.get("lng"))
        case [lat, lon]:
            pass
        case _:
            raise Misfit(f'expected geo as {{"lat": 52.5, "lon": 13.4}} or [52.5, 13.4], got {describe(value)}')
    return GeoPoint(_degrees("latitude", lat, 90), _degrees("longitude", lon, 180))


def _degrees(name: str, value: object, limit: int) -> float:
    try:
        degrees = read_float(value)
    except Misfit as exc:
        raise Misfit(f"{name}: {exc}") from exc
    if not -limit <= degrees <= limit:
        raise Misfit(f"expected a {name} of -{limit} to {limit} degrees, got {degrees}")
    return degrees


Reader = Callable[[object], Scalar | GeoPoint]
READERS: Final[Mapping[FieldType, Reader]] = {
    FieldType.TEXT: read_text,
    FieldType.KEYWORD: read_keyword,
    FieldType.INT: read_int,
    FieldType.FLOAT: read_float,
    FieldType.BOOL: read_bool,
    FieldType.DATETIME: read_instant,
    FieldType.GEO: read_geo,
}
"""By element type, so a list type is looked up by `FieldType.element`."""
