from __future__ import annotations

import os
from pathlib import Path

import pytest

from nearfield.domain.errors import InvalidSetting
from nearfield.domain.queries import MAX_LIMIT
from nearfield.settings import Settings, load_settings, settings_with_origin


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.upper().startswith("NEARFIELD_"):
            monkeypatch.delenv(variable)


def origins(settings: Settings) -> dict[str, tuple[str, str]]:
    return {name: (shown, origin) for name, shown, origin, _ in settings_with_origin(settings)}


def test_defaults_are_safe() -> None:
    settings = load_settings()
    assert (settings.host, settings.environment, settings.embedder) == ("127.0.0.1", "production", "all-MiniLM-L6-v2")
    assert settings.engine == "local"
    assert settings.api_keys == ()
    settings.check_exposure()


def test_values_in_code_win_over_variables_and_those_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFIELD_PORT", "8000")
    monkeypatch.setenv("NEARFIELD_ENGINE", "exact")
    monkeypatch.setenv("nearfield_data_dir", "/somewhere")
    settings = load_settings(port=9000, engine=None)
    assert (settings.port, settings.engine, settings.data_dir) == (9000, "exact", Path("/somewhere"))
    told = origins(settings)
    assert told["port"] == ("9000", "given")
    assert told["engine"] == ("exact", "NEARFIELD_ENGINE")
    assert told["data_dir"] == ("/somewhere", "nearfield_data_dir")
    assert told["host"] == ("127.0.0.1", "default")


def test_every_setting_is_told_with_its_meaning() -> None:
    rows = settings_with_origin(load_settings())
    assert [name for name, *_ in rows] == list(Settings.model_fields)
    assert all(description.endswith(".") for *_, description in rows)


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("NEARFIELD_PROT", "did you mean NEARFIELD_PORT"),
        ("NEARFIELD_API_KEY", "did you mean NEARFIELD_API_KEYS"),
        ("nearfield_embeder", "did you mean NEARFIELD_EMBEDDER"),
        ("NEARFIELD_QQQQQQQQQQQQQQ", "`nearfield config` lists the known ones"),
    ],
)
def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, hint: str) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(InvalidSetting, match=f"unknown setting {variable}") as told:
        load_settings()
    assert hint in str(told.value)
    assert told.value.field == variable


def test_a_variable_of_somebody_else_is_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFIELDS", "1")
    monkeypatch.setenv("MY_NEARFIELD_PORT", "1")
    assert load_settings().port == 7700


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"port": 70_000}, "port"),
        ({"port": "http"}, "port"),
        ({"search_timeout_s": 0}, "search_timeout_s"),
        ({"search_timeout_s": -1}, "search_timeout_s"),
        ({"max_limit": MAX_LIMIT + 1}, "max_limit"),
        ({"environment": "staging"}, "environment"),
        ({"index_batch": 0}, "index_batch"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_impossible_values_and_unknown_names_are_refused(given: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidSetting, match=f"setting {field}: ") as told:
        load_settings(**given)
    assert told.value.field == field


def test_int8_names_the_embedder_of_collections_to_come() -> None:
    plain, quick = load_settings(), load_settings(precision="int8")
    assert (plain.default_embedder, plain.float_precision) == ("all-MiniLM-L6-v2", "native")
    assert (quick.default_embedder, quick.float_precision) == ("all-MiniLM-L6-v2:int8", "native")
    assert load_settings(precision="int8", embedder="./mine:int8").default_embedder == "./mine:int8"
    assert load_settings(precision="float32").float_precision == "float32"


def test_a_precision_that_there_is_not_is_refused_with_the_choices() -> None:
    with pytest.raises(InvalidSetting, match=r"setting precision: .*native.*float32.*int8"):
        load_settings(precision="int4")


def test_an_impossible_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFIELD_PORT", "seven")
    with pytest.raises(InvalidSetting, match="setting port: "):
        load_settings()


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ("", []),
        (" , ", []),
        ("one", ["one"]),
        ("one, two ,,three", ["one", "two", "three"]),
        ('["one"]', ['["one"]']),  # no JSON: a key is what stands between commas
    ],
)
def test_api_keys_stand_between_commas(monkeypatch: pytest.MonkeyPatch, given: str, keys: list[str]) -> None:
    monkeypatch.setenv("NEARFIELD_API_KEYS", given)
    settings = load_settings()
    assert [key.get_secret_value() for key in settings.api_keys] == keys
    assert load_settings(api_keys=("a", "b")).api_keys[1].get_secret_value() == "b"


def test_keys_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFIELD_API_KEYS", "hush-1,hush-2")
    settings = load_settings()
    assert origins(settings)["api_keys"] == ("2 set", "NEARFIELD_API_KEYS")
    assert "hush" not in repr(settings)
    assert "hush" not in str(settings_with_origin(settings))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    load_settings(host=host).check_exposure()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "", "example.org", "localhost.example.org"])
def test_any_other_address_needs_a_key(host: str) -> None:
    settings = load_settings(host=host)
    with pytest.raises(InvalidSetting, match="reachable from other machines and no API key is set") as told:
        settings.check_exposure()
    assert told.value.field == "host"
    load_settings(host=host, api_keys="k").check_exposure()
    with pytest.raises(InvalidSetting):
        load_settings().check_exposure(host)


def test_settings_cannot_be_changed() -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


def test_models_are_kept_in_the_cache_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert load_settings().models_dir == tmp_path / "nearfield" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings().models_dir == tmp_path / ".cache" / "nearfield" / "models"
