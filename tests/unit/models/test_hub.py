from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearfield.domain.errors import ModelUnreachable
from nearfield.models.fingerprint import sha256_of
from nearfield.models.hub import ENDPOINT, HubSource

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.models.conftest import Served

    from nearfield.models.catalogue import KnownModel
    from nearfield.models.source import Transfer

MODEL_URL = "/org/tiny/resolve/c0ffee/model.onnx"
TOKENIZER_URL = "/org/tiny/resolve/c0ffee/sub/tokenizer.json"


@pytest.fixture
def graph() -> bytes:
    return bytes(range(256)) * 2_000


@pytest.fixture(autouse=True)
def _files(served: Served, graph: bytes) -> None:
    served.files = {MODEL_URL: graph, TOKENIZER_URL: b'{"version": "1.0"}'}


def test_files_come_from_the_pinned_commit(served: Served, tiny: KnownModel, tmp_path: Path) -> None:
    seen: list[Transfer] = []
    HubSource(served.url).fetch(tiny.files, tmp_path, seen.append)
    assert [path for path, _ in served.asked] == [MODEL_URL, TOKENIZER_URL]
    for file in tiny.files[:2]:
        assert sha256_of(tmp_path / file.sha256) == file.sha256
    assert (seen[-1].what, seen[-1].done, seen[-1].total) == ("sub/tokenizer.json", 18, 18)
    graph_bytes = [transfer.done for transfer in seen if transfer.what == "model.onnx"]
    assert graph_bytes == sorted(graph_bytes)
    assert graph_bytes[-1] == tiny.files[0].size


def test_a_broken_download_goes_on_where_it_stopped(served: Served, tiny: KnownModel, tmp_path: Path) -> None:
    served.cut[MODEL_URL] = 300_000
    HubSource(served.url).fetch(tiny.files[:1], tmp_path, lambda _: None)
    (_, first), (_, second) = served.asked
    assert first is None
    assert second is not None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= 300_000
    assert sha256_of(tmp_path / tiny.files[0].sha256) == tiny.files[0].sha256


def test_a_later_run_goes_on_too(served: Served, tiny: KnownModel, tmp_path: Path, graph: bytes) -> None:
    (tmp_path / f"{tiny.files[0].sha256}.part").write_bytes(graph[:1_000])
    HubSource(served.url).fetch(tiny.files[:1], tmp_path, lambda _: None)
    assert served.asked == [(MODEL_URL, "bytes=1000-")]
    assert sha256_of(tmp_path / tiny.files[0].sha256) == tiny.files[0].sha256


def test_a_server_without_ranges_starts_again(served: Served, tiny: KnownModel, tmp_path: Path) -> None:
    served.ranges = False
    (tmp_path / f"{tiny.files[0].sha256}.part").write_bytes(b"wrong beginning")
    HubSource(served.url).fetch(tiny.files[:1], tmp_path, lambda _: None)
    assert sha256_of(tmp_path / tiny.files[0].sha256) == tiny.files[0].sha256


def test_no_more_than_the_pinned_size_is_written(served: Served, tiny: KnownModel, tmp_path: Path) -> None:
    served.files[TOKENIZER_URL] = b"x" * 5_000_000
    HubSource(served.url).fetch(tiny.files[1:2], tmp_path, lambda _: None)
    assert (tmp_path / tiny.files[1].sha256).stat().st_size == tiny.files[1].size


def test_a_missing_file_is_told_by_its_address(served: Served, tiny: KnownModel, tmp_path: Path) -> None:
    del served.files[MODEL_URL]
    with pytest.raises(ModelUnreachable, match=r"model\.onnx answered 404"):
        HubSource(served.url).fetch(tiny.files, tmp_path, lambda _: None)


def test_an_absent_server_is_told_at_once(served: Served, tiny: KnownModel, tmp_path: Path) -> None:
    with pytest.raises(ModelUnreachable, match="no connection to http://127"):
        HubSource("http://127.0.0.1:9").fetch(tiny.files, tmp_path, lambda _: None)


def test_offline_asks_nothing(served: Served, tiny: KnownModel, tmp_path: Path) -> None:
    with pytest.raises(ModelUnreachable, match="HF_HUB_OFFLINE"):
        HubSource(served.url, offline=True).fetch(tiny.files, tmp_path, lambda _: None)
    assert served.asked == []


def test_files_it_does_not_carry_are_passed_over(served: Served, tiny: KnownModel, tmp_path: Path) -> None:
    HubSource(served.url, offline=True).fetch(tiny.files[2:], tmp_path, lambda _: None)
    assert list(tmp_path.glob(tiny.files[2].sha256)) == []


@pytest.mark.parametrize(
    ("environ", "endpoint", "offline"),
    [
        ({}, ENDPOINT, False),
        ({"HF_ENDPOINT": "https://mirror.example/"}, "https://mirror.example", False),
        ({"HF_HUB_OFFLINE": "1"}, ENDPOINT, True),
        ({"HF_HUB_OFFLINE": "true", "HF_ENDPOINT": ""}, ENDPOINT, True),
        ({"HF_HUB_OFFLINE": "0"}, ENDPOINT, False),
    ],
)
def test_the_hubs_own_variables_are_honoured(environ: dict[str, str], endpoint: str, offline: bool) -> None:
    hub = HubSource.from_environment(environ)
    assert (hub.endpoint, hub.offline) == (endpoint, offline)
