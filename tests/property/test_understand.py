"""Whatever is typed: no exception, spans within the text, filters that bind, bounded work."""

from __future__ import annotations

from datetime import UTC, date, datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.search.understand.table import rows, schemas

from nearfield.domain.binding import bind
from nearfield.domain.filter_text import parse_text, to_text
from nearfield.domain.understood import PartKind
from nearfield.search.understand.reader import understand

_PIECES = sorted({word for name in ("constrained", "plain") for row in rows(name) for word in row.query.split()})
_ODD = ["-", "/", "+", ">=", "<", "99999999999999999999", "0", "1.1.1", "0/0", "5/10", "٣", "½", "1h99", "9999-12-31"]
_ODD += ["$", "€", '"', "31 february", "since 0000", "last 999999999 years", "1e308 million", "\x00", "😀", "İ", "ß"]
QUERIES = st.one_of(
    st.text(max_size=120),
    st.lists(st.sampled_from(_PIECES + _ODD), min_size=1, max_size=14).map(" ".join),
    st.lists(st.sampled_from(_PIECES + _ODD), min_size=1, max_size=10).map("".join),
)
NOWS = st.dates(date(1900, 1, 1), date(2200, 1, 1)).map(lambda day: datetime(day.year, day.month, day.day, tzinfo=UTC))


@settings(max_examples=600, deadline=None)
@given(QUERIES, st.sampled_from(sorted(schemas())), NOWS, st.frozensets(st.sampled_from(list(PartKind))))
def test_any_text_is_read(text: str, name: str, now: datetime, kinds: frozenset[PartKind]) -> None:
    schema = schemas()[name]
    found = understand(text, schema.fields, schema.known, now, kinds=kinds)
    assert found == understand(text, schema.fields, schema.known, now, kinds=kinds)
    assert found.query.strip() or not text.strip()
    end = 0
    for part in found.parts:
        assert end <= part.start < part.end <= len(text)
        assert text[part.start : part.end] == part.words
        assert part.kind in kinds and part.field in schema.fields
        assert (part.where is None) == (part.sort is not None)
        end = part.end
    assert (found.where is None) == all(part.where is None for part in found.parts)
    if found.where is not None:
        assert bind(found.where, schema.fields) == bind(parse_text(to_text(found.where)), schema.fields)
    assert {order.lstrip("-") for order in found.sort} <= set(schema.fields)


class _Counted:
    """A known whose questions are counted: the measure of work."""

    def __init__(self, known: object) -> None:
        self._known, self.asked = known, 0

    def __getattr__(self, name: str) -> object:
        self.asked += 1
        return getattr(self._known, name)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([*_PIECES, *_ODD, "1.", "a'", "((", "not ", "or ", "from "]), st.sampled_from(sorted(schemas())))
def test_work_is_bounded_for_hostile_lengths(piece: str, name: str) -> None:
    schema = schemas()[name]
    for text in (piece * 10_000, f"{piece} " * 10_000):
        for cut in (text[:10_000], text[:512]):
            known = _Counted(schema.known)
            understand(cut, schema.fields, known, datetime(2024, 5, 15, tzinfo=UTC))  # type: ignore[arg-type]
            assert known.asked <= 60 * 512
