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
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Reading = GaugeMetricFamily | CounterMetricFamily
"""Values of one metric taken at one moment."""

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
QUEUE_SECONDS: Final = Histogram(
    "nearfield_queue_seconds",
    "Seconds a request waited for its turn, by lane: search or embeddings.",
    ("lane",),
    buckets=_SECONDS,
    registry=_REGISTRY,
)
REFUSED: Final = Counter(
    "nearfield_refused",
    "Requests refused since too many waited already, by lane.",
    ("lane",),
    registry=_REGISTRY,
)
DOCUMENTS: Final = Counter(
    "nearfield_documents",
    "Documents written, by what became of them: new, changed, unchanged, rejected, deleted.",
    ("outcome",),
    registry=_REGISTRY,
)


class _Readings:
    """A collector of values taken at one moment."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        self._readings = readings

    def collect(self) -> Iterable[Reading]:
        return self._readings


def gauge(name: str, help: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float]) -> Reading:
    """A gauge whose values are read when asked for, so that a collection that was dropped leaves nothing behind.

    values: by the labels' values, in the order of `labels`.
    """
    return _filled(GaugeMetricFamily(name, help, labels=list(labels)), values)


def counter(name: str, help: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float]) -> Reading:
    """A counter that is kept elsewhere and read when asked for; rendered with `_total` behind its name."""
    return _filled(CounterMetricFamily(name, help, labels=list(labels)), values)


def _filled(reading: Reading, values: Mapping[tuple[str, ...], float]) -> Reading:
    for of, value in values.items():
        reading.add_metric(list(of), value)
    return reading


def render(readings: Iterable[Reading] = ()) -> bytes:
    """All metrics of the process and the given readings, in the Prometheus text form that CONTENT_TYPE names."""
    momentary = CollectorRegistry()
    momentary.register(_Readings(list(readings)))
    return generate_latest(_REGISTRY) + generate_latest(momentary)
