"""Questions: a search, and more-like-this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearfield.domain.boosts import check_boosts
from nearfield.domain.errors import InvalidRequest
from nearfield.domain.facets import FacetScope
from nearfield.domain.ordering import SCORE
from nearfield.domain.plans import Mode

if TYPE_CHECKING:
    from nearfield.domain.boosts import Boost
    from nearfield.domain.documents import Float32Array
    from nearfield.domain.facets import Facet
    from nearfield.domain.filters import Filter
    from nearfield.domain.fusion import Fusion
    from nearfield.domain.highlights import Highlight
    from nearfield.domain.ordering import GroupBy, SortKey
    from nearfield.domain.reranking import Rerank
    from nearfield.domain.understood import PartKind

MAX_LIMIT = 1_000
MAX_OFFSET = 10_000
MAX_QUERY_LENGTH = 10_000  # characters


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """A question to one collection.

    query: what to look for, in words; or `vector`: float32, shape (dimension,). Exactly one of them.
    where: an unbound filter, or None.
    limit: hits wanted, 1 to MAX_LIMIT; min(limit, matches) come back. offset: hits skipped, 0 to MAX_OFFSET.
    effort: efSearch for this search, None for the index's own. exact: compare every vector.
    fusion: how meaning and words are put together; None for the collection's own way. Hybrid only.
    min_seq: wait until this change is applied; None waits for nothing.
    sort: orders the candidates; empty for the best first. facets: counted over `facet_scope`. group_by: hits are the
    best of each group.
    Without query and vector, what passes the filter is listed, where one of where, sort, facets or group_by is given.
    cursor: of an earlier answer: the page that follows it. The rest may be left out then, and must not differ.
    explain: tell what each stage did.
    typos: forgive typing errors in words that no document holds.
    understand: kinds of constraints read from the query; None for all of them in a hybrid search, and else none.
    typos: forgive typing errors in words that no document holds. highlight: show which words matched, and where.
    rerank: how to score the best again; True as the settings say, False not at all, None for the settings' own default.
    diversity: 0 to 1, how much being unlike the hits before counts beside relevance. boosts: see `domain.boosts`.
    rules: whether the collection's synonyms, pins and hides are applied.
    Raises InvalidRequest naming the field.
    """

    query: str | None = None
    vector: Float32Array | None = None
    where: Filter | None = None
    limit: int = 10
    offset: int = 0
    mode: Mode | None = None
    exact: bool = False
    effort: int | None = None
    min_seq: int | None = None
    cursor: str | None = None
    explain: bool = False
    typos: bool = True
    sort: tuple[SortKey, ...] = ()
    facets: tuple[Facet, ...] = ()
    facet_scope: FacetScope = FacetScope.CANDIDATES
    group_by: GroupBy | None = None
    understand: frozenset[PartKind] | None = None
    fusion: Fusion | None = None
    highlight: Highlight | None = None
    rerank: Rerank | bool | None = None
    diversity: float = 0.0
    boosts: tuple[Boost, ...] = ()
    rules: bool = True

    def __post_init__(self) -> None:
        if self.query is not None and self.vector is not None:
            raise InvalidRequest("give either query or vector, one of them", field="query")
        listed = self.where is not None or self.sort or self.facets or self.group_by or self.cursor
        if self.query is None and self.vector is None and not listed:
            raise InvalidRequest(
                "give either query or vector, one of them, or a filter to list what passes it", field="query"
            )
        if self.query is None and self.vector is None and self.mode is not None and self.cursor is None:
            raise InvalidRequest(f"mode {self.mode} needs a query; a listing has none", field="mode")
        if self.query is not None and not self.query.strip():
            raise InvalidRequest("query is blank; give at least one word", field="query")
        if self.query is not None and len(self.query) > MAX_QUERY_LENGTH:
            raise InvalidRequest(
                f"query has {len(self.query)} characters; at most {MAX_QUERY_LENGTH} are read", field="query"
            )
        if self.vector is not None and self.mode not in (None, Mode.SEMANTIC):
            raise InvalidRequest(f"mode {self.mode} needs a query in words; a vector is semantic only", field="mode")
        if self.fusion is not None and self.cursor is None and self.resolved_mode is not Mode.HYBRID:
            raise InvalidRequest(
                f"fusion is of a hybrid search, and this one is {self.resolved_mode or 'a listing'}", field="fusion"
            )
        _check_stages(self)
        check_window(self.limit, self.offset, self.cursor)

    @property
    def resolved_mode(self) -> Mode | None:
        """The mode asked for; hybrid for words and semantic for a vector when none was; None for a listing."""
        if self.query is None and self.vector is None:
            return None
        return self.mode or (Mode.SEMANTIC if self.query is None else Mode.HYBRID)

    @property
    def fields_read(self) -> tuple[str, ...]:
        """The fields whose values sort, facets and groups need."""
        names = [key.field for key in self.sort if key.field != SCORE] + [facet.field for facet in self.facets]
        return tuple(dict.fromkeys([*names, *([self.group_by.field] if self.group_by else [])]))


def _check_stages(ask: Search) -> None:
    if not 0 <= ask.diversity <= 1:
        raise InvalidRequest(f"diversity is {ask.diversity}; expected 0 to 1", field="diversity")
    check_boosts(ask.boosts)
    if ask.cursor is not None:
        return
    if ask.rerank and ask.query is None:
        raise InvalidRequest("rerank needs a query in words", field="rerank")
    if ask.query is None and ask.vector is None and (ask.boosts or ask.diversity):
        given = "boosts" if ask.boosts else "diversity"
        raise InvalidRequest(f"{given} changes the order of relevance, which a listing has not; use sort", field=given)


@dataclass(frozen=True, slots=True, eq=False)
class Similar:
    """More like these, less like those, by meaning.

    ids, texts: at least one between them; unlike_ids, unlike_texts: may be empty. The documents named in ids and
    unlike_ids are never hits themselves. cursor: as in a Search.
    The query vector is mean(likes) - 0.5 * mean(unlikes), then unit length for cosine.
    Source: Rocchio, 1971, "Relevance feedback in information retrieval" (with beta 1, gamma 0.5).
    """

    ids: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    unlike_ids: tuple[str, ...] = ()
    unlike_texts: tuple[str, ...] = ()
    where: Filter | None = None
    limit: int = 10
    offset: int = 0
    exact: bool = False
    min_seq: int | None = None
    cursor: str | None = None
    explain: bool = False

    def __post_init__(self) -> None:
        if not self.ids and not self.texts and self.cursor is None:
            raise InvalidRequest("give at least one of ids or texts to be similar to", field="ids")
        for name, texts in (("texts", self.texts), ("unlike_texts", self.unlike_texts)):
            for text in texts:
                if not text.strip() or len(text) > MAX_QUERY_LENGTH:
                    raise InvalidRequest(f"each of {name} needs 1 to {MAX_QUERY_LENGTH} characters", field=name)
        check_window(self.limit, self.offset, self.cursor)


def check_window(limit: int, offset: int, cursor: str | None = None) -> None:
    """Raise InvalidRequest unless 1 <= limit <= MAX_LIMIT and 0 <= offset <= MAX_OFFSET, 0 beside a cursor."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(f"limit is {limit}; expected 1 to {MAX_LIMIT}", field="limit")
    if not 0 <= offset <= MAX_OFFSET:
        raise InvalidRequest(f"offset is {offset}; expected 0 to {MAX_OFFSET}", field="offset")
    if cursor is not None and offset:
        raise InvalidRequest("give either cursor or offset; a cursor knows where its page begins", field="offset")
