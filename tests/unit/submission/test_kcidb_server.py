"""What KCIDB's server answers, and what is made of it: whose fault it is, in which words, and what to do."""

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from matrix.errors import KmatrixError, MachineError, RequestError
from matrix.submission.http_door import BearerToken, HttpServer
from matrix.submission.kcidb_server import KcidbServer, SubmissionStatus
from tests.fakes.kcidb_daemon import TOKEN, KcidbDaemon, Reply, run_daemon
from tests.stopwatch import limit_cpu

DOCUMENT = json.dumps({"version": {"major": 5, "minor": 3}})


@pytest.fixture
def daemon() -> Iterator[KcidbDaemon]:
    with run_daemon() as daemon:
        yield daemon


def server(daemon: KcidbDaemon, token: str = TOKEN) -> KcidbServer:
    return KcidbServer(HttpServer(daemon.url, BearerToken(token)))


def giving(status: int, body: object) -> Reply:
    return lambda request: request.give(status, body)


def giving_bytes(status: int, body: bytes) -> Reply:
    return lambda request: request.give_bytes(status, body)


def test_a_submission_is_taken_and_processed(daemon: KcidbDaemon) -> None:
    number = server(daemon).submit_document(DOCUMENT)
    assert daemon.documents == {number: DOCUMENT.encode()}
    assert server(daemon).ask_status(number) == SubmissionStatus("processed", "File archived")


def test_what_the_schema_refuses_has_failed(daemon: KcidbDaemon) -> None:
    number = server(daemon).submit_document('{"version": {"major": 4}}')
    assert server(daemon).ask_status(number).status == "failed"


def test_a_submission_that_is_not_there_is_no_error(daemon: KcidbDaemon) -> None:
    assert server(daemon).ask_status("0123abc") == SubmissionStatus("notfound", "File not found")


def test_a_wrong_token_is_the_users(daemon: KcidbDaemon) -> None:
    for ask in (
        lambda: server(daemon, "x.y.z").submit_document("{}"),
        lambda: server(daemon, "x.y.z").ask_status("1"),
    ):
        with pytest.raises(RequestError, match="refuses the token: InvalidSignature"):
            ask()


def test_what_is_no_json_is_refused(daemon: KcidbDaemon) -> None:
    with pytest.raises(RequestError, match="with HTTP 400: Expecting value"):
        server(daemon).submit_document("")


REFUSALS = [
    (giving(403, {"message": "not yours"}), RequestError, "refuses the token: not yours"),
    (giving_bytes(403, b""), RequestError, "refuses the token: it says nothing"),
    (
        giving(413, {"message": "length limit"}),
        RequestError,
        "takes no submission of this size: length limit",
    ),
    (giving_bytes(404, b"<html>no</html>"), RequestError, "with HTTP 404: <html>no</html>"),
    (giving(405, []), RequestError, "with HTTP 405"),
    (giving(429, {"message": "slowly"}), MachineError, "fails, with HTTP 429: slowly"),
    (giving_bytes(500, b"Internal\nServer Error"), MachineError, "with HTTP 500: Internal Server Error"),
    (giving_bytes(502, b""), MachineError, "with HTTP 502: it says nothing"),
    (giving(503, {"message": 5}), MachineError, "with HTTP 503"),
    (giving(302, {}), RequestError, "sends to another address, which did not get the token: it names none"),
]
ODD = [
    giving_bytes(200, b""),
    giving_bytes(200, b"OK"),
    giving_bytes(200, b"\xff\xfe\x00"),
    giving_bytes(200, b"[" * 100_000),
    giving_bytes(200, b"<html>welcome</html>"),
    giving_bytes(204, b""),
    giving(200, []),
    giving(200, {}),
    giving(200, None),
    giving(200, {"id": 7, "status": 7}),
    giving(200, {"id": ""}),
    giving(200, {"id": "../../x", "status": None}),
    giving(200, {"id": "a b", "status": ""}),
    giving(200, {"id": "a&b", "status": []}),
    giving(200, {"id": "a" * 101, "status": {}}),
]


@pytest.mark.parametrize(("answer", "kind", "words"), REFUSALS)
def test_a_refusal_is_told_in_the_servers_words(
    daemon: KcidbDaemon, answer: Reply, kind: type[KmatrixError], words: str
) -> None:
    daemon.replies = {"POST /submit": [answer], "GET /status": [answer]}
    for ask in (lambda: server(daemon).submit_document("{}"), lambda: server(daemon).ask_status("1")):
        with pytest.raises(kind) as error:
            ask()
        assert words in str(error.value)
        assert error.value.hint


