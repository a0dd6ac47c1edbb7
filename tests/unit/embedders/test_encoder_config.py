from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nearfield.domain.errors import InvalidFile, InvalidSetting
from nearfield.embedders.encoder_config import EncoderConfig
from nearfield.embedders.pooling import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nearfield.models.local import Weights

MODEL = {"model_type": "bert", "hidden_size": 384, "max_position_embeddings": 512}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").touch()
    write(tmp_path, "config.json", MODEL)
    return tmp_path


def write(folder: Path, name: str, value: Any) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(value), encoding="utf-8")


def test_the_default_model_as_published(weights: Callable[[str], Weights]) -> None:
    config = EncoderConfig.read(weights("all-MiniLM-L6-v2").folder)
    assert (config.pooling, config.dimension, config.max_tokens) == (Pooling.MEAN, 384, 256)
    assert not any(config.prompts.values())


def test_a_folder_that_says_little_gets_the_usual(folder: Path) -> None:
    config = EncoderConfig.read(folder)
    assert config.graph == folder / "onnx" / "model.onnx"
    assert (config.pooling, config.dimension, config.max_tokens) == (Pooling.MEAN, 384, 512)


@pytest.mark.parametrize(
    ("said", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, Pooling.CLS),
        ({"pooling_mode_max_tokens": True}, Pooling.MAX),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, Pooling.MEAN_SQRT_LEN),
        ({"pooling_mode_lasttoken": True}, Pooling.LAST),
        ({"pooling_mode": "cls", "embedding_dimension": 384}, Pooling.CLS),
    ],
)
def test_pooling_as_either_spelling_says(folder: Path, said: dict[str, Any], pooling: Pooling) -> None:
    write(folder, "1_Pooling/config.json", {"word_embedding_dimension": 384, **said})
    assert EncoderConfig.read(folder).pooling is pooling


@pytest.mark.parametrize(
    "said",
    [
        {"pooling_mode_weightedmean_tokens": True},
        {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True},
    ],
)
def test_pooling_it_cannot_do_is_refused(folder: Path, said: dict[str, Any]) -> None:
    write(folder, "1_Pooling/config.json", said)
    with pytest.raises(InvalidSetting, match="use the sentence-transformers embedder"):
        EncoderConfig.read(folder)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"sentence_bert_config.json": {"max_seq_length": 128}}, 128),
        ({"sentence_bert_config.json": {"max_seq_length": 9_999}}, 512),
        ({"tokenizer_config.json": {"model_max_length": 10**30}}, 512),
        ({"tokenizer_config.json": {"model_max_length": 64}}, 64),
        ({"sentence_bert_config.json": {"max_seq_length": None}}, 512),
        ({"config.json": {**MODEL, "model_type": "roberta", "max_position_embeddings": 514}}, 512),
    ],
)
def test_the_limit_is_the_least_that_is_said(folder: Path, files: dict[str, Any], expected: int) -> None:
    for name, value in files.items():
        write(folder, name, value)
    assert EncoderConfig.read(folder).max_tokens == expected


def test_prompts_by_role(folder: Path) -> None:
    write(folder, "config_sentence_transformers.json", {"prompts": {"query": "query: ", "passage": "passage: "}})
    assert dict(EncoderConfig.read(folder).prompts) == {"query": "query: ", "document": "passage: "}


def test_a_default_prompt_is_for_both(folder: Path) -> None:
    write(folder, "config_sentence_transformers.json", {"prompts": {"task": "find: "}, "default_prompt_name": "task"})
    assert dict(EncoderConfig.read(folder).prompts) == {"query": "find: ", "document": "find: "}


def test_a_model_of_more_parts_is_refused_by_their_name(folder: Path) -> None:
    write(folder, "modules.json", [{"type": "sentence_transformers.models.Dense"}])
    with pytest.raises(InvalidSetting, match="Dense"):
        EncoderConfig.read(folder)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("config.json", "not json", "no readable JSON"),
        ("config.json", "[]", "expected an object"),
        ("config.json", "{}", "names no hidden_size"),
        ("modules.json", "{}x", "no list of modules"),
    ],
)
def test_damaged_files_are_told(folder: Path, name: str, content: str, told: str) -> None:
    (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(InvalidFile, match=told):
        EncoderConfig.read(folder)


def test_missing_files_are_told(tmp_path: Path, folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(InvalidFile, match="is not there"):
        EncoderConfig.read(folder)
    with pytest.raises(InvalidFile, match=r"holds no model\.onnx"):
        EncoderConfig.read(tmp_path / "empty")
