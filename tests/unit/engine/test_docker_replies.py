"""An engine that answers nonsense to every call: an error with words, never a bug, a hang or a flood."""

import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from matrix.engine import docker_engine, docker_replies
from matrix.engine.docker_engine import DockerEngine
from matrix.engine.docker_replies import (
    UnreadableReplyError,
    join_bounded,
    parse_container_state,
    parse_engine_info,
    parse_id,
    parse_image,
    parse_image_sizes,
    parse_transfer,
)
from matrix.engine.protocol import LABEL, RECIPE_LABEL, ContainerSpec, ImageDescription
from matrix.errors import EngineError
from tests.fakes.daemon import CONTAINER, Daemon, Reply, Request, giving, open_daemon

pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning",
    "ignore:Exception ignored in. <http:pytest.PytestUnraisableExceptionWarning",
)
IMAGE = "kmatrix/a:1"


def raw(content: bytes) -> Reply:
    """These bytes in place of an HTTP reply, and the end of the connection."""

    def reply(request: Request) -> None:
        request.wfile.write(content)
        request.close_connection = True

    return reply


def page(status: int, content: bytes, kind: str = "text/html", *more: str) -> Reply:
    head = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(content)}", *more]
    return raw("\r\n".join(head).encode() + b"\r\n\r\n" + content)


def endless(piece: bytes) -> Reply:
    def reply(request: Request) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            request.wfile.write(piece)

    return reply


def chunked(*pieces: bytes) -> Reply:
    coded = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces)
    return raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + coded + b"0\r\n\r\n")


HTML = b"<!DOCTYPE html><html><body><h1>It works!\x1b[31m</h1>" + b"<p>more</p>" * 10_000
# What any call may be answered with.
ANYWHERE: dict[str, Reply] = {
    "no JSON": page(200, b"hello", "application/json"),
    "nothing": raw(b""),
    "an empty body": page(200, b""),
    "half of JSON": page(200, b'{"Id": "sha', "application/json"),
    "a string": giving(200, "yes"),
    "a number": giving(200, 7),
    "null": giving(200, None),
    "a list": giving(200, [[], 5, None]),
    "an empty object": giving(200, {}),
    "every key with another type": giving(
        200, {"Id": 5, "State": [], "NCPU": "two", "MemTotal": None, "Version": {}, "Config": 3}
    ),
    "deep JSON": page(200, b"[" * 200_000 + b"]" * 200_000, "application/json"),
    "a number of 9,999 digits": page(200, b'{"Id": ' + b"9" * 9_999 + b"}", "application/json"),
    "no UTF-8": page(200, b'{"Id": "\xff\xfe\x00"', "application/json"),
    "a web page": page(200, HTML),
    "500 and a web page": page(500, HTML),
    "500 and a list": giving(500, ["message"]),
    "500 and an object without a message": giving(500, {"error": 1}),
    "500 and a message that is no text": giving(500, {"message": {"a": [1]}}),
    "500 and nothing": page(500, b""),
    "404 and a list": giving(404, []),
    "a status that is none": raw(b"HTTP/1.1 999999 X\r\n\r\n"),
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "zeros": raw(b"\0" * 10_000),
    "a header of 1 MB": raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**20 + b"\r\n\r\n{}"),
    "a thousand headers": raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n{}"),
    "a body shorter than its length": raw(
        b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"Id": "sha256:1"}'
    ),
    "a length that is none": raw(b"HTTP/1.1 200 OK\r\nContent-Length: lots\r\n\r\n{"),
    "no gzip": page(200, b"hello", "application/json", "Content-Encoding: gzip"),
    "a chunk without a length": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"),
    "a redirection to itself": raw(b"HTTP/1.1 301 X\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n"),
    "no end": endless(b"x" * 65536),
}


def call_run(engine: DockerEngine, container: ContainerSpec = CONTAINER) -> object:
    return engine.run_container(container, lambda _: None, threading.Event())


