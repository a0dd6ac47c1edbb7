"""A Qdrant server for tests: the REST API over qdrant-edge, with faults on request.

    python tests/vendors/qdrant_server.py FOLDER [--key KEY] [--schema FILE] [--tls CERT KEYFILE]

Prints the port it took. With a schema (Qdrant's published OpenAPI), every request and every answer by HTTP is checked
against it; what does not agree is answered 599 and fails the test that asked. `POST /_faults` takes a list of faults,
each for the next `times` requests whose path, or method by gRPC, ends in `path`: {"path", "times", "headers",
"delay_s", "body"}, with "status" for HTTP and "code" for gRPC. `POST /_empty` drops every collection. `POST /_grpc`
with {"port"} answers by gRPC too, from then on, and tells the port, of its choice where 0 was given.
"""

from __future__ import annotations

import argparse
import json
import re
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.vendors.qdrant_edge_store import Collections, Refused
from tests.vendors.schema import Answer, Contract, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.vendors.qdrant_grpc import GrpcServer

    Json = dict[str, Any]

DONE = {"operation_id": 1, "status": "completed"}


class Service:
    """Answers requests. Any thread may ask."""

    def __init__(self, folder: Path, key: str | None, contract: Contract | None, tls: tuple[Path, Path] | None) -> None:
        """tls: certificate and key of the server, as PEM."""
        self._collections, self._key, self._contract, self._tls = Collections(folder), key, contract, tls
        self._grpc: GrpcServer | None = None
        self._faults: list[Json] = []
        self._lock = threading.Lock()

    def told(self, request: Request) -> Answer | None:
        """The answer to a test that tells the server what to do; None to any other request."""
        match request.path:
            case "/_empty":
                for name in self._collections.names():
                    self._collections.drop(name)
            case "/_faults":
                with self._lock:
                    self._faults = json.loads(request.body)
            case "/_grpc":
                return _answer(200, {"port": self._serve_grpc(json.loads(request.body)["port"])})
            case _:
                return None
        return _answer(200, {})

    def fault(self, path: str) -> Json | None:
        """The fault that is due, if any; taken from the list."""
        with self._lock:
            fitting = (fault for fault in self._faults if fault["times"] > 0 and path.endswith(fault["path"]))
            due = next(fitting, None)
            if due is not None:
                due["times"] -= 1
            return due

    def answer(self, request: Request) -> Answer:
        """What a server answers, unless the contract forbids it or the request."""
        if self._key is not None and request.headers.get("api-key") != self._key:
            return _failed(401, "Must provide an API key or an Authorization bearer token")
        try:
            wrong = self._contract.wrong_request(request) if self._contract else []
            if wrong:
                return _failed(599, f"against the schema: {wrong}")
            result = self._result(request.method, request.path, json.loads(request.body) if request.body else None)
            answer = _answer(200, {"result": result, "status": "ok", "time": 0.001})
            wrong += self._contract.wrong_answer(request, answer) if self._contract else []
        except Refused as exc:
            return _failed(exc.status, str(exc))
        except Exception as exc:  # noqa: BLE001 - a test has to see it
            return _failed(500, repr(exc))
        return _failed(599, f"against the schema: {wrong}") if wrong else answer

    def _serve_grpc(self, port: int) -> int:
        from tests.vendors.qdrant_grpc import GrpcServer  # noqa: PLC0415 - a second, which few tests need

        with self._lock:
            if self._grpc is None:
                self._grpc = GrpcServer(self._collections, key=self._key, due=self.fault, tls=self._tls, port=port)
            return self._grpc.port

    def _result(self, method: str, path: str, body: Any) -> Any:
        for verb, pattern, route in ROUTES:
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                return route(self._collections, *found.groups(), body)
        raise Refused(404, f"no route {method} {path}")


def _answer(status: int, body: Json) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(body).encode())


def _failed(status: int, message: str) -> Answer:
    return _answer(status, {"status": {"error": message}, "time": 0.0})


def _create(every: Collections, name: str, body: Json) -> bool:
    every.create(name, body)
    return True


def _change(every: Collections, name: str, body: Json) -> bool:
    every.get(name).change(body)
    return True


def _index(every: Collections, name: str, body: Json) -> Json:
    every.get(name).index(body["field_name"], body["field_schema"])
    return DONE


def _upsert(every: Collections, name: str, body: Json) -> Json:
    every.get(name).upsert(body["points"])
    return DONE


def _delete(every: Collections, name: str, body: Json) -> Json:
    every.get(name).delete(body["points"])
    return DONE


ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", "/collections()", lambda every, *_: {"collections": [{"name": name} for name in every.names()]}),
    ("GET", "/collections/([^/]+)/exists", lambda every, name, _: {"exists": name in every.names()}),
    ("GET", "/collections/([^/]+)", lambda every, name, _: every.get(name).info()),
    ("PUT", "/collections/([^/]+)", _create),
    ("PATCH", "/collections/([^/]+)", _change),
    ("DELETE", "/collections/([^/]+)", lambda every, name, _: every.drop(name)),
    ("PUT", "/collections/([^/]+)/index", _index),
    ("PUT", "/collections/([^/]+)/points", _upsert),
    ("POST", "/collections/([^/]+)/points", lambda every, name, body: every.get(name).retrieve(body)),
    ("POST", "/collections/([^/]+)/points/delete", _delete),
    ("POST", "/collections/([^/]+)/points/query", lambda every, name, body: {"points": every.get(name).query(body)}),
    ("POST", "/collections/([^/]+)/points/scroll", lambda every, name, body: every.get(name).scroll(body)),
    ("POST", "/collections/([^/]+)/points/count", lambda every, name, body: {"count": every.get(name).count(body)}),
]


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 in, HTTP/1.1 out."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    service: Service

    def _serve(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, parts.path, parts.query, headers, self.rfile.read(length))
        told = self.service.told(request)
        fault = None if told else self.service.fault(request.path)
        if fault is None:
            self._send(told or self.service.answer(request))
            return
        time.sleep(fault.get("delay_s", 0))
        headers = {"content-type": "application/json", **fault.get("headers", {})}
        self._send(Answer(fault.get("status", 200), headers, fault.get("body", "{}").encode()))

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: tests read stdout."""


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 256  # nobody is let in while the engine keeps the interpreter, and 5 is soon exceeded


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key")
    parser.add_argument("--schema", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", nargs=2, type=Path)
    given = parser.parse_args()
    contract = Contract.load(given.schema, closed=True) if given.schema else None
    Handler.service = Service(given.folder, given.key, contract, given.tls and tuple(given.tls))
    server = Server(("127.0.0.1", given.port), Handler)
    if given.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*given.tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
