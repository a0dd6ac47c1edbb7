"""Two generations are asked the same questions; what they find is held against the store, and against gates."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from nearfield.domain.binding import bind
from nearfield.domain.errors import MissingDependency, NearfieldError
from nearfield.domain.filter_text import to_text
from nearfield.domain.filters import matches
from nearfield.domain.moves import Difference, Gate, Side, Verification
from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search
from nearfield.domain.rows import row_of
from nearfield.domain.schema import Quantization
from nearfield.protocols.engine import check_vectors
from nearfield.quality.evaluate import evaluate
from nearfield.quality.exact import true_nearest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from nearfield.domain.collections import Collection, Generation
    from nearfield.domain.documents import Float32Array
    from nearfield.domain.hits import Answer
    from nearfield.domain.judgments import JudgedSet
    from nearfield.domain.moves import Gates, TruePage
    from nearfield.domain.reports import CheckReport
    from nearfield.protocols.embedder import Embedder
    from nearfield.protocols.store import Store
    from nearfield.quality.evaluate import RankedSearch
    from nearfield.quality.exact import Nearest
    from nearfield.quality.questions import Question

log = logging.getLogger("nearfield.quality")

DEPTH: Final = 10
SPARE: Final = 10  # hits beyond, for documents written meanwhile
AT_ONCE: Final = 2
TOLD: Final = 20  # queries answered differently, the least alike first
LOSSY: Final = frozenset({Quantization.PRODUCT, Quantization.RABITQ})
"""An index that keeps only such codes cannot give vectors back as they were."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A generation to be asked. search: answers as users would be answered. pages: what the store says it must hold.

    applied: the last change it holds, as of now.
    """

    generation: Generation
    embedder: Embedder
    search: Callable[[Search], Awaitable[Answer]]
    pages: Callable[[], AsyncIterator[TruePage]]
    applied: Callable[[], int]


@dataclass(slots=True)
class _Asked:
    """What one subject answered. hits: of each question, as users ask it; near: by meaning alone."""

    hits: list[list[str]]
    near: list[list[str]]
    took_ms: list[float]
    failures: int = 0
    strays: int = 0
    first_failure: str = ""


async def verify(
    store: Store,
    collection: Collection,
    check: CheckReport,
    *,
    old: Subject | None,
    new: Subject,
    questions: Sequence[Question],
    judged: JudgedSet,
    gates: Gates,
    on_progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Ask, compare, judge.

    check: keys and vectors of the new one against the store. old: None where it cannot be asked.
    Documents written meanwhile are left out of account. Raises only what keeps the new one from being asked at all:
    a search of it that fails is counted.
    """
    began = time.perf_counter()
    subjects = [new] if old is None else [new, old]
    start = min(one.applied() for one in subjects)  # what the slower one lacks yet, it cannot find
    truths = await _truths(collection, subjects, questions)
    asked = await _ask_all(collection, subjects, questions, on_progress)
    changed = await _changed(store, collection, start, truths, asked)
    ndcg, notes = await _judge(subjects, judged)
    sides = [
        _side(one, found, truth, changed, score)
        for one, found, truth, score in zip(subjects, asked, truths, ndcg, strict=True)
    ]
    untold = len(questions) - len(sides[0].recalls)
    if untold:
        notes.append(f"of {untold:,} queries recall is not known: all that they find was written meanwhile")
    for one, found in zip(subjects, asked, strict=True):
        if found.failures:
            log.warning("a search of %s failed: %s", one.generation.index_name, found.first_failure)
            notes.append(f"{found.failures:,} searches of generation {one.generation.number} failed; the log says why")
    short = sum(
        len(hits) < min(DEPTH, truth.matching - len(changed))
        for hits, truth in zip(asked[0].near, truths[0], strict=True)
    )
    differing = _differing(questions, asked, changed) if old is not None else []
    made = Verification(
        collection=collection.name,
        check=check,
        old=sides[1] if old is not None else None,
        new=sides[0],
        sources={source: sum(one.source == source for one in questions) for source in {q.source for q in questions}},
        filtered=sum(one.where is not None for one in questions),
        overlap=float(np.mean([one.overlap for one in differing])) if differing else 1.0,
        short=short,
        strays=asked[0].strays,
        changed=len(changed),
        gates=(),
        differing=tuple(one for one in sorted(differing, key=lambda one: one.overlap)[:TOLD] if one.overlap < 1),
        notes=tuple(notes),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        took_s=time.perf_counter() - began,
    )
    return replace(made, gates=tuple(_gates(made, gates, new.generation.index.quantization in LOSSY)))


