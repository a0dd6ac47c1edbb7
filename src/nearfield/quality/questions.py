"""Questions to try two generations by: real ones where there are some, else the titles of documents."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nearfield.domain.documents import ChangeKind
from nearfield.domain.filters import Eq, Gte, Lte
from nearfield.domain.rows import row_of
from nearfield.domain.schema import FieldType
from nearfield.protocols.store import brought

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.collections import Collection
    from nearfield.domain.documents import Float32Array, StoredDocument
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.judgments import JudgedSet
    from nearfield.protocols.store import Store

PLACES: Final = 8  # of the change log where documents are taken
FILTERS: Final = 16  # different ones: each is decided on every document
WORDS: Final = 8  # of a document that has no title
PAGE: Final = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What is asked: words, or a vector where documents bring theirs. source: `judged`, `past` or `documents`."""

    text: str
    source: str
    where: Filter | None = None
    vector: Float32Array | None = None


async def gather_questions(store: Store, collection: Collection, judged: JudgedSet, *, count: int) -> list[Question]:
    """At most so many questions: judged queries first, then what people asked, then titles; half with a filter.

    Filters are made of values that documents have, so that they find something: equal to a word, at most or at least
    a number. The same documents and queries give the same questions.
    """
    documents = await _documents(store, collection, count)
    chance = random.Random(0)  # noqa: S311 - a sample, not a secret
    rows = [row_of(document.body, collection.spec.fields) for document in documents]
    filters = _filters(rows, collection, chance)
    if collection.spec.brings_vectors:
        asked = await _by_vectors(store, collection, documents)
    else:
        asked = {query.text: Question(query.text, "judged") for query in judged.queries[:count]}
        for text in await _past(store, collection, count):
            asked.setdefault(text, Question(text, "past"))
        for document in documents:
            text = _title(collection, document)
            if text:
                asked.setdefault(text, Question(text, "documents"))
    return [
        Question(one.text, one.source, chance.choice(filters) if filters and place % 2 else None, one.vector)
        for place, one in enumerate(list(asked.values())[:count])
    ]


async def _documents(store: Store, collection: Collection, count: int) -> list[StoredDocument]:
    """From places all over the change log."""
    last = await store.last_seq(collection)
    first = await store.changes(collection, after=0, limit=1)
    before = first[0].seq - 1 if first else 0  # other collections were written to before this one
    places = PLACES if await store.count(collection) > count else 1
    keys: dict[int, None] = {}
    for place in range(places):
        after = before + (last - before) * place // places
        changes = await store.changes(collection, after=after, limit=-(-count // places))
        keys.update({change.document_key: None for change in changes if change.kind is ChangeKind.UPSERT})
    return list((await store.by_key(collection, list(keys))).values())


async def _by_vectors(store: Store, collection: Collection, documents: Sequence[StoredDocument]) -> dict[str, Question]:
    hashes = [document.vector_hash for document in documents if document.vector_hash is not None]
    known = await store.vectors(brought(collection), hashes)
    return {
        document.id: Question(f"like {document.id}", "documents", vector=known[document.vector_hash])
        for document in documents
        if document.vector_hash in known
    }


async def _past(store: Store, collection: Collection, count: int) -> list[str]:
    """What people asked, as far as it is recorded, the latest first."""
    asked: dict[str, None] = {}
    after = 0
    while page := await store.impressions(collection, after=after, limit=PAGE):
        after = page[-1][0]
        for _, impression in page:
            asked.pop(impression.query, None)
            asked[impression.query] = None
    return list(reversed(asked))[:count]


def _title(collection: Collection, document: StoredDocument) -> str:
    title = collection.spec.title
    found = document.body.get(title) if title is not None else None
    if isinstance(found, str) and found.strip():
        return found.strip()
    return " ".join(collection.spec.embed.render(document.body).split()[:WORDS])


def _filters(rows: Sequence[Row], collection: Collection, chance: random.Random) -> list[Filter]:
    """Different filters that some documents pass, over as many fields as there are."""
    made: dict[Filter, None] = {}
    fields = [name for name, kind in collection.spec.fields.items() if kind in _MADE]
    for row in chance.sample(list(rows), min(len(rows), FILTERS * 4)) if fields else ():
        name = fields[len(made) % len(fields)]
        value: Any = row.get(name)
        kind = collection.spec.fields[name]
        if value is None:
            continue
        if kind in (FieldType.KEYWORD, FieldType.BOOL):
            made[Eq(name, value)] = None
        else:
            made[chance.choice((Lte, Gte))(name, value)] = None
        if len(made) == FILTERS:
            break
    return list(made)


_MADE: Final = frozenset({FieldType.KEYWORD, FieldType.BOOL, FieldType.INT, FieldType.FLOAT})
