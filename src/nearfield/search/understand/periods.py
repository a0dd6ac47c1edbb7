"""Times as they stand in a query: `2019`, `March 2020`, `3 May`, `the early 90s`, `last week`, `the last 7 days`."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from nearfield.search.understand.scan import Scan

MIN_YEAR: Final = 1800
MAX_YEAR: Final = 2100
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        "january jan|february feb|march mar|april apr|may|june jun|july jul|august aug|september sep sept|october oct|"
        "november nov|december dec".split("|"),
        start=1,
    )
    for name in names.split()
}
_WEEKDAYS: Final = {
    name: number
    for number, names in enumerate(
        "monday mon|tuesday tue tues|wednesday wed|thursday thu thurs|friday fri|saturday sat|sunday sun".split("|")
    )
    for name in names.split()
}
_DECADES: Final = {
    "twenties": 20, "thirties": 30, "forties": 40, "fifties": 50, "sixties": 60, "seventies": 70, "eighties": 80,
    "nineties": 90,
}  # fmt: skip
_DECADE: Final = re.compile(r"(1[89]|20)?([0-9])0s\Z")
_DAY: Final = re.compile(r"([0-9]{1,2})(?:st|nd|rd|th)?\Z")
_YEAR: Final = re.compile(r"[12][0-9]{3}\Z")
_PARTS: Final = {"early": (0, 4), "mid": (3, 7), "late": (6, 10)}
_SPANS: Final = {"day": 1, "week": 7, "fortnight": 14}


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` to `stop`, the day after its last; `end` is the word its description ends before.

    relative: told from today (`last week`), so it can stand without a cue. open: it goes on (`the last 7 days`).
    """

    start: date
    stop: date
    end: int
    relative: bool = False
    open: bool = False

    @property
    def is_years(self) -> bool:
        """Whether it is made of whole years."""
        return (self.start.month, self.start.day, self.stop.month, self.stop.day) == (1, 1, 1, 1)


def read_period(scan: Scan, at: int) -> Period | None:
    """The time described from a word on, or None. A month or weekday without a year is the last that has begun."""
    if scan.plain(at) in ("the", "in") and scan.plain(at + 1):
        at += 1
    try:
        return (
            _iso(scan, at)
            or _month(scan, at)
            or _decade(scan, at)
            or _year(scan, at)
            or _relative(scan, at)
            or _ago(scan, at)
        )
    except (ValueError, OverflowError):  # a day no month has, a time before the calendar
        return None


def _iso(scan: Scan, at: int) -> Period | None:
    """`2020-03` and `2020-03-01`."""
    year = _year_at(scan, at)
    if year is None or scan.plain(at + 1) != "-" or _glued_number(scan, at + 2, 12) is None:
        return None
    month = _glued_number(scan, at + 2, 12) or 0
    if scan.plain(at + 3) == "-" and (day := _glued_number(scan, at + 4, 31)):
        start = date(year, month, day)
        return Period(start, start + timedelta(days=1), at + 5)
    return _of_month(year, month, at + 3) if len(scan.plain(at + 2)) == 2 else None


def _glued_number(scan: Scan, at: int, most: int) -> int | None:
    word = scan.plain(at)
    if len(word) > 2 or not (word.isascii() and word.isdigit()) or scan.words[at].spaced:
        return None
    return int(word) if 1 <= int(word) <= most else None


def _month(scan: Scan, at: int) -> Period | None:
    """`march`, `march 2020`, `3 march`, `march 3rd, 2020`."""
    day = _day_at(scan, at)
    if day is not None and scan.plain(at + 1) in _MONTHS:
        month, after = _MONTHS[scan.plain(at + 1)], at + 2
    elif scan.plain(at) in _MONTHS:
        month, after = _MONTHS[scan.plain(at)], at + 1
        day = _day_at(scan, after)
        after += day is not None
    else:
        return None
    comma = scan.plain(after) == ","
    year = _year_at(scan, after + comma)
    if year is not None:
        after += 1 + comma
    if day is not None:
        start = date(year if year is not None else scan.today.year, month, day)
        if year is None and start > scan.today:
            start = date(start.year - 1, month, day)
        return Period(start, start + timedelta(days=1), after)
    if year is None:
        year = scan.today.year - (month > scan.today.month)
    return _of_month(year, month, after)


