"""The grammar of filters as text, and how a text is parsed with it. `filter_text` is the door.

LALR(1) with a lexer that knows what may come next, so neither nesting nor length costs more than linear time, and
nothing recurses.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Final, cast

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args

from nearfield.domain.errors import InvalidFilter
from nearfield.domain.filter_limits import check_list_length, check_string_length
from nearfield.domain.filters import (
    And,
    ContainsAll,
    ContainsAny,
    Eq,
    Exists,
    Filter,
    GeoBox,
    GeoPoint,
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
from nearfield.domain.spelling import shorten

RESERVED: Final = (
    *("AND", "OR", "NOT", "IN", "IS", "EXISTS", "CONTAINS", "BETWEEN"),
    *("TRUE", "FALSE", "NULL", "GEO_RADIUS", "GEO_BOX"),
)
"""Words that are no field names unless backquoted, in any case."""

_GRAMMAR: Final = r"""
start: _filter
_filter: any_of
?any_of: all_of (_OR all_of)*
?all_of: _negated (_AND _negated)*
_negated: negation | _atom
negation: _NOT _negated

_atom: _LPAR _filter _RPAR
    | everything | nothing | comparison | present | missing
    | in_list | not_in_list | contains | contains_all | not_contains | not_contains_all | between | not_between
    | geo_radius | geo_box
everything: _TRUE
nothing: _FALSE
comparison: _field OPERATOR value
present: _field _EXISTS | _field _IS _NOT _NULL | _EXISTS _field | _EXISTS _LPAR _field _RPAR
missing: _field _NOT _EXISTS | _field _IS _NULL
in_list: _field _IN list
not_in_list: _field _NOT _IN list
contains: _field _CONTAINS _any
contains_all: _field _CONTAINS _ALL list
not_contains: _field _NOT _CONTAINS _any
not_contains_all: _field _NOT _CONTAINS _ALL list
between: _field _BETWEEN value _AND value
not_between: _field _NOT _BETWEEN value _AND value
geo_radius: _GEO_RADIUS _LPAR _field _COMMA NUMBER _COMMA NUMBER _COMMA NUMBER _RPAR
geo_box: _GEO_BOX _LPAR _field _COMMA NUMBER _COMMA NUMBER _COMMA NUMBER _COMMA NUMBER _RPAR

_any: list | one | _ANY list
one: value
list: _LSQB _RSQB | _LSQB _values _RSQB | _LPAR _RPAR | _LPAR _values _RPAR
_values: value (_COMMA value)*
value: STRING | NUMBER | true | false
true: _TRUE
false: _FALSE
_field: NAME | BACKQUOTED

