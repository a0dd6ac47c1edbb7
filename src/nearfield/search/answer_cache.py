"""Answers kept for who asks the same again, as long as nothing they rest on has changed.

What an answer rests on is its *ground*: the collection's settings, the live index and the change it has applied, and
what readers go by (rules, known words and values). The ground is looked at for every search; where anything of it is
another than before, all answers of that collection are dropped. A write moves the newest change heard of before it is
acknowledged, and an index that has not applied all it heard of is no ground to keep answers on: so no answer is ever
older than an acknowledged write, bodies of documents included.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, fields, replace
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import orjson

from nearfield.domain.queries import Search

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from nearfield.domain.collections import Collection
    from nearfield.domain.highlights import Highlights
    from nearfield.domain.hits import Answer, Hit
    from nearfield.protocols.live import LiveIndex

NOT_ASKED: Final = frozenset({"min_seq", "cursor", "explain"})
"""Members of a search that are not part of its question: they say when, which page, and whether to tell how."""
LARGEST_SHARE: Final = 8
"""An answer that takes more than one part in so many of the memory is not kept."""
MOST_FORMS: Final = 4  # of one answer: the same question is spelled in few ways
MAX_GROUNDS: Final = 256  # collections; the one asked longest ago goes
_OVERHEAD: Final = 3_000  # bytes of the objects around an answer
_OVERHEAD_HIT: Final = 600
_PLAIN: Final = (type(None), bool, int, float, str)

Question = tuple["Hashable", ...]


def question_of(ask: Search) -> Question | None:
    """All of a search that its answer depends on; None for one that is never kept.

    Values within filters and the like are told apart by type as well: `true` is not 1 there.
    """
    if ask.cursor is not None or ask.explain:
        return None
    return tuple(_distinct(getattr(ask, name)) for name in _ASKED)


_ASKED: Final = tuple(each.name for each in fields(Search) if each.name not in NOT_ASKED)


def _distinct(value: Any) -> Hashable:
    if isinstance(value, _PLAIN):  # enums of strings, too
        return value
    if hasattr(value, "tobytes"):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, frozenset):
        return tuple(sorted(value))
    return repr(value)  # frozen dataclasses, and tuples of them


@dataclass(slots=True, eq=False)
class Kept:
    """One answer to a question.

    skeleton: without the documents' bodies, which lie beside it as JSON: who gets an answer may do with it as he
    likes. size: bytes in memory, about. forms: as callers write it, by how they spelled the question.
    """

    question: Question
    ask: Search
    skeleton: Answer
    bodies: bytes
    size: int
    forms: dict[bytes, bytes] = field(default_factory=dict)

    def answer(self) -> Answer:
        """The answer, with documents of its own."""
        return replace(self.skeleton, hits=_filled(self.skeleton.hits, iter(orjson.loads(self.bodies))))


@dataclass(slots=True, eq=False)
class _Ground:
    number: int
    parts: tuple[object, ...]
    at: tuple[int, int]
    questions: set[Question] = field(default_factory=set)
    spelled: dict[bytes, Kept] = field(default_factory=dict)


class AnswerCache:
    """Answers by collection and question; the one unused longest goes when they take more than a budget.

    Used on one event loop. beside: what else answers of a collection rest on, each part compared by identity.
    """

    def __init__(
        self, *, budget_bytes: int, beside: Callable[[Collection, LiveIndex], tuple[object, ...]] = lambda *_: ()
    ) -> None:
        """budget_bytes: 0 keeps nothing."""
        self._budget_bytes, self._beside = budget_bytes, beside
        self._kept: OrderedDict[tuple[int, Question], Kept] = OrderedDict()
        self._grounds: OrderedDict[int, _Ground] = OrderedDict()
        self._numbers = count(1)
        self.bytes = self.hits = self.misses = 0
        """About how much memory all answers take. Searches answered from here, and those that might have been."""

    def __len__(self) -> int:
        return len(self._kept)

    def ground(self, collection: Collection, live: LiveIndex) -> int | None:
        """The number of what answers of a collection rest on now; another one once anything of it has changed.

        None while the index has yet to apply something, or where nothing is kept.
        """
        at = (live.applied_seq, live.mended)
        if not self._budget_bytes or live.latest_seq > live.applied_seq:
            return None
        parts = (collection, live, *self._beside(collection, live))
        known = self._grounds.get(collection.id)
        if known is not None:
            if known.at == at and all(a is b for a, b in zip(known.parts, parts, strict=True)):
                self._grounds.move_to_end(collection.id)
                return known.number
            self._drop(collection.id)
        made = self._grounds[collection.id] = _Ground(next(self._numbers), parts, at)
        if len(self._grounds) > MAX_GROUNDS:
            self._drop(next(iter(self._grounds)))
        return made.number

    def find(self, collection: Collection, question: Question) -> Kept | None:
        """An answer kept on the present ground. Call `ground` before, with nothing awaited between."""
        kept = self._kept.get((collection.id, question))
        if kept is not None:
            self._kept.move_to_end((collection.id, question))
        return kept

    def find_spelled(self, collection: Collection, spelled: bytes) -> Kept | None:
        """As `find`, by how a caller spelled the question."""
        kept = self._grounds[collection.id].spelled.get(spelled)
        return kept if kept is None else self.find(collection, kept.question)

    def keep(self, collection: Collection, question: Question, ask: Search, answer: Answer) -> None:
        """Keep an answer found on the present ground. Call `ground` before, with nothing awaited between."""
        bodies = orjson.dumps(list(_bodies(answer.hits)), default=dict)
        size = _OVERHEAD + _OVERHEAD_HIT * len(answer.hits) + len(bodies) + len(ask.query or "")
        if size * LARGEST_SHARE > self._budget_bytes:
            return
        self.forget(collection, question)
        plan = replace(answer.plan, cached=True, waited_for=0)
        skeleton = replace(answer, hits=_bare(answer.hits), plan=plan)
        self._kept[collection.id, question] = Kept(question, ask, skeleton, bodies, size)
        self._grounds[collection.id].questions.add(question)
        self.bytes += size
        self._shrink()

    def keep_form(
        self, collection: Collection, question: Question, answer: Answer, spelled: bytes, form: bytes
    ) -> None:
        """Keep how a caller writes an answer that is kept, for who spells the question so again."""
        kept = self._kept.get((collection.id, question))
        if kept is None or answer.plan is not kept.skeleton.plan or len(kept.forms) == MOST_FORMS:
            return  # the answer is not this one
        size = len(spelled) + len(form)
        if spelled in kept.forms or (kept.size + size) * LARGEST_SHARE > self._budget_bytes:
            return
        kept.forms[spelled] = form
        self._grounds[collection.id].spelled[spelled] = kept
        kept.size += size
        self.bytes += size
        self._shrink()

    def forget(self, collection: Collection, question: Question) -> None:
        """Keep an answer no longer."""
        self._remove((collection.id, question))

    def _remove(self, key: tuple[int, Question]) -> None:
        kept = self._kept.pop(key, None)
        if kept is None:
            return
        self.bytes -= kept.size
        ground = self._grounds.get(key[0])
        if ground is not None:
            ground.questions.discard(key[1])
            for spelled in kept.forms:
                ground.spelled.pop(spelled, None)

    def _drop(self, collection: int) -> None:
        for question in self._grounds.pop(collection).questions:
            self.bytes -= self._kept.pop((collection, question)).size

    def _shrink(self) -> None:
        while self.bytes > self._budget_bytes:
            self._remove(next(iter(self._kept)))


def _bodies(hits: Sequence[Hit]) -> Iterator[Mapping[str, Any]]:
    """In the order in which `_filled` takes them."""
    for hit in hits:
        yield hit.document
        yield from _bodies(hit.members or ())


def _bare(hits: Sequence[Hit]) -> tuple[Hit, ...]:
    return tuple(
        replace(
            hit,
            document={},
            members=None if hit.members is None else _bare(hit.members),
            highlights=_own(hit.highlights),
        )
        for hit in hits
    )


def _filled(hits: Sequence[Hit], bodies: Iterator[dict[str, Any]]) -> tuple[Hit, ...]:
    found = []
    for hit in hits:
        document = next(bodies)
        members = None if hit.members is None else _filled(hit.members, bodies)
        found.append(replace(hit, document=document, members=members, highlights=_own(hit.highlights)))
    return tuple(found)


def _own(marked: Highlights | None) -> Highlights | None:
    return None if marked is None else replace(marked, fields=dict(marked.fields))
