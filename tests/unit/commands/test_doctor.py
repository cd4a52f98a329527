"""What doctor finds, and what it advises, on machines of every kind."""

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import pytest

from matrix.catalog.load import load_catalog, load_profile
from matrix.catalog.types import Profile
from matrix.commands import doctor, setup
from matrix.commands.doctor import HealthCheck, diagnose_machine
from matrix.commands.restore import restore_session
from matrix.commands.session import (
    Environment,
    choose_safe_user,
    prepare_session,
    resolve_image_ref,
)
from matrix.engine.connect import choose_container_user
from matrix.engine.images import compute_base_tag
from matrix.engine.protocol import ContainerResult, ContainerSpec, EngineInfo, LineCallback
from matrix.errors import EngineError
from matrix.record.run_directory import load_run
from matrix.source.cache import SourceCache
from tests.fakes.engine import FakeEngine
from tests.fakes.small_tree import small_tree

GIB = 2**30
OLD_RUN = Path(__file__).parents[2] / "old_run/before"
LIMIT = 512 * 2**20
TOOLCHAINS = ("gcc-14", "clang-19")
IMAGES = tuple(resolve_image_ref(name, load_catalog()) for name in TOOLCHAINS)
Handler = Callable[[ContainerSpec, LineCallback], int | ContainerResult]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


class Sized(FakeEngine):
    """An engine on a machine of this much memory."""

    memory = 8 * GIB
    rootless = False

    def query_info(self) -> EngineInfo:
        self._raise_if_broken()
        return EngineInfo("fake", "1.0", 2, self.memory, "v2", "memory", self.rootless)


def saying(*lines: str) -> Handler:
    """A container that says these lines of itself; ``USER`` is the user it was asked to be."""

    def play(container: ContainerSpec, on_line: LineCallback) -> int:
        for line in lines:
            on_line(container.user.split(":")[0] if line == "USER" else line)
        return 0

    return play


