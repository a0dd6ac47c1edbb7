"""Request bodies about moves: where to, and what must hold."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class MoveBody(_Body):
    """What the new generation is to be; what is left out stays as it is. Empty: go on with the move under way."""

    engine: str | None = Field(None, description="An engine's name or address.", examples=["local"])
    embedder: str | None = Field(None, description="A model.")
    index: dict[str, Any] | None = Field(None, description="Any part of the index settings.", examples=[{"m": 32}])
    search: dict[str, Any] | None = Field(None, description="Field weights and language.")

    def wish(self) -> dict[str, Any]:
        """The parts that are given."""
        parts = {name: getattr(self, name) for name in ("engine", "embedder", "index", "search")}
        return {name: one for name, one in parts.items() if one is not None}


class EstimateBody(MoveBody):
    """What a move would cost."""

    price: float | None = Field(None, description="Of a million tokens embedded, in any currency.", ge=0)


class ShadowBody(_Body):
    """How much is tried on a generation beside the live one."""

    share: float = Field(description="Of the searches made from now on; 0 ends it.", ge=0, le=1)


class VerifyBody(_Body):
    """What must hold for a generation to be ready."""

    min_recall: float = Field(
        0.95, description="Of the true ten nearest; as much as the live one is enough.", ge=0, le=1
    )
    max_ndcg_drop: float = Field(0.02, description="On the judgments there are.", ge=0)
    max_p95_ms: float | None = Field(None, description="Of a search.", ge=0)
    questions: int = Field(500, description="Asked of both generations.", ge=1, le=10_000)
