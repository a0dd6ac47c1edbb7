"""Embeddings, in the form OpenAI's clients speak."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from nearfield.api.admission import EmbeddingsRoute
from nearfield.api.answers import EmbeddingsAnswer
from nearfield.api.bodies import EmbeddingsBody
from nearfield.api.limits import check_length
from nearfield.api.reading import json_response
from nearfield.api.state import Running
from nearfield.domain.documents import Float32Array
from nearfield.domain.errors import InvalidRequest, ModelUnknown, TooLarge
from nearfield.settings import Settings
from nearfield.wiring import Backend

router = APIRouter(route_class=EmbeddingsRoute, tags=["embeddings"])


@router.post("/v1/embeddings", responses={200: {"model": EmbeddingsAnswer}})
async def embed(body: EmbeddingsBody, backend: Running) -> Response:
    """Embed texts with a model that this service has in use. Vectors have unit length."""
    texts = [body.input] if isinstance(body.input, str) else body.input
    _check_texts(texts, backend.settings)
    name = await _served(body.model, backend)
    embedder = await backend.embedders.get(name)
    if body.dimensions not in (None, embedder.dimension):
        raise InvalidRequest(
            f"dimensions is {body.dimensions}; {name} gives {embedder.dimension} and cuts none", field="dimensions"
        )
    vectors = await embedder.embed(texts, role=body.input_type)
    tokens = int((await asyncio.to_thread(embedder.count_tokens, texts)).sum())
    return await json_response(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": place, "embedding": written}
                for place, written in enumerate(_written(vectors, body.encoding_format))
            ],
            "model": name,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        },
        large=vectors.size > 50_000,
    )


def _check_texts(texts: list[str], settings: Settings) -> None:
    if not texts:
        raise InvalidRequest("input is an empty list; give at least one text", field="input")
    check_length(len(texts), settings.max_batch_documents, "texts", "NEARFIELD_MAX_BATCH_DOCUMENTS", field="input")
    for place, text in enumerate(texts):
        if not text:
            raise InvalidRequest("text is empty; give at least one character", field=f"input[{place}]")
        if len(text) > settings.max_text_length:
            raise TooLarge(
                f"text has {len(text)} characters; at most {settings.max_text_length} are read "
                "(NEARFIELD_MAX_TEXT_LENGTH)",
                field=f"input[{place}]",
            )


async def _served(asked: str | None, backend: Backend) -> str:
    """The model asked for. Only those in use are served: a name could otherwise fetch weights, or open a folder."""
    default = backend.settings.default_embedder
    if asked is None or asked == default:
        return default
    in_use = {each.spec.embedder for each in await backend.catalog.list()}
    if asked not in in_use:
        known = ", ".join(sorted({default, *in_use}))
        raise ModelUnknown(f"model {asked!r} is not in use here; this service embeds with {known}", field="model")
    return asked


def _written(vectors: Float32Array, form: str) -> list[Any]:
    if form == "float":
        return list(vectors)
    return [base64.b64encode(row.astype("<f4").tobytes()).decode("ascii") for row in vectors]