async def _truths(
    collection: Collection, subjects: Sequence[Subject], questions: Sequence[Question]
) -> list[list[Nearest]]:
    """The true nearest, once where both hold the same vectors and compare them the same way."""
    filters = [one.where for one in questions]
    found: dict[tuple[str, str], list[Nearest]] = {}
    for one in subjects:
        metric = one.generation.index.metric
        key = (one.generation.fingerprint, str(metric))
        if key not in found:
            vectors = await _vectors(one, questions)
            found[key] = await true_nearest(one.pages(), vectors, filters, collection.spec.fields, metric)
    return [found[one.generation.fingerprint, str(one.generation.index.metric)] for one in subjects]


async def _vectors(subject: Subject, questions: Sequence[Question]) -> Float32Array:
    dimension = subject.generation.dimension
    if not questions:
        return np.zeros((0, dimension), dtype=np.float32)
    given = [one.vector for one in questions if one.vector is not None]
    vectors = np.stack(given) if given else await subject.embedder.embed([one.text for one in questions], role="query")
    return check_vectors(vectors, dimension, metric=subject.generation.index.metric)


async def _ask_all(
    collection: Collection,
    subjects: Sequence[Subject],
    questions: Sequence[Question],
    on_progress: Callable[[int, int], None] | None,
) -> list[_Asked]:
    """The subjects take turns question by question, so that a busy moment is busy for all of them."""
    empty = [_Asked([[] for _ in questions], [[] for _ in questions], []) for _ in subjects]
    waiting = iter(list(enumerate(questions)))
    done = 0

    async def work() -> None:
        nonlocal done
        for place, question in waiting:
            for subject, asked in zip(subjects, empty, strict=True):
                await _ask(collection, subject, asked, place, question)
            done += 1
            if on_progress is not None:
                on_progress(done, len(questions))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(work())
    return empty


async def _ask(collection: Collection, subject: Subject, asked: _Asked, place: int, question: Question) -> None:
    what = {"vector": question.vector} if question.vector is not None else {"query": question.text}
    fields = collection.spec.fields
    bound = None if question.where is None else bind(question.where, fields)
    try:
        began = time.perf_counter()
        answer = await subject.search(Search(**what, where=question.where, limit=DEPTH))
        asked.took_ms.append((time.perf_counter() - began) * 1000)
        asked.hits[place] = [hit.id for hit in answer]
        near = await subject.search(
            Search(**what, where=question.where, limit=DEPTH + SPARE, mode=Mode.SEMANTIC, typos=False, rules=False)
        )
        asked.near[place] = [hit.id for hit in near]
        if bound is not None:
            asked.strays += sum(not matches(bound, row_of(hit.document, fields)) for hit in (*answer, *near))
    except NearfieldError as exc:
        asked.failures += 1
        asked.first_failure = asked.first_failure or str(exc)


async def _changed(
    store: Store, collection: Collection, start: int, truths: Sequence[Sequence[Nearest]], asked: Sequence[_Asked]
) -> frozenset[str]:
    """Documents that matter here and were written or deleted since a change."""
    seen = {name for truth in truths for one in truth for name in one.ids[: DEPTH + SPARE]}
    seen.update(name for one in asked for found in (*one.hits, *one.near) for name in found)
    if await store.last_seq(collection) == start:
        return frozenset()
    there = await store.by_id(collection, list(seen))
    return frozenset(name for name in seen if name not in there or there[name].seq > start)


