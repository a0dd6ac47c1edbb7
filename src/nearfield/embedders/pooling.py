"""From token vectors to one vector a text, and to unit length."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from nearfield.domain.errors import EmbedderUnavailable

if TYPE_CHECKING:
    from nearfield.domain.documents import Float32Array, Int64Array


class Pooling(StrEnum):
    """How Sentence Transformers names the ways; `mean_sqrt_len` differs from `mean` only in length, which goes."""

    MEAN = "mean"
    CLS = "cls"
    MAX = "max"
    LAST = "lasttoken"
    MEAN_SQRT_LEN = "mean_sqrt_len"


def pool(hidden: Float32Array, mask: Int64Array, pooling: Pooling) -> Float32Array:
    """Reduce token vectors to text vectors.

    hidden: shape (n, tokens, dimension). mask: int64, shape (n, tokens), 1 for a token and 0 for padding, which lies
    at the end; each row holds at least one 1. Returns float32, shape (n, dimension), of any length.
    """
    found: Float32Array
    if pooling is Pooling.CLS:
        found = hidden[:, 0]
    elif pooling is Pooling.LAST:
        found = hidden[np.arange(len(hidden)), mask.sum(axis=1) - 1]
    elif pooling is Pooling.MAX:
        found = np.where(mask[:, :, None] > 0, hidden, np.float32(-np.inf)).max(axis=1)
    else:
        weights = mask.astype(np.float32)
        # (n, 1, tokens) @ (n, tokens, dimension): the sum without a masked copy of `hidden`
        found = (weights[:, None, :] @ hidden)[:, 0] / weights.sum(axis=1, keepdims=True)
    return found


def unit_rows(vectors: Float32Array, *, nothing: Float32Array | None = None) -> Float32Array:
    """Give every row unit length. Returns float32, shape as given.

    nothing: what takes the place of a row of zeros, unit length, shape (dimension,).
    Raises EmbedderUnavailable for a row that is not finite, or is zero when no `nothing` is given.
    """
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise EmbedderUnavailable("the model gave a vector with a NaN or an infinity")
    empty = lengths[:, 0] == 0
    if empty.any():
        if nothing is None:
            raise EmbedderUnavailable("the model gave a vector of length zero, which has no direction")
        vectors = np.where(empty[:, None], nothing, vectors)
        lengths = np.where(empty[:, None], 1.0, lengths)
    rows: Float32Array = (vectors / lengths).astype(np.float32)
    return rows
