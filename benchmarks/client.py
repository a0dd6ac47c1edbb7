"""The client's side: `python -m benchmarks.client PORT PATH`, bodies as a JSON list on standard input.

Sends them one after the other over one connection and prints the milliseconds each took as a JSON list. Each request is
one write to a socket and little is read of the answer, since what a client library costs is not the service's.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def main() -> None:
    """Raises SystemExit at the first answer that is not 200."""
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        took = []
        for body in json.load(sys.stdin):
            sent = json.dumps(body).encode()
            head = (
                f"POST {sys.argv[2]} HTTP/1.1\r\nhost: localhost\r\n"
                f"content-type: application/json\r\ncontent-length: {len(sent)}\r\n\r\n"
            )
            started = time.perf_counter()
            connection.sendall(head.encode() + sent)
            answer = _answer(connection)
            took.append((time.perf_counter() - started) * 1000)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(answer[:500].decode("utf-8", "replace"))
    json.dump(took, sys.stdout)


def _answer(connection: socket.socket) -> bytes:
    """One whole answer, which must say its length."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += _more(connection)
    length = _LENGTH.search(received, 0, end + 2)
    if length is None:
        raise SystemExit(f"an answer without content-length: {received[:end]!r}")
    while len(received) < end + 4 + int(length.group(1)):
        received += _more(connection)
    return received


def _more(connection: socket.socket) -> bytes:
    piece = connection.recv(1 << 18)
    if not piece:
        raise SystemExit("the server closed the connection")
    return piece


if __name__ == "__main__":
    main()
