from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from nearfield.domain.errors import MissingDependency
from nearfield.embedders.sentence_transformers import SentenceTransformersEmbedder
from nearfield.testing.embedder_suite import EmbedderSuite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nearfield.models.local import Weights
    from nearfield.protocols.embedder import Embedder

INSTALLED = importlib.util.find_spec("sentence_transformers") is not None


@pytest.mark.skipif(INSTALLED, reason="the extra is installed")
def test_without_the_extra_the_command_is_told() -> None:
    with pytest.raises(MissingDependency, match=r"pip install 'nearfield\[sentence-transformers\]'"):
        SentenceTransformersEmbedder("any")


@pytest.mark.skipif(not INSTALLED, reason="needs the extra sentence-transformers")
class TestSentenceTransformers(EmbedderSuite):
    """A tiny encoder with random weights: nothing is fetched, and every promise but meaning can be tested."""

    @pytest.fixture(scope="class")
    @classmethod
    def build(
        cls, weights: Callable[[str], Weights], tmp_path_factory: pytest.TempPathFactory
    ) -> Callable[[], Embedder]:
        folder = tiny_model(weights("all-MiniLM-L6-v2").folder, tmp_path_factory.mktemp("tiny"))
        return lambda: SentenceTransformersEmbedder(str(folder), device="cpu")


def tiny_model(tokenizer: Path, folder: Path) -> Path:
    """Save a two-layer BERT of 32 components with MiniLM's tokenizer; its vectors are the tokens' mean."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch").manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=30_522, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    transformers.BertModel(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tokenizer / "tokenizer.json"),
        model_max_length=64,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    return folder
