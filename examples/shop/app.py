"""A shop that finds products by meaning: `uvicorn --app-dir examples/shop app:app`."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, Field

import nearfield


class Product(BaseModel):
    name: str = Field(min_length=1)
    description: str
    price: float = Field(ge=0)
    category: str


class Question(BaseModel):
    query: str = Field(min_length=1)
    top_k: int = Field(5, ge=1, le=100)
    min_price: float = Field(0, ge=0)
    max_price: float | None = Field(None, ge=0)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with nearfield.open(os.environ.get("SHOP_DATA", "shop-data")) as db:
        fields = {"price": float, "category": str}
        app.state.shop = db.collection("products", embed="{name}: {description}", fields=fields)
        yield


app = FastAPI(title="Shop", lifespan=lifespan)


@app.post("/products/")
def add(product: Product, request: Request) -> dict[str, str]:
    key = uuid.uuid4().hex
    request.app.state.shop.upsert({"id": key, **product.model_dump()})
    return {"id": key, "message": f"{product.name} is in the shop"}


@app.post("/search/")
def search(question: Question, request: Request) -> dict[str, list[dict[str, str | float]]]:
    price = {"$gte": question.min_price}
    if question.max_price is not None:
        price["$lte"] = question.max_price
    hits = request.app.state.shop.search(question.query, where={"price": price}, limit=question.top_k).hits
    if not hits:
        raise HTTPException(404, f"no product matches {question.query!r} in this price range")
    results = []
    for hit in hits:
        kept = {name: hit.document[name] for name in ("description", "price")}
        results.append({"product": hit.document["name"], **kept, "similarity_score": round(hit.score, 4)})
    return {"results": results}
