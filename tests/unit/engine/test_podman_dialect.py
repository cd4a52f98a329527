"""What Podman is asked for otherwise than Docker, and where it is found."""

import json
import os
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from matrix.engine import podman_dialect, podman_host
from matrix.engine.connect import connect_engine
from matrix.engine.docker_api import build_create_request
from matrix.engine.docker_engine import DockerEngine
from matrix.engine.oom_watch import OomWatch, watch_oom_kills
from matrix.engine.podman_dialect import PodmanDialect
from matrix.engine.podman_host import list_podman_urls
from matrix.engine.protocol import ContainerSpec, Mount
from matrix.errors import EngineError
from tests.fakes.daemon import CONTAINER, Daemon, giving, open_daemon

PODMAN = {"ApiVersion": "1.41", "Version": "4.3.1", "Components": [{"Name": "Podman Engine"}]}


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with open_daemon() as made:
        made.replies["GET /version"] = giving(200, PODMAN)
        yield made


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOCKER_HOST", "CONTAINER_HOST", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_it_is_asked_for_no_health_check_and_for_no_run_directory_that_can_be_written() -> None:
    with PodmanDialect().adapt_request(build_create_request(CONTAINER)) as body:
        assert "Healthcheck" not in body
        host = body["HostConfig"]
        assert host["Tmpfs"]["/run"].startswith("ro,")
        assert all(options.endswith(",notmpcopyup") for options in host["Tmpfs"].values())
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        profile = Path(host["SecurityOpt"][-1].removeprefix("seccomp="))
        assert json.loads(profile.read_text())["syscalls"]
    assert not profile.exists()


@pytest.mark.parametrize(
    ("own", "machine", "asked"),
    [(96365, "32768\n", 32768), (1000, "32768\n", 1000), (resource.RLIM_INFINITY, "4194304\n", 4194304)],
)
def test_it_is_asked_for_as_many_processes_as_it_may_have(
    own: int, machine: str, asked: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pid_max").write_text(machine)
    monkeypatch.setattr(podman_dialect, "_PID_MAX", tmp_path / "pid_max")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (own, own))
    with PodmanDialect().adapt_request(build_create_request(CONTAINER)) as body:
        limits = {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in body["HostConfig"]["Ulimits"]}
    assert limits["nproc"] == (asked, asked)
    assert limits["core"] == (0, 0)


