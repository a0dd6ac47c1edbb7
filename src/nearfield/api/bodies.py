"""Request bodies: one model each, strict, unknown fields refused by name. What the words mean is the domain's."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from nearfield.domain.fusion import FusionMethod
from nearfield.domain.schema import Degraded, FieldType, IndexKind, Metric, Quantization


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


FilterSpelling = Annotated[
    dict[str, Any] | str,
    Field(
        description='A filter as JSON, `{"price": {"$lte": 100}}`, or as text, `price <= 100 AND brand = "Acme"`.',
        examples=[{"price": {"$lte": 100}, "tags": {"$in": ["new"]}}, 'price <= 100 AND brand = "Acme"'],
    ),
]
Limit = Annotated[int, Field(description="Hits wanted; min(limit, matches) come back.", examples=[10])]
Offset = Annotated[int, Field(description="Hits skipped.")]
Cursor = Annotated[
    str | None,
    Field(
        description="Of an earlier answer: the page that follows it. The question may be left out then, `limit` may "
        "differ, and what else is sent must be as it was.",
        max_length=64,
    ),
]
Explain = Annotated[bool, Field(description="Tell what each stage did, and how much of each score is its.")]
Projection = Annotated[
    list[str] | None,
    Field(description="Fields of each document to send back; all when absent, none when empty.", max_length=256),
]
MinSeq = Annotated[
    int | None,
    Field(description="Wait until the change of this `seq` is searchable: read your own write.", ge=0),
]


class FusionSchema(_Body):
    """How meaning and words are put together. A method's name alone does as well."""

    method: FusionMethod = FusionMethod.AUTO
    weight: float | None = Field(
        None, ge=0, le=1, description="The share of meaning, 0 to 1; the method's own when absent. `auto` takes none."
    )


FusionSpelling = Annotated[
    dict[str, Any] | str,
    WithJsonSchema(
        {"anyOf": [{"$ref": "#/components/schemas/FusionSchema"}, {"type": "string", "enum": [*FusionMethod]}]}
    ),
]
"""Read by the domain, so that a wrong one is refused in the same words as in the library."""
FUSION_TOLD = "How a hybrid search puts meaning and words together."


Understand = Annotated[
    bool | Annotated[dict[str, bool], Field(max_length=16)] | None,
    Field(
        description=(
            "Whether constraints are read from the query, or which kinds are not: price, rating, number, quantity, "
            "date, brand, category, value, flag, sort. All of them in a hybrid search when absent."
        ),
        examples=[{"brand": False}],
    ),
]


class HighlightBody(_Body):
    """How matched words are shown."""

    fields: list[str] = Field([], description="Fields to mark; those of the template when empty.", max_length=256)
    pre: str = Field("<em>", description="Put before each match, as it is.")
    post: str = Field("</em>", description="Put after each match, as it is.")
    length: int = Field(200, description="Characters shown of a field or passage, without marks.")


class RerankSchema(_Body):
    """How the best candidates are scored again."""

    model: str | None = Field(None, description="A cross-encoder's folder, or `<kind>:<model>`.", min_length=1)
    depth: int = Field(50, ge=1, le=200, description="Candidates scored again.")
    weight: float = Field(1.0, ge=0, le=1, description="The share of the new score; the rest is the one before.")


