"""The client's side: `python -m benchmarks.client PORT PATH`, bodies as a JSON list on standard input.

Sends them one after the other over one connection and prints the milliseconds each took as a JSON list.
"""

from __future__ import annotations

import http.client
import json
import sys
import time


def main() -> None:
    """Raises SystemExit at the first answer that is not 200."""
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    took = []
    for body in json.load(sys.stdin):
        sent = json.dumps(body).encode()
        started = time.perf_counter()
        connection.request("POST", sys.argv[2], sent, {"content-type": "application/json"})
        answer = connection.getresponse()
        received = answer.read()
        took.append((time.perf_counter() - started) * 1000)
        if answer.status != http.client.OK:
            raise SystemExit(f"{answer.status}: {received[:300]!r}")
    json.dump(took, sys.stdout)


if __name__ == "__main__":
    main()
