"""Setup changes the machine only where it may, and says what it does."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from matrix.catalog.load import load_profile
from matrix.catalog.types import ROOT_IMAGE, Profile
from matrix.commands import setup
from matrix.commands.setup import (
    build_images,
    fetch_profile_source,
    push_profile_images,
    set_up_machine,
)
from matrix.errors import EngineError, RegistryError
from matrix.record.events import ProgressEvent, ProgressNote
from matrix.source.kernel_tree import SourceTree
from tests.fakes.engine import FakeEngine


class Machine:
    """A machine of a test's choosing: who we are, what is installed, and when its engine answers."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.engine = FakeEngine(registry=[ROOT_IMAGE.upstream])
        self.root, self.programs = True, {"apt-get"}
        self.silent = 10_000
        """How many times nobody answers before the engine does, once it was started."""
        self.started, self.starts = False, True
        self.did: list[str] = []
        self.said: list[str] = []
        self.clock = 0.0

    def emit(self, event: ProgressEvent) -> None:
        if isinstance(event, ProgressNote):
            self.said.append(event.text)

    def connect(self) -> FakeEngine:
        self.silent -= self.started
        if self.silent > 0:
            raise EngineError("no container engine answers", "./inv setup")
        return self.engine

    def has_program(self, program: str) -> bool:
        return program in self.programs

    def is_root(self) -> bool:
        return self.root

    def install(self, packages: list[str], _emit: object) -> None:
        self.did.append(f"install {' '.join(packages)}")
        self.programs.add("dockerd")

    def start(self, command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        self.did.append(" ".join(command))
        self.started_in = options.get("cwd")
        self.started = True
        return subprocess.CompletedProcess(command, 0 if self.starts else 1, stderr="unit failed")

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    def path(self, text: str) -> Path:
        return self.place / text.lstrip("/")

    def with_systemd(self) -> None:
        (self.place / "run/systemd/system").mkdir(parents=True)

    def fetched(self, profile: Profile, *_: object) -> SourceTree:
        self.did.append(f"fetch {profile.source}")
        return SourceTree(profile.source, self.place / "tree", "6.12", "d" * 64)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    for name in ("DOCKER_HOST", "CONTAINER_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    monkeypatch.setattr("os.geteuid", lambda: 0 if made.root else 7)
    monkeypatch.setenv("KMATRIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(setup, "connect_engine", made.connect)
    monkeypatch.setattr(setup, "HostSystem", lambda: made)
    monkeypatch.setattr(setup, "apt_install", made.install)
    monkeypatch.setattr(setup, "fetch_source", made.fetched)
    monkeypatch.setattr(setup, "Path", made.path)
    monkeypatch.setattr(setup, "_DAEMON_LOG", tmp_path / "dockerd.log")
    programs = SimpleNamespace(run=made.start, Popen=made.start, DEVNULL=subprocess.DEVNULL)
    monkeypatch.setattr(setup, "subprocess", programs)
    monkeypatch.setattr(setup, "time", SimpleNamespace(sleep=made.sleep, monotonic=lambda: made.clock))
    return made


@pytest.fixture
def profile() -> Profile:
    return load_profile("quick")


def test_with_an_engine_that_answers_nothing_is_installed(machine: Machine, profile: Profile) -> None:
    machine.silent = 0
    set_up_machine(profile, machine.emit)
    assert machine.did == [f"fetch {profile.source}"]
    assert "Engine: fake 1.0." in machine.said
    assert len(machine.engine.built) == 1 + len(profile.toolchain)
    assert any(profile.source in line and "6.12" in line for line in machine.said)


def test_with_a_registry_named_images_come_from_there_and_none_is_built(
    machine: Machine, profile: Profile
) -> None:
    machine.silent = 0
    named = profile.model_copy(update={"images": "localhost:5000/team"})
    with pytest.raises(RegistryError, match="has no image localhost:5000/team/"):
        set_up_machine(named, machine.emit)
    pushed = push_profile_images(profile, "localhost:5000/team", machine.emit)
    first, machine.engine = machine.engine, FakeEngine(shared=machine.engine.shared)
    set_up_machine(named, machine.emit)
    assert machine.engine.built == {}
    assert {tag: machine.engine.find_image_id(tag) for tag in pushed if "base" not in tag} == {
        tag: first.find_image_id(tag) for tag in pushed if "base" not in tag
    }


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_is_pushed_is_the_base_and_the_profile_s_images(
    machine: Machine, profile: Profile, *, elsewhere: bool
) -> None:
    """Into the registry that images come from, too, which has none at first; or out of one into another."""
    machine.silent = 0
    here, there = "localhost:5000/team", "r.example.org/team" if elsewhere else "localhost:5000/team"
    if elsewhere:
        push_profile_images(profile, here, machine.emit)
        machine.engine = FakeEngine(shared=machine.engine.shared)
    named = profile.model_copy(update={"images": here})
    pushed = push_profile_images(named, there, machine.emit)
    assert [tag.partition(":")[0] for tag in pushed] == [
        "kmatrix/base",
        *(f"kmatrix/{name}" for name in profile.toolchain),
    ]
    assert all(digest.startswith(f"{there}/") and "@sha256:" in digest for digest in pushed.values())
    assert (machine.engine.built == {}) is elsewhere


def test_a_second_time_builds_no_image_again(machine: Machine, profile: Profile) -> None:
    machine.silent = 0
    set_up_machine(profile, machine.emit)
    machine.engine.built.clear()
    set_up_machine(profile, machine.emit)
    assert machine.engine.built == {}


def test_root_on_debian_gets_an_engine_in_the_background(machine: Machine, profile: Profile) -> None:
    machine.silent = 3
    set_up_machine(profile, machine.emit)
    assert machine.did == ["install docker.io", "dockerd", f"fetch {profile.source}"]
    assert any(f"its log is {machine.place}/dockerd.log" in line for line in machine.said)
    assert (machine.place / "dockerd.log").exists()


def test_root_on_debian_with_systemd_gets_a_service(machine: Machine, profile: Profile) -> None:
    machine.with_systemd()
    machine.silent = 3
    set_up_machine(profile, machine.emit)
    assert machine.did[:2] == ["install docker.io", "systemctl enable --now docker"]


def test_a_service_that_does_not_start_is_said_at_once(machine: Machine, profile: Profile) -> None:
    machine.with_systemd()
    machine.starts = False
    with pytest.raises(EngineError, match="systemd cannot start Docker: unit failed"):
        set_up_machine(profile, machine.emit)
    assert machine.clock == 0


def test_an_engine_that_is_installed_and_stopped_is_only_started(machine: Machine, profile: Profile) -> None:
    machine.programs.add("dockerd")
    machine.silent = 1
    set_up_machine(profile, machine.emit)
    assert machine.did[0] == "dockerd"


def test_the_user_learns_why_something_is_installed(machine: Machine, profile: Profile) -> None:
    machine.silent = 1
    set_up_machine(profile, machine.emit)
    assert machine.said[0] == "No engine yet (no container engine answers)."


@pytest.mark.parametrize("programs", [{"podman"}, {"podman", "apt-get"}, {"podman", "apt-get", "docker"}])
def test_a_machine_that_has_podman_and_no_docker_gets_it_started_and_nothing_installed(
    machine: Machine, profile: Profile, programs: set[str]
) -> None:
    machine.programs, machine.silent = programs, 3
    set_up_machine(profile, machine.emit)
    service = "podman system service --time=0 unix:///run/podman/podman.sock"
    assert machine.did == [service, f"fetch {profile.source}"]
    assert any(f"its log is {machine.place}/kmatrix-podman.log" in line for line in machine.said)
    assert machine.started_in == machine.place / "run/podman"


def test_on_cgroup_v1_podmans_runtime_is_runc_where_that_is_installed(
    machine: Machine, profile: Profile
) -> None:
    machine.programs, machine.silent = {"podman", "runc"}, 3
    set_up_machine(profile, machine.emit)
    assert machine.did[0].startswith("podman --runtime runc system service")


def test_on_cgroup_v2_podmans_runtime_is_its_own(machine: Machine, profile: Profile) -> None:
    (machine.place / "sys/fs/cgroup").mkdir(parents=True)
    (machine.place / "sys/fs/cgroup/cgroup.controllers").touch()
    machine.programs, machine.silent = {"podman", "runc"}, 3
    set_up_machine(profile, machine.emit)
    assert machine.did[0].startswith("podman system service")


def test_docker_that_is_installed_is_started_before_podman(machine: Machine, profile: Profile) -> None:
    machine.programs, machine.silent = {"podman", "dockerd"}, 3
    set_up_machine(profile, machine.emit)
    assert machine.did[0] == "dockerd"


@pytest.mark.parametrize(("root", "user"), [(True, ""), (False, "--user ")])
def test_with_systemd_podmans_socket_is_its_unit(
    machine: Machine, profile: Profile, *, root: bool, user: str
) -> None:
    machine.with_systemd()
    machine.root, machine.programs, machine.silent = root, {"podman"}, 3
    set_up_machine(profile, machine.emit)
    assert machine.did[0] == f"systemctl {user}enable --now podman.socket"


def test_a_user_gets_a_podman_of_their_own(machine: Machine, profile: Profile) -> None:
    machine.root, machine.programs, machine.silent = False, {"podman", "dockerd"}, 3
    set_up_machine(profile, machine.emit)
    assert machine.did[0] == "podman system service --time=0 unix:///run/user/7/podman/podman.sock"
    assert (machine.place / "run/user/7/podman/kmatrix-podman.log").exists()


@pytest.mark.parametrize("named", ["DOCKER_HOST", "CONTAINER_HOST"])
def test_who_names_an_engine_gets_no_podman_started(
    machine: Machine, profile: Profile, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.programs = {"podman"}
    monkeypatch.setenv(named, "unix:///elsewhere")
    with pytest.raises(EngineError, match="no container engine answers"):
        set_up_machine(profile, machine.emit)
    assert machine.did == []


@pytest.mark.parametrize("case", ["not root", "no apt-get", "DOCKER_HOST"])
def test_where_it_may_not_the_machine_stays_as_it_is(
    machine: Machine, profile: Profile, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.root = case != "not root"
    machine.programs = set() if case == "no apt-get" else {"apt-get", "dockerd"}
    if case == "DOCKER_HOST":
        monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:2375")
    with pytest.raises(EngineError, match="no container engine answers"):
        set_up_machine(profile, machine.emit)
    assert machine.did == []


@pytest.mark.parametrize(("systemd", "log"), [(True, "journalctl -u docker"), (False, "dockerd.log")])
def test_a_daemon_that_never_answers_is_told_with_its_log(
    machine: Machine, profile: Profile, *, systemd: bool, log: str
) -> None:
    if systemd:
        machine.with_systemd()
    with pytest.raises(EngineError, match="was started and does not answer: no container engine") as caught:
        set_up_machine(profile, machine.emit)
    assert log in caught.value.hint
    assert 59 < machine.clock < 62


def test_images_and_source_alone_never_change_the_machine(machine: Machine, profile: Profile) -> None:
    for job in (build_images, fetch_profile_source):
        with pytest.raises(EngineError):
            job(profile, machine.emit)
    assert machine.did == []
    machine.silent = 0
    assert list(build_images(profile, machine.emit)) == list(profile.toolchain)
    assert fetch_profile_source(profile, machine.emit).version == "6.12"