class SearchBody(_Body):
    """A question to one collection: `query`, in words, or `vector`. With neither, what passes `filter` is listed."""

    query: str | None = Field(None, description="What to look for, in words.", examples=["affordable audio gear"])
    vector: list[float] | None = Field(None, description="A query vector of the collection's dimension.")
    filter: FilterSpelling | None = None
    limit: Limit = 10
    offset: Offset = 0
    mode: Literal["hybrid", "semantic", "lexical"] | None = Field(
        None, description="Meaning and words together, meaning alone, or words alone; hybrid unless a vector is given."
    )
    exact: bool = Field(False, description="Compare every vector instead of using the approximate index.")
    ef: int | None = Field(None, description="efSearch for this search.", ge=1, le=4096)
    fusion: FusionSpelling | None = Field(None, description=f"{FUSION_TOLD} The collection's own way when absent.")
    min_seq: MinSeq = None
    cursor: Cursor = None
    explain: Explain = False
    sort: list[str] | None = Field(
        None,
        description="Fields to order the candidates by, descending with a minus; `_score` is the relevance. Documents "
        "without a field come last.",
        examples=[["price", "-added", "-_score"]],
    )
    facets: list[str | dict[str, Any]] | None = Field(
        None,
        description="Fields whose values are counted. As an object: `field`, and `limit` (values told), `ranges` "
        "(pairs from low to below high), or `histogram` (a width; over instants hour, day, week, month or year); "
        "`disjunctive`: count as if the filter's own conditions on the field were not there.",
        examples=[["brand", {"field": "price", "ranges": [[None, 50], [50, 100]]}]],
    )
    facet_scope: Literal["candidates", "matches"] = Field(
        "candidates",
        description="Count over the documents the search ranked, 1,000 at least where there are so many, or over every "
        "document that passes the filter.",
    )
    group_by: str | dict[str, Any] | None = Field(
        None,
        description="A field: hits are the best of each value, with up to `limit` others as `members`. Documents "
        "without the field stand alone.",
        examples=[{"field": "sku", "limit": 3}],
    )
    understand: Understand = None
    rerank: bool | RerankSchema | None = Field(
        None, description="Have the best candidates scored again by a cross-encoder; the service's own way when absent."
    )
    diversity: float = Field(0.0, ge=0, le=1, description="How much being unlike the hits before counts (MMR).")
    boosts: list[dict[str, Any]] = Field(
        [],
        max_length=16,
        description="What lifts or lowers hits beside their relevance.",
        examples=[[{"recency": "added", "half_life": "30d"}, {"where": "in_stock = true", "factor": 2}]],
    )
    rules: bool = Field(True, description="Apply the collection's synonyms, pins and hides.")
    fields: Projection = None
    typos: bool = Field(True, description="Forgive typing errors in words that no document holds.")
    highlight: bool | HighlightBody = Field(False, description="Show which words matched, and the best passage.")


class SimilarBody(_Body):
    """More like these documents and texts, less like those; at least one of `ids` and `texts`."""

    ids: list[str] = Field([], description="Documents to be similar to; never hits themselves.", max_length=100)
    texts: list[str] = Field([], description="Texts to be similar to.", max_length=100)
    unlike_ids: list[str] = Field([], description="Documents to be unlike; never hits themselves.", max_length=100)
    unlike_texts: list[str] = Field([], description="Texts to be unlike.", max_length=100)
    filter: FilterSpelling | None = None
    limit: Limit = 10
    offset: Offset = 0
    exact: bool = Field(False, description="Compare every vector instead of using the approximate index.")
    min_seq: MinSeq = None
    cursor: Cursor = None
    explain: Explain = False
    fields: Projection = None


class DeleteBody(_Body):
    """Which documents to delete: `ids` or `filter`, one of them."""

    ids: list[str] | None = Field(None, description="Ids; those that are not there are passed over.")
    filter: FilterSpelling | None = None


class EmbeddingsBody(_Body):
    """Texts to embed, in the form OpenAI's clients send."""

    input: str | list[str] = Field(description="A text or a list of texts; token ids are not taken.")
    model: str | None = Field(None, description="A model this service has in use; its default one when absent.")
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="Numbers, or base64 of little-endian float32."
    )
    dimensions: int | None = Field(None, description="Refused unless it is the model's own number.")
    input_type: Literal["query", "document"] = Field(
        "document", description="What the texts are; models with prompts treat a query differently."
    )
    user: str | None = Field(None, description="Taken because OpenAI's clients send it; not used.")


