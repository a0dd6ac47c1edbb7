"""The stages between fusing and presenting, in their order: hides, rerank, boosts, diversity, pins.

A stage that a search does not ask for is one comparison. What each may move is bounded by its depth, and scores stay
0..1 and fall along the list after each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearfield.domain.boosts import Recency
from nearfield.domain.queries import Search
from nearfield.search import boost, diversity
from nearfield.search.rules import Hiding, Pinning, RulesReader
from nearfield.search.work import Reader, Stage

if TYPE_CHECKING:
    from nearfield.search.ranked import Ranked
    from nearfield.search.rerank import Reranking
    from nearfield.search.rulebook import RuleBook
    from nearfield.search.work import Work


def rules_reader(book: RuleBook) -> Reader:
    """Reads a collection's rules. Comes after what reads the query, whose words it adds to."""
    reader = RulesReader(book)
    return Reader("rules", reader.asked, reader.run)


def reordering(reranking: Reranking) -> tuple[Stage, ...]:
    """Every stage of this file, in order."""
    hiding, pinning = Hiding(), Pinning()
    return (
        Stage("hides", hiding.wants, hiding.run),
        Stage("rerank", reranking.wants, reranking.run),
        Stage("boosts", _boost_wants, _boost),
        Stage("diversity", _diversity_wants, _diversify),
        Stage("pins", pinning.wants, pinning.run),
    )


def _boost_wants(work: Work) -> int | None:
    return boost.DEPTH if isinstance(work.ask, Search) and work.ask.boosts else None


async def _boost(work: Work, ranked: Ranked) -> Ranked:
    """Each boost's share of a score is told beside the stage's sum."""
    assert isinstance(work.ask, Search)  # noqa: S101 - run only where wanted
    done = await boost.boost(work.retrieval, ranked, work.ask.boosts)
    if any(isinstance(one, Recency) and one.origin_us is None for one in work.ask.boosts):
        work.lasting = False
    for at, silent in enumerate(done.silent):
        if silent:
            work.notes.append(f"boosts[{at}] had no value for {silent} of the best {boost.DEPTH} candidates")
    if work.trace is not None:
        for place, key in enumerate(done.ranked.documents.tolist()):
            shares = done.deltas[:, place].tolist()
            work.trace.tell("boosts", key, {f"boosts[{at}]": share for at, share in enumerate(shares) if share})
    return done.ranked


def _diversity_wants(work: Work) -> int | None:
    wanted = isinstance(work.ask, Search) and work.ask.diversity and not work.degraded
    return diversity.DEPTH if wanted else None


async def _diversify(work: Work, ranked: Ranked) -> Ranked:
    assert isinstance(work.ask, Search)  # noqa: S101 - run only where wanted
    return await diversity.diversify(work.retrieval, ranked, work.ask.diversity)
