"""The box around a circle holds every point of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nearfield.domain.filters import GeoPoint, GeoRadius, around, distance_m, matches

POINTS = st.builds(GeoPoint, st.floats(-90, 90), st.floats(-180, 180))
RADII = st.floats(0, 25_000_000)


@given(center=POINTS, point=POINTS, stretch=st.floats(1, 2))
def test_a_point_within_the_radius_is_within_the_box(center: GeoPoint, point: GeoPoint, stretch: float) -> None:
    circle = GeoRadius("at", center, distance_m(center, point) * stretch)
    assert matches(circle, {"at": point})
    assert matches(around(circle), {"at": point})


@given(center=st.builds(GeoPoint, st.floats(-60, 60), st.floats(-180, 180)), radius_m=st.floats(1, 500_000))
def test_the_box_is_not_much_larger_than_the_circle(center: GeoPoint, radius_m: float) -> None:
    box = around(GeoRadius("at", center, radius_m))
    height_m = distance_m(GeoPoint(box.south, 0), GeoPoint(box.north, 0))
    width = box.east - box.west + 360 * (box.west > box.east)
    middle = GeoPoint(center.lat, 0), GeoPoint(center.lat, width / 2)
    assert height_m <= 2 * radius_m * 1.001 + 1
    assert distance_m(*middle) <= radius_m * 1.01 + 1
