"""The program tutorials begin with: FastAPI, Sentence Transformers and Chroma in one file.

Written from their common description, unhelped: documents come one at a time, and both routes are `async def` that
call blocking code. Two things differ: the model is a local folder, and Chroma keeps its data, since what a restart
loses would flatter nobody. Runs in the contenders' environment: `uvicorn tutorial_app:app`.
"""

from __future__ import annotations

import os
from typing import Any

import chromadb
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

app = FastAPI()
model = SentenceTransformer(os.environ["TUTORIAL_MODEL"])
client = chromadb.PersistentClient(path=os.environ["TUTORIAL_DATA"])
collection = client.get_or_create_collection("products", metadata={"hnsw:space": "cosine"})


class Product(BaseModel):
    """A product to be found."""

    id: str
    name: str
    description: str
    price: float
    category: str = ""


class Query(BaseModel):
    """What is looked for."""

    query: str
    max_price: float | None = None
    limit: int = 10


@app.post("/products/")
async def add_product(product: Product) -> dict[str, str]:
    """Embed one product and keep it."""
    text = f"{product.name}: {product.description}"
    embedding = model.encode(text).tolist()
    collection.add(
        ids=[product.id],
        embeddings=[embedding],
        documents=[text],
        metadatas=[{"name": product.name, "price": product.price, "category": product.category}],
    )
    return {"message": "product added", "id": product.id}


@app.post("/search/")
async def search_products(query: Query) -> dict[str, Any]:
    """The products nearest to a query."""
    embedding = model.encode(query.query).tolist()
    where: Any = None if query.max_price is None else {"price": {"$lte": query.max_price}}
    found = collection.query(query_embeddings=[embedding], n_results=query.limit, where=where)
    ids, texts, about, distances = ((found[part] or [[]])[0] for part in ("ids", "documents", "metadatas", "distances"))
    return {
        "results": [
            {"id": key, "document": text, "metadata": meta, "score": 1 - distance}
            for key, text, meta, distance in zip(ids, texts, about, distances, strict=True)
        ]
    }
