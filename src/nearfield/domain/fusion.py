"""How meaning and words are put together: the method, and the share that meaning has in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping


class FusionMethod(StrEnum):
    """auto: weighed anew for each query. sum: of both scores as they are. rrf: of reciprocal ranks.

    minmax, zscore, dbsf: of both scores, each scaled by the spread of its own list.
    """

    AUTO = "auto"
    SUM = "sum"
    RRF = "rrf"
    MINMAX = "minmax"
    ZSCORE = "zscore"
    DBSF = "dbsf"


DEFAULT_WEIGHT: Final[Mapping[FusionMethod, float]] = {
    FusionMethod.SUM: 0.6,
    FusionMethod.RRF: 0.5,
    FusionMethod.MINMAX: 0.5,
    FusionMethod.ZSCORE: 0.5,
    FusionMethod.DBSF: 0.5,
}
"""The share of meaning where none is given. `auto` chooses it for each query."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """How a hybrid search puts its two lists together.

    weight: the share of meaning, 0 (words alone) to 1 (meaning alone); None for the method's own. `auto` takes none.
    Raises InvalidRequest.
    """

    method: FusionMethod = FusionMethod.AUTO
    weight: float | None = None

    def __post_init__(self) -> None:
        if self.weight is None:
            return
        if self.method is FusionMethod.AUTO:
            raise InvalidRequest(
                "fusion auto chooses the weight for each query; leave weight out, or name another method",
                field="fusion.weight",
            )
        if not 0 <= self.weight <= 1:
            raise InvalidRequest(f"fusion.weight is {self.weight:g}; expected 0 to 1", field="fusion.weight")

    @property
    def share(self) -> float | None:
        """The weight that holds: the one given, or the method's own; None under `auto`."""
        return DEFAULT_WEIGHT.get(self.method) if self.weight is None else self.weight

    def __str__(self) -> str:
        return str(self.method) if self.share is None else f"{self.method} {self.share:g}"
