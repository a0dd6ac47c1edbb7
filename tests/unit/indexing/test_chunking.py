from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nearfield.domain.documents import MAX_CHUNKS
from nearfield.embedders.given import GivenVectors
from nearfield.embedders.hashing import HashingEmbedder
from nearfield.indexing.chunking import Chunker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.documents import Int64Array


class Counted(HashingEmbedder):
    """Tells how many texts were counted."""

    counted = 0

    def count_tokens(self, texts: Sequence[str]) -> Int64Array:
        self.counted += len(texts)
        return super().count_tokens(texts)


class Bytes(HashingEmbedder):
    """Counts as a byte-level tokenizer does at worst: a token for every byte, and no special ones."""

    def count_tokens(self, texts: Sequence[str]) -> Int64Array:
        return np.array([len(text.encode()) for text in texts], dtype=np.int64)


SENTENCES = " ".join(f"Sentence number {n} tells of the sea, the wind and {n} ships." for n in range(40))
TEXTS = {
    "sentences": SENTENCES,
    "paragraphs": "\n\n".join([SENTENCES[:300], SENTENCES[300:800], SENTENCES[800:]]),
    "one line of words": " ".join(f"word{n}" for n in range(500)),
    "thai without spaces": "ฉันรักการอ่านหนังสือในห้องสมุด" * 40,
    "greek": "γρήγορη αλεπού πηδά πάνω από τον τεμπέλη σκύλο. " * 20,
    "emoji and marks": "ẹ́ 👩‍👩‍👧 🏳️‍🌈 naïve — “quoted” … " * 60,
    "punctuation": "a.b,c;d:e!f?g " * 50,
    "blank": " \n\t " * 500,
}


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("max_tokens", [5, 16, 64])
def test_passages_fit_and_lose_nothing(name: str, max_tokens: int) -> None:
    embedder = HashingEmbedder(max_tokens=max_tokens)
    [passages] = Chunker(embedder).split([TEXTS[name]])
    assert squeezed("".join(passages)) == squeezed(TEXTS[name])
    assert embedder.count_tokens(passages).max() <= max_tokens
    assert all(passages)


def test_words_are_not_cut_in_two() -> None:
    [passages] = Chunker(HashingEmbedder(max_tokens=16)).split([SENTENCES])
    assert len(passages) > 10
    assert " ".join(passages).split() == SENTENCES.split()


def test_a_text_that_fits_is_left_as_it_is() -> None:
    text = "  two\n\nparagraphs  "
    assert Chunker(HashingEmbedder(max_tokens=8)).split([text, "", "three short words"]) == [
        [text],
        [""],
        ["three short words"],
    ]


def test_passages_stay_with_their_texts() -> None:
    split = Chunker(HashingEmbedder(max_tokens=6)).split(["a b", "one two three four five six", "", "c"])
    assert split == [["a b"], ["one two three four", "five six"], [""], ["c"]]


def test_the_limit_is_max_tokens_itself() -> None:
    chunker = Chunker(HashingEmbedder(max_tokens=12))
    at, above = " ".join("abcdefghij"), " ".join("abcdefghijk")
    assert [len(passages) for passages in chunker.split([at, above])] == [1, 2]


def test_no_more_passages_than_keys() -> None:
    text = " ".join(str(number) for number in range(3 * MAX_CHUNKS))
    [passages] = Chunker(HashingEmbedder(max_tokens=4)).split([text])
    assert len(passages) == MAX_CHUNKS
    assert passages[0] == "0 1"


def test_an_embedder_without_a_limit_gets_texts_whole() -> None:
    assert Chunker(GivenVectors(8)).split([SENTENCES]) == [[SENTENCES]]


def test_short_texts_are_not_counted() -> None:
    embedder = Counted(max_tokens=100)
    Chunker(embedder).split(["x" * 98, "é" * 49, "", "한" * 32])
    assert embedder.counted == 0
    Chunker(embedder).split(["x" * 99, "é" * 50])
    assert embedder.counted == 2


def test_a_text_is_not_taken_to_fit_for_its_few_characters() -> None:
    embedder = Bytes(max_tokens=64)
    text = "🦑" * 20  # 80 bytes
    [passages] = Chunker(embedder).split([text])
    assert len(passages) == 2
    assert "".join(passages) == text
    assert embedder.count_tokens(passages).max() <= 64
