"""Collections as a Qdrant server keeps them, each one shard of qdrant-edge: the engine's own code in this process.

Speaks the JSON of Qdrant's REST API. What is the server's and not the shard's is written here: names, notes, statuses.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import qdrant_edge as edge

if TYPE_CHECKING:
    from pathlib import Path

    Json = dict[str, Any]

INDEXING_KB = 30  # a server's default is 10,000; here some 120 rows are to have a graph
FULL_SCAN_KB = 10
SEGMENT_KB = 2_000  # the binding keeps the interpreter while it builds one, so that nobody else is answered meanwhile
REPLACED = 20  # segments that optimising leaves behind, some 15 MB each, before they are let go of
DISTANCES = {
    "Cosine": edge.Distance.Cosine,
    "Dot": edge.Distance.Dot,
    "Euclid": edge.Distance.Euclid,
    "Manhattan": edge.Distance.Manhattan,
}
COMPRESSIONS = {f"x{n}": getattr(edge.CompressionRatio, f"X{n}") for n in (4, 8, 16, 32, 64)}
KINDS = {kind.lower(): getattr(edge.PayloadSchemaType, kind) for kind in ("Keyword", "Integer", "Float", "Geo", "Bool")}


class Refused(Exception):
    """What a server answers with a status other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Collection:
    """One collection on disk. Any thread may call; a shard is given to one at a time."""

    def __init__(self, folder: Path, body: Json | None = None) -> None:
        """body: what it was created with; None opens one that is there."""
        self._folder, self._lock, self._stale = folder, threading.Lock(), threading.Event()
        if body is None:
            self._notes: Json = json.loads((folder / "collection.json").read_text())
            self._shard = edge.EdgeShard.load(str(folder / "shard"))
            self._stale.set()
        else:
            (folder / "shard").mkdir(parents=True)
            self._notes = {"body": body, "indexes": {}}
            self._shard = edge.EdgeShard.create(str(folder / "shard"), _config(body))
            self._keep()
        self._closed = False
        self._upkeep = threading.Thread(target=self._optimize, daemon=True)
        self._upkeep.start()

    def info(self) -> Json:
        with self._lock:
            info, body = self._shard.info(), self._notes["body"]
        params = {name: body[name] for name in PARAMS if name in body}
        dense = next(iter(body["vectors"].values()))
        graph = {"m": 16, "ef_construct": 100, "full_scan_threshold": FULL_SCAN_KB, **(dense.get("hnsw_config") or {})}
        return {
            "status": "yellow" if self._stale.is_set() else "green",
            "optimizer_status": "ok",
            "indexed_vectors_count": info.indexed_vectors_count,
            "points_count": info.points_count,
            "segments_count": info.segments_count,
            "config": {
                "params": params,
                "hnsw_config": graph,
                "optimizer_config": {
                    "deleted_threshold": 0.2,
                    "vacuum_min_vector_number": 1000,
                    "default_segment_number": 0,
                    "flush_interval_sec": 5,
                },
                "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
                **({"metadata": self._notes["metadata"]} if "metadata" in self._notes else {}),
            },
            "payload_schema": {name: {"data_type": kind, "points": 0} for name, kind in self._notes["indexes"].items()},
        }

    def change(self, body: Json) -> None:
        with self._lock:
            self._notes["metadata"] = {**self._notes.get("metadata", {}), **(body.get("metadata") or {})}
            self._keep()

    def index(self, field: str, kind: str) -> None:
        self._update(edge.UpdateOperation.create_field_index(field, KINDS[kind]))
        with self._lock:
            self._notes["indexes"][field] = kind
            self._keep()

    def upsert(self, points: list[Json]) -> None:
        size = next(iter(self._notes["body"]["vectors"].values()))["size"]
        for point in points:
            dense = point["vector"].get("dense")
            if dense is not None and len(dense) != size:
                raise Refused(400, f"Wrong input: Vector dimension error: expected dim: {size}, got {len(dense)}")
        made = [edge.Point(p["id"], {k: _vector(v) for k, v in p["vector"].items()}, p.get("payload")) for p in points]
        self._update(edge.UpdateOperation.upsert_points(made))

    def delete(self, ids: list[int]) -> None:
        self._update(edge.UpdateOperation.delete_points([*ids]))

    def query(self, body: Json) -> list[Json]:
        asked = body["query"]
        asked = asked["nearest"] if isinstance(asked, dict) and "nearest" in asked else asked
        request = edge.QueryRequest(
            limit=body.get("limit", 10),
            query=edge.Query.Nearest(_vector(asked), using=body.get("using")),
            filter=_filter(body.get("filter")),
            params=_params(body.get("params") or {}),
        )
        with self._lock:
            found = self._shard.query(request)
        return [{"id": point.id, "version": point.version, "score": point.score} for point in found]

    def scroll(self, body: Json) -> Json:
        offset = body.get("offset")
        request = edge.ScrollRequest(
            offset=UUID(offset) if isinstance(offset, str) else offset,
            limit=body.get("limit", 10),
            filter=_filter(body.get("filter")),
        )
        wanted = {"with_payload": body.get("with_payload") is True, "with_vector": body.get("with_vector", False)}
        with self._lock:
            records, after = self._shard.scroll(request)
            ids = [record.id for record in records]
            whole = {one.id: one for one in self._shard.retrieve(ids, **wanted)} if any(wanted.values()) else {}
        points = [{"id": _told(number)} for number in ids]
        for point, number in zip(points, ids, strict=True):
            if number in whole:
                point |= {"payload": whole[number].payload, "vector": whole[number].vector}
        return {"points": points, "next_page_offset": _told(after)}

    def count(self, body: Json) -> int:
        with self._lock:
            return self._shard.count(edge.CountRequest(exact=True, filter=_filter(body.get("filter"))))

    def retrieve(self, body: Json) -> list[Json]:
        with self._lock:
            found = self._shard.retrieve(body["ids"], with_payload=False, with_vector=body.get("with_vector"))
        return [{"id": record.id, "vector": record.vector} for record in found]

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._shard.close()
        self._stale.set()

    def _update(self, operation: edge.UpdateOperation) -> None:
        with self._lock:
            try:
                self._shard.update(operation)
            except Exception as exc:
                raise Refused(400, f"Wrong input: {exc}") from exc
            self._stale.set()

    def _optimize(self) -> None:
        """A server's optimizers: they begin when they like, and leave most of the time to others."""
        took_s = 0.0
        while True:
            self._stale.wait()
            time.sleep(max(0.1, 4 * took_s))  # what comes together is taken in together
            with self._lock:
                if self._closed:
                    return
                began = time.perf_counter()
                self._shard.optimize()
                if sum(1 for _ in (self._folder / "shard" / "segments").iterdir()) > REPLACED:
                    self._shard.close()  # nothing else removes them
                    self._shard = edge.EdgeShard.load(str(self._folder / "shard"))
                took_s = time.perf_counter() - began
                self._stale.clear()

    def _keep(self) -> None:
        (self._folder / "collection.json").write_text(json.dumps(self._notes))


