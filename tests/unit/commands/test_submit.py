"""`./inv submit`: what is sent, what is asked afterwards and how long, what a user is told, and no token."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tasks
from matrix.commands import submit
from matrix.findings.stored_run import StoredRun
from matrix.submission.http_door import HttpAnswer, HttpServer
from matrix.verdict.comparison import compare_runs
from tests.fakes.kcidb_daemon import TOKEN, KcidbDaemon, KcidbRequest, Reply, check_submission, run_daemon
from tests.fakes.runs import the_story

Said = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[3]
OLD_RUNS = ROOT / "tests/old_run"


@pytest.fixture
def daemon() -> Iterator[KcidbDaemon]:
    with run_daemon() as daemon:
        yield daemon


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between questions, which go by at once: the clock is moved instead."""
    taken: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: sum(taken))
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


@pytest.fixture(autouse=True)
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("KMATRIX_")]:
        monkeypatch.delenv(name)
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    return file


@pytest.fixture(autouse=True)
def run(tmp_path: Path) -> Path:
    directory = tmp_path / "story"
    directory.mkdir()
    (directory / "run.json").write_text(the_story().model_dump_json(by_alias=True))
    return directory


@pytest.fixture
def submit_run(run: Path, token_file: Path, daemon: KcidbDaemon) -> Callable[..., int]:
    def call(*more: str) -> int:
        words = ["submit", str(run), "--origin", "test", "--url", daemon.url, "--token-file", str(token_file)]
        return exit_code(*words, *more)

    return call


