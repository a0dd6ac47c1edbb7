"""Where each part of a filter is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearfield.domain.errors import InvalidFilter, UnsupportedByEngine
from nearfield.domain.filter_text import parse_text
from nearfield.domain.filters import And, Eq, Filter, GeoBox, GeoRadius, Gte, In, Lte, Not, Or
from nearfield.domain.schema import FieldType
from nearfield.engines.local_filters import compile_filter
from nearfield.search.filters import PlacedFilter, is_light, place

if TYPE_CHECKING:
    from tests.unit.search.parts import World


def placed(world: World, text: str) -> PlacedFilter:
    return place(parse_text(text), world.collection.spec.fields, world.index)


def test_no_filter_is_no_part() -> None:
    assert place(None, {}, None) == PlacedFilter()  # type: ignore[arg-type]


async def test_what_the_engine_can_say_is_left_to_it(world: World) -> None:
    found = placed(world, 'price <= 100 AND (brand = "Acme" OR NOT in_stock = true)')
    assert (found.residual, found.residual_text) == (None, None)
    assert found.native == found.whole
    assert found.native_text == 'price <= 100 AND (brand = "Acme" OR NOT in_stock = true)'
    assert isinstance(found.native, And)
    assert found.native.parts[0] == Lte("price", 100.0)


async def test_a_filter_is_split_at_its_outermost_and(world: World) -> None:
    world.index.cannot_say = (Or,)
    found = placed(world, 'price <= 100 AND (brand = "A" OR brand = "B") AND in_stock = true')
    assert found.native == And((Lte("price", 100.0), Eq("in_stock", True)))
    assert found.residual == Or((Eq("brand", "A"), Eq("brand", "B")))
    assert found.native_text == "price <= 100 AND in_stock = true"
    assert found.residual_text == 'brand = "A" OR brand = "B"'
    assert found.whole == And((Lte("price", 100.0), Eq("in_stock", True), found.residual))


async def test_a_part_is_never_split_below_that(world: World) -> None:
    world.index.cannot_say = (Not,)
    found = placed(world, 'price <= 100 OR NOT brand = "A"')
    assert (found.native, found.native_text) == (None, None)
    assert found.residual == found.whole
    assert found.residual_text == 'price <= 100 OR NOT brand = "A"'


async def test_parts_that_are_too_long_together_are_shared_out(world: World) -> None:
    world.index.longest = 4  # nodes: an and of three
    found = placed(world, 'price <= 100 AND price >= 10 AND brand = "A" AND in_stock = true')
    assert found.native_text == "price <= 100 AND price >= 10"
    assert found.residual_text == 'brand = "A" AND in_stock = true'
    assert isinstance(found.whole, And)
    assert len(found.whole.parts) == 4


def test_the_most_comparisons_of_the_local_engine_are_met_the_same_way() -> None:
    fields = {"n": FieldType.INT}
    where = And(tuple(Or(tuple(Gte("n", i) for i in range(1_100))) for _ in range(3)))

    class Compiling:
        def unsupported(self, where: Filter) -> bool:
            try:
                compile_filter(where, fields)
            except UnsupportedByEngine:
                return True
            return False

    found = place(where, fields, Compiling())  # type: ignore[arg-type]
    assert found.native == where.parts[0]
    assert found.residual == And(where.parts[1:])


def test_a_long_list_is_not_light() -> None:
    assert is_light(None)
    assert is_light(And((Eq("a", 1), In("a", tuple(range(190))))))
    assert not is_light(In("a", tuple(range(200))))


async def test_a_circle_the_engine_cannot_draw_is_sought_in_its_box(world: World) -> None:
    found = placed(world, "GEO_RADIUS(at, 10, 20, 500000)")
    if world.collection.spec.engine == "exact":
        assert isinstance(found.native, GeoRadius)
        assert found.residual is None
    else:
        assert isinstance(found.native, GeoBox)
        assert isinstance(found.residual, GeoRadius)
        assert found.native_text is None
        assert found.residual_text == "GEO_RADIUS(at, 10.0, 20.0, 500000.0)"


async def test_an_unknown_field_is_refused_in_any_part(world: World) -> None:
    with pytest.raises(InvalidFilter, match="colour"):
        placed(world, 'price <= 100 AND colour = "red"')


async def test_keeps_decides_on_the_document(world: World) -> None:
    found = placed(world, "price <= 100 AND NOT GEO_RADIUS(at, 10, 20, 500000)")
    fields = world.collection.spec.fields
    kept = [one.id for one in await world.documents() if found.keeps(one, fields)]
    wanted = await world.documents(parse_text("price <= 100 AND NOT GEO_RADIUS(at, 10, 20, 500000)"))
    assert kept == [one.id for one in wanted]
    assert 0 < len(kept) < 150
