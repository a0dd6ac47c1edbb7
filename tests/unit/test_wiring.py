from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.reference.small_cross_encoder import build

from nearfield.domain.errors import (
    DataDirInUse,
    EmbedderUnavailable,
    InvalidRequest,
    InvalidSetting,
    ModelUnknown,
    NearfieldError,
    ShuttingDown,
    UnsupportedByEngine,
)
from nearfield.domain.queries import Search
from nearfield.domain.schema import IndexKind
from nearfield.domain.spec_json import spec_from_json
from nearfield.models.shelf import Shelf
from nearfield.protocols.source import SourceRow
from nearfield.settings import Settings, load_settings
from nearfield.wiring import (
    MAX_RERANKERS,
    EmbedderPool,
    EnginePool,
    RerankerPool,
    build_embedder,
    build_reranker,
    engine_capabilities,
    engine_class,
    open_backend,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nearfield.models.local import Weights

HOLDER = """
import asyncio, sys
from nearfield.settings import load_settings
from nearfield.wiring import open_backend
async def main():
    backend = await open_backend(load_settings(data_dir=sys.argv[1], environment="test", embedder="hashing"))
    print("open", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def settings_of(folder: Path, **more: object) -> Settings:
    return load_settings(data_dir=folder, models_dir=folder / "models", environment="test", embedder="hashing", **more)


# -- the data directory ------------------------------------------------------------------------------------------------
async def test_a_data_directory_is_open_once(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "when absent"
    backend = await open_backend(settings_of(folder))
    with pytest.raises(DataDirInUse, match=f"is in use by process {os.getpid()}; one process at a time") as told:
        await open_backend(settings_of(folder))
    assert str(folder) in str(told.value)
    await backend.close()
    again = await open_backend(settings_of(folder))
    await again.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
async def test_another_process_is_named_and_its_death_frees_the_directory(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(DataDirInUse, match=f"process {holder.pid};"):
            await open_backend(settings_of(tmp_path))
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    await (await open_backend(settings_of(tmp_path))).close()


async def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InvalidSetting, match="cannot be used") as told:
        await open_backend(settings_of(tmp_path / "file"))
    assert told.value.field == "data_dir"


async def test_a_backend_that_does_not_open_frees_the_directory(tmp_path: Path) -> None:
    (tmp_path / "nearfield.db").write_bytes(b"this is no database, and it is long enough to be looked at" * 20)
    for _ in range(2):
        with pytest.raises(NearfieldError) as told:
            await open_backend(settings_of(tmp_path))
        assert not isinstance(told.value, DataDirInUse)


# -- the whole ---------------------------------------------------------------------------------------------------------
async def test_from_documents_to_answers_and_back_after_a_restart(tmp_path: Path) -> None:
    backend = await open_backend(settings_of(tmp_path))
    with pytest.raises(EmbedderUnavailable, match="still being loaded"):
        await backend.ready()
    await backend.catalog.create(spec_from_json("books", backend.with_defaults({"embed": "{text}"})))
    await backend.warm()
    await backend.ready()
    rows = [SourceRow(n, {"id": str(n), "text": f"the book of number {n}"}) for n in range(1, 30)]
    receipt = (await backend.documents.upsert("books", rows)).receipt
    ask = Search(query="the book of number 7", limit=1, min_seq=receipt.seq)
    answer = await backend.searches.search("books", ask)
    assert [hit.id for hit in answer] == ["7"]
    await backend.close()
    await backend.close()
    with pytest.raises(ShuttingDown):
        await backend.ready()

    backend = await open_backend(settings_of(tmp_path))
    await backend.warm()
    assert [hit.id for hit in await backend.searches.search("books", ask)] == ["7"]
    assert (await backend.catalog.check("books")).clean
    await backend.close()


# -- engines -----------------------------------------------------------------------------------------------------------
def test_every_engine_tells_what_it_can() -> None:
    capabilities = engine_capabilities()
    assert {"exact", "local"} <= set(capabilities)
    assert capabilities["exact"].kinds == {IndexKind.FLAT}
    assert engine_class("local").capabilities is capabilities["local"]


def test_an_unknown_engine_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        UnsupportedByEngine, match=r"no engine 'abacus' is installed; installed are .*exact, .*local"
    ) as told:
        EnginePool(tmp_path, {}).get("abacus")
    assert told.value.field == "engine"


async def test_an_engine_has_one_folder_of_its_own(tmp_path: Path) -> None:
    pool = EnginePool(tmp_path, {})
    assert pool.get("exact") is pool.get("exact")
    assert pool.get("exact") is not pool.get("local")
    await pool.close()


async def test_an_address_an_engine_cannot_be_at_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="engine exact runs in this process") as told:
        EnginePool(tmp_path, {}).get("exact+http://host")
    assert told.value.field == "engine"


# -- defaults ----------------------------------------------------------------------------------------------------------
async def test_what_is_not_named_is_the_settings(tmp_path: Path) -> None:
    backend = await open_backend(settings_of(tmp_path))
    assert backend.with_defaults({}) == {
        "embedder": "hashing",
        "engine": "local",
        "index": {"kind": "hnsw", "metric": "cosine", "quantization": "float16"},
    }
    assert backend.with_defaults({"engine": "exact"}) == {
        "embedder": "hashing",
        "engine": "exact",
        "index": {"kind": "flat", "metric": "cosine"},
    }
    own = {"engine": "exact", "embedder": "vectors:3", "index": {"kind": "hnsw", "metric": "cosine", "m": 8}}
    assert backend.with_defaults(own) == own  # what is asked is refused by the engine, not changed here
    await backend.close()


@pytest.mark.parametrize(
    ("asked", "quantization"),
    [
        ({}, "float16"),
        ({"m": 32}, "float16"),
        ({"quantization": "none"}, "none"),
        ({"quantization": "int8"}, "int8"),
        ({"metric": "dot"}, None),  # of any length: a component may be beyond what float16 holds
        ({"kind": "flat"}, None),
    ],
)
async def test_a_graph_for_cosine_is_of_float16_unless_it_is_told(
    tmp_path: Path, asked: dict[str, Any], quantization: str | None
) -> None:
    backend = await open_backend(settings_of(tmp_path))
    assert backend.with_defaults({"index": asked})["index"].get("quantization") == quantization
    await backend.close()


async def test_a_body_of_the_wrong_form_is_left_to_its_reader(tmp_path: Path) -> None:
    backend = await open_backend(settings_of(tmp_path))
    assert backend.with_defaults({"engine": 3})["engine"] == 3
    assert backend.with_defaults({"index": "hnsw"})["index"] == "hnsw"
    await backend.close()


# -- embedders ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("environment", ["production", "development"])
def test_the_fake_embedder_is_for_tests_only(tmp_path: Path, environment: str) -> None:
    settings = load_settings(data_dir=tmp_path, models_dir=tmp_path, environment=environment)
    with pytest.raises(InvalidSetting, match="set NEARFIELD_ENVIRONMENT=test") as told:
        build_embedder("hashing", settings)
    assert told.value.field == "embedder"


def test_an_unknown_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelUnknown):
        build_embedder("no-such-model", settings_of(tmp_path))


@pytest.mark.parametrize("name", ["vectors:", "vectors:0", "vectors:x", "vectors:-3"])
def test_a_wrong_dimension_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidSetting, match="embedder"):
        build_embedder(name, settings_of(tmp_path))


async def test_an_embedder_is_built_once(tmp_path: Path) -> None:
    pool = EmbedderPool(settings_of(tmp_path))
    first = await pool.get("hashing")
    assert await pool.get("hashing") is first
    assert (await pool.get("vectors:7")).dimension == 7
    await pool.close()


# -- rerankers ---------------------------------------------------------------------------------------------------------
async def test_a_package_brings_a_kind_of_reranker_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme_rerank.py").write_text(
        "class Acme:\n"
        "    name = ''\n"
        "    @classmethod\n"
        "    def open(cls, model, place):\n"
        "        made = cls()\n"
        "        made.name, made.threads = model, place.threads\n"
        "        return made\n"
    )
    meta = tmp_path / "acme_rerank-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-rerank\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text("[nearfield.rerankers]\nacme = acme_rerank:Acme\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    made = build_reranker("acme:large", settings_of(tmp_path, threads=3))
    assert (made.name, made.threads) == ("large", 3)  # type: ignore[attr-defined]
    with pytest.raises(ModelUnknown, match=r"'zeta' is installed; installed: .*acme"):
        build_reranker("zeta:large", settings_of(tmp_path))


def test_int8_is_asked_for_in_the_name(weights: Callable[[str], Weights]) -> None:
    for name in ("all-MiniLM-L6-v2", "potion-base-8M", "paraphrase-MiniLM-L3-v2"):
        weights(name)
    settings = load_settings(environment="test")
    native = build_embedder("all-MiniLM-L6-v2", settings)
    quick = build_embedder("sentence-transformers/all-MiniLM-L6-v2:int8", settings)
    assert quick.name == "all-MiniLM-L6-v2:int8"
    assert quick.fingerprint != native.fingerprint
    for other in (load_settings(precision="int8"), load_settings(precision="float32")):
        assert build_embedder("all-MiniLM-L6-v2", other).fingerprint == native.fingerprint, "the name decides"
        assert build_embedder("all-MiniLM-L6-v2:int8", other).fingerprint == quick.fingerprint
    with pytest.raises(InvalidSetting, match="potion-base-8M has none"):
        build_embedder("potion-base-8M:int8", settings)
    with pytest.raises(InvalidSetting, match="known models with it: all-MiniLM-L6-v2"):
        build_embedder("paraphrase-MiniLM-L3-v2:int8", settings)
    with pytest.raises(ModelUnknown, match="hashing"):
        build_embedder("hashing:int8", settings)


async def test_collections_to_come_are_in_int8_where_the_setting_says_so(tmp_path: Path) -> None:
    backend = await open_backend(load_settings(data_dir=tmp_path, environment="test", precision="int8"))
    try:
        assert backend.with_defaults({"name": "a"})["embedder"] == "all-MiniLM-L6-v2:int8"
        assert backend.with_defaults({"name": "a", "embedder": "hashing"})["embedder"] == "hashing"
    finally:
        await backend.close()


def test_a_search_has_no_weights_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedder's name was fetched whole before it was found to be no cross-encoder, by any search that named it."""
    monkeypatch.setattr(Shelf, "_complete", lambda *_: pytest.fail("weights were fetched"))
    for name in ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"):
        with pytest.raises(ModelUnknown, match="no cross-encoder"):
            build_reranker(name, settings_of(tmp_path))


async def test_so_many_rerankers_are_open_and_no_more(tmp_path: Path) -> None:
    pool = RerankerPool(settings_of(tmp_path))
    for number in range(MAX_RERANKERS):
        await pool.get(str(build(tmp_path / f"model{number}", ["a text"])))
    assert (await pool.get(str(tmp_path / "model0"))) is (await pool.get(str(tmp_path / "model0")))
    with pytest.raises(InvalidRequest, match="4 rerankers are open"):
        await pool.get(str(build(tmp_path / "model9", ["a text"])))
    await pool.close()
