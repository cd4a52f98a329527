"""kcidb-restd on loopback: it takes a token and JSON, and what it takes is processed by KCIDB's own schema.

What it answers can be replaced, by route, as of a server that is slow, broken or another's.
"""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jsonschema import ValidationError
from kcidb_io.schema import V5_3  # type: ignore[import-untyped]

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJvcmlnaW4iOiJ0ZXN0In0.c2VjcmV0LXNlY3JldA"
Reply = Callable[["KcidbRequest"], None]


def check_submission(document: Any) -> None:
    """ValidationError for what is not exactly what KCIDB's own schema 5.3 has."""
    V5_3.validate_exactly(document)
    assert V5_3.is_compatible_exactly(document)


class KcidbDaemon(ThreadingHTTPServer):
    """``replies``: route → what answers in its place, once for each of a list, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), KcidbRequest)
        self.replies: dict[str, list[Reply]] = {}
        self.documents: dict[str, bytes] = {}
        self.headers: list[dict[str, str]] = []
        self.asked: list[str] = []
        self.has_request = threading.Event()
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        scheme = "https" if isinstance(self.socket, ssl.SSLSocket) else "http"
        return f"{scheme}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Silence: clients of these tests hang up."""


class KcidbRequest(BaseHTTPRequestHandler):
    server: KcidbDaemon
    body: bytes

    def _answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        route = f"{self.command} {urlsplit(self.path).path}"
        self.server.asked.append(route)
        self.server.headers.append(dict(self.headers))
        self.server.has_request.set()
        replies = self.server.replies.get(route)
        if replies:
            (replies.pop(0) if len(replies) > 1 else replies[0])(self)
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.give(401, {"id": "0", "status": "error", "message": "InvalidSignature"})
        elif route == "POST /submit":
            self._take()
        elif route == "GET /status":
            self._tell(parse_qs(urlsplit(self.path).query)["id"][0])
        else:
            self.send_error(404)

    do_GET = do_POST = _answer  # noqa: N815  the base class's names

    def _take(self) -> None:
        try:
            json.loads(self.body)
        except ValueError as error:
            self.give(400, {"id": "0", "status": "error", "message": str(error)})
            return
        number = f"{len(self.server.documents):032}"
        self.server.documents[number] = self.body
        self.give(200, {"id": number, "status": "ok", "message": f"Received submission {number}"})

    def _tell(self, number: str) -> None:
        if number not in self.server.documents:
            self.give(404, {"id": number, "status": "notfound", "message": "File not found"})
            return
        try:
            check_submission(json.loads(self.server.documents[number]))
        except ValidationError:
            self.give_status("failed", "File failed to pass validation")
        else:
            self.give_status("processed", "File archived")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silence."""

    def give_status(self, status: str, message: str) -> None:
        number = parse_qs(urlsplit(self.path).query)["id"][0]
        self.give(200, {"id": number, "status": status, "message": message})

    def give(self, status: int, body: object, **headers: str) -> None:
        self.give_bytes(status, json.dumps(body).encode(), **headers)

    def give_bytes(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def run_daemon(certificate: Path | None = None) -> Iterator[KcidbDaemon]:
    """The daemon, at work until the end; with TLS where it has a certificate, in one file with its key."""
    with KcidbDaemon() as daemon:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            daemon.socket = context.wrap_socket(daemon.socket, server_side=True)
        thread = threading.Thread(target=daemon.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield daemon
        finally:
            daemon.stopping.set()
            daemon.shutdown()
            thread.join()
