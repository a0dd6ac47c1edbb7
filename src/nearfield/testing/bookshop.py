"""A small collection that the engine suite knows by heart: a field of every type, values missing here and there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

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
    Row,
)
from nearfield.domain.schema import FieldType

if TYPE_CHECKING:
    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.protocols.engine import VectorIndex

DIMENSION: Final = 64  # the least that RaBitQ takes
ROWS: Final = 240
FIELDS: Final = {
    "title": FieldType.TEXT,
    "brand": FieldType.KEYWORD,
    "year": FieldType.INT,
    "price": FieldType.FLOAT,
    "used": FieldType.BOOL,
    "added": FieldType.DATETIME,
    "shop": FieldType.GEO,
    "notes": FieldType.TEXTS,
    "tags": FieldType.KEYWORDS,
    "sizes": FieldType.INTS,
    "ratings": FieldType.FLOATS,
    "flags": FieldType.BOOLS,
    "sold": FieldType.DATETIMES,
    "stock": FieldType.GEOS,
}
_BRANDS: Final = ("Acme", 'O\'Hara & "Sons"', "back\\slash\\", "Ünal 😀", "")
_WORDS: Final = ("wireless headphones", "Walnut tables", "café crème", "hiking boot", "the night lamp")
_DAY: Final = 86_400_000_000


def row(number: int) -> Row:
    """The row of a number; every seventh lacks half of its fields."""
    n = number
    whole: Row = {
        "title": f"{_WORDS[n % 5]} {n}",
        "brand": _BRANDS[n % 5],
        "year": (-(2**63), 1999 + n % 20, 2**63 - 1)[min(2, n % 50)] if n % 50 != 1 else 2**53 + 1,
        "price": round(n * 0.37, 2),
        "used": n % 3 == 0,
        "added": 1_700_000_000_000_000 + n * _DAY,
        "shop": GeoPoint(float(n % 90), float(n % 360 - 180)),
        "notes": (f"note {n % 4}", "it's"),
        "tags": tuple(dict.fromkeys(("new" if n % 2 else "old", f"t{n % 6}", "50% off"))),
        "sizes": (n % 5, n % 7),
        "ratings": (n % 5 + 0.5, 0.1),
        "flags": (n % 2 == 0,),
        "sold": (1_600_000_000_000_000 + n % 9 * _DAY,),
        "stock": (GeoPoint(10.0, float(n % 10)), GeoPoint(-10.0, 179.5)),
    }
    return dict(list(whole.items())[n % 7 :: 2]) if n % 7 == 6 else whole


def text(number: int) -> str:
    """What lexical search reads of a row."""
    return f"{_WORDS[number % 5]} number{number}"


def vectors(count: int = ROWS, *, seed: int = 1) -> Float32Array:
    """Unit vectors in loose clusters, shape (count, DIMENSION); the same for the same seed."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(12, DIMENSION))
    raw = centres[random.integers(0, 12, count)] + 0.8 * random.normal(size=(count, DIMENSION))
    return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), np.float32)


def keys(count: int = ROWS) -> Int64Array:
    """Keys as the store makes them: multiples of 4096, from 4096 on."""
    return np.arange(1, count + 1, dtype=np.int64) << 12


async def stock(index: VectorIndex, *, scale: float = 1.0, start: int = 0, stop: int = ROWS) -> None:
    """Write the rows `start` to `stop - 1`. scale: length of the vectors, for metrics that see it."""
    part = slice(start, stop)
    numbers = range(start, stop)
    await index.upsert(
        keys()[part], vectors()[part] * np.float32(scale), [row(n) for n in numbers], [text(n) for n in numbers]
    )


FILTER_EXAMPLES: Final[tuple[Filter, ...]] = (
    Eq("title", "Walnut tables 1"),
    Eq("brand", "back\\slash\\"),
    Eq("brand", ""),
    Eq("year", 2**53 + 1),
    Eq("price", 0.37),
    Eq("used", True),
    Ne("brand", 'O\'Hara & "Sons"'),
    Ne("used", False),
    Lt("price", 20.0),
    Lt("year", -(2**63)),
    Lte("year", 2005),
    Gt("price", 88.0),
    Gt("year", 2**63 - 1),
    Gte("added", 1_700_000_000_000_000 + 200 * _DAY),
    Gte("brand", "Ünal"),
    In("brand", ("Acme", "Ünal 😀")),
    In("brand", ()),
    In("used", (True, False)),
    NotIn("year", (2000, 2001, 2**63 - 1)),
    NotIn("brand", ()),
    Exists("price"),
    Exists("tags", False),
    Exists("stock"),
    Exists("shop", False),
    ContainsAny("tags", ("new", "t3")),
    ContainsAny("tags", ()),
    ContainsAny("sizes", tuple(range(2, 100))),
    ContainsAny("flags", (True,)),
    ContainsAll("tags", ("old", "50% off")),
    ContainsAll("ratings", (0.1, 2.5)),
    ContainsAll("notes", ()),
    GeoBox("shop", 10.0, -150.0, 60.0, -100.0),
    GeoBox("shop", 0.0, 170.0, 80.0, -170.0),
    GeoBox("stock", 5.0, 3.0, 15.0, 5.0),
    GeoRadius("shop", GeoPoint(45.0, -135.0), 2_000_000.0),
    GeoRadius("stock", GeoPoint(10.0, 4.0), 60_000.0),
    And((Gt("price", 30.0), Lt("price", 60.0), Eq("used", False))),
    And(()),
    Or((Eq("brand", "Acme"), ContainsAny("tags", ("t5",)))),
    Or(()),
    Not(Lt("price", 50.0)),
    Not(And((Exists("price"), Or((Eq("used", True), Not(ContainsAll("tags", ("new",)))))))),
    Not(GeoBox("shop", 0.0, 0.0, 45.0, 90.0)),
    Not(Exists("year")),
)
"""At least one of every node, by hand; the property tests try the rest."""
