from __future__ import annotations

import pytest
from hypothesis import given

from nearfield.domain.errors import UnsupportedByEngine
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
    In,
    Lte,
    Ne,
    Not,
    NotIn,
    Or,
)
from nearfield.domain.schema import FieldType
from nearfield.engines.local_filters import MAX_COMPARISONS, compile_filter, encode_text
from nearfield.testing.bookshop import FIELDS
from nearfield.testing.strategies import texts


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (Eq("brand", 'a"b\\'), 'xbrand = "a!1b[1"'),
        (Ne("year", -3), "(xyear != -3 OR (xyear IS NULL OR n_slice = -1))"),
        (Lte("price", 5.0), "(xprice <= 5.0 OR n_slice = -1)"),
        (Not(Gt("year", 7)), "((xyear <= 7 OR n_slice = -1) OR (xyear IS NULL OR n_slice = -1))"),
        (In("brand", ("a", "b")), 'xbrand IN ("a", "b")'),
        (In("used", (True, False)), "(xused = true OR xused = false)"),
        (ContainsAll("tags", ("x",)), 'xtags CONTAIN_ALL ("x")'),
        (Exists("title"), "xtitle IS NOT NULL"),
        (Not(Or((Eq("used", True), Exists("title")))), None),
        (And(()), True),
        (Or(()), False),
        (Not(And(())), False),
        (In("brand", ()), False),
        (NotIn("brand", ()), "((xbrand IS NOT NULL OR n_slice = -1) OR (xbrand IS NULL OR n_slice = -1))"),
        (And((In("brand", ()), Eq("used", True))), False),
        (Or((In("brand", ()), Eq("used", True))), "xused = true"),
        (And((And(()), Or((And(()), Eq("used", True))))), True),
    ],
)
def test_filters_as_zvec_reads_them(where: Filter, said: str | bool | None) -> None:
    if said is None:
        said = "((xused != true OR (xused IS NULL OR n_slice = -1)) AND xtitle IS NULL)"
    assert compile_filter(where, FIELDS) == said


def test_long_lists_are_cut() -> None:
    held = compile_filter(ContainsAny("sizes", tuple(range(70))), FIELDS)
    assert isinstance(held, str)
    assert held.count("CONTAIN_ANY") == 3
    assert held.count(" OR ") == 2
    every = compile_filter(Not(ContainsAll("sizes", tuple(range(70)))), FIELDS)
    assert isinstance(every, str)
    assert every.count("NOT CONTAIN_ALL") == 3


@pytest.mark.parametrize(
    "where",
    [
        GeoRadius("shop", GeoPoint(0.0, 0.0), 1.0),
        GeoBox("stock", 0.0, 0.0, 1.0, 1.0),
        And((Exists("title"), Not(GeoRadius("shop", GeoPoint(0.0, 0.0), 1.0)))),
        Or(tuple(Eq("year", n) for n in range(MAX_COMPARISONS + 1))),
    ],
    ids=lambda where: type(where).__name__,
)
def test_what_zvec_cannot_say(where: Filter) -> None:
    with pytest.raises(UnsupportedByEngine):
        compile_filter(where, FIELDS)


@given(texts(), texts())
def test_the_code_of_texts_keeps_order_and_drops_what_needs_escaping(one: str, other: str) -> None:
    coded, other_coded = encode_text(one), encode_text(other)
    assert not set('"\\') & set(coded)
    assert (one < other, one == other) == (coded < other_coded, coded == other_coded)


def test_no_column_of_ours_can_be_a_field() -> None:
    for name in ("n_slice", "n_text", "n_vector", "true"):
        said = compile_filter(Eq(name, 1), {name: FieldType.INT})
        assert said == f"x{name} = 1"
