"""The snippets of the documentation do what the pages say."""

from __future__ import annotations

import builtins
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.docs.pages import PROJECT, blocks, check_setup_line, run_page
from tests.reference.small_cross_encoder import build

from nearfield.domain.errors import ModelUnreachable
from nearfield.settings import load_settings
from nearfield.wiring import pull_model

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = sorted([PROJECT / "README.md", *PROJECT.glob("docs/*.md"), *PROJECT.glob("docs/howto/*.md")])
WITH_SNIPPETS = [
    page for page in PAGES if any(block.info.split()[:1] in (["python"], ["sh"]) for block in blocks(page))
]
MEANING_MATTERS = {"int8.md", "README.md", "quickstart.md"}
"""Pages whose asserts are about what is found; the others run with the fake embedder."""
TAKE_LONG = {"moves.md", "evaluate.md", "int8.md"}
"""Ten seconds and more."""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current folder but for the file that pages import, and no settings but those of a fresh install."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("NEARFIELD_") and name != "NEARFIELD_MODELS_DIR"]:
        monkeypatch.delenv(name)
    shutil.copy(PROJECT / "examples" / "products" / "catalogue.csv", tmp_path / "products.csv")


@pytest.fixture
def page_on_vertex() -> Iterator[Path]:
    """The page, its address and its key those of a stand-in."""
    from tests.vendors.vertex import VertexStub  # noqa: PLC0415 - the vendor's messages take seconds to load

    with VertexStub() as stub:
        Path("vertex-key.json").write_text(stub.key)
        text = (PROJECT / "docs" / "howto" / "engine-vertex.md").read_text(encoding="utf-8")
        there = re.compile(r"vertex\+https://[^\"]*location=europe-west4")
        assert there.search(text)
        mine = Path("engine-vertex.md")
        mine.write_text(there.sub(stub.address, text), encoding="utf-8")
        yield mine
        assert stub.watched.wrong == []


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page,
            id=page.relative_to(PROJECT).as_posix(),
            marks=[pytest.mark.heavy] if page.name in TAKE_LONG else [],
        )
        for page in WITH_SNIPPETS
    ],
)
def test_the_snippets_of_a_page(page: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if page.name in MEANING_MATTERS:
        settings = load_settings()
        try:
            pull_model(settings, settings.embedder)
        except ModelUnreachable as exc:
            pytest.skip(f"no weights on disk and no index that has them: {exc}")
    else:
        monkeypatch.setenv("NEARFIELD_ENVIRONMENT", "test")
        monkeypatch.setenv("NEARFIELD_EMBEDDER", "hashing")
    if page.name == "rerank.md":
        build(Path("my-cross-encoder"), ["desk lamp with a holder and two drawers"])
    if page.name in ("engine-pgvector.md", "engine-down.md"):
        server = request.getfixturevalue("postgres")
        monkeypatch.setattr(builtins, "stop_the_database", server.kill, raising=False)
        monkeypatch.setattr(builtins, "start_the_database", server.start, raising=False)
        port = server.port
        mine = Path(page.name)
        mine.write_text(page.read_text(encoding="utf-8").replace(":5432", f":{port}"), encoding="utf-8")
        page = mine
    if page.name == "engine-qdrant.md":
        server = request.getfixturevalue("qdrant_server")
        request.addfinalizer(server.reset)
        port = server.port
        mine = Path(page.name)
        mine.write_text(page.read_text(encoding="utf-8").replace(":6333?", f":{port}?"), encoding="utf-8")
        page = mine
    if page.name == "engine-vertex.md":
        page = request.getfixturevalue("page_on_vertex")
    assert run_page(page) > 0


def test_the_pages_that_must_have_snippets_have_them() -> None:
    assert {"README.md", "quickstart.md", "filters.md"} <= {page.name for page in WITH_SNIPPETS}


def test_a_page_that_lies_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n\n```python\nx = 1\n```\n\ntext\n\n```python\nassert x == 2\n```\n")
    with pytest.raises(AssertionError) as failed:
        run_page(page)
    assert failed.traceback[-1].lineno == 9
    page.write_text("```sh\nnearfield no-such-command\n```\n")
    with pytest.raises(AssertionError, match=r"page.md:2"):
        run_page(page)
    with pytest.raises(AssertionError, match="no target"):
        check_setup_line("make coffee", "page.md:1")
    with pytest.raises(AssertionError, match="pip install other"):
        check_setup_line("pip install other", "page.md:1")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
