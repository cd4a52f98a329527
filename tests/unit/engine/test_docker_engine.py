"""The engine's own parts, and DockerEngine against a daemon of ours that behaves as badly as told."""

import base64
import json
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from matrix.engine import docker_engine
from matrix.engine.connect import choose_container_user, connect_engine
from matrix.engine.docker_api import (
    LineDecoder,
    build_create_request,
    build_interactive_request,
    get_seccomp_profile,
)
from matrix.engine.docker_engine import DockerEngine
from matrix.engine.docker_host import read_docker_url
from matrix.engine.docker_replies import parse_container_owners, parse_image_sizes
from matrix.engine.protocol import LABEL, RECIPE_LABEL, ContainerLimits, ContainerSpec, Mount
from matrix.engine.seccomp import build_seccomp_profile
from matrix.engine.watchdog import ContainerWatchdog
from matrix.errors import EngineError, RegistryError
from tests.fakes.daemon import CONTAINER, Daemon, Reply, Request, giving, open_daemon

# docker-py drops a socket that could not connect, or a client that is refused, without closing it.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)


def lines_of(*chunks: bytes, longest: int = 100) -> list[str]:
    lines = LineDecoder(longest)
    given = [line for chunk in chunks for line in lines.feed(chunk)]
    return given + list(lines.flush())


class TestLines:
    def test_a_line_may_come_in_any_pieces(self) -> None:
        assert lines_of(b"o", b"ne\ntw", b"o\nthree\n") == ["one", "two", "three"]

    def test_a_line_is_given_as_soon_as_it_ends(self) -> None:
        assert list(LineDecoder().feed(b"one\ntw")) == ["one"]

    def test_the_last_one_needs_no_newline(self) -> None:
        assert lines_of(b"one\ntwo") == ["one", "two"]

    def test_an_empty_line_is_a_line_and_an_empty_stream_has_none(self) -> None:
        assert lines_of(b"\n\na\n") == ["", "", "a"]
        assert lines_of() == []

    def test_a_character_may_be_torn_between_frames(self) -> None:
        assert lines_of("é".encode()[:1], "é".encode()[1:] + b"\n") == ["é"]

    def test_what_is_no_utf8_is_replaced_and_not_lost(self) -> None:
        assert lines_of(b"a\xffb\n", b"\xc3") == ["a�b", "�"]

    def test_a_carriage_return_ends_a_line_once(self) -> None:
        assert lines_of(b"10%\r20%\rdone\r", b"\nnext\r\n") == ["10%", "20%", "done", "next"]

    def test_other_line_separators_are_text(self) -> None:
        assert lines_of("a\x0bb\x0cc\u2028d\n".encode()) == ["a\x0bb\x0cc\u2028d"]

    def test_a_line_without_end_is_cut_and_says_so(self) -> None:
        long, after = lines_of(b"x" * 60, b"y" * 60, b"z\nafter\n")
        assert long.startswith("x" * 60 + "y" * 40 + " [")
        assert "cut" in long
        assert "z" not in long
        assert after == "after"

    def test_a_line_of_just_the_longest_length_is_whole(self) -> None:
        assert lines_of(b"x" * 100 + b"\n") == ["x" * 100]


