"""Constraints on years and times: `since March`, `from the 90s`, `released after 2010`, `listed last week`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from nearfield.domain.filters import And, Eq, Filter, Gte, Lt
from nearfield.domain.schema import FieldType
from nearfield.domain.understood import PartKind
from nearfield.search.understand.fields import FAMILIES_OF
from nearfield.search.understand.periods import Period, back, read_period
from nearfield.search.understand.scan import Reading

if TYPE_CHECKING:
    from nearfield.search.understand.fields import Field
    from nearfield.search.understand.scan import Scan

_IN, _SINCE, _AFTER, _BEFORE, _UNTIL, _BETWEEN, _AGE_UNDER, _AGE_OVER = range(8)
CUES: Final[dict[str, int]] = {
    cue: meaning
    for meaning, cues in (
        (_IN, "in|from|during|of|on|in the|within the|within|over the|for the"),
        (_SINCE, "since|as of|starting|from at least|no earlier than|not before|ever since"),
        (_AFTER, "after|later than"),
        (_BEFORE, "before|prior to|earlier than|pre"),
        (_UNTIL, "until|till|up to|no later than|not after|through|up until"),
        (_BETWEEN, "between"),
        (_AGE_UNDER, "newer than|more recent than|younger than"),
        (_AGE_OVER, "older than"),
    )
    for cue in cues.split("|")
}
TAILS: Final = {
    tail: meaning
    for meaning, tails in (
        (_SINCE, "or newer|or later|and newer|and later|onwards|onward|or after|or younger|and onwards|and after"),
        (_UNTIL, "or older|or earlier|and older|and earlier|or before"),
    )
    for tail in tails.split("|")
}
_JOINERS: Final = frozenset({"and", "to", "-", "–", "until", "till", "through"})
_VAGUE: Final = frozenset({"of", "on"})
"""Cues that stand before a date only in one with a day or weekday (`on Monday`), or after a verb."""
_VERB_FILLERS: Final = frozenset({"date", "time", "at", "is", "was", ":", "="})
_AGE_UNITS: Final = frozenset({"day", "week", "month", "year", "fortnight"})


@dataclass(frozen=True, slots=True)
class _Bounds:
    """start: the first day, stop: the day after the last; None where it is open."""

    start: date | None
    stop: date | None
    is_years: bool


def read_date(scan: Scan, at: int) -> Reading | None:
    """A time constraint at a word. Without a cue (`since`, `added`) only `last week` and its like count, at the end."""
    if not any(field.is_date for field in scan.fields.all):
        return None
    after_verb, families, named = _verb(scan, at)
    found = _bounds(scan, after_verb, said=after_verb > at)
    if found is None and after_verb > at:
        families, named = frozenset(), ()
        found = _bounds(scan, at, said=False)
    if found is None:
        return None
    bounds, end = found
    field = _field(scan, bounds, families, named)
    if field is None:
        return None
    where = _where(field, bounds)
    return None if where is None else Reading(PartKind.DATE, field.name, end, where)


def _verb(scan: Scan, at: int) -> tuple[int, frozenset[str], tuple[Field, ...]]:
    """What happened then: `released`, `listed`, or a field's own name; the place after it."""
    named = scan.name(at)
    if named and any(field.is_date for field in named[1]):
        dated = tuple(field for field in named[1] if field.is_date)
        return scan.past(named[0], _VERB_FILLERS), frozenset(), dated
    families = FAMILIES_OF.get(scan.stem(at), frozenset())
    if families and families != {"any"} and scan.plain(at) not in CUES:
        return scan.past(at + 1, _VERB_FILLERS), families, ()
    return at, frozenset(), ()


def _bounds(scan: Scan, at: int, *, said: bool) -> tuple[_Bounds, int] | None:
    cue = scan.phrase(at, CUES)
    if cue is None or (cue[1] == _IN and scan.plain(at) not in CUES):
        return _uncued(scan, at, said=said)
    begin, meaning = cue
    if meaning in (_AGE_UNDER, _AGE_OVER):
        return _age(scan, begin, meaning)
    period = read_period(scan, begin)
    if period is None:
        return None
    if meaning in (_IN, _BETWEEN) and scan.plain(period.end) in _JOINERS:
        until = read_period(scan, period.end + 1)
        if until is not None and until.stop > period.start:
            return _Bounds(period.start, until.stop, period.is_years and until.is_years), until.end
    if meaning == _BETWEEN:
        return None
    if scan.plain(at) in _VAGUE and not said and period.stop - period.start > timedelta(days=1):
        return None
    if meaning == _IN and _counts_on(scan, period):
        return None
    tail = scan.phrase(period.end, TAILS)
    if meaning == _IN and tail is not None:
        return _sided(period, tail[1]), tail[0]
    return _sided(period, meaning), period.end


