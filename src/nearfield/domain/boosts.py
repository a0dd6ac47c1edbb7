"""What lifts or lowers a hit beside its relevance: how new it is, how popular, what its numbers and fields say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from nearfield.domain.boost_expression import Expression, fields_in
from nearfield.domain.errors import InvalidRequest
from nearfield.domain.schema import FieldType
from nearfield.domain.spelling import unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearfield.domain.filters import Filter

MAX_BOOSTS: Final = 16
MAX_FACTOR: Final = 10.0
"""Of one boost, and of all of a search together: no boost can make relevance meaningless."""
MAX_WEIGHT: Final = MAX_FACTOR - 1
_NUMBERS: Final = (FieldType.INT, FieldType.FLOAT)


@dataclass(frozen=True, slots=True)
class Recency:
    """Newer is better: factor = 1 + weight * 2^(-age / half_life).

    field: a datetime. half_life_s: seconds, above 0. origin_us: the moment ages are counted from, in microseconds since
    1970; None is the time of the search. What lies after it has age 0.
    """

    field: str
    half_life_s: float
    weight: float = 1.0
    origin_us: int | None = None


@dataclass(frozen=True, slots=True)
class Popularity:
    """More is better, and ever less so: factor = 1 + weight * signal, the signal 0..1; a number below 0 counts as 0.

    curve saturation: x / (x + scale), one half at `scale`. curve log: log(1 + x) / log(1 + scale), 1 from `scale` on.
    Source of the saturation: Craswell et al., "Relevance weighting for query independent evidence", SIGIR 2005.
    """

    field: str
    scale: float
    curve: Literal["saturation", "log"] = "saturation"
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Formula:
    """The factor is the value of an expression on numeric fields, cut to 0..MAX_FACTOR."""

    expression: Expression
    text: str


@dataclass(frozen=True, slots=True)
class FilterBoost:
    """Documents that pass a filter (unbound) have a factor, 0 to MAX_FACTOR; the others keep their score."""

    where: Filter
    factor: float


Boost = Recency | Popularity | Formula | FilterBoost


def check_boosts(boosts: tuple[Boost, ...]) -> None:
    """Raise InvalidRequest, naming the place, unless there are at most MAX_BOOSTS and each number is in its range."""
    if len(boosts) > MAX_BOOSTS:
        raise InvalidRequest(f"{len(boosts)} boosts; at most {MAX_BOOSTS} are applied", field="boosts")
    for at, boost in enumerate(boosts):
        match boost:
            case Recency():
                _within(boost.half_life_s, 0, math.inf, f"boosts[{at}].half_life", "half life in seconds", above=True)
                _within(boost.weight, 0, MAX_WEIGHT, f"boosts[{at}].weight", "weight")
            case Popularity():
                key = "half" if boost.curve == "saturation" else "full"
                _within(boost.scale, 0, math.inf, f"boosts[{at}].{key}", key, above=True)
                _within(boost.weight, 0, MAX_WEIGHT, f"boosts[{at}].weight", "weight")
            case FilterBoost():
                _within(boost.factor, 0, MAX_FACTOR, f"boosts[{at}].factor", "factor")
            case Formula():
                pass


def _within(value: float, low: float, high: float, field: str, name: str, *, above: bool = False) -> None:
    if not math.isfinite(value) or not (low < value if above else low <= value) or value > high:
        wanted = f"above {low:g}" if above else f"{low:g} to {high:g}"
        raise InvalidRequest(f"{name} is {value}; expected {wanted}", field=field)


def check_fields(boosts: tuple[Boost, ...], fields: Mapping[str, FieldType]) -> None:
    """Raise InvalidRequest for a field that the collection has not declared, or of a type the boost cannot use.

    Filters are checked where they are bound.
    """
    for at, boost in enumerate(boosts):
        match boost:
            case Recency():
                _check_field(boost.field, fields, (FieldType.DATETIME,), f"boosts[{at}].recency")
            case Popularity():
                _check_field(boost.field, fields, _NUMBERS, f"boosts[{at}].popularity")
            case Formula():
                for name in fields_in(boost.expression):
                    _check_field(name, fields, _NUMBERS, f"boosts[{at}].expression")
            case FilterBoost():
                pass


def _check_field(name: str, fields: Mapping[str, FieldType], wanted: tuple[FieldType, ...], field: str) -> None:
    if name not in fields:
        raise InvalidRequest(unknown_name("field", name, fields), field=field)
    if fields[name] not in wanted:
        raise InvalidRequest(f"field {name!r} is {fields[name]}; expected {' or '.join(wanted)}", field=field)
