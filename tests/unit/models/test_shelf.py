from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING

import pytest

from nearfield.domain.errors import ModelDamaged, ModelUnknown, ModelUnreachable
from nearfield.models import catalogue, shelf
from nearfield.models.hub import HubSource
from nearfield.models.shelf import Shelf
from nearfield.models.wheel import WheelSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.unit.models.conftest import Served

    from nearfield.models.catalogue import KnownFile, KnownModel
    from nearfield.models.source import Transfer

GRAPH = bytes(range(256)) * 2_000
TOKENIZER = b'{"version": "1.0"}'
CONFIG = b'{"hidden_size": 4}\n'
ON_HUB = {
    "/org/tiny/resolve/c0ffee/model.onnx": GRAPH,
    "/org/tiny/resolve/c0ffee/sub/tokenizer.json": TOKENIZER,
}


@pytest.fixture(autouse=True)
def _catalogue(tiny: KnownModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue of the tiny model, and of one that shares a file with it."""
    twin = dataclasses.replace(tiny, name="twin", files=tiny.files[1:])
    for module in (catalogue, shelf):
        monkeypatch.setattr(module, "KNOWN_MODELS", (tiny, twin))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


WHOLE = {"tiny/model.onnx": GRAPH, "tiny/sub/tokenizer.json": TOKENIZER, "tiny/config.json": CONFIG}


class Scripted:
    """A source that writes what it is told, and remembers what it was asked."""

    name = "scripted"

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files
        self.asked: list[list[str]] = []

    def fetch(self, files: Sequence[KnownFile], staging: Path, report: Callable[[Transfer], None]) -> None:
        self.asked.append([file.path for file in files])
        for file in files:
            if file.path in self._files:
                (staging / file.sha256).write_bytes(self._files[file.path])


GOOD = {"model.onnx": GRAPH, "sub/tokenizer.json": TOKENIZER}


def test_the_hub_is_asked_first(folder: Path, served: Served, tiny: KnownModel) -> None:
    served.files = dict(ON_HUB)
    never = Scripted({})
    weights = Shelf(folder, sources=(HubSource(served.url), never)).weights("tiny")
    assert {**contents(folder), ".lock": b""} == {**WHOLE, ".lock": b""}
    assert never.asked == []
    assert (weights.name, weights.kind, weights.folder, weights.licence) == ("tiny", "onnx", folder / "tiny", "CC0-1.0")
    assert weights.digest == tiny.digest == Shelf(folder).digest("TINY")


def test_the_package_index_serves_where_the_hub_does_not(folder: Path) -> None:
    seen: list[Transfer] = []
    Shelf(folder, sources=(HubSource("http://127.0.0.1:9"), WheelSource())).weights("tiny", report=seen.append)
    assert {**contents(folder), ".lock": b""} == {**WHOLE, ".lock": b""}
    assert seen


def test_a_source_with_other_bytes_is_passed_over(folder: Path, served: Served) -> None:
    served.files = {path: content[::-1] for path, content in ON_HUB.items()}
    Shelf(folder, sources=(HubSource(served.url), WheelSource())).weights("tiny")
    assert {**contents(folder), ".lock": b""} == {**WHOLE, ".lock": b""}


def test_what_is_whole_is_not_fetched_again(folder: Path) -> None:
    source = Scripted(GOOD)
    model_shelf = Shelf(folder, sources=(source,))
    model_shelf.weights("tiny")
    model_shelf.weights("tiny")
    assert source.asked == [["model.onnx", "sub/tokenizer.json"]]


@pytest.mark.parametrize("damage", [b"", GRAPH[:-1], GRAPH[:-1] + b"x"])
def test_a_damaged_file_is_fetched_again_alone(folder: Path, damage: bytes) -> None:
    source = Scripted(GOOD)
    model_shelf = Shelf(folder, sources=(source,))
    model_shelf.weights("tiny")
    (folder / "tiny" / "model.onnx").write_bytes(damage)
    model_shelf.weights("tiny")
    assert source.asked[1:] == [["model.onnx"]]
    assert (folder / "tiny" / "model.onnx").read_bytes() == GRAPH


def test_a_file_another_model_has_is_copied(folder: Path) -> None:
    source = Scripted(GOOD)
    model_shelf = Shelf(folder, sources=(source,))
    model_shelf.weights("tiny")
    model_shelf.weights("twin")
    assert len(source.asked) == 1
    assert (folder / "twin" / "sub" / "tokenizer.json").read_bytes() == TOKENIZER


def test_wrong_bytes_everywhere_are_never_put_in_place(folder: Path) -> None:
    source = Scripted({"model.onnx": b"x" * len(GRAPH), "sub/tokenizer.json": TOKENIZER})
    with pytest.raises(ModelDamaged, match=r"model\.onnx from scripted did not have the expected SHA-256"):
        Shelf(folder, sources=(source,)).weights("tiny")
    assert "tiny/model.onnx" not in contents(folder)
    assert not list((folder / ".incoming").iterdir())


def test_no_source_at_all_says_what_was_tried(folder: Path) -> None:
    with pytest.raises(ModelUnreachable, match=r"model\.onnx, sub/tokenizer\.json could not be fetched \(hub: no conn"):
        Shelf(folder, sources=(HubSource("http://127.0.0.1:9"),)).weights("tiny")
    with pytest.raises(ModelUnreachable, match="no source carries it"):
        Shelf(folder, sources=()).weights("tiny")


def test_many_at_once_fetch_once(folder: Path) -> None:
    source = Scripted(GOOD)
    found: list[str] = []

    def pull() -> None:
        found.append(Shelf(folder, sources=(source,)).weights("tiny").digest)

    threads = [threading.Thread(target=pull) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(source.asked) == 1


def test_the_list_says_what_is_there(folder: Path) -> None:
    model_shelf = Shelf(folder, sources=(Scripted(GOOD),))
    assert [(entry.model.name, entry.presence) for entry in model_shelf.listing()] == [
        ("tiny", "absent"),
        ("twin", "absent"),
    ]
    model_shelf.weights("tiny")
    (folder / "tiny" / "model.onnx").unlink()
    first, _ = model_shelf.listing()
    assert first.presence == "partial"
    model_shelf.weights("tiny")
    first, _ = model_shelf.listing()
    assert (first.presence, first.bytes) == ("present", len(GRAPH) + len(TOKENIZER) + len(CONFIG))


def test_a_folder_is_a_model_too(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for name in ("model.onnx", "tokenizer.json", "config.json"):
        (own / name).write_text(name, encoding="utf-8")
    model_shelf = Shelf(folder, sources=())
    weights = model_shelf.weights(str(own))
    assert (weights.folder, weights.kind, weights.licence) == (own, "onnx", None)
    assert model_shelf.digest(str(own)) == weights.digest


def test_an_unknown_name_is_told_the_nearest(folder: Path) -> None:
    with pytest.raises(ModelUnknown, match=r"unknown model 'tinny'; did you mean tiny\?") as caught:
        Shelf(folder).weights("tinny")
    assert caught.value.field == "embedder"
    with pytest.raises(ModelUnknown, match="known ones are tiny, twin; a folder works too"):
        Shelf(folder).digest("")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(ModelUnreachable, match="cannot write model tiny"):
        Shelf(blocked, sources=()).weights("tiny")