CALLS: dict[str, tuple[str, Callable[[DockerEngine], object]]] = {
    "query_info": ("GET /info", DockerEngine.query_info),
    "find_image_id": (f"GET /images/{IMAGE}/json", lambda engine: engine.find_image_id(IMAGE)),
    "build_image": (
        f"GET /images/{IMAGE}/json",
        lambda engine: engine.build_image(IMAGE, {"Dockerfile": "FROM x"}, lambda _: None),
    ),
    "create": ("POST /containers/create", call_run),
    "inspect": ("GET /containers/c1/json", call_run),
    "list_containers": ("GET /containers/json", DockerEngine.list_containers),
    "list_images": ("GET /images/json", DockerEngine.list_images),
}
# Calls of which nothing but the status counts.
STATUS_CALLS: dict[str, tuple[str, Callable[[DockerEngine], object]]] = {
    "tag_image": (f"POST /images/{IMAGE}/tag", lambda engine: engine.tag_image(IMAGE, "kmatrix/b:1")),
    "remove_image": (f"DELETE /images/{IMAGE}", lambda engine: engine.remove_image(IMAGE)),
    "remove_container": ("DELETE /containers/c1", lambda engine: engine.remove_container("c1")),
    "start": ("POST /containers/c1/start", call_run),
    "wait": ("POST /containers/c1/wait", call_run),
    "attach": (f"POST /containers/{CONTAINER.name}/attach", call_run),
    "attach's own inspection": (f"GET /containers/{CONTAINER.name}/json", call_run),
    "build": (
        "POST /build",
        lambda engine: engine.build_image(IMAGE, {"Dockerfile": "FROM x"}, lambda _: None),
    ),
    "pull_image": ("POST /images/create", lambda engine: engine.pull_image(IMAGE)),
    "push_image": (f"POST /images/{IMAGE.partition(':')[0]}/push", lambda engine: engine.push_image(IMAGE)),
}


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with open_daemon() as daemon:
        yield daemon


@pytest.fixture
def engine(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerEngine]:
    monkeypatch.setattr(docker_engine, "_REQUEST_TIMEOUT", 5)
    monkeypatch.setattr(docker_engine, "_WAIT_TIMEOUT", 1)
    monkeypatch.setattr(docker_replies, "MAX_REPLY", 2**20)
    before = dict(daemon.replies)
    daemon.started.clear()
    daemon.replies["POST /build"] = chunked(b'{"stream": "ok"}\r\n')
    yield DockerEngine(f"unix://{daemon.path}")
    daemon.replies = before


def outcome(engine: DockerEngine, call: Callable[[DockerEngine], object]) -> object:
    """What came of a call: the EngineError, or what it returned. Everything else is a bug."""
    started = time.monotonic()
    try:
        found: object = call(engine)
    except EngineError as error:
        found = error
    assert time.monotonic() - started < 20
    return found


def check_words(error: EngineError) -> None:
    text = str(error)
    assert len(text) < 1000
    assert "\x1b" not in text
    assert "<p>" not in text
    assert error.hint
    assert error.exit_code == 2


@pytest.mark.parametrize("answer", ANYWHERE)
@pytest.mark.parametrize("name", CALLS)
def test_a_reply_that_is_read_is_an_error_where_it_is_nonsense(
    daemon: Daemon, engine: DockerEngine, name: str, answer: str
) -> None:
    route, call = CALLS[name]
    daemon.replies[route] = ANYWHERE[answer]
    found = outcome(engine, call)
    assert isinstance(found, EngineError), f"{found!r}"
    check_words(found)


@pytest.mark.parametrize("answer", ANYWHERE)
@pytest.mark.parametrize("name", STATUS_CALLS)
def test_a_reply_of_which_little_counts_is_an_error_or_ignored(
    daemon: Daemon, engine: DockerEngine, name: str, answer: str
) -> None:
    route, call = STATUS_CALLS[name]
    daemon.replies[route] = ANYWHERE[answer]
    found = outcome(engine, call)
    if isinstance(found, EngineError):
        check_words(found)
    if name == "push_image" or (answer.startswith("500") and name != "attach"):
        assert isinstance(found, EngineError), f"{found!r}"