def _of_month(year: int, month: int, end: int) -> Period:
    start = date(year, month, 1)
    return Period(start, start + timedelta(days=calendar.monthrange(year, month)[1]), end)


def _day_at(scan: Scan, at: int) -> int | None:
    found = _DAY.match(scan.plain(at))
    return int(found[1]) if found and 1 <= int(found[1]) <= 31 else None


def _decade(scan: Scan, at: int) -> Period | None:
    first, last = 0, 10
    part = _PARTS.get(scan.plain(at))
    if part:
        first, last = part
        at += 1
        at += scan.plain(at) in ("-", "the")
    if scan.plain(at) in _DECADES:
        start = 1900 + _DECADES[scan.plain(at)]
    elif found := _DECADE.match(scan.plain(at)):
        tens = int(found[2]) * 10
        century = int(found[1]) if found[1] else (19 if tens >= 20 else 20)
        start = century * 100 + tens
    else:
        return None
    return Period(date(start + first, 1, 1), date(start + last, 1, 1), at + 1)


def _year(scan: Scan, at: int) -> Period | None:
    year = _year_at(scan, at)
    return None if year is None else Period(date(year, 1, 1), date(year + 1, 1, 1), at + 1)


def _year_at(scan: Scan, at: int) -> int | None:
    word = scan.plain(at)
    return int(word) if word.isascii() and _YEAR.match(word) and MIN_YEAR <= int(word) <= MAX_YEAR else None


def _relative(scan: Scan, at: int) -> Period | None:
    today, word, unit = scan.today, scan.plain(at), scan.stem(at + 1)
    if word in ("today", "yesterday", "tomorrow"):
        start = today + timedelta(days=("yesterday", "today", "tomorrow").index(word) - 1)
        return Period(start, start + timedelta(days=1), at + 1, relative=True)
    if word in _WEEKDAYS:
        return _weekday(scan, at)
    if word not in ("last", "past", "this", "previous", "current"):
        return None
    if scan.plain(at + 1) in _WEEKDAYS and word != "this":
        return _weekday(scan, at + 1)
    count = scan.number(at + 1) if word in ("last", "past", "previous") else None
    if count is not None and not scan.words[at + 1].suffix and count == int(count) and count > 0:
        return _lately(today, int(count), scan.stem(at + 2), at + 3)
    if word == "past":
        return _lately(today, 1, unit, at + 2)
    if unit == "week":
        start = today - timedelta(days=today.weekday() + 7 * (word in ("last", "previous")))
        return Period(start, start + timedelta(days=7), at + 2, relative=True)
    if unit == "month":
        start = date(today.year, today.month, 1)
        if word in ("last", "previous"):
            start = back(start, 1, "month") or start
        return Period(start, _of_month(start.year, start.month, 0).stop, at + 2, relative=True)
    if unit == "year":
        year = today.year - (word in ("last", "previous"))
        return Period(date(year, 1, 1), date(year + 1, 1, 1), at + 2, relative=True)
    return None


def _lately(today: date, count: int, unit: str, end: int) -> Period | None:
    start = back(today, count, unit)
    return None if start is None else Period(start, today + timedelta(days=1), end, relative=True, open=True)


def _weekday(scan: Scan, at: int) -> Period:
    ago = (scan.today.weekday() - _WEEKDAYS[scan.plain(at)]) % 7
    start = scan.today - timedelta(days=ago)
    return Period(start, start + timedelta(days=1), at + 1)


def _ago(scan: Scan, at: int) -> Period | None:
    """`2 weeks ago`, `a month ago`."""
    count = 1.0 if scan.plain(at) in ("a", "an") else scan.number(at)
    if count is None or count != int(count) or scan.plain(at + 2) != "ago":
        return None
    start = back(scan.today, int(count), scan.stem(at + 1))
    return None if start is None else Period(start, start + timedelta(days=1), at + 3)


def back(day: date, count: int, unit: str) -> date | None:
    """The day some days, weeks, months or years before another; None for any other unit. Raises OverflowError."""
    if unit in _SPANS:
        return day - timedelta(days=count * _SPANS[unit])
    if unit not in ("month", "year"):
        return None
    months = day.year * 12 + day.month - 1 - count * (12 if unit == "year" else 1)
    if months < 12:
        raise OverflowError("a time before the calendar")
    year, month = divmod(months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