def _counts_on(scan: Scan, period: Period) -> bool:
    """Whether what looks like a date goes on as something else: `in 2001 a space odyssey`, `in may be`."""
    return scan.number(period.end) is not None and scan.words[period.end].is_digits and not period.relative


def _sided(period: Period, meaning: int) -> _Bounds:
    match meaning:
        case 1:  # since
            return _Bounds(period.start, None, period.is_years)
        case 2:  # after
            stop = period.start + timedelta(days=1) if period.open else period.stop
            return _Bounds(stop, None, period.is_years)
        case 3:  # before
            return _Bounds(None, period.start, period.is_years)
        case 4:  # until
            return _Bounds(None, period.stop, period.is_years)
    return _Bounds(period.start, None if period.open else period.stop, period.is_years)


def _uncued(scan: Scan, at: int, *, said: bool) -> tuple[_Bounds, int] | None:
    """`listed last week`; `2010 or newer`; `last week` and `the last 7 days` where nothing follows."""
    period = read_period(scan, at)
    if period is None:
        return None
    tail = scan.phrase(period.end, TAILS)
    if tail is not None:
        return _sided(period, tail[1]), tail[0]
    if said and (period.relative or not period.is_years or _is_digit_year(scan, at)):
        return _sided(period, _IN), period.end
    if not period.relative or at == 0 or scan.plain(at) in ("yesterday", "today", "tomorrow"):
        return None
    if scan.plain(period.end) in ("", ",", ";", ".") or (period.open and scan.plain(at) == "last"):
        return _sided(period, _IN), period.end
    return None


def _is_digit_year(scan: Scan, at: int) -> bool:
    return scan.words[at].is_digits


def _age(scan: Scan, at: int, meaning: int) -> tuple[_Bounds, int] | None:
    """`newer than 2 weeks`, `older than 1990`."""
    count = 1.0 if scan.plain(at) in ("a", "an") else scan.number(at)
    unit = scan.stem(at + 1)
    if count is not None and count == int(count) and unit in _AGE_UNITS:
        try:
            day = back(scan.today, int(count), unit)
        except (OverflowError, ValueError):
            return None
        end = at + 2 + (scan.plain(at + 2) == "ago")
        return (
            _Bounds(day, None, is_years=False) if meaning == _AGE_UNDER else _Bounds(None, day, is_years=False)
        ), end
    period = read_period(scan, at)
    if period is None:
        return None
    return _sided(period, _AFTER if meaning == _AGE_UNDER else _BEFORE), period.end


def _field(scan: Scan, bounds: _Bounds, families: frozenset[str], named: tuple[Field, ...]) -> Field | None:
    """The field meant: the one named, one of what happened, else the collection's first date; years before times."""
    dates = list(named) or [
        field for field in scan.fields.dates() if not families or field.families & families or "any" in field.families
    ]
    if families and not named:
        dates.sort(key=lambda field: not field.families & families)
    if not bounds.is_years:
        dates = [field for field in dates if field.type is FieldType.DATETIME]
    if not dates:
        return None
    years = [field for field in dates if field.role == "year"]
    first = dates[0]
    if years and (not families or years[0].families & families or first is years[0]):
        return years[0]
    return first


def _where(field: Field, bounds: _Bounds) -> Filter | None:
    parts: list[Filter] = []
    if field.role == "year":
        if bounds.start and bounds.stop and bounds.stop.year - bounds.start.year == 1:
            return Eq(field.name, bounds.start.year)
        if bounds.start:
            parts.append(Gte(field.name, bounds.start.year))
        if bounds.stop:
            parts.append(Lt(field.name, bounds.stop.year))
    else:
        if bounds.start:
            parts.append(Gte(field.name, bounds.start.isoformat()))
        if bounds.stop:
            parts.append(Lt(field.name, bounds.stop.isoformat()))
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else And(tuple(parts))