class TestConfig:
    def test_a_container_is_hardened_by_default(self) -> None:
        host = build_create_request(CONTAINER)["HostConfig"]
        assert host["ReadonlyRootfs"] is True
        assert host["NetworkMode"] == "none"
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges", f"seccomp={build_seccomp_profile(network=False)}"]
        assert "Privileged" not in host

    def test_memory_is_bounded_without_swap_on_top(self) -> None:
        limits = ContainerLimits(memory=2**30, processes=99, file_size=5, tmpfs=6)
        host = build_create_request(ContainerSpec("n", "i", ("true",), "7:7", limits=limits))["HostConfig"]
        assert host["Memory"] == host["MemorySwap"] == 2**30
        assert host["PidsLimit"] == 99
        assert host["Tmpfs"]["/tmp"].split(",")[-1] == "size=6"
        assert "exec" in host["Tmpfs"]["/tmp"].split(",")
        assert {limit["Name"]: limit["Hard"] for limit in host["Ulimits"]}.items() >= {
            ("fsize", 5),
            ("core", 0),
        }

    def test_network_is_given_only_when_asked_for(self) -> None:
        asked = ContainerSpec("n", "i", ("true",), "7:7", network=True)
        host = build_create_request(asked)["HostConfig"]
        assert host["NetworkMode"] == "default"
        assert host["SecurityOpt"][1] == f"seccomp={build_seccomp_profile(network=True)}"

    def test_an_images_own_entrypoint_does_not_get_in_between(self) -> None:
        body = build_create_request(CONTAINER)
        assert (body["Entrypoint"], body["Cmd"]) == (["make"], ["-k"])

    def test_one_with_a_lifetime_has_a_program_that_ends_it_around_its_own(self) -> None:
        limits = ContainerLimits(lifetime=59.5)
        body = build_create_request(ContainerSpec("n", "i", ("make", "-k"), "7:7", limits=limits))
        assert [*body["Entrypoint"], *body["Cmd"]] == ["timeout", "-s", "KILL", "60", "make", "-k"]

    def test_a_mount_is_read_only_unless_it_says_otherwise(self) -> None:
        mounts = (Mount(Path("/a:b c"), "/src"), Mount(Path("/o"), "/build", read_only=False))
        body = build_create_request(ContainerSpec("n", "i", ("true",), "7:7", mounts=mounts))["HostConfig"]
        assert [(m["Source"], m["Target"], m["ReadOnly"]) for m in body["Mounts"]] == [
            ("/a:b c", "/src", True),
            ("/o", "/build", False),
        ]

    def test_env_and_labels_go_in_as_they_are(self) -> None:
        body = build_create_request(
            ContainerSpec("n", "i", ("true",), "7:7", env={"A": "b=c"}, labels={"x": "KVM=y/z"})
        )
        assert "A=b=c" in body["Env"]
        assert body["Labels"] == {LABEL: "", "x": "KVM=y/z"}

    @pytest.mark.parametrize("terminal", [True, False])
    def test_one_that_is_typed_to_differs_in_its_stdin_and_terminal_only(self, terminal: bool) -> None:
        body = build_interactive_request(CONTAINER, terminal=terminal)
        assert body.items() >= build_create_request(CONTAINER).items()
        assert {name: body[name] for name in body.keys() - build_create_request(CONTAINER).keys()} == {
            "AttachStdin": True,
            "OpenStdin": True,
            "StdinOnce": True,
            "Tty": terminal,
        }


def test_a_container_that_only_inherits_its_images_label_is_not_ours() -> None:
    listed = [
        {"Names": ["/kmatrix-1"], "Labels": {LABEL: "run"}},
        {"Names": ["/x"], "Labels": {LABEL: "image"}},
    ]
    assert parse_container_owners(listed) == {"kmatrix-1": "run"}


def test_an_image_that_lost_its_tag_is_listed_under_its_id() -> None:
    listed: list[dict[str, Any]] = [
        {"Id": "sha256:1", "RepoTags": ["kmatrix/a:1", "kmatrix/b:1"], "Size": 5},
        {"Id": "sha256:2", "RepoTags": ["<none>:<none>"], "Size": 6},
        {"Id": "sha256:3", "RepoTags": None, "Size": 7},
    ]
    assert parse_image_sizes(listed) == {"kmatrix/a:1": 5, "kmatrix/b:1": 5, "sha256:2": 6, "sha256:3": 7}


class TestGuard:
    def test_what_ends_in_time_is_left_alone(self) -> None:
        with ContainerWatchdog(threading.Event(), 60, lambda: pytest.fail("killed"), lambda: None) as guard:
            time.sleep(0.15)
        assert (guard.stop_reason, guard.failure) == (None, None)

    def test_what_ended_in_the_moment_of_the_kill_was_not_killed(self) -> None:
        with ContainerWatchdog(threading.Event(), 0, lambda: False, lambda: None, grace=5) as guard:
            time.sleep(0.2)
        assert guard.stop_reason is None

    def test_a_kill_without_effect_ends_the_waiting_and_is_the_engines_failure(self) -> None:
        unblocked = threading.Event()
        with ContainerWatchdog(threading.Event(), 0, lambda: True, unblocked.set, grace=0.1) as guard:
            assert unblocked.wait(5)
        assert "still holds on" in str(guard.failure)


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with open_daemon() as daemon:
        yield daemon


