"""What load generators tell: two of them, one form."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import pytest
from benchmarks.client_load import read_requests
from benchmarks.load import Request, fire, parse_tally

TALLY = (
    'TALLY {"seconds": 2.0, "good": 90, "refused": 10, "without_retry_after": 1, "other": 2, "lost": 3, '
    '"p50_ms": 1.5, "p95_ms": 4.0, "p99_ms": 9.0}'
)


def test_a_tally_is_found_among_what_else_is_printed() -> None:
    found = parse_tally(f"Running 2s test\n  1 threads\n\n{TALLY}\n", 0.5, seconds=2)

    assert found.rate == 45.0
    assert found.failed == 5
    assert (found.refused, found.without_retry_after) == (10, 1)
    assert found.generator_cpu == 0.25


def test_no_tally_is_told_with_what_was_printed() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        parse_tally("unable to connect to 127.0.0.1:9", 0.0, seconds=1)


def test_requests_are_read_as_they_were_written(tmp_path: Path) -> None:
    sent = [Request("POST", "/search", '{"query": "café\\n12\\n"}'.encode()), Request("GET", "/upsert?a=b")]
    file = tmp_path / "requests"
    file.write_bytes(b"".join(b"%d\n%s" % (len(each.wire()), each.wire()) for each in sent))

    assert read_requests(file) == [each.wire() for each in sent]


class _Moody(BaseHTTPRequestHandler):
    """Answers 200, 503 with a hint, 503 without, 500, and again."""

    protocol_version = "HTTP/1.1"
    turns = count()
    taking = threading.Lock()
    bodies: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        with self.taking:
            turn = next(self.turns) % 4
            self.bodies.append(body)
        self.send_response((200, 503, 503, 500)[turn])
        if turn == 1:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def moody() -> Iterator[ThreadingHTTPServer]:
    _Moody.bodies = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Moody)
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    yield server
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.mark.parametrize("generator", ["wrk", "python"])
def test_every_answer_is_counted_as_what_it_is(
    generator: str, moody: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if generator == "wrk" and shutil.which("wrk") is None:
        pytest.skip("wrk is not installed")
    if generator == "python":
        monkeypatch.setattr(shutil, "which", lambda _: None)
    sent = [Request("POST", "/", b"%d" % number) for number in range(50_000)]

    found = fire(moody.server_port, sent, clients=2, seconds=1)

    # At the end each client may still have had one request under way, whose answer nobody counted.
    assert found.good == pytest.approx(found.refused / 2, abs=2)
    assert found.good == pytest.approx(found.other, abs=2)
    assert found.without_retry_after == pytest.approx(found.refused / 2, abs=2)
    assert found.good > 0
    assert found.lost == 0
    assert 0 < found.p50_ms <= found.p95_ms <= found.p99_ms
    assert found.generator_cpu > 0
    assert len(set(_Moody.bodies)) == len(_Moody.bodies)  # no request twice
