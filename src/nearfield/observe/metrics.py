"""Metrics: what is counted, under which name, and the text Prometheus reads.

Every metric of the program is declared in this file, so that the list is the documentation. A room imports the one it
feeds and calls `inc` or `observe`; nothing here knows who.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Gauge = GaugeMetricFamily

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=_REGISTRY)
PlatformCollector(registry=_REGISTRY)

# Seconds. A cached search takes about a millisecond, a search that waits for changes may take 30 s.
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)

HTTP_REQUESTS: Final = Counter(
    "nearfield_http_requests",
    "Requests answered, by route template and status.",
    ("method", "route", "status"),
    registry=_REGISTRY,
)
HTTP_SECONDS: Final = Histogram(
    "nearfield_http_request_seconds",
    "Seconds from the first byte of a request's head to the last byte of its answer.",
    ("method", "route"),
    buckets=_SECONDS,
    registry=_REGISTRY,
)
SEARCH_SECONDS: Final = Histogram(
    "nearfield_search_seconds",
    "Seconds of a search inside the service, as `took_ms` tells them, by mode and by how the vectors were reached.",
    ("mode", "access"),
    buckets=_SECONDS,
    registry=_REGISTRY,
)
STAGE_SECONDS: Final = Histogram(
    "nearfield_search_stage_seconds",
    "Seconds of one stage of a search.",
    ("stage",),
    buckets=_SECONDS,
    registry=_REGISTRY,
)
DOCUMENTS: Final = Counter(
    "nearfield_documents",
    "Documents written, by what became of them: new, changed, unchanged, rejected, deleted.",
    ("outcome",),
    registry=_REGISTRY,
)
EMBEDDED_TEXTS: Final = Counter(
    "nearfield_embedded_texts",
    "Texts embedded, by role.",
    ("role",),
    registry=_REGISTRY,
)
EMBED_CACHE: Final = Counter(
    "nearfield_embed_cache",
    "Look-ups of a query's vector in the cache, by outcome: hit, miss.",
    ("outcome",),
    registry=_REGISTRY,
)


class _Families:
    """A collector of values taken at one moment."""

    def __init__(self, families: Iterable[Gauge]) -> None:
        self._families = families

    def collect(self) -> Iterable[Gauge]:
        return self._families


def gauge(name: str, help: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float]) -> Gauge:
    """A gauge whose values are read when asked for, so that a collection that was dropped leaves nothing behind.

    values: by the labels' values, in the order of `labels`.
    """
    family = Gauge(name, help, labels=list(labels))
    for of, value in values.items():
        family.add_metric(list(of), value)
    return family


def render(gauges: Iterable[Gauge] = ()) -> bytes:
    """All metrics of the process and the given gauges, in the Prometheus text form that CONTENT_TYPE names."""
    momentary = CollectorRegistry()
    momentary.register(_Families(list(gauges)))
    return generate_latest(_REGISTRY) + generate_latest(momentary)