CAPABILITIES, PRIVILEGES = "CapEff:\t0000000000000000", "NoNewPrivs:\t1"
PROCESSES = "processes=4096"
HELD = saying(str(LIMIT), PROCESSES, PRIVILEGES, CAPABILITIES, "USER", "filtered")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sized:
    """A machine on which all is well but the source, which is not fetched."""
    found = Sized(HELD, images=(compute_base_tag(), *IMAGES))
    monkeypatch.setenv("KMATRIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "connect_engine", lambda: found)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 * GIB, 60 * GIB, 40 * GIB))
    return found


@pytest.fixture
def profile() -> Profile:
    return load_profile("kvm-vfio", [("test", {"toolchain": TOOLCHAINS})])


def finding(subject: str, profile: Profile) -> HealthCheck:
    (found,) = [each for each in diagnose_machine(profile) if each.subject == subject]
    return found


def test_it_looks_at_everything_in_the_order_in_which_it_is_needed(engine: Sized, profile: Profile) -> None:
    found = diagnose_machine(profile)
    assert [each.subject for each in found] == [
        "engine",
        "isolation",
        "cache",
        "disk",
        "cache size",
        "memory",
        *(f"image {name}" for name in TOOLCHAINS),
        "source",
    ]
    assert [each.subject for each in found if not each.ok] == ["source"]
    assert engine.list_containers() == {}


def test_without_an_engine_it_says_why_and_still_looks_at_the_disk(
    engine: Sized, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> Sized:
        raise EngineError("no container engine answers", "./inv setup")

    monkeypatch.setattr(doctor, "connect_engine", nobody)
    first, cache, disk, size = diagnose_machine(profile)
    assert first == HealthCheck("engine", False, "no container engine answers", "./inv setup")
    assert (cache.subject, cache.ok, disk.subject, disk.ok) == ("cache", True, "disk", True)
    assert (size.subject, size.ok, size.message) == ("cache size", True, "0.0 of 10.0 GiB")
    assert engine.ran == []


@pytest.mark.usefixtures("engine")
def test_it_says_what_the_caches_hold_and_whether_the_disk_has_room_for_the_rest(
    profile: Profile, tmp_path: Path
) -> None:
    (tmp_path / "cache/lanes/x86/build").mkdir(parents=True)
    with (tmp_path / "cache/lanes/x86/build/vmlinux").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, GIB // 10)
    assert finding("cache size", profile).message == "0.1 of 10.0 GiB: lanes 0.1"
    more = profile.model_copy(update={"cache_size": "50G"})
    assert finding("cache size", more) == HealthCheck(
        "cache size",
        False,
        "0.1 of 50.0 GiB: lanes 0.1",
        "a smaller --cache-size: the disk has 40.0 GiB left",
    )


@pytest.mark.usefixtures("engine")
def test_caches_that_are_beyond_their_size_are_not_well(tmp_path: Path, profile: Profile) -> None:
    (tmp_path / "cache/lanes/x86/build").mkdir(parents=True)
    with (tmp_path / "cache/lanes/x86/build/vmlinux").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, GIB // 10)
    small = profile.model_copy(update={"cache_size": "64M"})
    found = finding("cache size", small)
    assert (found.ok, found.message) == (False, "0.1 of 0.1 GiB: lanes 0.1")
    assert found.advice.startswith("38 MiB too many: a larger --cache-size")
    assert "./inv sweep --yes" in found.advice


@pytest.mark.usefixtures("engine")
def test_what_does_not_count_towards_the_caches_size_is_told_apart(tmp_path: Path, profile: Profile) -> None:
    for name in ("lanes/x86/build/vmlinux", "sources/memo/one", "resolutions/ab/one"):
        (tmp_path / "cache" / name).parent.mkdir(parents=True, exist_ok=True)
        with (tmp_path / "cache" / name).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, GIB // 10)
    message = finding("cache size", profile).message
    assert message.startswith("0.1 of 10.0 GiB: lanes 0.1; beside them resolutions 0.1")
    shutil.rmtree(tmp_path / "cache/lanes")
    assert finding("cache size", profile).message.startswith("0.0 of 10.0 GiB; beside them resolutions 0.1")


def test_an_engine_that_answers_with_an_error_is_the_finding(engine: Sized, profile: Profile) -> None:
    engine.broken = "the engine is on fire"
    assert diagnose_machine(profile)[0] == HealthCheck(
        "engine", False, "the engine is on fire", "./inv doctor"
    )


def test_everything_that_is_not_well_comes_with_something_to_do(
    engine: Sized, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.memory = GIB
    engine.handler = saying("max")
    for ref in IMAGES:
        engine.remove_image(ref)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 * GIB, 99 * GIB, GIB))
    bad = [each for each in diagnose_machine(profile) if not each.ok]
    assert len(bad) == 7
    assert [each.subject for each in bad if not each.advice] == []


@pytest.mark.usefixtures("engine")
def test_little_disk_is_told_with_how_much_and_where(
    profile: Profile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 * GIB, 97 * GIB, 3 * GIB))
    disk = finding("disk", profile)
    assert (disk.ok, disk.message) == (False, f"3 GiB free for {tmp_path}/cache")
    assert "./inv sweep" in disk.advice
    assert "KMATRIX_CACHE" in disk.advice


def test_little_memory_means_fewer_lanes(engine: Sized, profile: Profile) -> None:
    engine.memory = 2 * GIB
    memory = finding("memory", profile)
    assert not memory.ok
    assert "2.0 GiB, 2 processors" in memory.message
    assert "--lanes 1" in memory.advice


def test_a_missing_image_is_named_and_setup_makes_it(engine: Sized, profile: Profile) -> None:
    engine.remove_image(IMAGES[1])
    assert finding("image gcc-14", profile).ok
    missing = finding("image clang-19", profile)
    assert missing == HealthCheck("image clang-19", False, f"{IMAGES[1]} is not there", "./inv setup")


def test_where_images_come_from_is_said_and_one_that_was_built_here_is_not_it(
    engine: Sized, profile: Profile
) -> None:
    named = profile.model_copy(update={"images": "localhost:5000/team"})
    ref = f"localhost:5000/team/{IMAGES[0].removeprefix('kmatrix/')}"
    assert finding("image gcc-14", named) == HealthCheck(
        "image gcc-14", False, f"{ref} is not there", "./inv setup"
    )
    engine.tag_image(IMAGES[0], ref)
    assert finding("image gcc-14", named) == HealthCheck(
        "image gcc-14", True, f"{ref}, from the registry", "./inv setup"
    )


