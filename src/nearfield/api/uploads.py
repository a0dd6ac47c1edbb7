"""From a request's documents to rows, and from many batches to one answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson

from nearfield.api.answers import rejection_json
from nearfield.api.problems import InvalidJson, problem
from nearfield.api.reading import json_response
from nearfield.domain.documents import Rejection
from nearfield.domain.errors import InvalidDocument, InvalidRequest, TooLarge
from nearfield.domain.values import describe
from nearfield.observe import metrics
from nearfield.protocols.source import SourceRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.responses import Response

    from nearfield.api.reading import LineBatch
    from nearfield.domain.reports import UpsertResult

TOLD: Final = 1_000  # rejections listed in one answer; the others are counted


def rows_of_json(content: Any) -> list[SourceRow | Rejection]:
    """The documents of a JSON body, a list or a single object. Raises InvalidRequest for anything else."""
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise InvalidRequest(f"body: expected a list of documents or one document, got {describe(content)}")
    return [_row(line, body) for line, body in enumerate(content, start=1)]


async def rows_of_lines(batch: LineBatch) -> list[SourceRow | Rejection]:
    """The documents of some lines; blank lines are passed over. Parsed in a thread."""
    return await asyncio.to_thread(lambda: list(_parsed(batch)))


def _parsed(batch: LineBatch) -> Iterator[SourceRow | Rejection]:
    for number, line in enumerate(batch.lines, start=batch.first):
        if line is None:
            yield Rejection(number, TooLarge.code, "line is longer than NEARFIELD_MAX_BODY_BYTES allows")
            continue
        text = line.strip()
        if not text:
            continue
        try:
            yield _row(number, orjson.loads(text))
        except orjson.JSONDecodeError as exc:
            yield Rejection(number, InvalidJson.code, f"line is not JSON: {str(exc).lower()}")


def _row(line: int, body: Any) -> SourceRow | Rejection:
    if isinstance(body, dict):
        return SourceRow(line, body)
    return Rejection(line, InvalidDocument.code, f"expected an object, got {describe(body)}")


class Tally:
    """The sum of what happened to the documents of one request."""

    def __init__(self) -> None:
        self._seq = self._accepted = self._new = self._changed = self._unchanged = self._refused = 0
        self._rejected: list[Rejection] = []

    @property
    def seen(self) -> int:
        """Documents counted so far."""
        return self._accepted + self._refused

    def add(self, result: UpsertResult) -> None:
        """Count one batch."""
        receipt = result.receipt
        self._seq = receipt.seq
        self._accepted += result.accepted
        self._new += receipt.new
        self._changed += receipt.changed
        self._unchanged += receipt.unchanged
        self._refused += len(result.rejected)
        self._rejected += result.rejected[: TOLD - len(self._rejected)]
        outcomes = {
            "new": receipt.new,
            "changed": receipt.changed,
            "unchanged": receipt.unchanged,
            "rejected": len(result.rejected),
        }
        for outcome, count in outcomes.items():
            metrics.DOCUMENTS.labels(outcome).inc(count)

    async def response(self) -> Response:
        """200 with the sums; a 422 problem that lists the same rejections when every document was refused."""
        rejected = [rejection_json(each) for each in self._rejected]
        if self._refused and not self._accepted:
            first = self._rejected[0]
            none = InvalidDocument(
                f"none of {self._refused} documents could be taken in; the first, line {first.line}: {first.detail}"
                if self._refused > 1
                else f"line {first.line}: {first.detail}",
                field=f"documents[{first.line - 1}]",
            )
            return problem(none, rejected_total=self._refused, rejected=rejected)
        return await json_response(
            {
                "seq": self._seq,
                "accepted": self._accepted,
                "new": self._new,
                "changed": self._changed,
                "unchanged": self._unchanged,
                "rejected_total": self._refused,
                "rejected": rejected,
            }
        )
