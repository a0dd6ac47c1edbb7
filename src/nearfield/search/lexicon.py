"""What a collection's documents say: the values of its fields, its words, its identifiers, its titles, with counts."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from nearfield.domain.languages import NONE
from nearfield.domain.rows import row_of
from nearfield.domain.schema import FieldType
from nearfield.domain.words import identifiers, is_mixed, words_of
from nearfield.search.completions import Titles
from nearfield.search.spelling import Speller

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from nearfield.domain.documents import StoredDocument
    from nearfield.domain.schema import CollectionSpec

MAX_VALUES: Final = 20_000
"""Distinct values kept of one field, the most frequent ones."""
MAX_WORDS: Final = 300_000
MAX_TITLES: Final = 200_000
MAX_TITLE_LENGTH: Final = 200  # characters; a longer one is a text
MAX_VALUE_LENGTH: Final = 100  # characters; a longer value is no name that a person types
LONGEST_WORD: Final = 40  # characters

_NAMED: Final = (FieldType.KEYWORD, FieldType.KEYWORDS)
_MEASURED: Final = (FieldType.INT, FieldType.FLOAT, FieldType.DATETIME)


@dataclass(frozen=True, slots=True)
class Known:
    """A value of a field, as documents spell it. count: documents that hold it, about."""

    field: str
    value: str
    count: int


@dataclass(frozen=True, slots=True)
class Span:
    """The least and the greatest value of a number or a datetime (microseconds since 1970 UTC)."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Lexicon:
    """A snapshot, never changed: safe to read from any thread.

    documents: how many were read. seq: the change up to which they were. Counts are exact after a scan; a document
    changed since is counted twice, and one deleted since is still counted, until the next scan.
    values: by keyword field, each value with its documents, most frequent first. spans: by numeric or datetime field.
    words: folded words of the text that is embedded, not stemmed, with the documents that hold them.
    identifiers: joined forms (`domain.words.identifiers`) with their documents. titles: as documents spell them.
    title_field: the field the titles are taken from, None where no document has one.
    cut: fields, "words" or "titles" of which the rarest were dropped to bound memory.
    """

    documents: int
    seq: int
    values: Mapping[str, Mapping[str, int]]
    spans: Mapping[str, Span]
    words: Mapping[str, int]
    identifiers: Mapping[str, int]
    titles: Mapping[str, int]
    title_field: str | None
    cut: tuple[str, ...] = ()
    names: Mapping[str, tuple[Known, ...]] = field(default_factory=dict)
    """Values by their words, folded and joined by one space ("new balance"), the most frequent first."""
    longest_name: int = 0
    """Words in the longest key of `names`."""
    sorted_identifiers: Sequence[str] = ()
    speller: Speller = field(default_factory=lambda: Speller.of({}, NONE))
    completions: Titles = field(default_factory=lambda: Titles.of({}))

    def identifiers_from(self, prefix: str, *, most: int) -> list[str]:
        """Known identifiers that begin with a folded, joined prefix, the most frequent first; ties by spelling."""
        begin = bisect_left(self.sorted_identifiers, prefix)
        end = bisect_left(self.sorted_identifiers, prefix + "\U0010ffff")
        found = self.sorted_identifiers[begin:end]
        return sorted(found, key=lambda one: (-self.identifiers[one], one))[:most]


def title_field(spec: CollectionSpec) -> str:
    """The field a person would call the title: by its name among those embedded, else the first embedded."""
    return spec.title or spec.embed.fields[0]


