"""Long texts become passages the embedder can read whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearfield.domain.documents import MAX_CHUNKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.protocols.embedder import Embedder

SPECIAL_TOKENS = 2  # BERT's [CLS] and [SEP] take places that text cannot have


class Chunker:
    """Splits texts by the embedder's own count of tokens, at paragraphs, sentences and words, in that order."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._capacity = embedder.max_tokens - SPECIAL_TOKENS

    def split(self, texts: Sequence[str]) -> list[list[str]]:
        """The passages of each text, in order: one for a text that fits, at most MAX_CHUNKS.

        A passage holds at most `max_tokens` tokens, special ones included, unless a single character holds more.
        Blocks: call in a thread.
        """
        passages = [[text] for text in texts]
        if self._embedder.max_tokens == 0:
            return passages
        unsure = [i for i, text in enumerate(texts) if not self._surely_fits(text)]
        if not unsure:
            return passages
        counts = self._embedder.count_tokens([texts[i] for i in unsure])
        for i, tokens in zip(unsure, counts.tolist(), strict=True):
            if tokens > self._embedder.max_tokens:
                passages[i] = self._cut(texts[i])
        return passages

    def _surely_fits(self, text: str) -> bool:
        """Whether a text fits by its length alone, as most do.

        No token is shorter than a byte: some tokenizers go down to bytes, and others take a letter apart into no more
        parts (the three of a Hangul syllable) than it has bytes.
        """
        return len(text) <= self._capacity and (
            text.isascii() or len(text.encode("utf-8", "surrogatepass")) <= self._capacity
        )

    def _cut(self, text: str) -> list[str]:
        from semantic_text_splitter import TextSplitter  # noqa: PLC0415 - only long texts need it

        splitter = TextSplitter.from_callback(self._tokens, self._capacity)
        return splitter.chunks(text)[:MAX_CHUNKS] or [text]

    def _tokens(self, text: str) -> int:
        return int(self._embedder.count_tokens([text])[0]) - SPECIAL_TOKENS
