"""Arithmetic on a document's numbers, for boosts: `1 + log(1 + sales) / 10`.

    numbers, field names     2  0.5  1e3  price
    + - * /  ( )             as usual; a minus before a term
    log sqrt min max         log is the natural one; min and max take two or more

Nothing else is understood, and nothing is ever executed: the text becomes a tree of the operations above.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, reduce
from typing import TYPE_CHECKING, Final, Literal, cast

import numpy as np
import numpy.typing as npt
from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.spelling import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Float64Array = npt.NDArray[np.float64]

MAX_LENGTH: Final = 1_000  # characters
MAX_NODES: Final = 200

Function = Literal["+", "-", "*", "/", "neg", "log", "sqrt", "min", "max"]

_GRAMMAR: Final = r"""
start: _sum
_sum: _product | add | subtract
add: _sum "+" _product
subtract: _sum "-" _product
_product: _term | multiply | divide
multiply: _product "*" _term
divide: _product "/" _term
_term: number | field | call | negate | "(" _sum ")"
negate: "-" _term
call: NAME "(" _sum ("," _sum)* ")"
number: NUMBER
field: NAME
NUMBER: /(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?/
NAME: /[A-Za-z_][A-Za-z0-9_]*/
%ignore /[ \t\r\n]+/
"""
_ARGUMENTS: Final[Mapping[str, tuple[int, int]]] = {"log": (1, 1), "sqrt": (1, 1), "min": (2, 16), "max": (2, 16)}


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Field:
    """The number a document holds in a field."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """An operation on one or more parts, in order."""

    function: Function
    parts: tuple[Expression, ...]


Expression = Number | Field | Call


def parse_expression(text: str, *, at: str) -> Expression:
    """The tree of a text. at: the request field, for the error (`boosts[0].expression`).

    Raises InvalidRequest: blank, longer than MAX_LENGTH, more than MAX_NODES operations, an unknown function or a
    wrong number of arguments, a syntax error; each with its column, counted from 1.
    """
    if not text.strip():
        raise InvalidRequest("the expression is blank; expected one such as 1 + log(1 + sales)", field=at)
    if len(text) > MAX_LENGTH:
        raise InvalidRequest(f"the expression has {len(text)} characters; at most {MAX_LENGTH} are read", field=at)
    try:
        tree = cast("Expression", _parser().parse(text))
    except UnexpectedInput as exc:
        raise InvalidRequest(f"expression {shorten(text)}: {_explain(text, exc)}", field=at) from exc
    except _Fault as exc:
        raise InvalidRequest(f"expression {shorten(text)}: {exc}", field=at) from exc
    if (count := sum(1 for _ in walk(tree))) > MAX_NODES:
        raise InvalidRequest(f"the expression has {count} parts; at most {MAX_NODES} are computed", field=at)
    return tree


def walk(tree: Expression) -> Iterator[Expression]:
    """Every node, parents first. Needs no recursion, whatever the depth."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, Call):
            stack.extend(reversed(node.parts))


def fields_in(tree: Expression) -> tuple[str, ...]:
    """The fields named, in order of first use, each once."""
    return tuple(dict.fromkeys(node.name for node in walk(tree) if isinstance(node, Field)))


def evaluate(tree: Expression, columns: Mapping[str, Float64Array], count: int) -> Float64Array:
    """The value for each of `count` documents; float64, shape (count,).

    columns: shape (count,) each, NaN where a document has no value. NaN also where the result is not a finite number:
    a missing value, a division by zero, the logarithm or root of a number that has none.
    """
    with np.errstate(all="ignore"):
        value = np.broadcast_to(_value(tree, columns), (count,)).astype(np.float64)
    return np.where(np.isfinite(value), value, np.nan)


def _value(tree: Expression, columns: Mapping[str, Float64Array]) -> Float64Array:
    match tree:
        case Number(value):
            return np.asarray(value, dtype=np.float64)
        case Field(name):
            return columns[name]
        case Call(function, parts):
            return reduce(_OPERATIONS[function], [_value(part, columns) for part in parts[1:]], _first(tree, columns))


def _first(call: Call, columns: Mapping[str, Float64Array]) -> Float64Array:
    first = _value(call.parts[0], columns)
    return _UNARY[call.function](first) if call.function in _UNARY else first


_UNARY: Final[Mapping[str, Callable[[Float64Array], Float64Array]]] = {
    "neg": np.negative,
    "log": np.log,
    "sqrt": np.sqrt,
}
_OPERATIONS: Final[Mapping[str, Callable[[Float64Array, Float64Array], Float64Array]]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "min": np.minimum,
    "max": np.maximum,
    **dict.fromkeys(("neg", "log", "sqrt"), np.add),  # of one part each: nothing is left to fold
}


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", lexer="contextual", transformer=_Tree(), maybe_placeholders=False)


class _Fault(ValueError):
    """What the parser cannot see; `parse_expression` turns it into the caller's error."""


@v_args(inline=True)
class _Tree(Transformer[Token, Expression]):
    """Builds nodes as the parser reduces."""

    def start(self, tree: Expression) -> Expression:
        return tree

    def add(self, left: Expression, right: Expression) -> Expression:
        return Call("+", (left, right))

    def subtract(self, left: Expression, right: Expression) -> Expression:
        return Call("-", (left, right))

    def multiply(self, left: Expression, right: Expression) -> Expression:
        return Call("*", (left, right))

    def divide(self, left: Expression, right: Expression) -> Expression:
        return Call("/", (left, right))

    def negate(self, part: Expression) -> Expression:
        return Call("neg", (part,))

    def number(self, token: Token) -> Expression:
        return Number(float(token))

    def field(self, token: Token) -> Expression:
        return Field(str(token))

    def call(self, token: Token, *parts: Expression) -> Expression:
        name = str(token)
        if name not in _ARGUMENTS:
            raise _at(token, f"unknown function {shorten(name)}; known are {', '.join(_ARGUMENTS)}")
        least, most = _ARGUMENTS[name]
        if not least <= len(parts) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise _at(token, f"{name} takes {wanted} arguments, got {len(parts)}")
        return Call(cast("Function", name), parts)


def _at(token: Token, message: str) -> _Fault:
    return _Fault(f"at column {token.column} {message}")


def _explain(text: str, error: UnexpectedInput) -> str:
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        wanted = "a number, a field or a bracket" if "NUMBER" in error.accepts else "an operator or )"
        return f"at column {len(text) + 1} expected {wanted}, but the text ends"
    place = (error.pos_in_stream or 0) + 1
    given = error.char if isinstance(error, UnexpectedCharacters) else getattr(error, "token", "")
    return f"at column {place} {shorten(str(given))!r} has no meaning there"
