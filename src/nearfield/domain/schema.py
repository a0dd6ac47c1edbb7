"""What a collection's documents look like: field types, the text that is embedded, the index settings."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from nearfield.domain.errors import InvalidSchema
from nearfield.domain.fusion import Fusion
from nearfield.domain.languages import ENGLISH, LANGUAGES
from nearfield.domain.spelling import unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearfield.domain.templates import Template

MAX_FIELDS = 256
GIVEN_VECTORS = "vectors:"
"""Begins the embedder's name where documents bring their own vectors; the dimension follows."""
INT8 = ":int8"
"""Ends an embedder's name where its model computes in eight-bit integers."""
CHANGEABLE = ("fusion", "search", "events", "degraded")
"""Parts of a CollectionSpec that may be changed later: they leave the vectors as they are."""
MOVABLE = ("engine", "embedder", "index", "search")
"""Parts of a CollectionSpec that a move may change: another generation is filled for them."""
MAX_WEIGHT = 10
TITLE_FIELDS = ("title", "name", "headline", "label", "subject")
"""What a title is called, any case."""
TITLE_WEIGHT = 2
"""Of a title beside other embedded fields, unless said otherwise. nDCG@10 with it and without, BM25 and hybrid: films
.480 .527 (.426 .482), aerodynamics .431 .477 (.425 .469), products .903 .912 (.906 .913)."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")


def in_int8(embedder: str) -> str:
    """The name of the same embedder in eight-bit integers."""
    return embedder if embedder.endswith(INT8) else embedder + INT8


class FieldType(StrEnum):
    """Types a filter knows. A list type holds any number of values of its element; an empty list is a missing value."""

    TEXT = "text"
    KEYWORD = "keyword"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    DATETIME = "datetime"
    GEO = "geo"
    TEXTS = "text[]"
    KEYWORDS = "keyword[]"
    INTS = "int[]"
    FLOATS = "float[]"
    BOOLS = "bool[]"
    DATETIMES = "datetime[]"
    GEOS = "geo[]"

    # plain attributes: a property of an enum costs each value of each document a microsecond
    is_list: bool
    element: FieldType
    """The type of one value: itself unless it is a list."""

    @property
    def is_ordered(self) -> bool:
        """Whether `<` has a meaning: int, float, datetime and keyword (by code point), not in lists."""
        return self in (FieldType.INT, FieldType.FLOAT, FieldType.DATETIME, FieldType.KEYWORD)


for _type in FieldType:
    _type.is_list = _type.value.endswith("[]")
    _type.element = FieldType(_type.value.removesuffix("[]"))


class Metric(StrEnum):
    """How two vectors are compared. Cosine vectors are stored with unit length."""

    COSINE = "cosine"
    DOT = "dot"
    EUCLIDEAN = "euclidean"


class IndexKind(StrEnum):
    """The structure an engine builds over the vectors. `flat` is exhaustive search: exact and slow."""

    FLAT = "flat"
    HNSW = "hnsw"
    IVF = "ivf"
    DISKANN = "diskann"


class Quantization(StrEnum):
    """How an engine stores each component of a vector in its index."""

    NONE = "none"
    FLOAT16 = "float16"
    INT8 = "int8"
    RABITQ = "rabitq"
    PRODUCT = "product"


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """How the vectors of a generation are indexed. A change of any of these is a new generation.

    m: links per node in HNSW, 4 to 128. ef_construction: candidate list while building, 16 to 2000.
    ef_search: default candidate list while searching (efSearch), 16 to 4096; a search may ask for another.
    lists: inverted lists of IVF, 0 lets the engine choose from the row count. probes: lists searched, 0 likewise.
    """

    kind: IndexKind = IndexKind.HNSW
    metric: Metric = Metric.COSINE
    m: int = 16
    ef_construction: int = 128
    ef_search: int = 200
    lists: int = 0
    probes: int = 0
    quantization: Quantization = Quantization.NONE

    def __post_init__(self) -> None:
        _within("index.m", self.m, 4, 128)
        _within("index.ef_construction", self.ef_construction, 16, 2000)
        _within("index.ef_search", self.ef_search, 16, 4096)
        _within("index.lists", self.lists, 0, 65_536)
        _within("index.probes", self.probes, 0, 65_536)


class Degraded(StrEnum):
    """What answers a search by meaning while the engine is down."""

    LEXICAL = "lexical"


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How documents are searched by words. A change of any of these builds the index again, from cached vectors.

    weights: by field, 1 to 10; a word in a field of weight 3 counts as often as three in a field of weight 1. A field
    that is not named weighs 1 where the template embeds it (TITLE_WEIGHT where it is the title beside others), and is
    not searched by words where it does not.
    language: whose stems and stop words are used, `domain.languages.LANGUAGES`; "none" compares words as they are.
    """

    weights: Mapping[str, int] = field(default_factory=dict)
    language: str = ENGLISH

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if not _FIELD_NAME.match(name):
                raise InvalidSchema(f"search.weights: {name!r} is no field name", field=f"search.weights.{name}")
            _within(f"search.weights.{name}", weight, 1, MAX_WEIGHT)
        if self.language not in LANGUAGES:
            raise InvalidSchema(
                f"search.language: {unknown_name('language', self.language, sorted(LANGUAGES))}",
                field="search.language",
            )
        object.__setattr__(self, "weights", MappingProxyType(dict(self.weights)))


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidSchema(f"{name} is {value}; expected {low} to {high}", field=name)


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """All that is decided when a collection is made. CHANGEABLE says what may be changed later.

    name: 1 to 63 of letters, digits, `_`, `.`, `-`, starting with a letter or digit.
    embed: the template of the text that is embedded and searched by words, `"{name}: {description}"`.
    fields: what filters may use; a document may hold more, which is kept and returned but not filterable.
    embedder: a model's name, a local folder, or `vectors:<dimension>` when documents bring their own. `:int8` after the
        first two: in eight-bit integers.
    engine: the name of an engine (`nearfield engines` lists them).
    fusion: how a hybrid search puts meaning and words together, unless it says so itself.
    events: whether what searches show is recorded, so that clicks can be learnt from.
    degraded: what may answer while an engine on a server is down, None for an error. For words to answer they are kept
    in the data directory too, and always searched there. An engine inside the process needs none of this.
    Raises InvalidSchema.
    """

    name: str
    embed: Template
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    embedder: str = "all-MiniLM-L6-v2"
    engine: str = "local"
    index: IndexSettings = field(default_factory=IndexSettings)
    fusion: Fusion = field(default_factory=Fusion)
    search: SearchSettings = field(default_factory=SearchSettings)
    events: bool = False
    degraded: Degraded | None = None

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise InvalidSchema(
                f"collection name {self.name!r}: expected 1 to 63 letters, digits, '_', '.' or '-', "
                "starting with a letter or digit",
                field="name",
            )
        if len(self.fields) > MAX_FIELDS:
            raise InvalidSchema(f"{len(self.fields)} fields; at most {MAX_FIELDS} can be declared", field="fields")
        for name in self.fields:
            if not _FIELD_NAME.match(name):
                raise InvalidSchema(
                    f"field name {name!r}: expected up to 63 letters, digits or '_', not starting with a digit",
                    field=f"fields.{name}",
                )
        object.__setattr__(self, "fields", MappingProxyType(dict(self.fields)))

    @property
    def title(self) -> str | None:
        """The embedded field that is called a title, the first of TITLE_FIELDS there is; None where none is."""
        called = {name.lower(): name for name in reversed(self.embed.fields)}
        return next((called[name] for name in TITLE_FIELDS if name in called), None)

    @property
    def weights(self) -> Mapping[str, int]:
        """The weights that hold, by field; those of 1 may be left out."""
        if self.title is None or len(self.embed.fields) == 1:
            return self.search.weights
        return {self.title: TITLE_WEIGHT, **self.search.weights}

    @property
    def brings_vectors(self) -> bool:
        """Whether documents come with their vectors, and nothing is embedded."""
        return self.embedder.startswith(GIVEN_VECTORS)
