"""What is read from a query holds in the search beside what was asked, and is taken back where it leaves nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

import nearfield
from nearfield.domain.errors import InvalidRequest
from nearfield.domain.understood import PartKind
from nearfield.search import understanding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEST = {"environment": "test", "embedder": "hashing"}
FIELDS = {"price": float, "brand": str, "rating": float, "added": "datetime", "condition": str}


def lamp(number: int) -> dict[str, Any]:
    return {
        "id": str(number),
        "name": f"desk lamp {number}",
        "price": 10.0 * number,
        "brand": ("Lumo", "Peak")[number % 2],
        "rating": 3 + number % 3,
        "added": f"2024-01-{number + 1:02d}",
        "condition": "Refurbished" if number % 3 == 0 else "New",
    }


@pytest.fixture(params=["exact", "local"])
def lamps(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[nearfield.CollectionHandle]:
    with nearfield.open(tmp_path / "data", engine=request.param, **TEST) as db:
        lamps = db.collection("lamps", embed="{name}", fields=FIELDS)
        lamps.upsert([lamp(number) for number in range(12)])
        yield lamps


def ids(answer: Any) -> list[str]:
    return [hit.id for hit in answer]


def test_filters_and_the_order_hold(lamps: nearfield.CollectionHandle) -> None:
    answer = lamps.search("desk lamp under $60 from Lumo, not refurbished, newest first")
    assert ids(answer) == ["4", "2"]
    assert answer.understood is not None and answer.understood.applied
    assert answer.understood.query == "desk lamp"


def test_the_callers_filter_holds_too(lamps: nearfield.CollectionHandle) -> None:
    answer = lamps.search("desk lamp under $60", where='brand = "Peak" AND price > 20')
    assert sorted(ids(answer)) == ["3", "5"]


def test_the_callers_order_wins_and_it_is_said(lamps: nearfield.CollectionHandle) -> None:
    answer = lamps.search("desk lamp under $60, newest first", sort=["price"])
    assert ids(answer) == ["0", "1", "2", "3", "4", "5"]
    assert any("order read" in note for note in answer.plan.notes)


def test_what_leaves_nothing_is_taken_back_and_it_is_said(lamps: nearfield.CollectionHandle) -> None:
    query = "desk lamp under $5 from Peak, newest first"
    answer, plain = lamps.search(query), lamps.search(query, understand=False)
    assert ids(answer) == ids(plain) and len(plain)
    assert answer.understood is not None and not answer.understood.applied
    assert answer.plan.filter_native is None and answer.plan.filter_residual is None
    assert any("as it was written" in note for note in answer.plan.notes)
    assert plain.understood is None


def test_a_page_beyond_the_last_is_no_reason_to_take_it_back(lamps: nearfield.CollectionHandle) -> None:
    answer = lamps.search("desk lamp under $30", offset=8)
    assert not len(answer)
    assert answer.understood is not None and answer.understood.applied


def test_the_callers_filter_stays_where_the_reading_goes(lamps: nearfield.CollectionHandle) -> None:
    answer = lamps.search("desk lamp under $5 from Peak", where='brand = "Peak"', limit=12)
    assert sorted(ids(answer), key=int) == ["1", "3", "5", "7", "9", "11"]
    assert answer.understood is not None and not answer.understood.applied


def test_only_hybrid_searches_read_unasked(lamps: nearfield.CollectionHandle) -> None:
    assert lamps.search("lamp under $30", mode="lexical").understood is None
    assert lamps.search("lamp under $30", mode="semantic").understood is None
    found = lamps.search("lamp under $30", mode="semantic", understand=True)
    assert found.understood is not None and sorted(ids(found)) == ["0", "1", "2"]


def test_kinds_are_switched_off_by_name(lamps: nearfield.CollectionHandle) -> None:
    found = lamps.search("lamp under $60 from Lumo", understand={"brand": False}).understood
    assert found is not None and [part.kind for part in found.parts] == [PartKind.PRICE]
    with pytest.raises(InvalidRequest, match="unknown part kind 'brnad'; did you mean 'brand'"):
        lamps.search("lamp", understand={"brnad": False})


def test_an_order_read_keeps_what_is_beside_the_point_behind(lamps: nearfield.CollectionHandle) -> None:
    lamps.upsert([{"id": "cup", "name": "porcelain cup", "price": 0.5}])
    answer = lamps.search("desk lamp cheapest first", limit=20)
    assert ids(answer)[0] == "0"
    assert ids(answer)[-1] == "cup"


def test_pages_by_cursor_keep_the_reading(lamps: nearfield.CollectionHandle) -> None:
    first = lamps.search("desk lamp under $60 newest first", limit=4)
    second = lamps.search(cursor=first.cursor, limit=4)
    assert ids(first) + ids(second) == ["5", "4", "3", "2", "1", "0"]
    assert second.understood == first.understood


def test_a_brand_is_known_once_it_is_written(lamps: nearfield.CollectionHandle) -> None:
    assert lamps.search("lamp from Brandnew").understood is None
    lamps.upsert([{**lamp(20), "brand": "Brandnew"}])
    until = time.monotonic() + 20
    while (answer := lamps.search("lamp from Brandnew")).understood is None and time.monotonic() < until:
        time.sleep(0.05)  # the values known are a little older than the documents
    assert ids(answer) == ["20"]


def test_a_search_does_not_wait_for_values_that_take_long_to_index(
    lamps: nearfield.CollectionHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(understanding, "SMALL", 0)
    first = lamps.search("desk lamp from Lumo")
    assert first.understood is None
    assert any("still being counted" in note for note in first.plan.notes)
    until = time.monotonic() + 20
    while (answer := lamps.search("desk lamp from Lumo")).understood is None and time.monotonic() < until:
        time.sleep(0.02)
    assert sorted(ids(answer), key=int) == ["0", "2", "4", "6", "8", "10"]