def _side(
    subject: Subject, asked: _Asked, truth: Sequence[Nearest], changed: frozenset[str], ndcg: float | None
) -> Side:
    generation = subject.generation
    recalls = [
        one.recall(found, DEPTH, room=DEPTH + SPARE, without=changed)
        for one, found in zip(truth, asked.near, strict=True)
    ]
    settings = generation.index
    return Side(
        generation=generation.number,
        engine=generation.engine,
        index=f"{settings.kind}/{settings.metric}/{settings.quantization}",
        embedder=generation.embedder,
        recalls=tuple(one for one in recalls if one is not None),
        took_ms=tuple(asked.took_ms),
        failures=asked.failures,
        ndcg=ndcg,
    )


async def _judge(subjects: Sequence[Subject], judged: JudgedSet) -> tuple[list[float | None], list[str]]:
    """nDCG@10 of each on the judgments, and why there is none."""
    if not judged.queries:
        return [None] * len(subjects), []

    def ranked(subject: Subject) -> RankedSearch:
        async def search(text: str, depth: int) -> Sequence[str]:
            return [hit.id for hit in await subject.search(Search(query=text, limit=depth))]

        return search

    try:
        found = await evaluate(judged, *map(ranked, subjects), measures=("ndcg@10",))
    except MissingDependency as exc:
        return [None] * len(subjects), [f"the judgments were not used: {exc}"]
    except NearfieldError as exc:
        return [None] * len(subjects), [f"the judgments could not be used: {exc}"]
    return [found.means["ndcg@10"], found.other_means.get("ndcg@10")][: len(subjects)], []


def _differing(questions: Sequence[Question], asked: Sequence[_Asked], changed: frozenset[str]) -> list[Difference]:
    found = []
    for question, new, old in zip(questions, asked[0].hits, asked[1].hits, strict=True):
        left = [[name for name in names if name not in changed] for names in (old, new)]
        most = max(map(len, left))
        overlap = len(set(left[0]) & set(left[1])) / most if most else 1.0
        where = None if question.where is None else to_text(question.where)
        found.append(Difference(question.text, where, overlap, tuple(left[0]), tuple(left[1])))
    return found


def _gates(made: Verification, gates: Gates, lossy: bool) -> list[Gate]:
    check, old, new = made.check, made.old, made.new
    enough = gates.min_recall if old is None else min(gates.min_recall, old.recall)
    held = [
        Gate("keys", f"{check.missing:,} missing, {check.surplus:,} in surplus of {check.passages:,}", "none",
             not check.missing and not check.surplus),
        Gate("searches", f"{new.failures:,} failed of {made.queries:,}", "none", not new.failures),
        Gate("recall@10", f"{new.recall:.4f}", f"at least {enough:.4f}", new.recall >= enough),
        Gate("filters", f"{made.strays:,} hits do not pass", "none", not made.strays),
        Gate("hits", f"{made.short:,} answers are short", "none", not made.short),
    ]  # fmt: skip
    if not lossy:
        held.insert(1, Gate("vectors", f"{check.wrong:,} wrong of {check.sampled:,}", "none", not check.wrong))
    if new.ndcg is not None and old is not None and old.ndcg is not None:
        least = old.ndcg - gates.max_ndcg_drop
        held.append(Gate("ndcg@10", f"{new.ndcg:.4f}", f"at least {least:.4f}", new.ndcg >= least))
    if gates.max_p95_ms is not None:
        seen = new.percentile_ms(95)
        held.append(Gate("p95", f"{seen:.1f} ms", f"at most {gates.max_p95_ms:g} ms", seen <= gates.max_p95_ms))
    return held
