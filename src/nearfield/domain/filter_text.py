r"""The text spelling of filters: `price <= 100 AND (brand = "Acme" OR tags IN ["new"])`.

    = != <> < <= > >=              price >= 10
    IN [..], NOT IN [..]           brand IN ["Acme", "Zenith"]        round brackets do as well
    BETWEEN a AND b                price BETWEEN 10 AND 20            both ends included
    EXISTS, NOT EXISTS             brand EXISTS                       also IS NOT NULL, IS NULL, EXISTS brand
    CONTAINS x, CONTAINS [..]      tags CONTAINS ["new", "sale"]      holds any of them
    CONTAINS ALL [..]              tags CONTAINS ALL ["new", "sale"]
    GEO_RADIUS(field, lat, lon, metres)      GEO_BOX(field, south, west, north, east)
    AND, OR, NOT, ( ), TRUE, FALSE NOT binds tightest, then AND

Keywords in any case. Text in single or double quotes with the escapes \" \' \` \\ \/ \n \r \t \uXXXX; dates are quoted
ISO 8601. A field name that is a keyword, or has other characters than letters, digits and `_`, stands in backquotes.
"""

from __future__ import annotations

import re
from typing import Final

from nearfield.domain import filter_grammar
from nearfield.domain.errors import InvalidFilter
from nearfield.domain.filter_limits import MAX_FILTER_NODES, check_size
from nearfield.domain.filters import (
    And,
    ContainsAll,
    ContainsAny,
    Eq,
    Exists,
    Filter,
    GeoBox,
    GeoRadius,
    Gt,
    Gte,
    In,
    Lt,
    Lte,
    Ne,
    Not,
    NotIn,
    Or,
    Scalar,
)
from nearfield.domain.values import describe

MAX_TEXT_LENGTH: Final = 65_536  # characters of a whole filter; longer ones are for JSON
_BARE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SPECIAL: Final = re.compile('["`\\\\\x00-\x1f\x7f\ud800-\udfff]')
_SHORT: Final = {'"': '\\"', "`": "\\`", "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SIGNS: Final[dict[type[Filter], str]] = {Eq: "=", Ne: "!=", Lt: "<", Lte: "<=", Gt: ">", Gte: ">="}
_WORDS: Final[dict[type[Filter], str]] = {
    In: "IN",
    NotIn: "NOT IN",
    ContainsAny: "CONTAINS",
    ContainsAll: "CONTAINS ALL",
}


def parse_text(text: str, *, max_nodes: int = MAX_FILTER_NODES) -> Filter:
    """Read a filter from text. The tree is unbound: names and types are checked by `binding.bind`.

    Raises InvalidFilter: blank text, a syntax error with its column (1-based) and what was expected there, more than
    the limits of `filter_limits` (`max_nodes` conditions, joins included) or MAX_TEXT_LENGTH.
    """
    if not isinstance(text, str):
        raise InvalidFilter(f"expected a filter as text, got {describe(text)}", field="filter")
    if not text.strip():
        raise InvalidFilter("the filter is blank; expected a condition such as price <= 100", field="filter")
    if len(text) > MAX_TEXT_LENGTH:
        raise InvalidFilter(
            f"the filter has {len(text)} characters; at most {MAX_TEXT_LENGTH} are read, send a longer one as JSON",
            field="filter",
        )
    where = filter_grammar.parse(text)
    check_size(where, max_nodes)
    return where


def to_text(where: Filter) -> str:  # noqa: PLR0911 - one return per kind of node
    """Write a tree as canonical text, on one line, that `parse_text` turns into the same tree.

    A join of a single part is written as the part. A bound datetime is written as the int that it is.
    """
    match where:
        case And((part,)) | Or((part,)):
            return to_text(part)
        case And(()):
            return "TRUE"
        case Or(()):
            return "FALSE"
        case And(parts):
            return " AND ".join(_operand(part) for part in parts)
        case Or(parts):
            return " OR ".join(_operand(part) for part in parts)
        case Not(part):
            return f"NOT {_operand(part)}"
    return _leaf(where)


def _operand(part: Filter) -> str:
    """A part of a join, in brackets where it is itself one."""
    text = to_text(part)
    while isinstance(part, And | Or) and len(part.parts) == 1:
        (part,) = part.parts
    return f"({text})" if isinstance(part, And | Or) and part.parts else text


def _leaf(where: Filter) -> str:
    field = _field(where.field)  # type: ignore[attr-defined]
    match where:
        case Eq(_, value) | Ne(_, value) | Lt(_, value) | Lte(_, value) | Gt(_, value) | Gte(_, value):
            return f"{field} {_SIGNS[type(where)]} {_value(value)}"
        case In(_, values) | NotIn(_, values) | ContainsAny(_, values) | ContainsAll(_, values):
            return f"{field} {_WORDS[type(where)]} [{', '.join(map(_value, values))}]"
        case Exists(_, present):
            return f"{field} EXISTS" if present else f"{field} NOT EXISTS"
        case GeoRadius(_, center, radius_m):
            return f"GEO_RADIUS({field}, {center.lat!r}, {center.lon!r}, {radius_m!r})"
        case GeoBox(_, south, west, north, east):
            return f"GEO_BOX({field}, {south!r}, {west!r}, {north!r}, {east!r})"
    raise AssertionError(where)


def _field(name: str) -> str:
    if _BARE.match(name) and name.upper() not in filter_grammar.RESERVED:
        return name
    return f"`{_escaped(name)}`"


def _value(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{_escaped(value)}"' if isinstance(value, str) else repr(value)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda match: _SHORT.get(match.group(), f"\\u{ord(match.group()):04x}"), text)
