"""Constraints on known values and flags: `from Sony or Bose`, `not refurbished`, `high priority`, `in stock`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from nearfield.domain.filters import ContainsAny, Eq, Filter, In, Ne, Not, NotIn
from nearfield.domain.schema import FieldType
from nearfield.domain.understood import PartKind
from nearfield.search.understand.known import MAX_PHRASE
from nearfield.search.understand.scan import Reading
from nearfield.search.understand.words import stem, stems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nearfield.search.understand.fields import Field
    from nearfield.search.understand.known import KnownValue
    from nearfield.search.understand.scan import Scan

NEGATIONS: Final = dict.fromkeys(
    "not|no|without|except|except for|excluding|exclude|but not|but no|other than|anything but|not any|no more|"
    "not from|not by|not in|but not from|not made of|not made by|not made from|non|ex|without any|nothing from|"
    "not a|not the|apart from|minus|not including|no to".split("|"),
    True,
)
PREPOSITIONS: Final[dict[str, frozenset[str]]] = {
    cue: frozenset(roles.split())
    for cues, roles in (
        ("from", "brand seller place creator"),
        ("by", "brand creator"),
        ("made by|manufactured by|produced by|brand", "brand creator"),
        ("in", "color material language place category size"),
        ("in the", "category"),
        ("made of|made from|made out of", "material"),
        ("made in|located in|based in|near", "place"),
        ("spoken in", "language"),
        ("directed by|written by|created by|composed by|reported by|published by|authored by", "creator"),
        ("starring|with actor|featuring", "actor"),
        ("assigned to|owned by|handled by", "assignee"),
        ("sold by", "seller"),
        ("tagged|tagged with|labelled|labeled|labelled with|labeled with|tagged as|labelled as", "tag"),
        ("via|on|over", "medium"),
    )
    for cue in cues.split("|")
}
_KIND_NOUNS: Final = {
    "genre": frozenset(map(stem, "movie film flick".split())),
    "language": frozenset(map(stem, "movie film flick".split())),
    "status": frozenset("ticket issue bug case task request".split()),
}
"""What a collection's documents may be called: a value before it is about them (`comedy movies`, `open tickets`)."""
_USED: Final = frozenset("used refurbished renewed secondhand preowned unused unopened unworn".split())
"""Conditions that say nothing else, in one word. `new`, `good` and `fair` say much else."""
_ROLE_ORDER: Final = (
    "brand", "condition", "status", "color", "material", "genre", "category", "language", "place", "size", "creator",
    "tag",
)  # fmt: skip
SPECIFIC: Final = 1.25
"""A bare brand counts as one where no more than this many documents per document of the brand hold its rarest word."""
_NOT_MINE: Final = frozenset("for like vs versus with fits compatible than and or".split())
"""Before a brand, these say that something else is looked for (`case for sony`)."""
_VALUE_FILLERS: Final = frozenset({":", "=", "is", "of", "the", "a", "an", "any", "from", "by", "in", "made", "with"})
_LIST_WORDS: Final = frozenset({"or", "and", ",", "/", "&", "nor"})
_SKIPPED: Final = frozenset({"-", "."})
_COMMON: Final = frozenset(
    "the a an and or of in on for with all any other none no yes not new it is be this that one more most".split()
)
"""Words that are a value only beside their field's name."""
_BARE_FLAG_ENDS: Final = ("ed", "proof", "less", "able", "ible")
_NEVER_FLAGS: Final = frozenset("based featured need speed need seed feed used".split())


@dataclass(frozen=True, slots=True)
class _Listed:
    """Values of one field that stand in a list, as documents spell them, and the word the list ends before."""

    field: Field
    values: tuple[str, ...]
    end: int


def read_value(scan: Scan, at: int) -> Reading | None:
    """A constraint on a keyword field or a flag at a word."""
    return (
        _negated(scan, at)
        or read_flag(scan, at)
        or _named(scan, at)
        or _after_preposition(scan, at)
        or _before_name(scan, at)
        or _bare(scan, at)
    )


def _negated(scan: Scan, at: int) -> Reading | None:
    found = scan.phrase(at, NEGATIONS)
    if found:
        begin = found[0]
    elif scan.plain(at) == "-" and scan.words[at].spaced and at + 1 < len(scan.words):
        if scan.words[at + 1].spaced or scan.words[at + 1].is_digits:
            return None
        begin = at + 1
    else:
        return None
    flag = _flag(scan, begin)
    if flag:
        end, field, value = flag
        return Reading(PartKind.FLAG, field.name, end, Eq(field.name, not value))
    begin = scan.past(begin, _VALUE_FILLERS)
    named = scan.name(begin)
    if named:
        listed = _listed(scan, scan.past(named[0], _VALUE_FILLERS), _keywords(named[1]), joined=_LIST_WORDS)
        if listed:
            return _reading(listed, negated=True)
    listed = _listed(scan, begin, _keywords(scan.fields.all), joined=_LIST_WORDS, common=False)
    return None if listed is None else _reading(listed, negated=True)