@pytest.mark.parametrize("answer", ANYWHERE)
def test_an_engine_that_cannot_tell_its_version_is_none(daemon: Daemon, answer: str) -> None:
    version = daemon.replies["GET /version"]
    daemon.replies["GET /version"] = ANYWHERE[answer]
    try:
        with pytest.raises(EngineError) as caught:
            DockerEngine(f"unix://{daemon.path}")
    finally:
        daemon.replies["GET /version"] = version
    check_words(caught.value)


def frames(*pieces: bytes) -> Reply:
    return raw(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n" + b"".join(pieces))


@pytest.mark.parametrize(
    "pieces",
    [
        (b"no frames at all, but text\n" * 100,),
        (struct.pack(">BxxxL", 9, 3) + b"abc",),
        (struct.pack(">BxxxL", 0, 3) + b"abc",),
        (struct.pack(">BxxxL", 1, 2**32 - 1) + b"abc",),
        (struct.pack(">BxxxL", 1, 0),) * 10_000,
        (b"\x01\0\0",),
        (b"\xff" * 100_000,),
    ],
    ids=["text", "stream 9", "stream 0", "4 GB", "empty ones", "half a head", "ones"],
)
def test_output_that_is_no_output_is_an_error_or_an_end(
    daemon: Daemon, engine: DockerEngine, pieces: tuple[bytes, ...]
) -> None:
    daemon.replies[f"POST /containers/{CONTAINER.name}/attach"] = frames(*pieces)
    found = outcome(engine, call_run)
    if isinstance(found, EngineError):
        check_words(found)


@pytest.mark.parametrize(
    "pieces",
    [
        (b"5\n",),
        (b"[]\n",),
        (b'{"stream": {"a": 1}}\n', b'{"stream": null}\n', b'{"error": ["x"]}\n'),
        (b"<html>",),
        (b'{"stream": "' + b"x" * 3_000_000,),
        (b"\xff\xfe\n",),
        (b"[" * 100_000,),
    ],
    ids=["a number", "a list", "other types", "html", "a line without end", "no UTF-8", "deep"],
)
def test_the_output_of_a_build_that_is_nonsense_is_an_error(
    daemon: Daemon, engine: DockerEngine, pieces: tuple[bytes, ...]
) -> None:
    daemon.replies["POST /build"] = chunked(*pieces)
    found = outcome(engine, STATUS_CALLS["build"][1])
    assert isinstance(found, EngineError), f"{found!r}"
    assert len(str(found)) < 1000


DIGEST = f"sha256:{'0123456789abcdef' * 4}"


@pytest.mark.parametrize(
    ("replies", "found"),
    [
        ([{"status": f"1: digest: {DIGEST} size: 421"}, {"aux": {"Digest": "x"}}], ("", DIGEST)),
        ([{"status": f"Digest: {DIGEST}"}, {"status": "Status: Image is up to date"}], ("", DIGEST)),
        ([{"stream": "Copying blob"}, {"images": ["x"], "id": "x"}], ("", "")),
        ([{"errorDetail": {}, "error": "denied"}, {"status": f"Digest: {DIGEST}"}], ("denied", "")),
        ([{"status": 3}, {"status": f"Digest: {DIGEST[:-1]}"}], ("", "")),
    ],
)
def test_what_became_of_an_image_on_its_way(replies: list[dict[str, object]], found: tuple[str, str]) -> None:
    assert parse_transfer(replies) == found


@pytest.mark.parametrize(
    ("reply", "image"),
    [
        ({"Id": "sha256:1"}, ImageDescription("sha256:1")),
        ({"Id": "sha256:1", "RepoDigests": None, "Config": None}, ImageDescription("sha256:1")),
        ({"Id": "sha256:1", "RepoDigests": [], "Config": {"Labels": None}}, ImageDescription("sha256:1")),
        (
            {
                "Id": "sha256:1",
                "RepoDigests": [f"r/a@{DIGEST}"],
                "Config": {"Labels": {RECIPE_LABEL: "kmatrix/a:1", LABEL: "image"}},
            },
            ImageDescription("sha256:1", "kmatrix/a:1", (f"r/a@{DIGEST}",)),
        ),
    ],
)
def test_an_image_as_it_is_described(reply: object, image: ImageDescription) -> None:
    assert parse_image(reply) == image


def test_what_an_image_is_called_by_digest_is_no_tag() -> None:
    listed = [
        {"Id": "sha256:1", "RepoTags": ["kmatrix/a:1", f"r.example/a@{DIGEST}"], "Size": 5},
        {"Id": "sha256:2", "RepoTags": [f"r.example/b@{DIGEST}"], "Size": 6},
    ]
    assert parse_image_sizes(listed) == {"kmatrix/a:1": 5, "sha256:2": 6}


@pytest.mark.parametrize(
    "state",
    [
        {"Status": "flying", "ExitCode": 0},
        {"Status": 3, "ExitCode": 0},
        {"Status": "exited", "ExitCode": "zero"},
        {"Status": "exited", "ExitCode": None},
        {"Status": "exited", "ExitCode": True},
        {"Status": "exited", "ExitCode": float("nan")},
        {"Status": "exited"},
    ],
    ids=json.dumps,
)
def test_a_state_that_is_none_is_no_end(state: dict[str, Any]) -> None:
    with suppress(UnreadableReplyError):
        assert not parse_container_state({"State": state}).has_ended


def test_an_engine_without_processors_or_memory_is_none() -> None:
    version = {"Version": "20.10"}
    assert parse_engine_info({"NCPU": 2, "MemTotal": 5}, version).cpus == 2
    for info in (
        {"NCPU": 0, "MemTotal": 5},
        {"NCPU": 2, "MemTotal": 0},
        {"NCPU": 2},
        {"NCPU": True, "MemTotal": 5},
    ):
        with pytest.raises(UnreadableReplyError):
            parse_engine_info(info, version)


def test_an_empty_id_is_none() -> None:
    with pytest.raises(UnreadableReplyError):
        parse_id({"Id": ""})


def test_a_reply_without_end_is_left_where_it_is_too_long_or_takes_too_long() -> None:
    assert join_bounded([b"ab", b"c"], 60) == b"abc"
    with pytest.raises(UnreadableReplyError, match="no end"):
        join_bounded(iter(lambda: b"x" * 2**20, b""), 60)

    def trickle() -> Iterator[bytes]:
        while True:
            time.sleep(0.05)
            yield b"x"

    with pytest.raises(UnreadableReplyError, match="no end"):
        join_bounded(trickle(), 0.3)


def test_a_socket_that_is_gone_is_an_error(daemon: Daemon, engine: DockerEngine, tmp_path: Path) -> None:
    moved = Path(daemon.path).rename(tmp_path / "elsewhere")
    try:
        for _, call in (*CALLS.values(), *STATUS_CALLS.values()):
            assert isinstance(outcome(engine, call), EngineError)
    finally:
        moved.rename(daemon.path)


@pytest.mark.parametrize(
    ("task", "route", "answer"),
    [
        ("images", "GET /version", "a web page"),
        ("images", "GET /images/NAME/json", "a list"),
        ("plan", "GET /info", "every key with another type"),
        ("doctor", "GET /info", "a header of 1 MB"),
        ("sweep", "GET /containers/json", "500 and a list"),
        ("setup", "GET /info", "no end"),
    ],
)
def test_a_task_ends_with_2_and_a_sentence(
    daemon: Daemon, engine: DockerEngine, tmp_path: Path, task: str, route: str, answer: str
) -> None:
    version, image = giving(200, {"ApiVersion": "1.41", "Version": "1"}), giving(200, {"Id": "sha256:1"})
    daemon.replies |= {"GET /version": version, "GET /images/NAME/json": image, route: ANYWHERE[answer]}
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "DOCKER_HOST": engine.url,
        "KMATRIX_CACHE": str(tmp_path),
    }
    command = [sys.executable, "-m", "matrix", task]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "this is a bug" not in done.stderr
    assert done.stderr.startswith("kmatrix: ") or "engine" in done.stdout
