"""What one search carries from stage to stage."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nearfield.domain.fusion import Fusion

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nearfield.domain.collections import Collection
    from nearfield.domain.documents import Float32Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.plans import Correction, Mode
    from nearfield.domain.queries import Search, Similar
    from nearfield.domain.rules import RulesFound
    from nearfield.domain.understood import Understood
    from nearfield.protocols.live import LiveIndex
    from nearfield.search.ranked import Ranked
    from nearfield.search.retrieve import Retrieval
    from nearfield.search.trace import Trace


@dataclass(slots=True, eq=False)
class Work:
    """A search on its way. Readers change it before the plan is made, stages read it afterwards.

    ask: as it came, but for an order read from the query. mode: None for a listing, which asks nothing.
    meaning: the text that is embedded, None where a vector is given. words: the text whose words are looked for.
    expansion: other words for the same, looked for beside them and not counted as asked. corrections: words put right.
    where: the filter in force, unbound. vector: of the query, checked, once it is known.
    excluded: document keys that are never hits. want: candidates asked for in the pass under way; the first so many of
    a ranking are right.
    exhausted: there are no candidates beyond those of this pass. settled: how many are on pages given out already, or
    may be: a stage that looks at the first few need not look again.
    candidates: what retrieval found, both sides counted. notes: what was done other than asked, for the plan.
    understood: what was read from the query, for the answer. fallback: undoes what readers changed; called once where
    nothing was found, and the search is then made again.
    reads: fields whose values stages after the ranking need; rows: of each document, by key, where they are known.
    fusion: how a hybrid search puts both sides together. share: of meaning in it, once that is known.
    reread: readers that come after the one that set `fallback`; they read again what it brings back.
    near_share: where the order was read from the query, only candidates with this share of the best score are put in
    it; the others follow as they are. None where the request itself asks for the order.
    trace: None unless the request asks to explain.
    firm: whether a ranking was made: what follows must not be ranked another way. degraded: whether words alone decide
    since the engine does not answer.
    lasting: whether the answer stays right while nothing is written: false where it depends on the time, or on what is
    still being made.
    rules: what the collection's rules say of this search, None for nothing. scored: what the reranker said, by chunk
    key, kept for further pages.
    """

    ask: Search | Similar
    collection: Collection
    live: LiveIndex
    mode: Mode | None
    where: Filter | None
    waited_for: int = 0
    meaning: str | None = None
    words: str = ""
    expansion: str = ""
    corrections: tuple[Correction, ...] = ()
    vector: Float32Array | None = None
    excluded: frozenset[int] = frozenset()
    want: int = 0
    exhausted: bool = False
    settled: int = 0
    candidates: int = 0
    notes: list[str] = field(default_factory=list)
    understood: Understood | None = None
    fusion: Fusion = field(default_factory=Fusion)
    share: float | None = None
    fallback: Callable[[Work], None] | None = None
    reread: Sequence[Reader] = ()
    near_share: float | None = None
    reads: tuple[str, ...] = ()
    rows: dict[int, Row] = field(default_factory=dict)
    trace: Trace | None = None
    started: float = field(default_factory=time.perf_counter)
    planned: Retrieval | None = None
    firm: bool = False
    degraded: bool = False
    lasting: bool = True
    rules: RulesFound | None = None
    scored: dict[int, float] = field(default_factory=dict)

    @property
    def retrieval(self) -> Retrieval:
        """The retrieval side, filter placed. There once the plan is made; readers come before it."""
        assert self.planned is not None  # noqa: S101 - a stage out of order is a defect
        return self.planned


@dataclass(frozen=True, slots=True)
class Reader:
    """A step that reads the question before the plan is made, and may change `meaning`, `words`, `where` and more.

    asked: whether this request wants it; quick, called for every search.
    """

    name: str
    asked: Callable[[Work], bool]
    run: Callable[[Work], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Stage:
    """A step between fusion and the answer, which may reorder candidates, change scores, take some out or put some in.

    wants: None where this request does not ask for it (quick, called for every search), else how many candidates it
    should be given at least; 0 where it works with any number.
    run: gives back the candidates best first, each document once, scores 0..1. It is given them all, a second time too
    where more had to be fetched. Scores it changes are explained by themselves; what more there is to tell about a
    document goes to `work.trace`.
    """

    name: str
    wants: Callable[[Work], int | None]
    run: Callable[[Work, Ranked], Awaitable[Ranked]]
