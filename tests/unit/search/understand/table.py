"""The table of queries with and without constraints, and how a reading is compared with it.

`constrained.tsv`: schema, query, what is left to look for, the filter, the order. `plain.tsv`: schema, query. Values,
bounds and word counts of the schemas are in `schemas.json`. Now is 15 May 2024, a Wednesday.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from nearfield.domain.binding import bind
from nearfield.domain.filter_text import parse_text
from nearfield.domain.filters import And, Filter, Gt, Gte, Lt, Lte
from nearfield.domain.schema import FieldType
from nearfield.search.understand.fields import fields_of
from nearfield.search.understand.known import KnownValues
from nearfield.search.understand.words import stem

NOW = datetime(2024, 5, 15, 12, tzinfo=UTC)
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Schema:
    fields: dict[str, FieldType]
    known: KnownValues


@dataclass(frozen=True, slots=True)
class Row:
    schema: str
    query: str
    rest: str = ""
    where: str = ""
    sort: str = ""

    def constraints(self) -> frozenset[object]:
        """What is to be read: conditions and orders, one by one."""
        where = parse_text(self.where) if self.where else None
        return constraints(where, tuple(self.sort.split()), schemas()[self.schema].fields)


@cache
def schemas() -> dict[str, Schema]:
    return {name: _schema(given) for name, given in json.loads((HERE / "schemas.json").read_text("utf-8")).items()}


def _schema(given: dict[str, Any]) -> Schema:
    fields = {name: FieldType(kind) for name, kind in given["fields"].items()}
    known = KnownValues.of(
        fields_of(fields),
        given["values"],
        ranges={name: (low, high) for name, (low, high) in given["ranges"].items()},
        frequencies={stem(word): count for word, count in given["frequencies"].items()},
        titles=given.get("titles", ()),
    )
    return Schema(fields, known)


@cache
def rows(name: str) -> tuple[Row, ...]:
    with (HERE / f"{name}.tsv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Row(**{key: value or "" for key, value in row.items()})
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        )


def constraints(where: Filter | None, sort: tuple[str, ...], fields: dict[str, FieldType]) -> frozenset[object]:
    """Conditions and orders one by one; `> 2010` and `>= 2011` of an int field are the same."""
    if where is None:
        return frozenset(sort)
    bound = bind(where, fields)
    parts = bound.parts if isinstance(bound, And) else (bound,)
    return frozenset([_whole(part, fields) for part in parts] + list(sort))


def _whole(part: Filter, fields: dict[str, FieldType]) -> Filter:
    match part:
        case Gt(field, int(value)) if fields[field] is FieldType.INT:
            return Gte(field, value + 1)
        case Lt(field, int(value)) if fields[field] is FieldType.INT:
            return Lte(field, value - 1)
    return part
