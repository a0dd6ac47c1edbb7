"""What an OpenSearch query means, read from the vendor's documentation and nothing of ours: which documents pass, and
with what score. A query that the server would refuse raises Refused."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    Vector = npt.NDArray[np.float64]

MAX_CLAUSES: Final = 1024
MAX_TERMS: Final = 65_536
MAX_K: Final = 10_000
_RANGES: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "lt": lambda have, bound: have < bound,
    "lte": lambda have, bound: have <= bound,
    "gt": lambda have, bound: have > bound,
    "gte": lambda have, bound: have >= bound,
}


class Refused(Exception):
    """An error answer: status, type, reason."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.kind, self.reason = status, kind, reason


def parsing(reason: str) -> Refused:
    return Refused(400, "parsing_exception", reason)


@dataclass(slots=True)
class Shard:
    """The documents of one shard, by id, as a refresh has made them visible."""

    documents: dict[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(slots=True)
class Statistics:
    """What BM25 knows of a field: over a shard, or over all of them."""

    texts: Mapping[str, list[str]]

    @property
    def mean(self) -> float:
        return sum(map(len, self.texts.values())) / max(1, len(self.texts))

    def holding(self, word: str) -> int:
        return sum(word in text for text in self.texts.values())


class Reader:
    """Reads queries against one shard. everywhere: the shards whose word statistics count, this one or all."""

    def __init__(
        self, properties: Mapping[str, Any], settings: Mapping[str, Any], shard: Shard, everywhere: Sequence[Shard]
    ) -> None:
        self._properties, self._settings = properties, settings
        self._shard, self._everywhere = shard, everywhere
        self._clauses = 0

    def scores(self, query: Mapping[str, Any]) -> dict[str, float]:
        """The score of each document that passes."""
        if len(query) != 1:
            raise parsing(f"a query has one name, not {sorted(query)}")
        ((name, body),) = query.items()
        read = getattr(self, f"_{name}", None)
        if read is None:
            raise parsing(f"unknown query [{name}]")
        found: dict[str, float] = read(body)
        return found

    # -- joins ---------------------------------------------------------------------------------------------------
    def _match_all(self, _: object) -> dict[str, float]:
        return dict.fromkeys(self._shard.documents, 1.0)

    def _match_none(self, _: object) -> dict[str, float]:
        return {}

    def _bool(self, body: Mapping[str, Any]) -> dict[str, float]:
        unknown = body.keys() - {"must", "filter", "should", "must_not", "minimum_should_match"}
        if unknown:
            raise parsing(f"[bool] query does not support {sorted(unknown)}")
        found = dict.fromkeys(self._shard.documents, 0.0)
        for part in body.get("must", []):
            scored = self.scores(part)
            found = {name: score + scored[name] for name, score in found.items() if name in scored}
        for part in body.get("filter", []):
            passing = self.scores(part)
            found = {name: score for name, score in found.items() if name in passing}
        for part in body.get("must_not", []):
            passing = self.scores(part)
            found = {name: score for name, score in found.items() if name not in passing}
        should = [self.scores(part) for part in body.get("should", [])]
        needed = body.get("minimum_should_match", 0 if body.get("must") or body.get("filter") or not should else 1)
        hits = {name: [scored[name] for scored in should if name in scored] for name in found}
        return {name: score + sum(hits[name]) for name, score in found.items() if len(hits[name]) >= needed}

    # -- leaves --------------------------------------------------------------------------------------------------
    def _exists(self, body: Mapping[str, str]) -> dict[str, float]:
        return self._where(body["field"], bool)

    def _term(self, body: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
        ((name, asked),) = body.items()
        value = self._typed(name, asked["value"])
        return self._where(name, lambda values: value in values)

    def _terms(self, body: Mapping[str, list[Any]]) -> dict[str, float]:
        ((name, asked),) = body.items()
        if len(asked) > MAX_TERMS:
            raise Refused(400, "illegal_argument_exception", f"{len(asked)} terms exceed the allowed maximum")
        wanted = {self._typed(name, value) for value in asked}
        return self._where(name, lambda values: not wanted.isdisjoint(values))

    def _range(self, body: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
        ((name, bounds),) = body.items()
        asked = [(_RANGES[operator], self._typed(name, bound)) for operator, bound in bounds.items()]
        return self._where(name, lambda values: any(all(holds(v, bound) for holds, bound in asked) for v in values))

    def _where(self, name: str, passes: Any) -> dict[str, float]:
        self._count(1)
        if name not in self._properties:
            return {}
        listed = (
            (key, values_of(document.get(name), self._kind(name))) for key, document in self._shard.documents.items()
        )
        return {key: 1.0 for key, values in listed if passes(values)}

    def _typed(self, name: str, value: Any) -> Any:
        if name not in self._properties:
            return value
        return typed(value, self._kind(name))

    def _kind(self, name: str) -> str:
        return str(self._properties[name]["type"])

    def _count(self, clauses: int) -> None:
        self._clauses += clauses
        if self._clauses > MAX_CLAUSES:
            raise Refused(400, "too_many_clauses", f"maxClauseCount is set to {MAX_CLAUSES}")

    # -- words ---------------------------------------------------------------------------------------------------
    def _match(self, body: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
        ((name, asked),) = body.items()
        words = Counter(self._analysed(name, asked["query"]))
        self._count(len(words))
        told = Statistics(
            {
                key: self._analysed(name, doc.get(name, ""))
                for shard in self._everywhere
                for key, doc in shard.documents.items()
            }
        )
        similarity = self._settings["similarity"]["default"]
        k1, b, mean, total = similarity["k1"], similarity["b"], told.mean, len(told.texts)
        found: dict[str, float] = {}
        for word, times in words.items():
            holding = told.holding(word)
            idf = math.log(1 + (total - holding + 0.5) / (holding + 0.5))
            for key in self._shard.documents:
                frequency = told.texts[key].count(word)
                if frequency:
                    norm = k1 * (1 - b + b * len(told.texts[key]) / mean)
                    found[key] = found.get(key, 0.0) + times * idf * frequency * (k1 + 1) / (frequency + norm)
        return found

    def _analysed(self, name: str, text: str) -> list[str]:
        analysis = self._settings["analysis"]
        analyzer = analysis["analyzer"][self._properties[name]["analyzer"]]
        tokenizer = analysis["tokenizer"][analyzer["tokenizer"]]
        if tokenizer["type"] != "whitespace" or analyzer.get("filter"):
            raise parsing("only the whitespace tokenizer, without filters, is known here")
        longest = tokenizer["max_token_length"]
        return [word[i : i + longest] for word in text.split() for i in range(0, len(word), longest)]

    # -- vectors -------------------------------------------------------------------------------------------------
    def _knn(self, body: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
        ((name, asked),) = body.items()
        mapped = self._vector_field(name)
        if "method" not in mapped:
            raise Refused(400, "illegal_argument_exception", f"Field '{name}' is not built for ANN search.")
        if not 1 <= asked["k"] <= MAX_K:
            raise Refused(400, "illegal_argument_exception", f"[knn] requires k in the range (0, {MAX_K}]")
        unknown = asked.get("method_parameters", {}).keys() - {"ef_search"}
        if unknown or asked.get("method_parameters", {}).get("ef_search", 1) < 1:
            raise Refused(400, "illegal_argument_exception", f"Invalid method parameters {sorted(unknown)}")
        passing = self.scores(asked["filter"]) if "filter" in asked else self._shard.documents
        method = mapped["method"]
        coarse = method["parameters"].get("encoder", {})
        scored = self._compared(name, asked["vector"], method["space_type"], passing, coarse)
        best = sorted(scored.items(), key=lambda pair: (-pair[1], hash(pair[0])))  # ties in no order of ours
        most = (
            max(asked["k"], asked.get("method_parameters", {}).get("ef_search", 0))
            if method["engine"] == "lucene"
            else asked["k"]
        )
        return dict(best[:most])

    def _script_score(self, body: Mapping[str, Any]) -> dict[str, float]:
        script = body["script"]
        if (script["lang"], script["source"]) != ("knn", "knn_score"):
            raise Refused(400, "illegal_argument_exception", "unknown script")
        params = script["params"]
        self._vector_field(params["field"])
        return self._compared(
            params["field"], params["query_value"], params["space_type"], self.scores(body["query"]), {}
        )

    def _vector_field(self, name: str) -> Mapping[str, Any]:
        mapped: Mapping[str, Any] = self._properties.get(name, {})
        if mapped.get("type") != "knn_vector":
            raise Refused(400, "illegal_argument_exception", f"Field '{name}' is not knn_vector type.")
        return mapped

    def _compared(
        self, name: str, asked: list[float], space: str, passing: Mapping[str, Any], coarse: Mapping[str, Any]
    ) -> dict[str, float]:
        dimension = self._properties[name]["dimension"]
        if len(asked) != dimension:
            raise Refused(
                400,
                "illegal_argument_exception",
                f"Query vector has invalid dimension: {len(asked)}. Dimension should be: {dimension}",
            )
        if not passing:
            return {}
        names = list(passing)
        stored = coarsened(np.array([self._shard.documents[key][name] for key in names], np.float64), coarse)
        query = np.array(asked, np.float64)
        if space == "l2":
            scores = 1 / (1 + ((stored - query) ** 2).sum(axis=1))
        elif space == "innerproduct":
            products = stored @ query
            scores = np.where(products >= 0, products + 1, 1 / (1 - np.minimum(products, 0)))
        else:
            raise Refused(400, "illegal_argument_exception", f"unknown space {space}")
        return {key: float(np.float32(score)) for key, score in zip(names, scores, strict=True)}


def coarsened(vectors: Vector, encoder: Mapping[str, Any]) -> Vector:
    """What is left of vectors in an index of Faiss' half floats or Lucene's seven bits."""
    if not encoder:
        return vectors
    if encoder.get("parameters", {}).get("type") == "fp16":
        return vectors.astype(np.float16).astype(np.float64)
    low, high = vectors.min(), vectors.max()
    step = (high - low) / 127 or 1.0
    return np.asarray(np.round((vectors - low) / step) * step + low, np.float64)


def values_of(value: Any, kind: str) -> list[Any]:
    if value is None:
        return []
    return [typed(item, kind) for item in value] if isinstance(value, list) else [typed(value, kind)]


def typed(value: Any, kind: str) -> Any:
    """A JSON value as a field's type holds and compares it."""
    if kind == "keyword" and isinstance(value, str):
        raw = value.encode()
        if len(raw) > 32_766:
            raise Refused(400, "illegal_argument_exception", "Document contains at least one immense term")
        return raw
    if kind == "long" and isinstance(value, int) and not isinstance(value, bool):
        if not -(2**63) <= value < 2**63:
            raise Refused(400, "mapper_parsing_exception", f"Value [{value}] is out of range for a long")
        return value
    if kind == "double" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return (float(value), math.copysign(1, value))  # Lucene tells -0.0 from 0.0
    if kind == "boolean" and isinstance(value, bool):
        return value
    if kind in ("text", "knn_vector"):
        return str(value)
    raise Refused(400, "mapper_parsing_exception", f"failed to parse a field of type [{kind}]: {str(value)[:40]}")
