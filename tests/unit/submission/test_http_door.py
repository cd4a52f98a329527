"""The one door to HTTP servers: whom it talks to, what it hands over, and how long it waits."""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from matrix.errors import MachineError, RequestError
from matrix.submission.http_door import (
    BearerToken,
    HttpAnswer,
    HttpLimits,
    HttpServer,
    parse_address,
    parse_token,
)
from tests.fakes.kcidb_daemon import TOKEN, KcidbDaemon, KcidbRequest, run_daemon

QUICK = HttpLimits(connect=2, silence=0.3, whole=0.6, answer=1000)


@pytest.fixture
def daemon() -> Iterator[KcidbDaemon]:
    with run_daemon() as daemon:
        yield daemon


def ask(address: str, limits: HttpLimits = QUICK) -> HttpAnswer:
    return HttpServer(address, BearerToken(TOKEN), limits).send_request("POST", "/submit", b"{}")


def reply(daemon: KcidbDaemon, *answers: object) -> None:
    daemon.replies["POST /submit"] = list(answers)  # type: ignore[arg-type]


def is_whole(asked: bytes) -> bool:
    """Whether a request has come to its end, which is that of its head where it has no body."""
    return asked.endswith(b"\r\n\r\n" if asked.startswith(b"GET ") else b"\r\n\r\n{}")


@contextmanager
def serve_bytes(*pieces: bytes, pause: float = 0.0) -> Iterator[str]:
    """A socket that answers whatever it is asked with these bytes, and hangs up: its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                connection, _ = listener.accept()
                with connection:
                    # All of it: who hangs up with something unread resets the connection.
                    asked = b""
                    while not is_whole(asked) and (more := connection.recv(65536)):
                        asked += more
                    for piece in pieces:
                        connection.sendall(piece)
                        time.sleep(pause)
            except OSError:
                return  # the client is gone

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_the_token_goes_into_the_header_and_the_body_after_it(daemon: KcidbDaemon) -> None:
    assert ask(daemon.url).status == 200
    assert daemon.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    assert daemon.headers[0]["Content-Type"] == "application/json"
    assert list(daemon.documents.values()) == [b"{}"]


def test_no_netrc_takes_the_tokens_place(
    daemon: KcidbDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    ask(daemon.url)
    assert daemon.headers[0]["Authorization"] == f"Bearer {TOKEN}"


def test_what_is_not_encrypted_goes_to_no_proxy(daemon: KcidbDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_daemon() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert ask(daemon.url).status == 200
        assert proxy.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(daemon: KcidbDaemon, status: int) -> None:
    with run_daemon() as other:
        reply(daemon, lambda request: request.give(status, {}, Location=f"{other.url}/submit"))
        answer = ask(daemon.url)
        assert (answer.status, answer.location) == (status, f"{other.url}/submit")
        assert other.asked == []


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(MachineError, match=rf"127\.0\.0\.1:{port} cannot be reached: Connection refused"):
        ask(f"http://127.0.0.1:{port}")


def test_a_name_that_is_none() -> None:
    with pytest.raises(MachineError, match=r"nowhere\.invalid cannot be reached"):
        ask("https://nowhere.invalid", HttpLimits(whole=20))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody signed but itself, with its key."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl to make a certificate with")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    name = "-subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    words = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem {name}"
    subprocess.run(words.split(), cwd=file.parent, check=True, capture_output=True)
    file.write_text("".join((file.parent / name).read_text() for name in ("cert.pem", "key.pem")))
    return file


def test_a_certificate_that_nobody_signed_is_refused(certificate: Path) -> None:
    with run_daemon(certificate) as daemon:
        with pytest.raises(MachineError, match="its certificate is not trusted"):
            ask(daemon.url)
        assert daemon.asked == []


def test_it_is_taken_where_the_user_trusts_it(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with run_daemon(certificate) as daemon:
        assert ask(daemon.url, HttpLimits()).status == 200
        assert daemon.headers[0]["Authorization"] == f"Bearer {TOKEN}"


def test_but_not_for_another_host(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with run_daemon(certificate) as daemon:
        with pytest.raises(MachineError, match="its certificate is not trusted"):
            ask(daemon.url.replace("127.0.0.1", "localhost"))
        assert daemon.asked == []


def test_what_speaks_no_tls_is_told_apart(daemon: KcidbDaemon) -> None:
    with pytest.raises(MachineError, match="it does not speak TLS"):
        ask(daemon.url.replace("http://", "https://"))
    assert daemon.asked == []


def wait_for_the_end(request: KcidbRequest) -> None:
    request.server.stopping.wait(10)


def test_a_server_that_says_nothing_is_left(daemon: KcidbDaemon) -> None:
    reply(daemon, wait_for_the_end)
    began = time.monotonic()
    with pytest.raises(MachineError, match="it does not answer in time"):
        ask(daemon.url)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-A: "]
)
def test_nor_is_one_waited_for_that_speaks_a_byte_at_a_time(head: bytes) -> None:
    """Each byte begins a socket's own time limit anew, in the head as in the body."""
    began = time.monotonic()
    with (
        serve_bytes(head, *[b"a"] * 20, pause=0.1) as address,
        pytest.raises(MachineError, match="it does not answer in time"),
    ):
        ask(address)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{",),
        (b"\x00\xff\x00\r\n\r\n",),
        (b"SSH-2.0-OpenSSH_9.2\r\n",),
    ],
)
def test_a_connection_that_breaks_is_the_machines(pieces: tuple[bytes, ...]) -> None:
    with serve_bytes(*pieces) as address, pytest.raises(MachineError, match="cannot be reached"):
        ask(address)