class IndexSchema(_Body):
    """How the vectors are indexed. Documents the request; the domain reads it."""

    kind: IndexKind = IndexKind.HNSW
    metric: Metric = Metric.COSINE
    m: int = Field(16, ge=4, le=128, description="Links per node in HNSW.")
    ef_construction: int = Field(128, ge=16, le=2000, description="Candidate list while building.")
    ef_search: int = Field(200, ge=16, le=4096, description="Candidate list while searching.")
    lists: int = Field(0, ge=0, le=65_536, description="Inverted lists of IVF; 0: chosen from the row count.")
    probes: int = Field(0, ge=0, le=65_536, description="Lists searched; 0: chosen from the row count.")
    quantization: Quantization | None = Field(
        None, description="float16 unless named, where the engine has it and the metric is cosine; else none."
    )


class SearchSchema(_Body):
    """How documents are searched by words. Documents the request; the domain reads it."""

    weights: dict[str, int] = Field(
        {}, description="By field, 1 to 10: how much more its words count.", examples=[{"title": 3, "sku": 2}]
    )
    language: str = Field(
        "english", description='Whose stems and stop words are used; "none" compares words as they are.'
    )


SEARCH_TOLD = "How documents are searched by words."


EVENTS_TOLD = "Record what searches show, so that clicks can be sent as events and learnt from."


DEGRADED_TOLD = (
    "`lexical`: while an engine on a server is down, searches by meaning are answered by words alone, which are kept "
    "in the data directory for it. An error when absent."
)


class CollectionSchema(_Body):
    """What a collection's documents look like. Documents the request; the domain reads it."""

    embed: str = Field(
        description="Template of the text that is embedded and searched by words.", examples=["{name}: {description}"]
    )
    fields: dict[str, FieldType] = Field(
        {}, description="Fields that filters may use, and their types.", examples=[{"price": "float", "tags": "text[]"}]
    )
    embedder: str | None = Field(
        None, description="A model's name, or `vectors:<dimension>` when documents bring their own."
    )
    engine: str | None = Field(None, description="Where the vectors live; the service's default when absent.")
    index: IndexSchema | None = Field(None, description="How the vectors are indexed; HNSW when absent.")
    fusion: FusionSchema | None = Field(None, description=f"{FUSION_TOLD} `auto` when absent.")
    search: SearchSchema | None = Field(None, description=SEARCH_TOLD)
    events: bool | None = Field(None, description=EVENTS_TOLD)
    degraded: Degraded | None = Field(None, description=DEGRADED_TOLD)


class CollectionChanges(_Body):
    """What can be changed of a collection that exists; null puts a default back. The domain reads it."""

    fusion: FusionSchema | None = Field(None, description=FUSION_TOLD)
    search: SearchSchema | None = Field(None, description=f"{SEARCH_TOLD} The index is built again where it differs.")
    events: bool | None = Field(None, description=EVENTS_TOLD)
    degraded: Degraded | None = Field(None, description=DEGRADED_TOLD)


class SynonymsSchema(_Body):
    """`words` that mean the same, or `from` phrases that bring those of `to`."""

    words: list[str] | None = Field(None, description="Phrases that mean the same.", examples=[["tv", "television"]])
    from_: list[str] | None = Field(None, alias="from", description="Phrases that bring those of `to`.")
    to: list[str] | None = Field(None, description="Phrases that are brought, without the way back.")


class HideSchema(_Body):
    """Documents that are no hits of some searches."""

    ids: list[str] = Field(description="Documents.", min_length=1, max_length=100)
    query: str | None = Field(None, description="Which searches: those of this query; any search when absent.")
    when: Literal["is", "prefix", "contains", "always"] | None = Field(
        None, description="How the query is compared; `is` when absent."
    )


class PinSchema(HideSchema):
    """Documents at fixed places of some searches."""

    at: int = Field(1, ge=1, le=1_000, description="The place of the first of them, from 1.")


class RulesSchema(_Body):
    """All rules of a collection. Documents the request; the domain reads it."""

    synonyms: list[SynonymsSchema] = []
    pins: list[PinSchema] = []
    hides: list[HideSchema] = []


class RestoreBody(_Body):
    """Which version to write again."""

    version: int = Field(description="A version that the history tells.", ge=1)
