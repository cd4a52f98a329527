"""A signal while the engine keeps kmatrix waiting, in every call that a command makes: 130 within seconds.

The engine is a daemon of ours that answers all calls but one. What it was asked to do after the signal shows
that nothing of a container is left.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.daemon import Daemon, Reply, Request, giving, open_daemon

pytestmark = [
    pytest.mark.usefixtures("hangups_arrive"),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
]
ROOT = Path(__file__).parents[2]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
VERSION = {"ApiVersion": "1.41", "Version": "20.10"}
IMAGE = "GET /images/NAME/json"
CREATE = "POST /containers/create"
# Task → the calls in which it can be kept waiting.
IN_AN_IMAGE = ("GET /version", IMAGE, "POST /images/create", "POST /build", "POST /images/NAME/tag")
IN_A_CONTAINER = (
    *("GET /info", CREATE, "POST /containers/NAME/attach", "POST /containers/c1/start"),
    *("output", "POST /containers/c1/wait", "GET /containers/c1/json", "DELETE /containers/c1"),
)
CALLS = [*(("images", call) for call in IN_AN_IMAGE), *(("doctor", call) for call in IN_A_CONTAINER)]
# Each call with one of the signals in turn: a process takes seconds.
CASES = [(task, call, SIGNALS[place % 3]) for place, (task, call) in enumerate(CALLS)]


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with open_daemon() as daemon:
        inspected = giving(
            200, {"State": {"Status": "exited", "ExitCode": 0}, "Config": {"Tty": False}, "Id": "c1"}
        )
        daemon.replies = {
            "GET /version": giving(200, VERSION),
            "GET /info": giving(200, {"NCPU": 2, "MemTotal": 2**33}),
            CREATE: giving(201, {"Id": "c1"}),
            "POST /containers/NAME/attach": lambda request: request.frames((1, b"out\n")),
            "POST /containers/NAME/start": giving(204, None),
            "POST /containers/NAME/wait": giving(200, {"StatusCode": 0}),
            "POST /containers/NAME/kill": giving(204, None),
            "GET /containers/NAME/json": inspected,
            "DELETE /containers/NAME": giving(204, None),
            "POST /images/create": giving(200, {"status": "pulled"}),
            "POST /images/NAME/tag": giving(201, None),
            "POST /build": giving(200, {"stream": "ok"}),
        }
        yield daemon


class Stall:
    """A call that is not answered until the test is over."""

    def __init__(self) -> None:
        self.reached, self.over = threading.Event(), threading.Event()

    def __call__(self, request: Request) -> None:
        self.reached.set()
        self.over.wait(60)
        request.close_connection = True

    def after_output(self, request: Request) -> None:
        request.frames((1, b"on\n"))
        self(request)


def images_that_appear(daemon: Daemon) -> Reply:
    """No image is there but what was pulled, tagged or built before."""

    def reply(request: Request) -> None:
        makes = "POST /images/create" if "/kmatrix/root:" in request.path else "POST /build"
        made = makes in daemon.routes
        request.give(*((200, {"Id": "sha256:1"}) if made else (404, {"message": "no such image"})))

    return reply


def start_task(daemon: Daemon, task: str, cache: Path) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DOCKER_HOST": f"unix://{daemon.path}",
        "KMATRIX_CACHE": str(cache),
    }
    command = [sys.executable, "-m", "matrix", task, "--toolchain", "gcc-14"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(("task", "call", "number"), CASES)
def test_a_signal_ends_it_wherever_the_engine_keeps_it_waiting(
    daemon: Daemon, task: str, call: str, number: signal.Signals, tmp_path: Path
) -> None:
    stall = Stall()
    daemon.replies[IMAGE] = (
        images_that_appear(daemon) if task == "images" else giving(200, {"Id": "sha256:1"})
    )
    daemon.replies |= (
        {"POST /containers/NAME/attach": stall.after_output} if call == "output" else {call: stall}
    )
    with start_task(daemon, task, tmp_path) as process:
        try:
            assert stall.reached.wait(30), daemon.routes
            time.sleep(0.1)
            started = time.monotonic()
            process.send_signal(number)
            if call in (CREATE, "DELETE /containers/c1"):
                # These are not left half done for one signal; for two they are.
                time.sleep(0.5)
                process.send_signal(number)
            _, err = process.communicate(timeout=20)
        finally:
            stall.over.set()
            process.kill()
    assert process.returncode == 130, err
    assert err.endswith("kmatrix: interrupted\n")
    assert "Traceback" not in err
    assert time.monotonic() - started < 10
    if call in IN_A_CONTAINER[3:]:
        assert "DELETE /containers/c1" in daemon.routes


def test_a_second_signal_does_not_keep_a_container_from_being_removed(daemon: Daemon, tmp_path: Path) -> None:
    stall, removal = Stall(), Stall()
    daemon.replies[IMAGE] = giving(200, {"Id": "sha256:1"})
    daemon.replies["POST /containers/NAME/attach"] = stall.after_output
    daemon.replies["DELETE /containers/c1"] = removal
    with start_task(daemon, "doctor", tmp_path) as process:
        try:
            assert stall.reached.wait(30), daemon.routes
            process.send_signal(signal.SIGINT)
            assert removal.reached.wait(10), daemon.routes
            process.send_signal(signal.SIGINT)
            time.sleep(1)
            assert process.poll() is None, "it did not wait for the removal"
            removal.over.set()
            _, err = process.communicate(timeout=20)
        finally:
            stall.over.set()
            removal.over.set()
            process.kill()
    assert process.returncode == 130, err
