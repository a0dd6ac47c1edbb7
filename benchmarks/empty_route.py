"""A route that reads a small JSON body and does nothing: what a web framework costs at the least."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Body(BaseModel):
    """As small a question as there is."""

    query: str
    limit: int


@app.post("/")
async def nothing(body: Body) -> dict[str, int]:
    """Answer at once."""
    return {"limit": body.limit}