@pytest.fixture
def engine(daemon: Daemon) -> DockerEngine:
    return DockerEngine(f"unix://{daemon.path}")


ATTACH = f"POST /containers/{CONTAINER.name}/attach"


def run(engine: DockerEngine, container: ContainerSpec = CONTAINER) -> list[str]:
    lines: list[str] = []
    ended = engine.run_container(container, lines.append, threading.Event())
    assert ended.exit == 0
    return lines


class TestRun:
    def test_it_attaches_before_it_starts_and_removes_at_last(
        self, daemon: Daemon, engine: DockerEngine
    ) -> None:
        assert run(engine) == ["out"]
        steps = [route for route in daemon.routes if not route.startswith("GET")]
        assert steps == [
            "POST /containers/create",
            ATTACH,
            "POST /containers/c1/start",
            "POST /containers/c1/wait",
            "DELETE /containers/c1",
        ]

    def test_lines_are_put_together_from_frames_each_stream_apart(
        self, daemon: Daemon, engine: DockerEngine
    ) -> None:
        pieces = ((1, b"CC  a"), (2, b"warn"), (1, b".o\nCC  b.o\n"), (2, b"ing\n"), (2, b"end"))
        daemon.replies[ATTACH] = lambda request: request.frames(*pieces)
        assert run(engine) == ["CC  a.o", "CC  b.o", "warning", "end"]

    def test_an_engine_that_dies_is_an_error_and_no_hang(self, daemon: Daemon, engine: DockerEngine) -> None:
        daemon.replies[ATTACH] = daemon.die
        lines: list[str] = []
        with pytest.raises(EngineError, match="does not answer") as caught:
            engine.run_container(CONTAINER, lines.append, threading.Event())
        assert lines == ["out", "part"]
        assert "./inv doctor" in caught.value.hint

    def test_an_engine_that_cannot_kill_is_an_error_and_no_hang(
        self, daemon: Daemon, engine: DockerEngine
    ) -> None:
        daemon.replies[ATTACH] = daemon.until_killed
        daemon.replies["POST /containers/c1/kill"] = giving(500, {"message": "cannot kill: stuck"})
        daemon.replies["GET /containers/c1/json"] = daemon.inspected(Status="running")
        container = ContainerSpec(
            "kmatrix-r-1", "image:1", ("make",), "7:7", limits=ContainerLimits(seconds=0.2)
        )
        started = time.monotonic()
        with pytest.raises(EngineError, match="cannot kill: stuck"):
            engine.run_container(container, lambda _: None, threading.Event())
        assert time.monotonic() - started < 5
        assert daemon.routes[-1] == "DELETE /containers/c1"

    def test_a_kill_that_comes_too_late_changes_nothing(self, daemon: Daemon, engine: DockerEngine) -> None:
        def slow_to_drain(request: Request) -> None:
            request.frames((1, b"out\n"))
            time.sleep(0.5)
            request.frame(1, b"the end of it\n")

        daemon.replies[ATTACH] = slow_to_drain
        daemon.replies["POST /containers/c1/kill"] = giving(409, {"message": "Container c1 is not running"})
        container = ContainerSpec(
            "kmatrix-r-1", "image:1", ("make",), "7:7", limits=ContainerLimits(seconds=0.1)
        )
        lines: list[str] = []
        ended = engine.run_container(container, lines.append, threading.Event())
        assert (ended.exit, ended.timed_out) == (0, False)
        assert "POST /containers/c1/kill" in daemon.routes
        assert lines == ["out", "the end of it"]

    def test_slow_waiting_is_not_taken_for_an_end(
        self, daemon: Daemon, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(docker_engine, "_WAIT_TIMEOUT", 0.1)
        answers = iter(["running", "running", "exited"])

        def inspected(request: Request) -> None:
            daemon.inspected(Status=next(answers))(request)

        daemon.replies["POST /containers/c1/wait"] = lambda _: time.sleep(0.3)
        daemon.replies["GET /containers/c1/json"] = inspected
        assert run(engine) == ["out"]
        assert daemon.routes.count("POST /containers/c1/wait") == 3

    def test_a_failing_removal_does_not_hide_the_outcome(self, daemon: Daemon, engine: DockerEngine) -> None:
        daemon.replies["DELETE /containers/c1"] = giving(500, {"message": "device or resource busy"})
        assert run(engine) == ["out"]
        assert daemon.routes.count("DELETE /containers/c1") == 2

    def test_a_failing_removal_does_not_hide_the_error(self, daemon: Daemon, engine: DockerEngine) -> None:
        daemon.replies["DELETE /containers/c1"] = giving(500, {"message": "device or resource busy"})
        daemon.replies["POST /containers/c1/start"] = giving(400, {"message": "executable file not found"})
        with pytest.raises(EngineError, match="executable file not found"):
            run(engine)

    def test_a_refused_creation_removes_nothing(self, daemon: Daemon, engine: DockerEngine) -> None:
        daemon.replies["POST /containers/create"] = giving(
            409, {"message": "is already in use by container 5"}
        )
        with pytest.raises(EngineError, match="already in use") as caught:
            run(engine)
        assert "./inv sweep" in caught.value.hint
        assert not any(route.startswith("DELETE") for route in daemon.routes)

    def test_podman_gets_the_filter_of_system_calls_as_a_file(self, daemon: Daemon) -> None:
        daemon.replies["GET /version"] = giving(
            200, {"ApiVersion": "1.41", "Components": [{"Name": "Podman Engine"}]}
        )
        contents: list[str] = []

        def create(request: Request) -> None:
            [body] = [json.loads(body) for route, body in daemon.asked if route.endswith("/create")]
            contents.append(Path(get_seccomp_profile(body)).read_text())
            request.give(201, {"Id": "c1"})

        daemon.replies["POST /containers/create"] = create
        assert run(DockerEngine(f"unix://{daemon.path}")) == ["out"]
        assert contents == [build_seccomp_profile(network=False)]

    def test_a_creation_without_an_answer_is_cleaned_up_by_name(
        self, daemon: Daemon, engine: DockerEngine
    ) -> None:
        daemon.replies["POST /containers/create"] = lambda request: setattr(request, "close_connection", True)
        with pytest.raises(EngineError):
            run(engine)
        assert daemon.routes[-1] == f"DELETE /containers/{CONTAINER.name}"

    def test_memory_that_ran_out_is_seen_in_the_state(self, daemon: Daemon, engine: DockerEngine) -> None:
        daemon.replies["GET /containers/c1/json"] = daemon.inspected(ExitCode=2, OOMKilled=True)
        ended = engine.run_container(CONTAINER, lambda _: None, threading.Event())
        assert (ended.exit, ended.oom) == (2, True)


class TestEnter:
    """With a client program of ours in the place of Docker's."""

    @pytest.fixture
    def client(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
        def made(script: str) -> Path:
            (tmp_path / "docker").write_text(f'#!/bin/sh\ncd "{tmp_path}"\n{script}\n')
            (tmp_path / "docker").chmod(0o755)
            monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
            return tmp_path

        return made

    def test_the_client_starts_what_the_api_made_at_the_same_engine(
        self, client: Callable[[str], Path], daemon: Daemon, engine: DockerEngine
    ) -> None:
        place = client('echo "$DOCKER_HOST $*" > said; exit 9')
        daemon.replies["GET /containers/c1/json"] = daemon.inspected(ExitCode=3)
        assert engine.run_interactively(CONTAINER) == 3
        host, *words = (place / "said").read_text().split()
        assert host == engine.url
        assert (words[0], words[-1]) == ("start", "c1")
        assert daemon.routes[-1] == "DELETE /containers/c1"
        [body] = [json.loads(body) for route, body in daemon.asked if route == "POST /containers/create"]
        assert body == build_interactive_request(CONTAINER, terminal=False)

    def test_what_never_began_is_an_error_with_the_engines_words(
        self, client: Callable[[str], Path], daemon: Daemon, engine: DockerEngine
    ) -> None:
        client("exit 1")
        daemon.replies["GET /containers/c1/json"] = daemon.inspected(
            Status="created", ExitCode=127, Error="exec: executable file not found"
        )
        with pytest.raises(EngineError, match="executable file not found") as caught:
            engine.run_interactively(CONTAINER)
        assert "the image lacks that program" in caught.value.hint
        assert daemon.routes[-1] == "DELETE /containers/c1"

    def test_a_client_that_is_gone_before_the_container_is_an_error_and_leaves_nothing(
        self, client: Callable[[str], Path], daemon: Daemon, engine: DockerEngine
    ) -> None:
        client("exit 0")
        daemon.replies["GET /containers/c1/json"] = daemon.inspected(Status="running")
        with pytest.raises(EngineError, match="its client ended before it"):
            engine.run_interactively(CONTAINER)
        assert daemon.routes[-1] == "DELETE /containers/c1"

    def test_an_interrupted_client_is_left_to_mend_the_terminal_when_its_container_is_gone(
        self, client: Callable[[str], Path], daemon: Daemon, engine: DockerEngine
    ) -> None:
        place = client("touch on; while [ ! -e gone ]; do sleep 0.1; done; sleep 0.3; touch mended")

        def removed(request: Request) -> None:
            (place / "gone").touch()
            request.give(204, None)

        def interrupt() -> None:
            while not (place / "on").exists():
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)

        daemon.replies["DELETE /containers/c1"] = removed
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            engine.run_interactively(CONTAINER)
        assert (place / "mended").exists()


def stream_objects(*answers: dict[str, str]) -> Reply:
    """An answer that comes object by object."""

    def reply(request: Request) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for answer in answers:
            data = json.dumps(answer).encode() + b"\r\n"
            request.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        request.wfile.write(b"0\r\n\r\n")

    return reply


class TestBuild:
    def test_lines_come_whole_and_the_id_is_the_engines(self, daemon: Daemon, engine: DockerEngine) -> None:
        daemon.replies["POST /build"] = stream_objects({"stream": "Step 1"}, {"stream": "/1\nok\nend"})
        daemon.replies["GET /images/kmatrix/a:1/json"] = giving(200, {"Id": "sha256:1"})
        lines: list[str] = []
        assert engine.build_image("kmatrix/a:1", {"Dockerfile": "FROM x"}, lines.append) == "sha256:1"
        assert lines == ["Step 1/1", "ok", "end"]

    def test_an_image_says_which_recipe_it_is_of(self, daemon: Daemon, engine: DockerEngine) -> None:
        paths: list[str] = []

        def built(request: Request) -> None:
            paths.append(request.path)
            stream_objects({"stream": "Step 1/1\n"})(request)

        daemon.replies["POST /build"] = built
        daemon.replies["GET /images/kmatrix/a:1/json"] = giving(200, {"Id": "sha256:1"})
        engine.build_image("kmatrix/a:1", {"Dockerfile": "FROM x"}, lambda _: None)
        labels = json.loads(parse_qs(urlsplit(paths[0]).query)["labels"][0])
        assert labels == {LABEL: "image", RECIPE_LABEL: "kmatrix/a:1"}

    def test_a_failed_step_tells_the_end_of_its_output(self, daemon: Daemon, engine: DockerEngine) -> None:
        said = [{"stream": f"line {number}\n"} for number in range(50)]
        daemon.replies["POST /build"] = stream_objects(*said, {"error": "returned a non-zero code: 100"})
        with pytest.raises(EngineError, match="non-zero code: 100") as caught:
            engine.build_image("kmatrix/a:1", {"Dockerfile": "FROM x"}, lambda _: None)
        assert "line 49" in str(caught.value)
        assert "line 20\n" not in str(caught.value)

    def test_a_full_disk_is_told_as_such(self, daemon: Daemon, engine: DockerEngine) -> None:
        daemon.replies["POST /build"] = stream_objects({"error": "write /x: no space left on device"})
        with pytest.raises(EngineError) as caught:
            engine.build_image("kmatrix/a:1", {"Dockerfile": "FROM x"}, lambda _: None)
        assert "./inv sweep" in caught.value.hint

    def test_an_image_that_is_not_there_afterwards_is_an_error(
        self, daemon: Daemon, engine: DockerEngine
    ) -> None:
        daemon.replies["POST /build"] = stream_objects({"stream": "Step 1/1\n"})
        with pytest.raises(EngineError, match="has no such image"):
            engine.build_image("kmatrix/a:1", {"Dockerfile": "FROM x"}, lambda _: None)


class TestPull:
    def test_no_registry_is_said(self, daemon: Daemon, engine: DockerEngine) -> None:
        daemon.replies["POST /images/create"] = giving(500, {"message": "dial tcp: no such host"})
        with pytest.raises(RegistryError, match=r"docker\.io: it does not answer"):
            engine.pull_image("debian:trixie-slim")

    def test_a_dead_engine_is_an_error(self, daemon: Daemon, engine: DockerEngine) -> None:
        daemon.path.unlink()
        with pytest.raises(EngineError, match="does not answer") as caught:
            engine.pull_image("debian:trixie-slim")
        assert not isinstance(caught.value, RegistryError)

    @pytest.mark.parametrize(
        ("ref", "asked"),
        [
            ("debian:trixie-slim", "fromImage=debian&tag=trixie-slim"),
            ("debian", "fromImage=debian&tag=latest"),
            ("localhost:5000/a/b", "fromImage=localhost%3A5000%2Fa%2Fb&tag=latest"),
            ("localhost:5000/a/b@sha256:0", "fromImage=localhost%3A5000%2Fa%2Fb&tag=sha256%3A0"),
        ],
    )
    def test_it_is_asked_for_by_tag_or_digest(
        self, daemon: Daemon, engine: DockerEngine, ref: str, asked: str
    ) -> None:
        paths: list[str] = []

        def pulled(request: Request) -> None:
            paths.append(request.path)
            stream_objects({"status": "Status: Downloaded newer image"})(request)

        daemon.replies["POST /images/create"] = pulled
        engine.pull_image(ref)
        assert paths == [f"/v1.41/images/create?{asked}"]

    def test_an_error_in_the_middle_is_said(self, daemon: Daemon, engine: DockerEngine) -> None:
        daemon.replies["POST /images/create"] = stream_objects(
            {"status": "Downloading"}, {"error": "write /x: no space left on device"}
        )
        with pytest.raises(RegistryError, match="the disk is full") as caught:
            engine.pull_image("localhost:5000/a/b:1")
        assert "./inv sweep" in caught.value.hint

    def test_ctrl_c_hangs_up_so_that_the_engine_stops(
        self, daemon: Daemon, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hung_up = threading.Event()

        def never_ending(request: Request) -> None:
            request.send_response(200)
            request.send_header("Transfer-Encoding", "chunked")
            request.end_headers()
            data = b'{"status": "Downloading"}\r\n'
            try:
                for _ in range(1000):
                    request.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                    time.sleep(0.02)
            except OSError:
                hung_up.set()
            request.close_connection = True

        def interrupt(replies: Iterator[object]) -> tuple[str, str]:
            next(replies)
            raise KeyboardInterrupt

        daemon.replies["POST /images/create"] = never_ending
        monkeypatch.setattr(docker_engine, "parse_transfer", interrupt)
        with pytest.raises(KeyboardInterrupt):
            engine.pull_image("localhost:5000/a/b:1")
        assert hung_up.wait(5)


class TestPush:
    ROUTE = "POST /images/localhost:5000/a/b/push"
    DIGEST = f"sha256:{'0123456789abcdef' * 4}"

    @pytest.fixture(autouse=True)
    def settings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The user's own settings of Docker's client: none yet."""
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        return tmp_path / "config.json"

    def push(self, daemon: Daemon, engine: DockerEngine) -> tuple[str, dict[str, str]]:
        """What was asked for, and the login that came with it."""
        seen: list[tuple[str, dict[str, str]]] = []

        def pushed(request: Request) -> None:
            login = json.loads(base64.urlsafe_b64decode(request.headers["X-Registry-Auth"]))
            seen.append((request.path, login))
            stream_objects({"status": f"1: digest: {self.DIGEST} size: 5"})(request)

        daemon.replies[self.ROUTE] = pushed
        assert engine.push_image("localhost:5000/a/b:1") == self.DIGEST
        return seen[0]

    def test_its_digest_is_the_registry_s(self, daemon: Daemon, engine: DockerEngine) -> None:
        assert self.push(daemon, engine) == ("/v1.41/images/localhost:5000/a/b/push?tag=1", {})

    def test_who_is_logged_in_there_is_known(
        self, daemon: Daemon, engine: DockerEngine, settings: Path
    ) -> None:
        logins = {
            host: {"auth": base64.b64encode(b"me:secret").decode()} for host in ("localhost:5000", "x.y")
        }
        settings.write_text(json.dumps({"auths": logins}))
        _, login = self.push(daemon, engine)
        assert (login["username"], login["password"]) == ("me", "secret")

    def test_a_refusal_is_said_with_the_way_in(self, daemon: Daemon, engine: DockerEngine) -> None:
        daemon.replies[self.ROUTE] = stream_objects({"error": "denied: requested access is denied"})
        with pytest.raises(RegistryError, match="refuses") as caught:
            engine.push_image("localhost:5000/a/b:1")
        assert "docker login localhost:5000" in caught.value.hint

    def test_a_push_without_a_digest_is_none(self, daemon: Daemon, engine: DockerEngine) -> None:
        daemon.replies[self.ROUTE] = stream_objects({"status": "Pushed"})
        with pytest.raises(EngineError, match="no digest"):
            engine.push_image("localhost:5000/a/b:1")


class TestConnect:
    @pytest.fixture(autouse=True)
    def _no_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DOCKER_HOST", raising=False)

    @staticmethod
    def _refusal(monkeypatch: pytest.MonkeyPatch, url: str) -> EngineError:
        monkeypatch.setenv("DOCKER_HOST", url)
        with pytest.raises(EngineError) as caught:
            connect_engine()
        return caught.value

    def test_docker_host_wins_over_the_default_socket(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert read_docker_url() == "unix:///var/run/docker.sock"
        monkeypatch.setenv("DOCKER_HOST", "unix:///elsewhere")
        assert read_docker_url() == "unix:///elsewhere"

    def test_a_daemon_that_answers_is_an_engine(
        self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{daemon.path}")
        assert isinstance(connect_engine(), DockerEngine)

    def test_no_socket(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        refusal = self._refusal(monkeypatch, f"unix://{tmp_path}/none")
        assert "no container engine answers at unix://" in str(refusal)
        assert "there is no such socket" in str(refusal)
        assert "./inv setup" in refusal.hint
        assert "unset DOCKER_HOST" in refusal.hint

    def test_nobody_behind_the_socket(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as left_over:
            left_over.bind(f"{directory}/s")
            assert "nobody listens" in str(self._refusal(monkeypatch, f"unix://{directory}/s"))

    def test_permission_denied(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def denied(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("matrix.engine.docker_host.socket.socket.connect", denied)
        refusal = self._refusal(monkeypatch, f"unix://{tmp_path}/s")
        assert "permission denied" in str(refusal)
        assert "usermod -aG docker" in refusal.hint
        assert "root" in refusal.hint

    def test_too_old(self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
        daemon.replies["GET /version"] = giving(200, {"ApiVersion": "1.20"})
        refusal = self._refusal(monkeypatch, f"unix://{daemon.path}")
        assert "too old" in str(refusal)
        assert "below 1.24" in str(refusal)

    def test_something_that_is_no_engine(self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
        daemon.replies["GET /version"] = giving(200, ["hello"])
        assert "does not answer" in str(self._refusal(monkeypatch, f"unix://{daemon.path}"))

    def test_a_host_that_cannot_see_our_directories(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "unix:// and tcp://" in str(self._refusal(monkeypatch, "ssh://somewhere"))


class TestMachineUser:
    def test_a_user_is_themselves(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        monkeypatch.setattr("os.getegid", lambda: 100)
        assert choose_container_user() == "1000:100"

    def test_root_is_somebody_else_inside(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.geteuid", lambda: 0)
        assert choose_container_user() == "59990:59990"

    def test_in_a_rootless_engine_0_is_the_caller(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        assert choose_container_user(rootless=True) == "0:0"