@pytest.mark.parametrize("answer", ODD)
def test_what_is_no_answer_of_kcidbs_is_the_machines(daemon: KcidbDaemon, answer: Reply) -> None:
    daemon.replies = {"POST /submit": [answer], "GET /status": [answer]}
    for ask in (lambda: server(daemon).submit_document("{}"), lambda: server(daemon).ask_status("1")):
        with pytest.raises(MachineError, match="answers what no KCIDB server does"):
            ask()


def test_an_error_that_is_called_success_is_none(daemon: KcidbDaemon) -> None:
    daemon.replies["POST /submit"] = [giving(200, {"id": "0", "status": "error", "message": "disk full"})]
    with pytest.raises(RequestError, match="refuses the submission: disk full"):
        server(daemon).submit_document("{}")


@pytest.mark.parametrize("token", [TOKEN, "a+b/c=="])
@pytest.mark.parametrize("status", [200, 302, 401, 400, 500])
def test_a_token_that_the_server_repeats_is_in_no_message(
    daemon: KcidbDaemon, token: str, status: int
) -> None:
    repeated = json.dumps({"status": "error", "message": f"bad {token}"}).replace("/", "\\/").encode()
    daemon.replies["POST /submit"] = [
        lambda request: request.give_bytes(status, repeated, Location=f"http://x/?t={quote(token, '')}")
    ]
    with pytest.raises(KmatrixError) as error:
        server(daemon, token).submit_document("{}")
    assert token not in str(error.value)
    assert quote(token, "") not in str(error.value)
    assert "[token]" in str(error.value)


SECRET = "SECRETTOKEN0123456789abcdefghijklmnopqrstuv"
SLASHED = "a/b+c/SECRETTAIL"


@pytest.mark.parametrize("task", ["POST /submit", "GET /status"])
@pytest.mark.parametrize("before", range(1000 - len(SECRET), 1001, 7))
def test_no_part_of_a_token_is_left_at_the_cut(daemon: KcidbDaemon, task: str, before: int) -> None:
    text = "x" * before + SECRET
    for body in (text.encode(), json.dumps({"message": text, "status": text}).encode()):
        daemon.replies[task] = [giving_bytes(400, body)]
        with pytest.raises(RequestError) as error:
            ask(server(daemon, SECRET), task)
        assert "SECR" not in str(error.value)


def ask(asked: KcidbServer, task: str) -> object:
    return asked.submit_document("{}") if task == "POST /submit" else asked.ask_status("1")


@pytest.mark.parametrize("number", [SECRET, SECRET.lower(), f"x{SECRET}1"])
def test_a_token_is_no_submissions_id(daemon: KcidbDaemon, number: str) -> None:
    daemon.replies["POST /submit"] = [giving(200, {"status": "success", "id": number})]
    with pytest.raises(MachineError, match="answers what no KCIDB server does") as error:
        server(daemon, SECRET).submit_document("{}")
    assert SECRET.lower() not in str(error.value).lower()


ESCAPED = [
    SLASHED.replace("/", "\\/"),
    SLASHED.replace("/", "\\\\/"),
    SLASHED.replace("/", "\\u002f").replace("+", "\\u002B"),
    quote(SLASHED, ""),
    quote(SLASHED, "").lower(),
    quote(quote(SLASHED, ""), ""),
    "".join(f"%{ord(letter):02x}" for letter in SLASHED),
    SLASHED.replace("/", "&#47;").replace("+", "&#x2B;"),
    SLASHED.upper(),
]


@pytest.mark.parametrize("token", ESCAPED)
def test_an_escaped_token_is_in_no_message(daemon: KcidbDaemon, token: str) -> None:
    answers = [
        giving_bytes(400, f"<p>{token}".encode()),
        giving(400, {"message": token}),
        giving(400, {"message": {"auth": token}}),
        giving_bytes(400, f'{{"detail": "{token}"}}'.encode()),
        lambda request: request.give_bytes(302, b"", Location=f"https://x/?t={token}"),
        giving(200, {"status": "error", "message": token}),
    ]
    for answer in answers:
        daemon.replies["POST /submit"] = [answer]
        with pytest.raises(RequestError) as error:
            server(daemon, SLASHED).submit_document("{}")
        assert "[token]" in str(error.value)
        assert "secrettail" not in str(error.value).lower()
        assert token.lower() not in str(error.value).lower()


@pytest.mark.parametrize("sign", ["\\", "%25", "&#0", "a/", "%"])
def test_a_token_is_looked_for_in_a_long_text_at_once(sign: str) -> None:
    with limit_cpu(10):
        HttpServer("http://x", BearerToken(SLASHED)).hide_token(sign * (2**20 // len(sign)))