@pytest.mark.parametrize("name", ["a,rw", "a,U=true", 'a"b', "a\nb", "a\rb"])
def test_a_mount_that_it_would_take_for_options_is_refused_before_it_is_asked(
    name: str, daemon: Daemon, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    container = ContainerSpec("n", "i", ("true",), "7:7", mounts=(Mount(tmp_path / name, "/in"),))
    engine = DockerEngine(f"unix://{daemon.path}")
    with pytest.raises(EngineError, match="a comma, a quote or a line break"):
        engine.run_interactively(container)
    with pytest.raises(EngineError, match="a comma, a quote or a line break"):
        engine.run_container(container, print, threading.Event())
    assert daemon.routes == ["GET /version"] * len(daemon.routes)


def test_tags_are_listed_as_they_were_given() -> None:
    shorten = PodmanDialect().shorten_tag
    assert shorten("localhost/kmatrix/base:1") == "kmatrix/base:1"
    assert shorten("docker.io/kmatrix/base:1") == "kmatrix/base:1"
    assert shorten("docker.io/library/debian:trixie") == "debian:trixie"
    assert shorten("quay.io/localhost/x:1") == "quay.io/localhost/x:1"


def test_roots_podman_is_the_machines_and_a_users_is_their_own_first(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = "unix:///run/podman/podman.sock"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert list_podman_urls() == [machines]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert list_podman_urls() == ["unix:///run/user/1000/podman/podman.sock", machines]
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp/run")
    assert list_podman_urls() == ["unix:///tmp/run/podman/podman.sock", machines]
    monkeypatch.setenv("CONTAINER_HOST", "unix:///elsewhere")
    assert list_podman_urls() == ["unix:///elsewhere"]


def test_where_no_docker_answers_podman_is_taken(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matrix.engine.docker_host.DEFAULT_URL", "unix:///nowhere/docker.sock")
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{daemon.path}")
    daemon.replies["GET /info"] = giving(200, {"NCPU": 2, "MemTotal": 2**33, "CgroupVersion": "1"})
    engine = connect_engine()
    assert isinstance(engine, DockerEngine)
    assert (engine.url, engine.query_info().name) == (f"unix://{daemon.path}", "podman")


@pytest.mark.parametrize("rootless", [True, False])
def test_it_tells_in_its_own_place_that_it_is_rootless(daemon: Daemon, *, rootless: bool) -> None:
    told = {"NCPU": 2, "MemTotal": 2**33, "SecurityOptions": ["name=seccomp,profile=default"]}
    daemon.replies["GET /info"] = giving(200, {**told, "Rootless": rootless})
    assert DockerEngine(f"unix://{daemon.path}").query_info().rootless is rootless


def test_who_names_an_engine_gets_no_other(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{daemon.path}")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(EngineError, match=r"at unix:///nowhere/docker\.sock"):
        connect_engine()
    assert daemon.asked == []


def test_an_address_that_is_wrong_is_told_with_the_variable_that_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONTAINER_HOST", "ssh://somewhere")
    with pytest.raises(EngineError, match="CONTAINER_HOST is ssh://somewhere"):
        podman_host.find_podman()


class TestOomWatch:
    """With an eventfd of the kernel's, and files in the place of its cgroup."""

    @pytest.fixture
    def cgroup(self, tmp_path: Path) -> Path:
        for name in ("memory.oom_control", "cgroup.event_control"):
            (tmp_path / name).touch()
        return tmp_path

    @pytest.fixture
    def signal(self, cgroup: Path) -> Callable[[], None]:
        def signalled() -> None:
            os.eventfd_write(int((cgroup / "cgroup.event_control").read_text().split()[0]), 1)

        return signalled

    def test_a_kill_is_seen(self, cgroup: Path, signal: Callable[[], None]) -> None:
        watch = OomWatch(cgroup)
        signal()
        watch.close()
        assert watch.has_killed

    def test_without_one_there_is_none(self, cgroup: Path) -> None:
        watch = OomWatch(cgroup)
        watch.close()
        assert not watch.has_killed

    def test_the_end_of_the_cgroup_is_no_kill(self, cgroup: Path) -> None:
        watch = OomWatch(cgroup)
        before = int((cgroup / "cgroup.event_control").read_text().split()[0])
        for name in ("memory.oom_control", "cgroup.event_control"):
            (cgroup / name).unlink()
        cgroup.rmdir()
        os.eventfd_write(before, 1)
        watch.close()
        assert not watch.has_killed

    def test_where_the_kernel_lets_nobody_watch_there_is_no_watch(self) -> None:
        assert watch_oom_kills(os.getpid(), "no-such-container") is None
        assert watch_oom_kills(0, "") is None


@pytest.mark.parametrize(
    ("repository", "tag", "pull", "push"),
    [
        (
            "localhost:5000/a/b",
            "1",
            "/v4.0.0/libpod/images/pull?reference=localhost%3A5000%2Fa%2Fb%3A1&tlsVerify=false",
            "localhost:5000/a/b/push?tag=1&tlsVerify=false",
        ),
        (
            "127.0.0.1/a",
            "sha256:0",
            "/v4.0.0/libpod/images/pull?reference=127.0.0.1%2Fa%40sha256%3A0&tlsVerify=false",
            "127.0.0.1/a/push?tag=sha256%3A0&tlsVerify=false",
        ),
        (
            "registry.example.org/a",
            "1",
            "/v1.41/images/create?fromImage=registry.example.org%2Fa&tag=1",
            "registry.example.org/a/push?tag=1",
        ),
        # Under a short name Podman itself looks in no registry.
        ("debian", "1", "/v1.41/images/create?fromImage=debian&tag=1", "debian/push?tag=1"),
    ],
)
def test_a_registry_needs_no_tls_on_this_machine_and_nowhere_else(
    repository: str, tag: str, pull: str, push: str
) -> None:
    dialect = PodmanDialect()
    assert dialect.format_pull("1.41", repository, tag) == pull
    assert dialect.format_push("1.41", repository, tag) == f"/v1.41/images/{push}"