def _named(scan: Scan, at: int) -> Reading | None:
    """`brand: Sony or Bose`, `size 10`, `channel not phone`."""
    named = scan.name(at)
    if named is None:
        return None
    fields = _keywords(named[1])
    if not fields:
        return None
    begin = scan.past(named[0], _VALUE_FILLERS)
    negated = scan.plain(begin) in ("not", "no", "except")
    listed = _listed(scan, scan.past(begin + negated, _VALUE_FILLERS), fields, joined=_LIST_WORDS)
    return None if listed is None else _reading(listed, negated=negated)


def _after_preposition(scan: Scan, at: int) -> Reading | None:
    cue = scan.phrase(at, PREPOSITIONS)
    if cue is None:
        return None
    begin, roles = cue
    fields = _keywords(scan.fields.role(*sorted(roles, key=_rank)))
    if not fields:
        return None
    listed = _listed(scan, begin, fields, joined=_LIST_WORDS, common=False, parts=True)
    if listed is None or _goes_on(scan, at, listed):
        return None
    end = listed.end + (scan.stem(listed.end) in listed.field.words)  # `in black color`
    return _reading(_Listed(listed.field, listed.values, end))


def _goes_on(scan: Scan, at: int, listed: _Listed) -> bool:
    """Whether `in black and white`-like words follow: a value cut out of a longer phrase, which it does not mean."""
    if scan.plain(at) != "in" or listed.field.role not in ("color", "material", "category", "size"):
        return False
    return scan.plain(listed.end) in ("and", "&", "-")


def _before_name(scan: Scan, at: int) -> Reading | None:
    """`high priority`, `black colour`, `comedy movies`, `open tickets`."""
    found = _value(scan, at, _keywords(scan.fields.all))
    if not found:
        return None
    end, values = found
    if _inside_a_longer(scan, at, end):
        return None
    after = scan.name(end)
    by_name = {field.name: field for field in scan.fields.all}
    for known in values:
        field = by_name[known.field]
        if after and field in after[1]:
            return _reading(_Listed(field, _spellings(values, field), after[0]))
        if scan.stem(end) in _KIND_NOUNS.get(field.role, ()):
            return _reading(_Listed(field, _spellings(values, field), end))
    return None


def _inside_a_longer(scan: Scan, at: int, end: int) -> bool:
    """Whether the value ends another that begins before it: `war` in `vietnam war movies`."""
    fields = _keywords(scan.fields.all)
    return any((found := _value(scan, at - back, fields)) and found[0] >= end for back in (1, 2) if at >= back)


def _bare(scan: Scan, at: int) -> Reading | None:
    """A value without a cue, where it can be nothing else: a condition, a brand whose name means no other thing."""
    conditions = _keywords(scan.fields.role("condition"))
    if conditions:
        listed = _listed(scan, at, conditions, joined=frozenset({"or"}), common=False)
        if listed and (listed.end - at > 1 or scan.plain(at) in _USED):
            return None if scan.plain(listed.end) in ("to", "for", "as", "by", "in") else _reading(listed)
    brands = _keywords(scan.fields.role("brand"))
    if not brands or scan.plain(at - 1) in _NOT_MINE:
        return None
    listed = _listed(
        scan, at, brands, joined=frozenset({"or"}), common=False, accept=lambda known: _is_specific(scan, known)
    )
    return None if listed is None else replace(_reading(listed), bare=True)


def _is_specific(scan: Scan, values: Sequence[KnownValue]) -> bool:
    """Whether a brand's words are hardly found in documents of anything else, and are no other field's value."""
    words = stems(values[0].value)
    if len({known.field for known in scan.known.find(words)}) > 1:
        return False
    held = [scan.known.frequency(word) for word in words]
    known = [count for count in held if count is not None]
    if len(known) < len(held) or min(len(word) for word in words) == len("".join(words)) < 2:
        return False
    return min(known) <= SPECIFIC * sum(value.count for value in values)


def read_flag(scan: Scan, at: int) -> Reading | None:
    """`in stock`, `out of stock`, `waterproof`, `with free shipping`."""
    begin = at + (scan.plain(at) in ("with", "only", "is", "are"))
    found = _flag(scan, begin)
    if found is None:
        return None
    end, field, value = found
    if len(field.words) == 1 and end - begin == 1 and not _tells(scan, begin, end):
        return None
    end += scan.plain(end) == "only"
    return Reading(PartKind.FLAG, field.name, end, Eq(field.name, value))


def _tells(scan: Scan, begin: int, end: int) -> bool:
    """Whether a flag of one word is meant by it: `escalated`, `waterproof`, `only new`, not `adult` or `sale`."""
    word = scan.plain(begin)
    if scan.plain(end) == "only" or scan.plain(begin - 1) in ("only", "is", "are"):
        return True
    if word in _USED:
        return scan.plain(end) not in ("to", "for", "as", "by", "in")
    return word.endswith(_BARE_FLAG_ENDS) and len(word) > 5 and word not in _NEVER_FLAGS


