"""What is imported when: a start pays for nothing it does not use."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

MODELS = ("openvino", "openvino_telemetry", "onnxruntime", "tokenizers", "model2vec", "sentence_transformers", "torch")
ENGINES = ("zvec", "faiss", "chromadb", "qdrant_client", "weaviate", "asyncpg", "botocore", "grpc")
SERVER = ("fastapi", "starlette", "uvicorn", "prometheus_client")
REST = ("sqlalchemy", "alembic", "pyarrow", "scipy", "ir_measures", "httpx2", "semantic_text_splitter")
EVERYTHING = (*MODELS, *ENGINES, *SERVER, *REST)

HELP = "import sys; from nearfield.cli.main import main; main(['--help'])"
OPENED = """
import asyncio, sys
from nearfield.settings import load_settings
from nearfield.wiring import open_backend
async def opened(folder):
    await (await open_backend(load_settings(data_dir=folder, environment="test", embedder="hashing"))).close()
asyncio.run(opened({folder!r}))
"""
CONVERTER = """
import importlib, sys
from nearfield.graphs.openvino_session import native_precision
native_precision()
converter = sys.modules["openvino"].convert_model
"""


def imported(code: str, *names: str) -> set[str]:
    """Which of some modules a fresh interpreter has after running code."""
    told = f"import sys; print(*[name for name in {names!r} if name in sys.modules], sep='\\n', file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{told}"], capture_output=True, text=True, timeout=120, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import nearfield", (*EVERYTHING, "numpy", "pydantic", "typer", "lark")),
        (HELP, (*EVERYTHING, "numpy", "pydantic", "lark")),
        ("import nearfield; nearfield.open", EVERYTHING),
        ("import nearfield.cli.searching", EVERYTHING),
        ("import nearfield.cli.importing", EVERYTHING),
        ("import nearfield.cli.serving", EVERYTHING),
        ("import nearfield.api.listening", (*MODELS, *ENGINES, *REST)),
    ],
    ids=["the package", "help", "the library", "search", "import", "serve", "the HTTP part"],
)
def test_nothing_is_imported_before_it_is_used(code: str, names: tuple[str, ...]) -> None:
    assert imported(code, *names) == set()


def test_a_database_that_is_up_to_date_is_opened_without_migrations(tmp_path: Path) -> None:
    code = OPENED.format(folder=str(tmp_path))
    assert imported(code, "alembic", "sqlalchemy") == {"alembic", "sqlalchemy"}
    assert imported(code, "alembic", "sqlalchemy", *ENGINES, *MODELS, *SERVER) == {"sqlalchemy"}


def test_openvino_runs_without_its_converter_which_tells_of_its_import_by_the_network() -> None:
    pytest.importorskip("openvino")
    names = ("openvino", "openvino.tools.ovc", "openvino_telemetry")
    assert imported(CONVERTER, *names) == {"openvino"}
    # a host program that wants the converter, before or after, has it
    after = f"{CONVERTER}\nimport openvino.tools.ovc\nassert callable(converter)"
    assert "openvino.tools.ovc" in imported(after, *names)
    before = f"import openvino\nassert openvino.convert_model.__module__ == 'openvino.tools.ovc.convert'\n{CONVERTER}"
    assert "openvino.tools.ovc" in imported(before, *names)
