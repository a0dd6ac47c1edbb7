from __future__ import annotations

import hashlib
import re

import pytest

from nearfield.models.catalogue import KNOWN_MODELS, KnownFile, known_model

FILES = [pytest.param(file, id=f"{model.name}/{file.path}") for model in KNOWN_MODELS for file in model.files]


@pytest.mark.parametrize("file", FILES)
def test_every_file_is_pinned_and_can_be_had(file: KnownFile) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
    assert file.size > 0
    assert not file.path.startswith("/")
    assert ".." not in file.path
    assert file.wheel is not None or file.text is not None, "not everyone reaches the hub"
    if file.hub is not None:
        assert re.fullmatch(r"[0-9a-f]{40}", file.hub.revision), "a branch is no pin"
    if file.wheel is not None:
        assert re.fullmatch(r"[0-9a-f]{64}", file.wheel.sha256)
        assert file.member
        assert file.wheel.version
    if file.text is not None:
        assert hashlib.sha256(file.text.encode()).hexdigest() == file.sha256


def test_names_and_aliases_are_one_models_each() -> None:
    names = [name.casefold() for model in KNOWN_MODELS for name in (model.name, *model.aliases)]
    assert len(names) == len(set(names))
    for model in KNOWN_MODELS:
        for name in (model.name, model.name.upper(), *model.aliases):
            assert known_model(name) is model
    assert known_model("all-MiniLM-L12-v2") is None


def test_the_digests_are_what_stored_vectors_were_made_with() -> None:
    """A change here makes every stored vector of the model stale: intended or not, say so in the changelog."""
    assert {model.name: model.digest for model in KNOWN_MODELS} == {
        "all-MiniLM-L6-v2": "d550d4c7cdcd582c",
        "paraphrase-MiniLM-L3-v2": "ee9f84074713220a",
        "potion-base-8M": "4a2f5d03510a4e9d",
    }


def test_what_a_model_says_of_itself_is_whole() -> None:
    for model in KNOWN_MODELS:
        assert model.licence
        assert model.summary
        assert model.origin
        assert model.dimension > 0
        assert model.max_tokens > 0
        assert model.size == sum(file.size for file in model.files)
