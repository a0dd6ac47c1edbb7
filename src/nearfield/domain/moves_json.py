"""Moves as plain JSON values: estimates, generations, verifications."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Final

from nearfield.domain.spec_json import spec_to_json

if TYPE_CHECKING:
    from nearfield.domain.moves import Estimate, GenerationStatus, Side, Verification

PERCENTS: Final = (50, 95, 99)


def estimate_json(found: Estimate) -> dict[str, Any]:
    """`{"to": {...}, "documents": ..., "seconds": ...}`."""
    shape = spec_to_json(found.shape)
    told = {one.name: getattr(found, one.name) for one in fields(found) if one.name != "shape"}
    to = {key: shape[key] for key in ("engine", "embedder", "index", "search")}
    return {"to": to, **told, "adapted": list(found.adapted), "seconds": found.seconds}


def generation_json(status: GenerationStatus) -> dict[str, Any]:
    """One generation and how far it is."""
    one = status.generation
    return {
        "number": one.number,
        "state": one.state.value,
        "engine": one.engine,
        "embedder": one.embedder,
        "index": asdict(one.index)
        | {
            "kind": one.index.kind.value,
            "metric": one.index.metric.value,
            "quantization": one.index.quantization.value,
        },
        "search": {"weights": dict(one.search.weights), "language": one.search.language},
        "dimension": one.dimension,
        "applied_seq": one.applied_seq,
        "pending": status.pending,
        "share": round(status.share, 4),
        "rows": status.rows,
        "bytes": status.bytes,
        "unindexed": status.unindexed,
        "trouble": status.trouble,
        "verified": status.verified,
        "unattended": one.unattended,
    }


def verification_json(found: Verification) -> dict[str, Any]:
    """All of it, with each query's figures."""
    return {
        "passed": found.passed,
        "collection": found.collection,
        "at": found.at,
        "took_s": round(found.took_s, 3),
        "queries": found.queries,
        "sources": dict(sorted(found.sources.items())),
        "filtered": found.filtered,
        "changed": found.changed,
        "check": asdict(found.check),
        "gates": [asdict(gate) for gate in found.gates],
        "new": _side_json(found.new),
        "old": None if found.old is None else _side_json(found.old),
        "overlap": round(found.overlap, 4),
        "short": found.short,
        "strays": found.strays,
        "differing": [asdict(one) for one in found.differing],
        "notes": list(found.notes),
    }


def _side_json(side: Side) -> dict[str, Any]:
    return {
        "generation": side.generation,
        "engine": side.engine,
        "index": side.index,
        "embedder": side.embedder,
        "recall": round(side.recall, 4),
        "ndcg": None if side.ndcg is None else round(side.ndcg, 4),
        "failures": side.failures,
        "ms": {f"p{percent}": round(side.percentile_ms(percent), 2) for percent in PERCENTS},
        "recalls": [round(one, 3) for one in side.recalls],
        "took_ms": [round(one, 2) for one in side.took_ms],
    }