OPERATOR: /<=|>=|<>|!=|==|=|<|>/
STRING: /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/s
NUMBER: /[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?/
BACKQUOTED: /`(?:[^`\\]|\\.)*`/s
NAME: /(?!(?:<reserved>)(?![A-Za-z0-9_]))[A-Za-z_][A-Za-z0-9_]*/
_LPAR: "("
_RPAR: ")"
_LSQB: "["
_RSQB: "]"
_COMMA: ","
<keywords>
%ignore /[ \t\r\n]+/
"""
_WORDS: Final = (*RESERVED, "ALL", "ANY")
_ENDED: Final = "$END"

_FIELD, _COMPARISON, _VALUE, _LIST = (
    "a field name",
    "a comparison such as =, <, IN, CONTAINS or EXISTS",
    'a value such as "text", 10 or true',
    "a list such as [1, 2]",
)
_SAID: Final = {
    "NAME": _FIELD,
    "OPERATOR": _COMPARISON,
    "STRING": _VALUE,
    "_BETWEEN": "IN, CONTAINS, BETWEEN or EXISTS",
    "NUMBER": "a number",
    "_LSQB": _LIST,
    "_RSQB": "]",
    "_LPAR": "(",
    "_COMMA": "a comma",
    "_RPAR": ")",
    "_NULL": "NULL or NOT NULL",
    "_AND": "AND",
    "_OR": "OR",
    _ENDED: "the end",
}
"""What may come next, in words, in order of use to the reader."""
_COVERED: Final = {
    _FIELD: {"("},
    _COMPARISON: {*_SAID.values()} - {_COMPARISON},
    _VALUE: {"a number", "("},
    _LIST: {"("},
}
"""Words that need not be said after others were."""

_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'", "`": "`", "/": "/"}
_BARE_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MAX_DIGITS: Final = 400
_COMPARISONS: Final[dict[str, type[Eq | Ne | Lt | Lte | Gt | Gte]]] = {
    "=": Eq,
    "==": Eq,
    "!=": Ne,
    "<>": Ne,
    "<": Lt,
    "<=": Lte,
    ">": Gt,
    ">=": Gte,
}


def parse(text: str) -> Filter:
    """The tree of a text, of any depth and size. Raises InvalidFilter with the place and what was expected."""
    try:
        return cast("Filter", _parser().parse(text))
    except UnexpectedInput as exc:
        raise InvalidFilter(_explain(text, exc), field="filter") from exc


@cache
def _parser() -> Lark:
    keywords = "\n".join(f"_{word}: /{word}(?![A-Za-z0-9_])/i" for word in _WORDS)
    grammar = _GRAMMAR.replace("<reserved>", f"(?i:{'|'.join(RESERVED)})").replace("<keywords>", keywords)
    return Lark(grammar, parser="lalr", lexer="contextual", transformer=_Tree(), maybe_placeholders=False)


@v_args(inline=True)
class _Tree(Transformer[Token, Filter]):
    """Builds nodes as the parser reduces. Fields come in as tokens, values as Python values."""

    def start(self, where: Filter) -> Filter:
        return where

    def any_of(self, *parts: Filter) -> Filter:
        return Or(parts)

    def all_of(self, *parts: Filter) -> Filter:
        return And(parts)

    def negation(self, part: Filter) -> Filter:
        return Not(part)

    def everything(self) -> Filter:
        return And(())

    def nothing(self) -> Filter:
        return Or(())

    def comparison(self, field: Token, operator: Token, value: Scalar) -> Filter:
        return _COMPARISONS[str(operator)](_name(field), value)

    def present(self, field: Token) -> Filter:
        return Exists(_name(field))

    def missing(self, field: Token) -> Filter:
        return Exists(_name(field), present=False)

    def in_list(self, field: Token, values: tuple[Scalar, ...]) -> Filter:
        return In(_name(field), values)

    def not_in_list(self, field: Token, values: tuple[Scalar, ...]) -> Filter:
        return NotIn(_name(field), values)

    def contains(self, field: Token, values: tuple[Scalar, ...]) -> Filter:
        return ContainsAny(_name(field), values)

    def contains_all(self, field: Token, values: tuple[Scalar, ...]) -> Filter:
        return ContainsAll(_name(field), values)

    def not_contains(self, field: Token, values: tuple[Scalar, ...]) -> Filter:
        return Not(ContainsAny(_name(field), values))

    def not_contains_all(self, field: Token, values: tuple[Scalar, ...]) -> Filter:
        return Not(ContainsAll(_name(field), values))

    def between(self, field: Token, low: Scalar, high: Scalar) -> Filter:
        return And((Gte(_name(field), low), Lte(_name(field), high)))

    def not_between(self, field: Token, low: Scalar, high: Scalar) -> Filter:
        return Not(self.between(field, low, high))

    def geo_radius(self, field: Token, lat: Token, lon: Token, radius: Token) -> Filter:
        return GeoRadius(_name(field), GeoPoint(_degrees(lat), _degrees(lon)), _degrees(radius))

    def geo_box(self, field: Token, south: Token, west: Token, north: Token, east: Token) -> Filter:
        return GeoBox(_name(field), *map(_degrees, (south, west, north, east)))

    def one(self, value: Scalar) -> tuple[Scalar, ...]:
        return (value,)

    def list(self, *values: Scalar) -> tuple[Scalar, ...]:
        check_list_length(len(values), "filter")
        return values

    def value(self, token: Token | bool) -> Scalar:
        if isinstance(token, bool):
            return token
        return _string(token) if token.type == "STRING" else _number(token)

    def true(self) -> bool:
        return True

    def false(self) -> bool:
        return False


def _name(token: Token) -> str:
    return str(token) if token.type == "NAME" else _string(token)


def _string(token: Token) -> str:
    text = _ESCAPE.sub(lambda match: _unescaped(match, token), str(token)[1:-1])
    check_string_length(text, "filter")
    return text


def _unescaped(match: re.Match[str], token: Token) -> str:
    escape = match.group(1)
    if len(escape) == 5:
        return chr(int(escape[1:], 16))
    if escape not in _ESCAPED:
        raise _at(token, rf"unknown escape \{escape}; write a backslash as \\")
    return _ESCAPED[escape]


def _number(token: Token) -> int | float:
    if len(token) > _MAX_DIGITS:
        raise _at(token, f"a number of {len(token)} digits; at most {_MAX_DIGITS} are read")
    number = float(token) if any(mark in token for mark in ".eE") else int(token)
    if isinstance(number, float) and not math.isfinite(number):
        raise _at(token, f"the number {shorten(token)} is too large")
    return number


def _degrees(token: Token) -> float:
    try:
        return float(_number(token))
    except OverflowError as exc:
        raise _at(token, f"the number {shorten(token)} is too large") from exc


def _at(token: Token, message: str) -> InvalidFilter:
    return InvalidFilter(f"{message}, at {_place(token.line or 1, token.column or 1)}", field="filter")


def _place(line: int, column: int) -> str:
    return f"column {column}" if line == 1 else f"line {line}, column {column}"


def _explain(text: str, error: UnexpectedInput) -> str:
    """One sentence: where, what was expected, what was there, and the fix where it is plain."""
    if isinstance(error, UnexpectedToken) and error.token.type == _ENDED:
        line, column, given = text.count("\n") + 1, len(text) - text.rfind("\n"), "the text ends"
    else:
        line, column = error.line, error.column
        given = f"got {shorten(error.token) if isinstance(error, UnexpectedToken) else error.char!r}"  # type: ignore[attr-defined]
    if isinstance(error, UnexpectedCharacters) and error.char in "\"'`":
        return f"the text that begins at {_place(line, column)} has no closing {error.char}"
    accepted = set(error.accepts or error.expected) if isinstance(error, UnexpectedToken) else set(error.allowed or ())  # type: ignore[attr-defined]
    return f"at {_place(line, column)} expected {_in_words(accepted)}, but {given}{_hint(text, error, accepted)}"


def _in_words(accepted: set[str]) -> str:
    said: list[str] = []
    for terminal, words in _SAID.items():
        if terminal in accepted and not any(words in _COVERED.get(before, ()) for before in said):
            said.append(words)
    return " or ".join(filter(None, (", ".join(said[:-1]), *said[-1:]))) or "something else"


def _hint(text: str, error: UnexpectedInput, accepted: set[str]) -> str:
    start = max(0, (error.pos_in_stream or 0) - 4)
    date = _BARE_DATE.match(text, start)
    if date:
        return f'; a date needs quotes: "{date.group()}"'
    if not isinstance(error, UnexpectedToken):
        return ""
    if error.token.type == "NAME" and "STRING" in accepted:
        return f'; text needs quotes: "{shorten(error.token)}"'
    if error.token.type == "_NULL" and "STRING" in accepted:
        return "; write IS NULL for a missing value"
    return ""
