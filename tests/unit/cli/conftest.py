"""The command line run in this process over a folder of its own, and as a process where signals matter."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import dataclass
from subprocess import PIPE
from typing import TYPE_CHECKING, Any, Protocol

import orjson
import pytest

from nearfield.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTINGS = {"NEARFIELD_ENVIRONMENT": "test", "NEARFIELD_EMBEDDER": "hashing", "NEARFIELD_ENGINE": "exact"}

PRODUCTS = """id,name,description,brand,price,in_stock
1,Wireless Earbuds,Noise-cancelling Bluetooth headphones,Acme,50.00,true
2,Desk Lamp,A warm light for late work,Lumo,35.50,true
3,Trail Shoes,Light shoes for rough paths,Peak,120.00,false
4,Kettle,Boils a litre of water in two minutes,Lumo,29.90,true
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.out)


class Run(Protocol):
    def __call__(self, *arguments: str, stdin: bytes = b"") -> Ran: ...


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with settings that need no weights; the data directory is made in it."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("NEARFIELD_")]:
        monkeypatch.delenv(name)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def nearfield(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run one command; its exit code and what it printed."""

    def run(*arguments: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = main(arguments)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture
def products(own_folder: Path) -> Path:
    """A file of four products."""
    path = own_folder / "products.csv"
    path.write_text(PRODUCTS, encoding="utf-8")
    return path


@pytest.fixture
def shop(nearfield: Run, products: Path) -> Run:
    """The same runner, once the products are in the collection `shop`."""
    ran = nearfield("import", str(products), "--collection", "shop")
    assert ran.code == 0, ran.err
    return nearfield


class Start(Protocol):
    def __call__(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]: ...


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the command as a process of its own, in the current folder and environment. Killed at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "import sys; from nearfield.cli.main import main; sys.exit(main())"]
        started.append(subprocess.Popen([*command, *arguments], stdout=PIPE, stderr=PIPE, **options))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()
