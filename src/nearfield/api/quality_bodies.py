"""Request bodies about quality: evaluations, judgments, events."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class JudgedQueryBody(_Body):
    """A query to measure by."""

    text: str = Field(description="What people type.", min_length=1)
    grades: dict[str, int] = Field(description="By document id: 0 is not relevant, higher is better.")
    id: str | None = Field(None, description="Names it in the answer; its text when absent.")


class EvaluateBody(_Body):
    """How good searches are on judged queries; the collection's own judgments when `queries` is absent."""

    queries: list[JudgedQueryBody] | None = Field(None, description="Queries with their judgments.")
    search: dict[str, Any] = Field(
        {},
        description="What is measured: members of a search request but `query`, `limit` and the like.",
        examples=[{"mode": "hybrid"}],
    )
    against: dict[str, Any] | None = Field(
        None, description="Another configuration to compare with, of the same form.", examples=[{"mode": "lexical"}]
    )
    show: int = Field(10, description="How many of the worst and of the most changed queries are told.", ge=0, le=1000)


class TuneBody(_Body):
    """What fusion serves the collection best; by its own judgments when `queries` is absent."""

    queries: list[JudgedQueryBody] | None = Field(None, description="Queries with their judgments.")
    apply: bool = Field(False, description="Take what was found, if it is better beyond chance.")


class JudgmentBody(_Body):
    """One document judged for one query."""

    query: str
    document_id: str
    grade: int = Field(description="0 is not relevant, higher is better.", ge=0, le=100)


class JudgmentsBody(_Body):
    """Judgments to store; one of the same query and document is replaced."""

    judgments: list[JudgmentBody] = Field(max_length=10_000)


class EventBody(_Body):
    """What somebody did with a document that a search had shown."""

    search_id: str = Field(description="The `request_id` of the search's answer.")
    document_id: str
    kind: Literal["click", "cart", "purchase"]
    position: int | None = Field(None, description="The rank it was shown at, from 1 over all pages.")
    at: str | None = Field(None, description="When, ISO 8601; now when absent.", examples=["2030-01-31T12:00:00Z"])


class EventsBody(_Body):
    """Events to record."""

    events: list[EventBody] = Field(min_length=1, max_length=1_000)
