"""From texts to batches of token ids, by the `tokenizer.json` that comes with a model."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.errors import InvalidFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nearfield.domain.documents import Int64Array

SLICE: Final = 256  # texts tokenized at once: an Encoding weighs far more than its ids


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """Some texts, or pairs of texts, padded to the longest of them.

    rows: which texts, positions in the list that was split; int64, shape (n,).
    ids, mask: int64, shape (n, longest); the mask is 1 for a token, 0 for padding at the end.
    types: as ids, 1 in the second text of a pair; None where there are no pairs.
    """

    rows: Int64Array
    ids: Int64Array
    mask: Int64Array
    types: Int64Array | None = None


class TextTokenizer:
    """A tokenizer with truncation to one length. Loaded at once; safe in threads, and works without the GIL."""

    def __init__(self, path: Path, *, max_tokens: int, field: str | None = None) -> None:
        """max_tokens: per text, special tokens included. field: the part of a request that names the model.

        Raises InvalidFile.
        """
        self._path, self._field = path, field
        self._truncating = _load(path, field)
        self._truncating.enable_truncation(max_tokens)
        self._whole: Any = None
        self._lock = threading.Lock()
        self._padding = _padding(self._truncating)

    def encode(self, texts: Sequence[str]) -> list[Int64Array]:
        """Token ids of each text, truncated; a text always has at least one token where the model marks its ends."""
        ids: list[Int64Array] = []
        for start in range(0, len(texts), SLICE):
            part = [well_formed(text) for text in texts[start : start + SLICE]]
            ids += [np.asarray(e.ids, dtype=np.int64) for e in self._truncating.encode_batch_fast(part)]
        return ids

    def count(self, texts: Sequence[str]) -> Int64Array:
        """Tokens of each text, special tokens included, not truncated; int64, shape (n,)."""
        with self._lock:
            if self._whole is None:
                self._whole = _load(self._path, self._field)
        counts: list[int] = []
        for start in range(0, len(texts), SLICE):
            part = [well_formed(text) for text in texts[start : start + SLICE]]
            counts += [len(encoding) for encoding in self._whole.encode_batch_fast(part)]
        return np.asarray(counts, dtype=np.int64)

    def batches(self, ids: Sequence[Int64Array], *, batch_tokens: int) -> Iterator[TokenBatch]:
        """Split texts into batches of similar length, shortest first.

        batch_tokens: the bound on texts x longest text, padding included; a single text may exceed it.
        """
        for rows in length_sorted([len(row) for row in ids], batch_tokens=batch_tokens):
            yield TokenBatch(rows, *_padded([ids[row] for row in rows.tolist()], self._padding))


class PairTokenizer:
    """A tokenizer of pairs of texts, as a cross-encoder reads them. Safe in threads, and works without the GIL."""

    def __init__(self, path: Path, *, max_tokens: int, field: str | None = None) -> None:
        """max_tokens: per pair, special tokens included; the longer text of a pair is cut first. Raises InvalidFile."""
        self._tokenizer = _load(path, field)
        self._tokenizer.enable_truncation(max_tokens, strategy="longest_first")
        self._padding = _padding(self._tokenizer)

    def batches(self, pairs: Sequence[tuple[str, str]], *, batch_tokens: int) -> Iterator[TokenBatch]:
        """Split pairs into batches of similar length, shortest first. batch_tokens: as in `TextTokenizer.batches`."""
        ids: list[Int64Array] = []
        types: list[Int64Array] = []
        for start in range(0, len(pairs), SLICE):
            part = [(well_formed(one), well_formed(other)) for one, other in pairs[start : start + SLICE]]
            for encoding in self._tokenizer.encode_batch_fast(part):
                ids.append(np.asarray(encoding.ids, dtype=np.int64))
                types.append(np.asarray(encoding.type_ids, dtype=np.int64))
        for rows in length_sorted([len(row) for row in ids], batch_tokens=batch_tokens):
            chosen = rows.tolist()
            seconds, _ = _padded([types[row] for row in chosen], 0)
            yield TokenBatch(rows, *_padded([ids[row] for row in chosen], self._padding), seconds)


def _padding(tokenizer: Any) -> int:
    """The padding token's id; 0 where the model names none."""
    known = (tokenizer.token_to_id("[PAD]"), tokenizer.token_to_id("<pad>"))
    return next((int(found) for found in known if found is not None), 0)


def _padded(rows: Sequence[Int64Array], padding: int) -> tuple[Int64Array, Int64Array]:
    """Rows of different length as one array, and its mask."""
    padded = np.full((len(rows), max(1, *map(len, rows))), padding, dtype=np.int64)
    mask = np.zeros_like(padded)
    for at, row in enumerate(rows):
        padded[at, : len(row)] = row
        mask[at, : max(1, len(row))] = 1  # a text without a token is read as one padding token
    return padded, mask


def length_sorted(lengths: Sequence[int], *, batch_tokens: int) -> Iterator[Int64Array]:
    """Cut positions, sorted by length, into runs with run length x longest <= batch_tokens; at least one each.

    Every position comes exactly once; equal lengths keep their order.
    """
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable").astype(np.int64)
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and (end + 1 - start) * lengths[int(order[end])] <= batch_tokens:
            end += 1
        yield order[start:end]
        start = end


def well_formed(text: str) -> str:
    """The text with lone surrogates, which are in no encoding, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _load(path: Path, field: str | None) -> Any:
    from tokenizers import Tokenizer  # noqa: PLC0415

    try:
        tokenizer = Tokenizer.from_buffer(path.read_bytes())
    except Exception as exc:  # the binding raises bare Exception for a file it cannot read
        raise InvalidFile(f"{path} is no readable tokenizer: {exc}", field=field) from exc
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
