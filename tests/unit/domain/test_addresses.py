from __future__ import annotations

import pytest

from nearfield.domain.addresses import EngineAddress
from nearfield.domain.errors import InvalidSetting


@pytest.mark.parametrize(
    ("text", "name", "url", "options"),
    [
        ("local", "local", None, {}),
        ("qdrant+http://10.0.0.5:6333", "qdrant", "http://10.0.0.5:6333", {}),
        ("qdrant+https://q.example/base/?a=3&b=2", "qdrant", "https://q.example/base", {"a": "3", "b": "2"}),
        ("pgvector+postgresql://me@db/shop", "pgvector", "postgresql://me@db/shop", {}),
    ],
)  # fmt: skip
def test_an_address_is_read(text: str, name: str, url: str | None, options: dict[str, str]) -> None:
    address = EngineAddress.parse(text)
    assert (address.name, address.url, dict(address.options)) == (name, url, options)
    assert EngineAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "neither a name nor"),
        ("a b", "neither a name nor"),
        ("http://host", "without an engine's name"),
        ("qdrant+http://", "names no host"),
        ("qdrant+http://host:port", "cannot be read"),
        ("qdrant+http://host?a", "cannot be read"),
        ("qdrant+http://host?a=1&a=2", "given twice"),
    ],
)
def test_what_is_no_address_is_refused(text: str, told: str) -> None:
    with pytest.raises(InvalidSetting, match=told) as refused:
        EngineAddress.parse(text)
    assert refused.value.field == "engine"


def test_a_password_is_refused_and_never_repeated() -> None:
    with pytest.raises(InvalidSetting, match="NEARFIELD_ENGINE_KEYS") as refused:
        EngineAddress.parse("pgvector+postgresql://me:hunter2@db/shop")
    assert "hunter2" not in str(refused.value)
