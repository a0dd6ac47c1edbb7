"""Filters on whole columns let the same rows pass as the domain's evaluator, also after places were given back."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nearfield.domain.filters import GeoPoint, GeoRadius, Row, distance_m, matches
from nearfield.domain.schema import FieldType
from nearfield.engines.columns import Columns
from nearfield.engines.ranking import EVERY_FILTER
from nearfield.testing import strategies as ours

FIELDS = {f"f_{kind.name.lower()}": kind for kind in FieldType}


def passing(columns: Columns, where: object, count: int) -> list[bool]:
    return [bool(one) for one in columns.passing(where, count)]  # type: ignore[arg-type]


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_columns_agree_with_the_evaluator(data: st.DataObject) -> None:
    table: list[Row] = data.draw(st.lists(ours.rows(FIELDS), min_size=1, max_size=12))
    columns, cut = Columns(FIELDS), data.draw(st.integers(0, len(table)))
    columns.extend(table[:cut])
    columns.extend(table[cut:])
    kept = data.draw(st.lists(st.sampled_from(range(len(table))), unique=True).map(sorted))
    taken = columns.take(np.array(kept, np.int64))
    taken.extend(table[:cut])
    for _ in range(8):
        where = data.draw(ours.bound_filters(FIELDS, table, EVERY_FILTER))
        assert passing(columns, where, len(table)) == [matches(where, row) for row in table], where
        assert passing(columns, where, cut) == [matches(where, row) for row in table[:cut]], where
        after = [table[place] for place in kept] + table[:cut]
        assert passing(taken, where, len(after)) == [matches(where, row) for row in after], where


@settings(deadline=None, max_examples=200)
@given(ours.points(), ours.points(), st.sampled_from((-1, 0, 1)))
@example(GeoPoint(0.0, 0.0), GeoPoint(0.0, 180.0), 0)
@example(GeoPoint(52.5, 13.4), GeoPoint(-52.5, -166.6), 0)
def test_a_point_on_the_edge_of_a_circle_is_taken_alike(center: GeoPoint, point: GeoPoint, ulps: int) -> None:
    radius = distance_m(center, point)
    where = GeoRadius("at", center, max(0.0, float(np.nextafter(radius, np.inf * ulps)) if ulps else radius))
    columns = Columns({"at": FieldType.GEO})
    columns.extend([{"at": point}])
    assert passing(columns, where, 1) == [matches(where, {"at": point})]