@pytest.mark.usefixtures("engine")
def test_a_package_that_was_fetched_is_well(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    assert finding("source", profile).advice == "./inv setup"
    monkeypatch.setattr(
        SourceCache, "read_spec_entry", lambda _, spec: {"digest": "1"} if spec == profile.source else None
    )
    assert finding("source", profile).ok


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("spec", ["{}", "{}@v6.12"])
def test_a_source_of_ones_own_is_well_when_it_is_there(spec: str, tmp_path: Path) -> None:
    there = load_profile("quick", [("test", {"source": spec.format(tmp_path)})])
    gone = load_profile("quick", [("test", {"source": spec.format(tmp_path / "gone")})])
    assert finding("source", there).ok
    assert "--source DIR" in finding("source", gone).advice


# --- isolation


@pytest.mark.parametrize("order", [(CAPABILITIES, PRIVILEGES), (PRIVILEGES, CAPABILITIES)])
def test_isolation_that_is_applied_is_well(engine: Sized, profile: Profile, order: tuple[str, str]) -> None:
    engine.handler = saying(f"{LIMIT}", PROCESSES, *order, "USER", "filtered")
    assert finding("isolation", profile).ok


@pytest.mark.parametrize(
    ("lines", "lacks"),
    [
        (("9223372036854771712", CAPABILITIES, PRIVILEGES, "USER"), "the memory limit"),
        (("max", CAPABILITIES, PRIVILEGES, "USER"), "the memory limit"),
        ((CAPABILITIES, PRIVILEGES, "USER"), "the memory limit"),
        ((f"{LIMIT}", "CapEff:\t00000000a80425fb", PRIVILEGES, "USER"), "dropped capabilities"),
        ((f"{LIMIT}", CAPABILITIES, "NoNewPrivs:\t0", "USER"), "no new privileges"),
        ((f"{LIMIT}", CAPABILITIES, PRIVILEGES, "USER", "writable"), "a read-only root"),
        ((f"{LIMIT}", CAPABILITIES, PRIVILEGES, "4711"), "the user"),
        ((f"{LIMIT}", CAPABILITIES, PRIVILEGES, "USER", "unfiltered"), "the filter of system calls"),
        ((f"{LIMIT}", CAPABILITIES, PRIVILEGES, "USER", "processes=max"), "the limit on processes"),
        ((f"{LIMIT}", CAPABILITIES, PRIVILEGES, "USER", "processes=40960"), "the limit on processes"),
    ],
    ids=[
        "v1-unlimited",
        "v2-unlimited",
        "no-cgroup",
        "capabilities",
        "privileges",
        "root",
        "user",
        "filter",
        "processes",
        "more-processes",
    ],
)
def test_what_the_engine_accepts_and_does_not_apply_is_bad(
    engine: Sized, profile: Profile, lines: tuple[str, ...], lacks: str
) -> None:
    told = " ".join(lines)
    engine.handler = saying(
        *lines,
        *([] if "unfiltered" in told else ["filtered"]),
        *([] if "processes=" in told else [PROCESSES]),
    )
    found = finding("isolation", profile)
    assert (found.ok, found.message) == (False, f"the engine does not apply: {lacks}")
    assert found.advice


def test_a_container_that_says_nothing_proves_nothing(engine: Sized, profile: Profile) -> None:
    engine.handler = saying()
    assert (
        "the memory limit, dropped capabilities, no new privileges" in finding("isolation", profile).message
    )


def test_isolation_is_asked_of_a_container_as_a_cell_would_have_it(engine: Sized, profile: Profile) -> None:
    diagnose_machine(profile)
    (asked,) = engine.ran
    assert asked.image == engine.find_image_id(compute_base_tag())
    assert asked.limits.memory == LIMIT
    assert asked.limits.seconds
    assert asked.user == choose_container_user()
    assert not asked.network
    assert asked.mounts == ()
    assert "memory.limit_in_bytes" in asked.command[-1]
    assert "memory.max" in asked.command[-1]


def test_in_a_rootless_engine_the_container_is_the_caller(engine: Sized, profile: Profile) -> None:
    engine.rootless = True
    assert finding("isolation", profile).ok
    assert engine.ran[0].user == "0:0"


def test_the_engine_is_named_and_whether_it_is_rootless(engine: Sized, profile: Profile) -> None:
    assert finding("engine", profile).message == "fake 1.0, cgroup v2, memory"
    engine.rootless = True
    assert finding("engine", profile).message == "fake 1.0, cgroup v2, memory, rootless"


@pytest.mark.parametrize("memory", [str(LIMIT), "9223372036854771712", "max"])
def test_nothing_is_done_in_a_rootless_engine_that_does_not_hold_its_limits(
    engine: Sized, memory: str
) -> None:
    engine.rootless = True
    engine.handler = saying(memory, PROCESSES, PRIVILEGES, CAPABILITIES, "USER", "filtered")
    if memory == str(LIMIT):
        assert choose_safe_user(engine, engine.query_info(), print) == "0:0"
    else:
        with pytest.raises(
            EngineError, match="does not apply them: the memory limit; kmatrix builds nothing"
        ):
            choose_safe_user(engine, engine.query_info(), print)
    asked = [container for container in engine.ran if container.limits.memory]
    assert [container.user for container in asked] == ["0:0"]


@pytest.mark.parametrize("entrance", ["run", "shell", "source"])
def test_no_command_gets_past_it(
    engine: Sized, entrance: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_tree(tmp_path / "tree")
    engine.rootless = True
    engine.handler = saying("max", PROCESSES, PRIVILEGES, CAPABILITIES, "USER", "filtered")
    profile = load_profile("quick", [("test", {"source": str(tmp_path / "tree")})])
    environment = Environment(engine, SourceCache(), tmp_path / "runs")
    monkeypatch.setattr(setup, "connect_engine", lambda: engine)
    entrances: dict[str, Callable[[], AbstractContextManager[object]]] = {
        "run": lambda: prepare_session(profile, print, environment),
        "shell": lambda: restore_session(load_run(OLD_RUN), None, print, environment),
        "source": lambda: nullcontext(setup.fetch_profile_source(profile, print)),
    }
    with pytest.raises(EngineError, match="does not apply them: the memory limit"):
        entrances[entrance]().__enter__()
    assert len(engine.ran) == 1


def test_a_rootful_engine_is_not_asked(engine: Sized) -> None:
    engine.handler = saying("max")
    assert choose_safe_user(engine, engine.query_info(), print) == choose_container_user()
    assert engine.ran == []


def test_a_container_that_cannot_run_is_told_with_the_engines_advice(engine: Sized, profile: Profile) -> None:
    def dies(_container: ContainerSpec, _on_line: LineCallback) -> int:
        raise EngineError("it refuses", "persuade it")

    engine.handler = dies
    assert finding("isolation", profile) == HealthCheck("isolation", False, "it refuses", "persuade it")


def test_without_the_base_image_isolation_is_not_known(engine: Sized, profile: Profile) -> None:
    engine.remove_image(compute_base_tag())
    assert finding("isolation", profile).advice == "./inv setup"
    assert engine.ran == []


# The cache's place


def test_a_cache_that_is_or_will_be_private_is_well(engine: Sized, profile: Profile, tmp_path: Path) -> None:
    assert finding("cache", profile).ok
    SourceCache().layout.create_root()
    found = finding("cache", profile)
    assert (found.ok, found.message) == (True, f"{tmp_path}/cache, which only you can enter")
    assert engine.list_containers() == {}


@pytest.mark.usefixtures("engine")
def test_a_cache_that_others_can_enter_is_not(profile: Profile, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o755)
    found = finding("cache", profile)
    assert (found.ok, found.message) == (False, f"other users can enter {tmp_path}/cache")
    assert found.advice.startswith(f"chmod 700 {tmp_path}/cache")


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("below", "problem"),
    [
        ("", "is no directory"),
        ("/a", "cannot be made: {file} is no directory"),
        ("/a/b", "cannot be made: {file} is"),
    ],
)
def test_a_file_in_the_caches_place_is_said(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str, problem: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("KMATRIX_CACHE", f"{file}{below}")
    found = finding("cache", profile)
    assert not found.ok
    assert found.message.startswith(f"{file}{below} {problem.format(file=file)}")
    assert "KMATRIX_CACHE" in found.advice


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("name", ["cache", "cache/below", "cache/a/b"])
def test_a_cache_that_may_not_be_written_is_said(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "cache").mkdir(mode=0o700)
    monkeypatch.setenv("KMATRIX_CACHE", str(tmp_path / name))
    # As root nothing is forbidden, but on a file system that is read-only.
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = finding("cache", profile)
    assert (found.ok, "may not be written" in found.message) == (False, True)


@pytest.mark.usefixtures("engine")
def test_a_cache_that_cannot_be_looked_at_is_said(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KMATRIX_CACHE", f"{tmp_path}/{'x' * 300}")
    found = finding("cache", profile)
    assert (found.ok, "File name too long" in found.message) == (False, True)
