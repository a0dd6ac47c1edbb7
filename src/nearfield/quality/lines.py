"""Lines that must be held: `ndcg@10=0.60`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearfield.domain.errors import InvalidRequest
from nearfield.quality.measures import check_measure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def parse_lines(spelled: Iterable[str]) -> dict[str, float]:
    """The least mean of each measure, from `MEASURE=NUMBER`. Raises InvalidRequest."""
    lines: dict[str, float] = {}
    for text in spelled:
        measure, equals, number = text.partition("=")
        try:
            least = float(number)
        except ValueError:
            least = -1.0
        if not equals or not 0 <= least <= 1:
            raise InvalidRequest(f"--min {text!r}: expected a measure and 0 to 1, such as ndcg@10=0.60", field="min")
        lines[check_measure(measure)] = least
    return lines


def missed(means: Mapping[str, float], lines: Mapping[str, float]) -> dict[str, float]:
    """The measures below their line, each with its mean."""
    return {measure: means[measure] for measure, least in lines.items() if means[measure] < least}
