from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.domain.errors import InvalidFile
from nearfield.graphs.tokenization import SLICE, TextTokenizer, length_sorted, well_formed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nearfield.models.local import Weights


@pytest.fixture(scope="module")
def minilm(weights: Callable[[str], Weights]) -> TextTokenizer:
    return TextTokenizer(weights("all-MiniLM-L6-v2").folder / "tokenizer.json", max_tokens=8)


def test_ids_are_berts_and_truncated(minilm: TextTokenizer) -> None:
    short, long = minilm.encode(["hello world", "one two three four five six seven eight nine"])
    assert short.tolist() == [101, 7592, 2088, 102]
    assert len(long) == 8
    assert (long[0], long[-1]) == (101, 102)


def test_counting_does_not_truncate(minilm: TextTokenizer) -> None:
    assert minilm.count(["hello world", "", "word " * 50]).tolist() == [4, 2, 52]
    assert len(minilm.encode(["word " * 50])[0]) == 8, "counting changed what encoding does"


def test_more_texts_than_a_slice_keep_their_order(minilm: TextTokenizer) -> None:
    texts = [f"{at}" for at in range(SLICE + 3)]
    ids = minilm.encode(texts)
    assert [row.tolist() for row in ids] == [minilm.encode([text])[0].tolist() for text in texts]
    assert len(minilm.count(texts)) == len(texts)


def test_batches_hold_every_text_padded_at_the_end(minilm: TextTokenizer) -> None:
    ids = minilm.encode(["a b c d", "a", "", "a b"])
    batches = list(minilm.batches(ids, batch_tokens=12))
    assert sorted(int(row) for batch in batches for row in batch.rows) == [0, 1, 2, 3]
    for batch in batches:
        for row, padded, mask in zip(batch.rows, batch.ids, batch.mask, strict=True):
            assert padded[mask == 1].tolist() == ids[int(row)].tolist()
            assert np.all(np.diff(mask) <= 0)
            assert np.all(padded[mask == 0] == 0)


@given(st.lists(st.integers(1, 600), max_size=80), st.integers(1, 2_000))
def test_runs_hold_every_position_once_within_the_bound(lengths: list[int], batch_tokens: int) -> None:
    runs = list(length_sorted(lengths, batch_tokens=batch_tokens))
    assert sorted(int(at) for run in runs for at in run) == list(range(len(lengths)))
    longest = [max(lengths[int(at)] for at in run) for run in runs]
    assert longest == sorted(longest)
    assert all(len(run) == 1 or len(run) * top <= batch_tokens for run, top in zip(runs, longest, strict=True))


@given(st.text(st.characters(blacklist_categories=())))
def test_well_formed_text_can_be_encoded_and_keeps_what_was_fine(text: str) -> None:
    mended = well_formed(text)
    mended.encode()
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert mended == text


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(InvalidFile, match="no readable tokenizer"):
        TextTokenizer(path, max_tokens=8)
    with pytest.raises(InvalidFile, match="no readable tokenizer"):
        TextTokenizer(tmp_path / "absent.json", max_tokens=8)
