"""What an operator decided about a collection's queries: synonyms, and documents pinned or hidden."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_SYNONYMS: Final = 5_000
MAX_PHRASES: Final = 64
MAX_PHRASE_WORDS: Final = 8
MAX_CURATIONS: Final = 5_000
MAX_IDS: Final = 100
MAX_PLACE: Final = 1_000
_WORD: Final = re.compile(r"\w+")


class When(StrEnum):
    """How a rule's query is compared with the search's, word by word, case and punctuation aside.

    is: the same words. prefix: the search begins with them, the last one perhaps still being typed out.
    contains: they stand in it, side by side. always: any search at all.
    """

    IS = "is"
    PREFIX = "prefix"
    CONTAINS = "contains"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Condition:
    """Which searches a rule is for. query: None for `always` alone."""

    when: When = When.ALWAYS
    query: str | None = None

    def holds(self, words: tuple[str, ...]) -> bool:
        """Whether it is met by the words of a search's query (see `words_of`); none for a search by vector."""
        if self.when is When.ALWAYS:
            return True
        own = words_of(self.query or "")
        match self.when:
            case When.IS:
                return words == own
            case When.PREFIX:
                return words[: len(own) - 1] == own[:-1] and len(words) >= len(own) and _starts(words, own)
            case When.CONTAINS:
                return any(words[at : at + len(own)] == own for at in range(len(words) - len(own) + 1))


def _starts(words: tuple[str, ...], own: tuple[str, ...]) -> bool:
    return words[len(own) - 1].startswith(own[-1])


@dataclass(frozen=True, slots=True)
class Synonyms:
    """Phrases that mean the same, where `one_way` is empty: any of `words` in a query brings the others.

    one_way: what any of `words` brings, without the way back.
    """

    words: tuple[str, ...]
    one_way: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pin:
    """Documents at fixed places: the first of `ids` at place `at` (from 1), the others right after it."""

    ids: tuple[str, ...]
    condition: Condition = Condition()
    at: int = 1


@dataclass(frozen=True, slots=True)
class Hide:
    """Documents that are no hits. A document both pinned and hidden is hidden."""

    ids: tuple[str, ...]
    condition: Condition = Condition()


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules of a collection. Earlier pins win a place two of them ask for."""

    synonyms: tuple[Synonyms, ...] = ()
    pins: tuple[Pin, ...] = ()
    hides: tuple[Hide, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.synonyms or self.pins or self.hides)

    def __post_init__(self) -> None:
        """Raises InvalidRequest, naming the place."""
        _at_most(len(self.synonyms), MAX_SYNONYMS, "synonyms")
        _at_most(len(self.pins), MAX_CURATIONS, "pins")
        _at_most(len(self.hides), MAX_CURATIONS, "hides")
        for at, synonyms in enumerate(self.synonyms):
            _check_synonyms(synonyms, f"synonyms[{at}]")
        curations: tuple[tuple[str, tuple[Pin | Hide, ...]], ...] = (("pins", self.pins), ("hides", self.hides))
        for kind, rules in curations:
            for at, rule in enumerate(rules):
                _check_ids(rule.ids, f"{kind}[{at}].ids")
                _check_condition(rule.condition, f"{kind}[{at}].query")
        for at, pin in enumerate(self.pins):
            if not 1 <= pin.at <= MAX_PLACE:
                raise InvalidRequest(f"place {pin.at}; expected 1 to {MAX_PLACE}", field=f"pins[{at}].at")

    def ids(self) -> dict[str, str]:
        """Where each pinned document is named first: `pins[0].ids[2]` by id."""
        return {
            named: f"pins[{at}].ids[{place}]"
            for at, pin in reversed(list(enumerate(self.pins)))
            for place, named in reversed(list(enumerate(pin.ids)))
        }


@dataclass(frozen=True, slots=True)
class RulesVersion:
    """Rules as they were written once.

    version: from 1, rising by 1 with each write; 0 with empty rules where none were ever written.
    written_us: microseconds since 1970; 0 for version 0. restored_from: the version rolled back to, if one was.
    """

    version: int
    rules: Rules
    written_us: int = 0
    restored_from: int | None = None


@dataclass(frozen=True, slots=True)
class RulesFound:
    """What the rules say of one search. brought: phrases added to its query. hidden: documents it must not show."""

    version: int
    pins: tuple[Pin, ...]
    brought: tuple[str, ...]
    hidden: int


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, as rules compare them: compatibility forms folded (NFKC), case folded."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def _check_synonyms(synonyms: Synonyms, field: str) -> None:
    both_ways = not synonyms.one_way
    name, other = ("words", None) if both_ways else ("from", "to")
    if len({words_of(phrase) for phrase in synonyms.words}) < (2 if both_ways else 1):
        wanted = "two different words or phrases" if both_ways else "at least one word or phrase"
        raise InvalidRequest(f"expected {wanted}", field=f"{field}.{name}")
    _check_phrases(synonyms.words, f"{field}.{name}")
    if other is not None:
        _check_phrases(synonyms.one_way, f"{field}.{other}")


def _check_phrases(phrases: tuple[str, ...], field: str) -> None:
    _at_most(len(phrases), MAX_PHRASES, field)
    for at, phrase in enumerate(phrases):
        if not 1 <= len(words_of(phrase)) <= MAX_PHRASE_WORDS:
            raise InvalidRequest(
                f"{phrase[:60]!r} has {len(words_of(phrase))} words; expected 1 to {MAX_PHRASE_WORDS}",
                field=f"{field}[{at}]",
            )


def _check_ids(ids: tuple[str, ...], field: str) -> None:
    if not ids:
        raise InvalidRequest("expected at least one document id", field=field)
    _at_most(len(ids), MAX_IDS, field)
    if len(set(ids)) < len(ids):
        raise InvalidRequest("a document is named twice", field=field)


def _check_condition(condition: Condition, field: str) -> None:
    if condition.when is When.ALWAYS:
        if condition.query is not None:
            raise InvalidRequest("a rule for any search has no query", field=field)
    elif not words_of(condition.query or ""):
        raise InvalidRequest("expected a query of at least one word", field=field)


def _at_most(count: int, most: int, field: str) -> None:
    if count > most:
        raise InvalidRequest(f"{count} of {field}; at most {most} are kept", field=field)


class Expander:
    """Finds the phrases of a collection's synonyms in queries, in time that does not grow with their number."""

    def __init__(self, synonyms: Iterable[Synonyms]) -> None:
        self._brings: dict[tuple[str, ...], dict[str, None]] = {}
        for one in synonyms:
            for phrase in one.words:
                own = words_of(phrase)
                others = one.one_way or [word for word in one.words if words_of(word) != own]
                self._brings.setdefault(own, {}).update(dict.fromkeys(others))
        self._longest = max(map(len, self._brings), default=0)

    def additions(self, query: str) -> tuple[str, ...]:
        """The phrases a query's own bring, in order, each once, and none whose words the query holds already.

        The longest phrase that begins at a word is taken, and its words begin no other.
        """
        words = words_of(query)
        brought: dict[str, None] = {}
        at = 0
        while at < len(words):
            length = next(
                (n for n in range(min(self._longest, len(words) - at), 0, -1) if words[at : at + n] in self._brings), 0
            )
            if length:
                brought.update(self._brings[words[at : at + length]])
            at += length or 1
        there = set(words)
        return tuple(phrase for phrase in brought if not there.issuperset(words_of(phrase)))