def test_an_answer_in_pieces_is_read_whole() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serve_bytes(head, b"2\r\n{}\r\n", b"1\r\n \r\n", b"0\r\n\r\n") as address:
        assert ask(address).body == b"{} "


@pytest.mark.parametrize(
    "head", [b"Content-Length: 100000\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n"]
)
def test_an_answer_without_end_is_cut(head: bytes) -> None:
    chunk = b"400\r\n" + b"a" * 1024 + b"\r\n" if b"chunked" in head else b"a" * 1024
    with (
        serve_bytes(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n", *[chunk] * 20) as address,
        pytest.raises(MachineError, match="answers with more than 0 KiB"),
    ):
        ask(address)


@pytest.mark.parametrize("length", [999, 1000])
def test_an_answer_that_fits_is_whole(daemon: KcidbDaemon, length: int) -> None:
    reply(daemon, lambda request: request.give_bytes(200, b"x" * length))
    assert ask(daemon.url).body == b"x" * length


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("https://db.kernelci.org/", "https://db.kernelci.org"),
        ("https://db.kernelci.org", "https://db.kernelci.org"),
        ("https://db.example.org:8443/kcidb/", "https://db.example.org:8443/kcidb"),
        ("https://[2001:db8::1]:443", "https://[2001:db8::1]:443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_addresses_that_are_taken(given: str, address: str) -> None:
    assert parse_address(given) == address


@pytest.mark.parametrize(
    "given",
    [
        "http://db.kernelci.org",
        "http://0.0.0.0",
        "http://10.0.0.1",
        "http://127.1",
        "http://2130706433",
        "http://localhost.example.org",
        "http://127.0.0.1.example.org",
        "http://[::ffff:127.0.0.1]",
        "http://[::]",
        "http://LOCALHOST",
    ],
)
def test_without_tls_no_token_leaves_this_machine(given: str) -> None:
    with pytest.raises(RequestError, match="in the clear"):
        parse_address(given)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "db.kernelci.org",
        "https://",
        "ftp://db.kernelci.org",
        "file:///etc/passwd",
        "HTTPS://db.kernelci.org",
        "https://db.kernelci.org/?token=" + TOKEN,
        "https://db.kernelci.org/#" + TOKEN,
        "https://db.kernelci.org:port",
        "https://db.kernelci.org:123456",
        "https://db kernelci.org",
        "https://db.kernelci.org\\.example.org",
        "https://db.kernelci.org\r\nX: y",
        "https://db.kernelci.org\n",
        "https://dß.example",
    ],
)
def test_addresses_that_are_none(given: str) -> None:
    with pytest.raises(RequestError, match="expected https://HOST") as error:
        parse_address(given)
    assert TOKEN not in f"{error.value} {error.value.hint}"


@pytest.mark.parametrize(
    "given",
    [
        f"https://{TOKEN}@db.kernelci.org/",
        f"https://user:{TOKEN}@db.kernelci.org/",
        f"http://127.0.0.1\\@{TOKEN}",
    ],
)
def test_a_token_in_the_address_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(RequestError, match="a token in it") as error:
        parse_address(given)
    assert TOKEN not in f"{error.value} {error.value.hint}"


def test_a_token_is_one_word() -> None:
    assert parse_token(f"\n {TOKEN}==\n", "x").text == f"{TOKEN}=="
    assert TOKEN not in repr(parse_token(TOKEN, "x"))


@pytest.mark.parametrize("text", ["two words", f"Bearer {TOKEN}", f"{TOKEN}\r\nX: y", "tökén", "a=b", "\0"])
def test_what_is_no_token_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(RequestError, match=r"^KMATRIX_TOKEN holds no token") as error:
        parse_token(text, "KMATRIX_TOKEN")
    assert text not in f"{error.value}" or text == "\0"


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_token_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="KMATRIX_TOKEN is empty"):
        parse_token(text, "KMATRIX_TOKEN")


def test_a_question_may_have_less_time_than_the_server() -> None:
    drops = [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", *[b"x"] * 20]
    started = time.monotonic()
    with serve_bytes(*drops, pause=0.2) as address:
        server = HttpServer(address, BearerToken(TOKEN), HttpLimits())
        with pytest.raises(MachineError, match="does not answer in time"):
            server.send_request("GET", "/status", seconds=0.5)
        assert time.monotonic() - started < 3
