"""A Docker daemon on a socket: enough of its API for one container, each answer replaceable by a test."""

import gc
import json
import re
import socketserver
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from matrix.engine.protocol import LABEL, ContainerSpec

Reply = Callable[["Request"], None]
CONTAINER = ContainerSpec("kmatrix-r-1", "image:1", ("make", "-k"), "7:7", labels={LABEL: "r"})


class Request(BaseHTTPRequestHandler):
    server: "Daemon"
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        route = f"{self.command} {self.path.split('?')[0].removeprefix('/v1.41')}"
        self.server.asked.append((route, body))
        if route.endswith("/start"):
            self.server.started.set()
        reply = self.server.replies.get(route) or self.server.replies.get(_generalise(route))
        if reply is None:
            self.give(404, {"message": f"no such route: {route}"})
        else:
            reply(self)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815  the base class's names

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silence."""

    def give(self, status: int, body: object) -> None:
        self._give(status, json.dumps(body).encode())

    def _give(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def frames(self, *pieces: tuple[int, bytes]) -> None:
        """The answer to attach: frames, then the end of the connection."""
        self.wfile.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        self.server.started.wait(10)
        for number, data in pieces:
            self.frame(number, data)
        self.close_connection = True

    def frame(self, number: int, data: bytes) -> None:
        self.wfile.write(struct.pack(">BxxxL", number, len(data)) + data)


def _generalise(route: str) -> str:
    """The route of any container, or of any image: ``POST /containers/NAME/start``."""
    return re.sub(
        r"(/containers/|/images/)(?!create$|json$).+?(?=/(?:attach|json|start|tag|wait|kill)$|$)",
        r"\1NAME",
        route,
    )


def giving(status: int, body: object) -> Reply:
    return lambda request: request.give(status, body)


class Daemon(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A Docker daemon that runs one container, which prints ``out`` and ends with 0."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[tuple[str, bytes]] = []
        self.started = threading.Event()
        self.killed = threading.Event()
        made = "/containers/c1"
        self.replies: dict[str, Reply] = {
            "GET /version": giving(200, {"ApiVersion": "1.41", "Version": "20.10"}),
            "POST /containers/create": giving(201, {"Id": "c1"}),
            "GET /containers/c1/json": self.inspected(),
            f"POST /containers/{CONTAINER.name}/attach": lambda request: request.frames((1, b"out\n")),
            f"GET /containers/{CONTAINER.name}/json": self.inspected(),
            f"POST {made}/start": giving(204, None),
            f"POST {made}/wait": giving(200, {"StatusCode": 0}),
            f"POST {made}/kill": self._kill,
            f"DELETE {made}": giving(204, None),
        }
        super().__init__(str(path), Request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Silence: clients that hang up are what these tests are about."""

    @property
    def routes(self) -> list[str]:
        return [route for route, _ in self.asked]

    def inspected(self, **state: object) -> Reply:
        told = {"Status": "exited", "ExitCode": 0, "OOMKilled": False, "Pid": 0, **state}
        return giving(200, {"Id": "c1", "State": told, "Config": {"Tty": False}})

    def _kill(self, request: Request) -> None:
        request.give(204, None)
        self.killed.set()

    def until_killed(self, request: Request) -> None:
        """Print, and go on until somebody kills it."""
        request.frames((1, b"on\n"))
        self.killed.wait(20)

    def die(self, request: Request) -> None:
        """Be gone in the middle of an answer: no other request reaches anybody."""
        request.frames((1, b"out\npart"))
        self.path.unlink()


@contextmanager
def open_daemon() -> Iterator[Daemon]:
    """A daemon at work, for a while."""
    # Not tmp_path: a Unix socket's path has room for 107 bytes only.
    with tempfile.TemporaryDirectory() as directory, Daemon(Path(directory) / "s") as daemon:
        thread = threading.Thread(target=daemon.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield daemon
        finally:
            daemon.started.set()
            daemon.killed.set()
            daemon.shutdown()
            thread.join()
            gc.collect()  # now, and not in some later test, where a dropped socket would count as its fault
