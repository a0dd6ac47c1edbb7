"""Which text is scored, what is scored only once, and how scores are put together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.queries import Search
from nearfield.domain.reranking import Rerank, parse_rerank
from nearfield.domain.spec_json import spec_from_json
from nearfield.protocols.source import SourceRow
from nearfield.search.cursors import Cursors
from nearfield.search.ranked import Ranked
from nearfield.search.rerank import Reranking, mixed
from nearfield.search.service import SearchService
from nearfield.search.stages import reordering
from nearfield.settings import load_settings
from nearfield.wiring import _passages, open_backend

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nearfield.domain.documents import Float32Array

UNIT = st.floats(0, 1, width=32)


@dataclass(slots=True)
class Writing:
    """A reranker that writes down what it is given; a text scores by the share of its words that are the query's."""

    name: str = "writing"
    fingerprint: str = "writing-1"
    max_tokens: int = 0
    seen: list[list[str]] = field(default_factory=list)

    async def score(self, query: str, texts: Sequence[str]) -> Float32Array:
        self.seen.append(list(texts))
        shares = [len(set(query.split()) & set(text.split())) / (1 + len(text.split())) for text in texts]
        return np.array(shares, dtype=np.float32)

    async def warm(self) -> None: ...

    async def close(self) -> None: ...


async def test_the_passage_that_matched_is_scored_and_nothing_twice(tmp_path: Path) -> None:
    """Documents of three passages, the words of the query in the middle one; pages by cursor ask for no new scores."""
    backend = await open_backend(
        load_settings(data_dir=tmp_path, environment="test", embedder="hashing", engine="exact")
    )
    body = {"embed": "{text}", "index": {"kind": "flat"}}
    collection = await backend.catalog.create(spec_from_json("long", backend.with_defaults(body)))
    filler = "lorem ipsum dolor sit amet " * 45
    rows = [
        SourceRow(at, {"id": str(at), "text": f"{filler}\n\n{'violin tractor ' * 60} n{at}\n\n{filler}"})
        for at in range(1, 31)
    ]
    result = await backend.documents.upsert("long", rows)
    await backend.documents.wait("long", result.receipt.seq)
    reranker = Writing()

    async def opened(name: str) -> Writing:
        assert name == "mine"
        return reranker

    service = SearchService(
        backend.store,
        backend.generations,
        backend.catalog.get,
        search_timeout_s=30,
        wait_timeout_s=30,
        cursors=Cursors(budget_bytes=10_000_000, idle_s=60),
        stages=reordering(Reranking(opened, "mine", None, _passages)),
    )
    page = await service.search("long", Search(query="violin tractor", limit=4, rerank=Rerank(depth=10)))
    assert page[0].passage > 0
    ((*texts,),) = reranker.seen
    assert len(texts) == 10
    assert all("violin" in text and len(text.split()) < 260 for text in texts)
    seen = [hit.id for hit in page]
    while page.cursor is not None:
        page = await service.search("long", Search(cursor=page.cursor, limit=4))
        seen += [hit.id for hit in page]
    assert sorted(seen, key=int) == [str(at) for at in range(1, 31)]
    scored = [text for texts in reranker.seen for text in texts]
    assert len(scored) == len(set(scored))
    assert collection.name == "long"
    await service.close()
    await backend.close()


@given(st.data())
def test_mixing_keeps_everybody_in_falling_order(data: st.DataObject) -> None:
    scores = sorted(data.draw(st.lists(UNIT, min_size=1, max_size=20)), reverse=True)
    head = data.draw(st.integers(1, len(scores)))
    found = np.array(data.draw(st.lists(UNIT, min_size=head, max_size=head)), dtype=np.float32)
    keys = np.array(data.draw(st.permutations(range(1, len(scores) + 1))), dtype=np.int64)
    after = mixed(Ranked(keys, keys << 12, np.array(scores, dtype=np.float32)), found, data.draw(UNIT))
    assert sorted(after.documents.tolist()) == sorted(keys.tolist())
    assert after.documents[head:].tolist() == keys[head:].tolist()
    told = after.scores.tolist()
    assert told == sorted(told, reverse=True)
    assert all(0 <= score <= 1 for score in told)
    tied = [(-score, key) for score, key in zip(told, after.documents.tolist(), strict=True)][:head]
    assert tied == sorted(tied)


def test_what_a_request_may_say() -> None:
    assert parse_rerank(None) is None
    assert parse_rerank(True) is True
    assert parse_rerank({}) == Rerank()
    assert parse_rerank({"model": "m", "depth": 7, "weight": 0.5}) == Rerank("m", 7, 0.5)


@pytest.mark.parametrize(
    ("given_", "field_"),
    [
        ("model", "rerank"),
        ({"modle": "m"}, "rerank.modle"),
        ({"model": 3}, "rerank.model"),
        ({"model": " "}, "rerank.model"),
        ({"depth": 0}, "rerank.depth"),
        ({"depth": 201}, "rerank.depth"),
        ({"depth": True}, "rerank.depth"),
        ({"weight": 1.5}, "rerank.weight"),
        ({"weight": float("nan")}, "rerank.weight"),
        ({"weight": "1"}, "rerank.weight"),
    ],
)
def test_what_it_may_not(given_: Any, field_: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_rerank(given_)
    assert raised.value.field == field_