PARAMS = (
    "vectors",
    "sparse_vectors",
    "shard_number",
    "replication_factor",
    "write_consistency_factor",
    "on_disk_payload",
)


class Collections:
    """All collections of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = {place.parent.name: Collection(place.parent) for place in folder.glob("*/collection.json")}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        return sorted(self._open)

    def create(self, name: str, body: Json) -> None:
        with self._lock:
            if name in self._open:
                raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
            self._open[name] = Collection(self._folder / name, body)

    def get(self, name: str) -> Collection:
        if name not in self._open:
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        return self._open[name]

    def drop(self, name: str) -> bool:
        with self._lock:
            collection = self._open.pop(name, None)
            if collection is not None:
                collection.close()
                shutil.rmtree(self._folder / name)
            return collection is not None


def _config(body: Json) -> edge.EdgeConfig:
    return edge.EdgeConfig(
        vectors={name: _vector_params(params) for name, params in body["vectors"].items()},
        sparse_vectors={
            name: edge.EdgeSparseVectorParams(
                modifier=edge.Modifier.Idf if (params or {}).get("modifier") == "idf" else None
            )
            for name, params in (body.get("sparse_vectors") or {}).items()
        },
        optimizers=edge.EdgeOptimizersConfig(
            indexing_threshold=INDEXING_KB, default_segment_number=2, max_segment_size=SEGMENT_KB
        ),
    )


def _vector_params(params: Json) -> edge.EdgeVectorParams:
    graph = params.get("hnsw_config") or {}
    return edge.EdgeVectorParams(
        size=params["size"],
        distance=DISTANCES[params["distance"]],
        hnsw_config=edge.HnswIndexConfig(
            m=graph.get("m", 16), ef_construct=graph.get("ef_construct", 100), full_scan_threshold=FULL_SCAN_KB
        ),
        quantization_config=_quantization(params.get("quantization_config")),
    )


def _quantization(config: Json | None) -> Any:
    match config:
        case None:
            return None
        case {"scalar": {"type": "int8"}}:
            return edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8)
        case {"product": {"compression": compression}}:
            return edge.ProductQuantizationConfig(compression=COMPRESSIONS[compression])
    raise Refused(400, f"Wrong input: quantization {config}")


def _vector(value: Any) -> Any:
    return edge.SparseVector(value["indices"], value["values"]) if isinstance(value, dict) else value


def _params(body: Json) -> edge.SearchParams:
    quantization = body.get("quantization")
    return edge.SearchParams(
        hnsw_ef=body.get("hnsw_ef"),
        exact=body.get("exact", False),
        quantization=edge.QuantizationSearchParams(**{"ignore": False, **quantization}) if quantization else None,
        indexed_only=False,
    )


def _told(id: Any) -> Any:
    """An id as JSON has it."""
    return str(id) if isinstance(id, UUID) else id


def _filter(body: Json | None) -> edge.Filter | None:
    if body is None:
        return None
    unknown = body.keys() - {"must", "should", "must_not"}
    if unknown:
        raise Refused(400, f"Format error in JSON body: unknown {unknown}")
    said: dict[str, Any] = {joint: [_condition(part) for part in _listed(parts)] for joint, parts in body.items()}
    return edge.Filter(**said)


def _listed(parts: Any) -> list[Json]:
    return parts if isinstance(parts, list) else [parts]


def _condition(body: Json) -> Any:
    match body:
        case {"is_empty": {"key": key}}:
            return edge.IsEmptyCondition(key)
        case {"nested": {"key": key, "filter": inner}}:
            return edge.NestedCondition(key, _filter(inner) or edge.Filter())
        case {"key": key, "match": {"value": value}}:
            told: Any = np.bool_(value) if isinstance(value, bool) else value  # the binding takes Python's True for 1
            return edge.FieldCondition(key, match=edge.MatchValue(told))
        case {"key": key, "match": {"any": values}}:
            return edge.FieldCondition(key, match=edge.MatchAny(values))
        case {"key": key, "range": bounds}:
            return edge.FieldCondition(key, range=edge.RangeFloat(**bounds))
        case {"key": key, "geo_radius": {"center": {"lat": lat, "lon": lon}, "radius": radius}}:
            return edge.FieldCondition(key, geo_radius=edge.GeoRadius(edge.GeoPoint(lon, lat), radius))
    return _filter(body)