def _flag(scan: Scan, at: int) -> tuple[int, Field, bool] | None:
    for field in scan.fields.all:
        if field.type is not FieldType.BOOL:
            continue
        for words, value in _flag_phrases(field):
            end = at + len(words)
            if end <= len(scan.words) and all(scan.stem(at + place) == word for place, word in enumerate(words)):
                return end, field, value
    return None


def _flag_phrases(field: Field) -> list[tuple[tuple[str, ...], bool]]:
    phrases = [(field.words, True)]
    if field.words[-1] == "stock":
        phrases += [(("out", "of", "stock"), False), (("sold", "out"), False), (("available",), True)]
    elif field.words == ("sold",):
        phrases += [(("unsold",), False), (("still", "available"), False)]
    return phrases


def _keywords(fields: Iterable[Field]) -> tuple[Field, ...]:
    kinds = (FieldType.KEYWORD, FieldType.KEYWORDS)
    return tuple(field for field in fields if field.type in kinds)


def _listed(
    scan: Scan,
    at: int,
    fields: Sequence[Field],
    *,
    joined: frozenset[str],
    common: bool = True,
    parts: bool = False,
    accept: Callable[[Sequence[KnownValue]], bool] | None = None,
) -> _Listed | None:
    """Values of one of some fields from a word on, joined by `or` and its like.

    common: whether numbers and everyday words count as values, which only their field's name makes them.
    parts: whether surnames do.
    """
    found = _value(scan, at, fields, common=common, parts=parts)
    if not found or (accept and not accept(found[1])):
        return None
    end, values = found
    field = _preferred(fields, values)
    spelt = dict.fromkeys(_spellings(values, field))
    while True:
        begin = _after_joiner(scan, end, joined)
        more = _value(scan, begin, (field,), common=common, parts=parts) if begin > end else None
        if not more or (accept and not accept(more[1])):
            return _Listed(field, tuple(spelt), end)
        end = more[0]
        spelt.update(dict.fromkeys(_spellings(more[1], field)))


def _after_joiner(scan: Scan, at: int, joined: frozenset[str]) -> int:
    """The place after `or`, `, or`, `or from`, `and not`; `at` itself where no list goes on."""
    begin = at
    while begin < at + 2 and scan.plain(begin) in joined:
        begin += 1
    if begin == at:
        return at
    return begin + (scan.plain(begin) in ("from", "by", "in", "the"))


def _value(
    scan: Scan, at: int, fields: Sequence[Field], *, common: bool = True, parts: bool = False
) -> tuple[int, list[KnownValue]] | None:
    """The longest known value of some fields that stands at a word, and where it ends."""
    if at >= len(scan.words):
        return None
    names = {field.name for field in fields}
    longest = scan.known.longest(scan.stem(at))
    ends: list[int] = []
    phrase: list[str] = []
    place = at
    while place < len(scan.words) and len(phrase) < min(longest, MAX_PHRASE):
        word = scan.words[place]
        if word.text == "&":
            phrase.append("and")
        elif word.text[0].isalnum():
            phrase.append(word.stem)
        elif word.plain not in _SKIPPED or not phrase:
            break
        place += 1
        if len(phrase) > len(ends):
            ends.append(place)
    while phrase:
        if common or not _is_common(phrase):
            values = [
                known for known in scan.known.find(tuple(phrase)) if known.field in names and (parts or not known.part)
            ]
            if values:
                return ends[len(phrase) - 1], values
        phrase.pop()
    return None


def _is_common(phrase: list[str]) -> bool:
    """A number, a letter or an everyday word: nobody means a value by it alone."""
    return len(phrase) == 1 and (len(phrase[0]) < 2 or phrase[0].isdigit() or phrase[0] in _COMMON)


def _preferred(fields: Sequence[Field], values: Sequence[KnownValue]) -> Field:
    """The field most likely meant when several hold a value: the first asked for, by what people say most."""
    holding = {known.field for known in values}
    return min((field for field in fields if field.name in holding), key=lambda field: _rank(field.role))


def _rank(role: str) -> int:
    return _ROLE_ORDER.index(role) if role in _ROLE_ORDER else len(_ROLE_ORDER)


def _spellings(values: Sequence[KnownValue], field: Field) -> tuple[str, ...]:
    return tuple(dict.fromkeys(known.value for known in values if known.field == field.name))


def _reading(listed: _Listed, *, negated: bool = False) -> Reading:
    name, values = listed.field.name, listed.values
    where: Filter
    if listed.field.type.is_list:
        where = Not(ContainsAny(name, values)) if negated else ContainsAny(name, values)
    elif len(values) == 1:
        where = Ne(name, values[0]) if negated else Eq(name, values[0])
    else:
        where = NotIn(name, values) if negated else In(name, values)
    kind = {"brand": PartKind.BRAND, "category": PartKind.CATEGORY, "genre": PartKind.CATEGORY}
    return Reading(kind.get(listed.field.role, PartKind.VALUE), name, listed.end, where)
