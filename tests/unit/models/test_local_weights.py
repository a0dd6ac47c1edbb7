from __future__ import annotations

from pathlib import Path

import pytest

from nearfield.domain.errors import ModelUnknown
from nearfield.models.local import local_weights, looks_like_folder


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("model.onnx", "tokenizer.json", "config.json"), "onnx"),
        (("onnx/model.onnx", "tokenizer.json", "config.json", "model.safetensors"), "onnx"),
        (("model.safetensors", "config.json", "modules.json"), "sentence-transformers"),
        (("model.onnx", "config.json"), "sentence-transformers"),
    ],
)
def test_what_is_there_says_what_can_run_it(tmp_path: Path, names: tuple[str, ...], kind: str) -> None:
    found = local_weights(str(fill(tmp_path, *names)))
    assert (found.kind, found.folder, found.name) == (kind, tmp_path, str(tmp_path))


def test_a_static_model_says_so_in_its_config(tmp_path: Path) -> None:
    fill(tmp_path, "model.safetensors", "tokenizer.json")
    (tmp_path / "config.json").write_text('{"model_type": "model2vec"}', encoding="utf-8")
    assert local_weights(str(tmp_path)).kind == "static"


def test_the_digest_follows_the_bytes_that_decide(tmp_path: Path) -> None:
    fill(tmp_path, "onnx/model.onnx", "onnx/model.onnx_data", "tokenizer.json", "config.json", "1_Pooling/config.json")
    seen = {local_weights(str(tmp_path)).digest}
    fill(tmp_path, "README.md", ".gitattributes")
    assert {local_weights(str(tmp_path)).digest} == seen, "a readme decides nothing"
    for name in ("onnx/model.onnx", "onnx/model.onnx_data", "tokenizer.json", "1_Pooling/config.json"):
        (tmp_path / name).write_text("changed", encoding="utf-8")
        seen.add(local_weights(str(tmp_path)).digest)
    assert len(seen) == 5


def test_folders_that_hold_no_model_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelUnknown, match="holds no model"):
        local_weights(str(tmp_path))
    with pytest.raises(ModelUnknown, match="no folder"):
        local_weights(str(tmp_path / "absent"))


def test_paths_look_like_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fill(tmp_path, "mine/model.onnx"))
    assert all(map(looks_like_folder, ["./x", "../x", "/x", "~/x", "mine", "C:\\x"]))
    assert not any(map(looks_like_folder, ["all-MiniLM-L6-v2", "org/model", ""]))
    assert local_weights(str(fill(Path("mine"), "tokenizer.json", "config.json"))).folder == tmp_path / "mine"