class Gathering:
    """Counts documents page by page. One thread at a time."""

    def __init__(self, spec: CollectionSpec) -> None:
        self._spec = spec
        self._title_field = title_field(spec)
        kinds = spec.fields.items()
        self._values: dict[str, Counter[str]] = {name: Counter() for name, kind in kinds if kind in _NAMED}
        self._spans: dict[str, Span] = {}
        self._measured = [name for name, kind in kinds if kind in _MEASURED]
        self._fields = {name: kind for name, kind in kinds if kind in _NAMED or kind in _MEASURED}
        self._words: Counter[str] = Counter()
        self._identifiers: Counter[str] = Counter()
        self._titles: Counter[str] = Counter()
        self._cut: set[str] = set()
        self.documents = 0

    @classmethod
    def of(cls, spec: CollectionSpec, parts: Sequence[dict[str, Any]]) -> Gathering | None:
        """One that counts on from `parts`; None where those were counted under settings that count otherwise."""
        made = cls(spec)
        basis, about, values, *counters = parts
        if basis != made._basis():
            return None
        made.documents, made._cut = about["documents"], set(about["cut"])
        made._spans = {name: Span(low, high) for name, (low, high) in about["spans"].items()}
        made._values = {name: Counter(counts) for name, counts in values.items()}
        made._words, made._identifiers, made._titles = map(Counter, counters)
        return made

    def parts(self) -> Iterator[dict[str, Any]]:
        """What was counted, as JSON has it, a part at a time. Nothing may be taken meanwhile."""
        yield self._basis()
        spans = {name: (span.low, span.high) for name, span in self._spans.items()}
        yield {"documents": self.documents, "cut": sorted(self._cut), "spans": spans}
        yield self._values
        yield self._words
        yield self._identifiers
        yield self._titles

    def take(self, documents: Iterable[StoredDocument]) -> None:
        """Count some documents. Blocks: some 50 microseconds each."""
        for document in documents:
            self._take(document)
        for name, counts in self._values.items():
            self._trim(counts, MAX_VALUES, name)
        self._trim(self._words, MAX_WORDS, "words")
        self._trim(self._identifiers, MAX_WORDS, "words")
        self._trim(self._titles, MAX_TITLES, "titles")

    def snapshot(self, seq: int) -> Lexicon:
        """What was counted so far. Blocks: some 0.2 s for 100,000 documents."""
        values = {name: dict(counts.most_common(MAX_VALUES)) for name, counts in self._values.items()}
        names: dict[str, list[Known]] = {}
        for name, counted in values.items():
            for value, count in counted.items():
                words = words_of(value) if len(value) <= MAX_VALUE_LENGTH else []
                if words:
                    names.setdefault(" ".join(words), []).append(Known(name, value, count))
        frequency = dict(self._words)
        titles = dict(self._titles.most_common(MAX_TITLES))
        return Lexicon(
            documents=self.documents,
            seq=seq,
            values=values,
            spans=dict(self._spans),
            words=frequency,
            identifiers=dict(self._identifiers),
            titles=titles,
            title_field=self._title_field if titles else None,
            cut=tuple(sorted(self._cut)),
            names={key: tuple(sorted(found, key=lambda one: -one.count)) for key, found in names.items()},
            longest_name=max((key.count(" ") + 1 for key in names), default=0),
            sorted_identifiers=sorted(self._identifiers),
            speller=Speller.of(frequency, self._spec.search.language),
            completions=Titles.of(titles),
        )

    def _basis(self) -> dict[str, Any]:
        """The settings that decide what is counted."""
        fields = {name: kind.value for name, kind in self._spec.fields.items()}
        return {"fields": fields, "embed": self._spec.embed.source, "title": self._title_field}

    def _take(self, document: StoredDocument) -> None:
        body = document.body
        self.documents += 1
        row = row_of(body, self._fields)
        for name, counts in self._values.items():
            value = row.get(name)
            if isinstance(value, str):
                counts[value] += 1
            elif isinstance(value, tuple):
                counts.update({one for one in value if isinstance(one, str)})
        for name in self._measured:
            value = row.get(name)
            if isinstance(value, int | float):
                before = self._spans.get(name)
                low, high = (value, value) if before is None else (min(before.low, value), max(before.high, value))
                self._spans[name] = Span(low, high)
        text = self._spec.embed.render(body)
        words = {word for word in words_of(text) if len(word) <= LONGEST_WORD}
        self._words.update(words)
        self._identifiers.update({*identifiers(text), *filter(is_mixed, words)})
        title = body.get(self._title_field)
        if isinstance(title, str) and 0 < len(title := " ".join(title.split())) <= MAX_TITLE_LENGTH:
            self._titles[title] += 1

    def _trim(self, counts: Counter[str], most: int, name: str) -> None:
        """Drop the rarest once there are twice too many, so that what is dropped costs little each time."""
        if len(counts) > 2 * most:
            kept = counts.most_common(most)
            counts.clear()
            counts.update(dict(kept))
            self._cut.add(name)