def exit_code(*words: str) -> int:
    try:
        tasks.program.run(["inv", *words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def status(name: str, message: str = "so it is") -> Reply:
    return lambda request: request.give_status(name, message)


def hang_up(request: KcidbRequest) -> None:
    request.connection.close()


def say_nothing(request: KcidbRequest) -> None:
    request.server.stopping.wait(30)


def test_a_run_is_sent_and_processed(
    submit_run: Callable[..., int], daemon: KcidbDaemon, capsys: Said
) -> None:
    assert submit_run() == 0
    [document] = map(json.loads, daemon.documents.values())
    check_submission(document)
    assert len(document["builds"]) == 144
    said = capsys.readouterr()
    host, number = daemon.url.removeprefix("http://"), next(iter(daemon.documents))
    assert said.out.splitlines() == [
        f"{host}: submission {number} is accepted",
        f"{host}: submission {number} is processed",
    ]
    assert said.err == ""


def test_the_same_run_is_the_same_submission(submit_run: Callable[..., int], daemon: KcidbDaemon) -> None:
    assert submit_run() == submit_run() == 0
    first, second = daemon.documents.values()
    assert first == second


def test_an_address_with_the_servers_path_is_the_same(
    run: Path, token_file: Path, daemon: KcidbDaemon
) -> None:
    words = ["submit", str(run), "--origin", "test", "--token-file", str(token_file)]
    assert exit_code(*words, "--url", f"{daemon.url}/submit") == 0
    assert daemon.asked == ["POST /submit", "GET /status"]


def test_a_verdict_is_sent_with_both_sides(tmp_path: Path, token_file: Path, daemon: KcidbDaemon) -> None:
    runs = [tmp_path / "verdict" / side for side in ("before", "after")]
    for run in runs:
        shutil.copytree(OLD_RUNS / run.name, run)
    verdict = compare_runs(*map(StoredRun.load, runs))
    (runs[1] / "verdict.json").write_text(verdict.model_dump_json(by_alias=True))
    words = ["--origin", "test", "--url", daemon.url, "--token-file", str(token_file)]
    assert exit_code("submit", str(runs[0].parent), *words) == 0
    [document] = map(json.loads, daemon.documents.values())
    assert [len(document[kind]) for kind in ("checkouts", "builds", "issues")] == [2, 20, 2]


def test_a_token_may_be_a_variables(run: Path, daemon: KcidbDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMATRIX_TOKEN", TOKEN)
    monkeypatch.setenv("KMATRIX_ORIGIN", "test")
    assert exit_code("submit", str(run), "--url", daemon.url) == 0
    assert daemon.headers[0]["Authorization"] == f"Bearer {TOKEN}"


def test_the_file_goes_before_the_variable(
    submit_run: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KMATRIX_TOKEN", "of-another")
    assert submit_run() == 0


def test_a_dry_run_sends_nothing_and_needs_no_server(run: Path, daemon: KcidbDaemon, capsys: Said) -> None:
    assert exit_code("submit", str(run), "--origin", "test", "--dry-run") == 0
    check_submission(json.loads(capsys.readouterr().out))
    assert exit_code("submit", str(run), "--origin", "test", "--url", daemon.url, "--dry-run") == 0
    assert daemon.asked == []


def test_it_prints_what_is_sent(submit_run: Callable[..., int], daemon: KcidbDaemon, capsys: Said) -> None:
    assert submit_run("--dry-run", "--tree", "mainline") == 0
    printed = capsys.readouterr().out
    assert submit_run("--tree", "mainline") == 0
    assert [document.decode() for document in daemon.documents.values()] == [printed]


def test_without_waiting_nothing_is_asked(submit_run: Callable[..., int], daemon: KcidbDaemon) -> None:
    assert submit_run("--wait", "0") == 0
    assert daemon.asked == ["POST /submit"]


def test_it_asks_again_and_more_seldom(
    submit_run: Callable[..., int], daemon: KcidbDaemon, pauses: list[float], capsys: Said
) -> None:
    underway = [status(name) for name in ("inprogress", "notfound", "ready", "ok", "ready", "ready", "ready")]
    daemon.replies["GET /status"] = [*underway, status("processed")]
    assert submit_run() == 0
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert "is processed" in capsys.readouterr().out


def test_no_answer_is_waited_for_much_longer_than_the_time(
    submit_run: Callable[..., int], daemon: KcidbDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float] = []
    send = HttpServer.send_request

    def send_noted(
        server: HttpServer, method: str, path: str, body: bytes | None = None, seconds: float = math.inf
    ) -> HttpAnswer:
        limits.append(seconds)
        return send(server, method, path, body, seconds)

    monkeypatch.setattr(HttpServer, "send_request", send_noted)
    daemon.replies["GET /status"] = [status("ready")]
    assert submit_run("--wait", "100s") == 2
    assert limits == [math.inf, 99, 97, 93, 85, 69, 39, 15, 15]


def test_a_server_that_fails_meanwhile_is_asked_again(
    submit_run: Callable[..., int], daemon: KcidbDaemon
) -> None:
    broken: list[Reply] = [
        hang_up,
        lambda request: request.give(500, {}),
        lambda request: request.give_bytes(200, b"<html>"),
        lambda request: request.give_bytes(200, b"x" * 2**21),
    ]
    daemon.replies["GET /status"] = [*broken, status("processed")]
    assert submit_run() == 0
    assert len(daemon.asked) == 6


def test_what_is_rejected_is_the_users(
    submit_run: Callable[..., int], daemon: KcidbDaemon, capsys: Said
) -> None:
    daemon.replies["GET /status"] = [
        status("ready"),
        status("failed", "builds[0]: 'x' is\nno status \x1b[2J"),
    ]
    assert submit_run() == 1
    said = capsys.readouterr()
    assert "was rejected: builds[0]: 'x' is" in said.err
    assert "--dry-run prints what was sent" in said.err
    assert "\x1b" not in said.err
    assert "is processed" not in said.out


@pytest.mark.parametrize(
    ("replies", "words", "asked"),
    [
        ([status("ready", "File waiting")], "ready (File waiting)", 14),
        ([status("inprogress", "")], "inprogress", 14),
        ([status("error", "Invalid id")], "error (Invalid id)", 1),
        ([status("notfound", "File not found")], "notfound (File not found)", 4),
        (
            [status("ready"), lambda request: request.give(503, {"message": "closed"})],
            "with HTTP 503: closed",
            14,
        ),
    ],
)
def test_what_nothing_is_known_of_is_the_machines(
    submit_run: Callable[..., int],
    daemon: KcidbDaemon,
    capsys: Said,
    replies: list[Reply],
    words: str,
    asked: int,
) -> None:
    daemon.replies["GET /status"] = replies
    assert submit_run() == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "was accepted, and nothing shows that it was processed" in said
    assert words in said
    assert daemon.asked.count("GET /status") == asked


def test_a_token_that_expires_meanwhile_is_told(
    submit_run: Callable[..., int], daemon: KcidbDaemon, capsys: Said
) -> None:
    daemon.replies["GET /status"] = [lambda request: request.give(401, {"message": "ExpiredSignature"})]
    assert submit_run() == 1
    assert "refuses the token: ExpiredSignature" in capsys.readouterr().err


def test_a_wrong_token_sends_nothing_twice(
    submit_run: Callable[..., int], daemon: KcidbDaemon, token_file: Path, capsys: Said
) -> None:
    token_file.write_text("wrong.token")
    assert submit_run() == 1
    assert daemon.asked == ["POST /submit"]
    assert "refuses the token" in capsys.readouterr().err


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o606, 0o666, 0o777])
def test_a_token_that_everybody_can_read_is_not_sent(
    submit_run: Callable[..., int], daemon: KcidbDaemon, token_file: Path, capsys: Said, mode: int
) -> None:
    token_file.chmod(mode)
    assert submit_run() == 1
    assert daemon.asked == []
    assert "can be read by everybody" in capsys.readouterr().err


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_one_of_a_group_is(submit_run: Callable[..., int], token_file: Path, mode: int) -> None:
    token_file.chmod(mode)
    assert submit_run() == 0


@pytest.mark.parametrize("failing", [401, 400, 500, 302, 200])
def test_the_token_is_in_no_output(
    submit_run: Callable[..., int],
    daemon: KcidbDaemon,
    run: Path,
    capsys: Said,
    monkeypatch: pytest.MonkeyPatch,
    failing: int,
) -> None:
    monkeypatch.setenv("KMATRIX_TRACEBACK", "1")
    daemon.replies["POST /submit"] = [
        lambda request: request.give(failing, {"message": request.headers["Authorization"]}, Location=TOKEN)
    ]
    assert submit_run() in (1, 2)
    said = capsys.readouterr()
    assert TOKEN not in said.out + said.err
    assert [path.name for path in run.iterdir()] == ["run.json"]


WRONG = [
    ([], "submit needs the address of a server"),
    (["--url", "http://db.kernelci.org"], "in the clear"),
    (["--url", "https://x", "--wait", "soon"], "--wait: expected a duration"),
    (["--url", "https://x", "--wait", "00"], "--wait: expected a duration"),
    (["--url", "https://x"], "submit needs a token"),
    (["--url", "https://x", "--token-file", "/nonexistent"], "the token in /nonexistent cannot be read"),
    (["--url", "https://x", "--token-file", "/"], "the token in / cannot be read"),
    (["--dry-run", "--repository", "git://x"], "--repository: expected an https:// address"),
    (["--dry-run", "--files-url", "/srv"], "--files-url: expected"),
    (["--dry-run", "--files-url", "https://x/a b"], "--files-url: expected"),
    (["--dry-run", "--files-url", "https://ü"], "--files-url: expected"),
    (["--dry-run", "--files-url", "https://x\n"], "--files-url: expected"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_wrong_use_is_told_before_anything_is_sent(
    run: Path, words: list[str], message: str, capsys: Said
) -> None:
    assert exit_code("submit", str(run), "--origin", "test", *words) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("origin", ["Test", "a b", "a:b", "ö", "-", "a\n", "٣"])
def test_an_origin_is_one_that_the_schema_takes(run: Path, origin: str, capsys: Said) -> None:
    assert exit_code("submit", str(run), "--dry-run", f"--origin={origin}") == 1
    assert "--origin: expected small letters" in capsys.readouterr().err


def test_nobodys_submission_is_refused(run: Path, capsys: Said) -> None:
    assert exit_code("submit", str(run), "--dry-run") == 1
    assert "submit needs an origin" in capsys.readouterr().err


def test_the_pauses_fit_into_the_time(pauses: list[float]) -> None:
    assert [round(sum(pauses)) for _ in submit._pause_longer(40)] == [1, 3, 7, 15, 31, 40]


def test_an_interrupt_ends_it_while_the_server_says_nothing(
    run: Path, token_file: Path, daemon: KcidbDaemon
) -> None:
    daemon.replies["POST /submit"] = [say_nothing]
    words = ["submit", str(run), "--origin", "test", "--url", daemon.url, "--token-file", str(token_file)]
    process = subprocess.Popen(
        [sys.executable, "-m", "matrix", *words], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    assert daemon.has_request.wait(120)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "kmatrix: interrupted\n")
