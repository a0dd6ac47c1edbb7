"""Config, engines and models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearfield.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Run


def test_config_tells_value_and_origin(nearfield: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFIELD_API_KEYS", "hush,quiet")
    shown = nearfield("config", "--data", "elsewhere", "--json")
    rows = {row["name"]: row for row in shown.json["settings"]}
    assert rows.keys() == Settings.model_fields.keys()
    assert (rows["data_dir"]["value"], rows["data_dir"]["origin"]) == ("elsewhere", "given")
    assert (rows["embedder"]["value"], rows["embedder"]["origin"]) == ("hashing", "NEARFIELD_EMBEDDER")
    assert rows["port"]["origin"] == "default"
    assert rows["api_keys"]["value"] == "2 set"
    assert all(row["description"] for row in rows.values())
    table = nearfield("config").out
    assert "hush" not in table + shown.out
    assert "nearfield-data" in table


def test_engines_tell_what_they_claim(nearfield: Run) -> None:
    engines = nearfield("engines", "--json").json["engines"]
    assert engines.keys() >= {"exact", "local"}
    assert engines["exact"]["kinds"] == ["flat"]
    assert "Eq" in engines["exact"]["filters"]
    table = nearfield("engines").out.splitlines()
    assert table[0].split()[:3] == ["engine", "kinds", "metrics"]
    assert len(table) > len(engines)


def test_models_are_listed_with_licence_and_presence(
    nearfield: Run, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARFIELD_MODELS_DIR", str(own_folder / "models"))
    listed = nearfield("model", "list", "--json").json
    assert listed["folder"] == str(own_folder / "models")
    models = {model["name"]: model for model in listed["models"]}
    assert models["all-MiniLM-L6-v2"]["licence"] == "Apache-2.0"
    assert {model["presence"] for model in models.values()} == {"absent"}
    assert all(model["bytes"] > 1_000_000 for model in models.values())
    assert "Apache-2.0" in nearfield("model", "list").out
