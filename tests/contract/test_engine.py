"""What every engine must do: the same cases on the fake one and on each real one of the table.

A real one's image is kmatrix's own base, so that the first of these tests also proves that it builds.
"""

import os
import platform
import re
import shlex
import signal
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest

from matrix.engine import images
from matrix.engine.connect import choose_container_user
from matrix.engine.image_archive import load_images, save_images
from matrix.engine.protocol import (
    LABEL,
    ContainerLimits,
    ContainerResult,
    ContainerSpec,
    Engine,
    LineCallback,
    Mount,
)
from matrix.errors import EngineError, RegistryError
from tests.engines import REAL_ENGINES, open_engine
from tests.fakes.engine import FakeEngine

# Not by process id: that may be another test run's as well, from another container on the same engine.
RUN = f"contract-{uuid4().hex[:12]}"
ONE_MINUTE = ContainerLimits(seconds=60)
# System calls that no build needs, by their numbers on the machines that may run these tests.
_HIDDEN = "io_uring_setup=425 io_uring_enter=426 io_uring_register=427 clone3=435"
_REFUSED = {
    "x86_64": """
        ptrace=101 personality=135 mount=165 umount2=166 pivot_root=155 chroot=161 init_module=175 add_key=248
        request_key=249 keyctl=250 unshare=272 setns=308 perf_event_open=298 name_to_handle_at=303 kcmp=312
        open_by_handle_at=304 process_vm_readv=310 process_vm_writev=311 bpf=321 userfaultfd=323
        kexec_load=246 finit_module=313 kexec_file_load=320 swapon=167 reboot=169 sethostname=170
        shmget=29 msgget=68
        semget=64 io_setup=206 mbind=237 move_pages=279 settimeofday=164 acct=163 syslog=103 quotactl=179
        iopl=172 ioperm=173 fsopen=430 open_tree=428 fanotify_init=300 modify_ldt=154 remap_file_pages=216
    """,
    "aarch64": """
        ptrace=117 personality=92 mount=40 umount2=39 pivot_root=41 chroot=51 init_module=105 add_key=217
        request_key=218 keyctl=219 unshare=97 setns=268 perf_event_open=241 open_by_handle_at=265 bpf=280
        userfaultfd=282 kexec_load=104 process_vm_readv=270 process_vm_writev=271
    """,
}
# What engines hide below a file system of their own, where only the machine's root can write.
MASKED = ("/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug")
_TRY_SYSCALLS = """
use Errno; for my $n (@ARGV) {
    my $r = syscall($n + 0, 0, 0, 0, 0, 0, 0);
    my ($name) = $r == -1 ? grep { $!{$_} } keys %! : ("done");
    print "$name\\n";
}
"""
_TRY_SOCKETS = (
    "for my $f (0..50) { for my $t (1, 2, 3, 5) { if (socket(my $s, $f, $t, 0)) { print qq($f\\n); last } } }"
)
_NUMBERS = count()


@dataclass(frozen=True)
class Bench:
    """An engine, and an image that has a shell."""

    engine: Engine
    image: str

    def container(self, script: str, *mounts: Mount, limits: ContainerLimits = ONE_MINUTE) -> ContainerSpec:
        return ContainerSpec(
            name=f"kmatrix-{RUN}-{next(_NUMBERS)}",
            image=self.image,
            command=("sh", "-c", script),
            user=choose_container_user(),
            mounts=mounts,
            labels={LABEL: RUN},
            limits=limits,
        )

    def run(self, container: ContainerSpec, on_line: LineCallback = lambda _: None) -> ContainerResult:
        return self.engine.run_container(container, on_line, threading.Event())

    def output(self, script: str, *mounts: Mount) -> list[str]:
        """The lines of a script that must succeed."""
        lines: list[str] = []
        ended = self.run(self.container(script, *mounts), lines.append)
        assert ended.exit == 0, lines
        return lines

    def ours(self) -> list[str]:
        return [name for name, run in self.engine.list_containers().items() if run == RUN]


@contextmanager
def _stdin(content: bytes) -> Iterator[None]:
    """This process's own stdin, and its children's, for a while."""
    before = os.dup(0)
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        os.dup2(file.fileno(), 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


def toy_shell(container: ContainerSpec, on_line: LineCallback) -> int | ContainerResult:
    """As much of a shell as these cases type, in a container as hardened as Docker's."""
    for command in container.command[-1].split("; "):
        words = shlex.split(command)
        if words[0] == "exit":
            return int(words[1])
        code = _TOY[words[0]](container, on_line, words[1:])
        if code:
            return code
    return 0


def _toy_touch(container: ContainerSpec, _on_line: LineCallback, words: list[str]) -> int | ContainerResult:
    path = Path(words[0])
    for mount in container.mounts:
        if path.is_relative_to(mount.path) and not mount.read_only:
            (mount.host / path.relative_to(mount.path)).touch()
            return 0
    return 0 if path.is_relative_to("/tmp") else 1


def _toy_hog(container: ContainerSpec, _on_line: LineCallback, _words: list[str]) -> int | ContainerResult:
    return ContainerResult(exit=137, seconds=0.0, oom=True) if container.limits.memory else 1


def _saying(
    what: Callable[[ContainerSpec, list[str]], str],
) -> Callable[[ContainerSpec, LineCallback, list[str]], int]:
    def said(container: ContainerSpec, on_line: LineCallback, words: list[str]) -> int:
        on_line(what(container, words))
        return 0

    return said


def _toy_sleep(_container: ContainerSpec, _on_line: LineCallback, words: list[str]) -> int:
    time.sleep(float(words[0]))
    return 0


_TOY: dict[str, Callable[[ContainerSpec, LineCallback, list[str]], int | ContainerResult]] = {
    "echo": _saying(lambda _, words: " ".join(words)),
    "printf": _saying(lambda _, words: words[0]),
    "id": _saying(lambda container, _: container.user.split(":")[0]),
    "ls": _saying(lambda container, _: "eth0 lo" if container.network else "lo"),
    "sleep": _toy_sleep,
    "touch": _toy_touch,
    "tail": _toy_hog,
}


@cache
def open_bench(name: str) -> Bench:
    """A real engine; it is skipped where it is not on this machine."""
    engine = open_engine(name)
    images.ensure_base_image(engine, lambda _: None, install=True)
    return Bench(engine, images.compute_base_tag())


@pytest.fixture(params=REAL_ENGINES)
def real(request: pytest.FixtureRequest) -> Bench:
    return open_bench(request.param)


@pytest.fixture(params=["fake", *REAL_ENGINES])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "fake":
        bench = Bench(FakeEngine(toy_shell, images=["kmatrix/base:fake"]), "kmatrix/base:fake")
    else:
        bench = open_bench(request.param)
    yield bench
    assert bench.ours() == [], "a container was left behind"


@pytest.fixture
def writable(tmp_path: Path) -> Path:
    """A directory of the host that a container's user may write to."""
    directory = tmp_path / "a directory: with a colon"
    directory.mkdir()
    directory.chmod(0o777)
    return directory


def test_it_tells_about_the_machine(bench: Bench) -> None:
    about = bench.engine.query_info()
    assert about.name
    assert about.version
    assert about.cpus > 0
    assert about.memory > 2**20
    assert about.cgroup in ("v1", "v2")


def test_output_arrives_line_by_line_while_it_runs(bench: Bench) -> None:
    arrived: list[tuple[str, float]] = []

    def on_line(line: str) -> None:
        arrived.append((line, time.monotonic()))

    ended = bench.run(bench.container("echo one; sleep 1; echo two"), on_line)
    assert [line for line, _ in arrived] == ["one", "two"]
    assert arrived[1][1] - arrived[0][1] > 0.7
    assert ended.exit == 0
    assert 0.9 < ended.seconds < 10


def test_a_last_line_without_newline_is_given(bench: Bench) -> None:
    assert bench.output("echo whole; printf part") == ["whole", "part"]


def test_an_exit_code_is_a_value(bench: Bench) -> None:
    ended = bench.run(bench.container("exit 3"))
    assert (ended.exit, ended.oom, ended.timed_out, ended.cancelled) == (3, False, False, False)


def test_the_root_file_system_is_read_only(bench: Bench) -> None:
    assert bench.run(bench.container("touch /usr/x")).exit == 1


def test_tmp_can_be_written(bench: Bench) -> None:
    assert bench.run(bench.container("touch /tmp/x")).exit == 0


def test_a_mount_is_read_only_unless_it_says_otherwise(bench: Bench, writable: Path) -> None:
    assert bench.run(bench.container("touch /in/x", Mount(writable, "/in"))).exit == 1
    assert list(writable.iterdir()) == []
    assert bench.run(bench.container("touch /in/x", Mount(writable, "/in", read_only=False))).exit == 0
    assert [path.name for path in writable.iterdir()] == ["x"]


def test_the_user_is_not_root(bench: Bench) -> None:
    [uid] = bench.output("id -u")
    assert uid == choose_container_user().split(":")[0]
    assert uid != "0"


def test_there_is_no_network(bench: Bench) -> None:
    assert bench.output("ls /sys/class/net") == ["lo"]


def test_a_passed_time_limit_kills_promptly(bench: Bench) -> None:
    ended = bench.run(bench.container("echo on; sleep 30", limits=ContainerLimits(seconds=0.5)))
    assert ended.timed_out
    assert not ended.cancelled
    assert 0.4 < ended.seconds < 2.5


def test_a_passed_lifetime_ends_it_though_nobody_kills_it(bench: Bench) -> None:
    limits = ContainerLimits(seconds=60, lifetime=1)
    ended = bench.run(bench.container("echo on; sleep 30", limits=limits))
    assert (ended.exit, ended.timed_out, ended.cancelled) == (137, False, False)
    assert 0.9 < ended.seconds < 5


def test_a_lifetime_changes_nothing_for_who_ends_before(bench: Bench) -> None:
    limits = ContainerLimits(seconds=60, lifetime=60)
    lines: list[str] = []
    assert bench.run(bench.container("echo on; exit 3", limits=limits), lines.append).exit == 3
    assert lines == ["on"]


def test_containers_are_listed_by_one_more_label(bench: Bench) -> None:
    labelled = replace(bench.container("echo on; sleep 30"), labels={LABEL: RUN, f"{LABEL}.writes.1": "/x"})
    cancel = threading.Event()
    listed: list[dict[str, str]] = []

    def look(_line: str) -> None:
        listed.extend(bench.engine.list_containers(label) for label in (f"{LABEL}.writes.{n}" for n in "12"))
        cancel.set()

    bench.engine.run_container(labelled, look, cancel)
    assert listed == [{labelled.name: RUN}, {}]


def test_a_set_cancel_kills_promptly(bench: Bench) -> None:
    cancel = threading.Event()
    # Set out of on_line: certainly while it runs, and certainly after its start.
    ended = bench.engine.run_container(bench.container("echo on; sleep 30"), lambda _: cancel.set(), cancel)
    assert ended.cancelled
    assert not ended.timed_out
    assert ended.seconds < 2.5


def test_a_cancel_set_before_starts_nothing(bench: Bench) -> None:
    cancel = threading.Event()
    cancel.set()
    lines: list[str] = []
    assert bench.engine.run_container(bench.container("echo on"), lines.append, cancel).cancelled
    assert lines == []


def test_memory_beyond_the_limit_is_oom(bench: Bench) -> None:
    ended = bench.run(
        bench.container("tail /dev/zero", limits=ContainerLimits(memory=64 * 2**20, seconds=60))
    )
    assert ended.oom
    assert ended.exit != 0


def test_an_unknown_image_is_the_engines_error(bench: Bench) -> None:
    container = replace(bench.container("exit 0"), image="kmatrix/nowhere:none")
    with pytest.raises(EngineError, match="kmatrix/nowhere:none") as caught:
        bench.run(container)
    assert "./inv images" in caught.value.hint
    assert bench.engine.find_image_id("kmatrix/nowhere:none") is None


def test_a_callers_own_error_passes_through_and_nothing_stays(bench: Bench) -> None:
    def on_line(_line: str) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        bench.run(bench.container("echo on; sleep 30"), on_line)
    assert not isinstance(caught.value, EngineError)


def test_a_name_is_one_containers_only(bench: Bench) -> None:
    first = bench.container("echo on; sleep 30")
    cancel, on = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(bench.engine.run_container, first, lambda _: on.set(), cancel)
        assert on.wait(20)
        assert bench.ours() == [first.name]
        with pytest.raises(EngineError, match=re.escape(first.name)):
            bench.run(first)
        assert bench.ours() == [first.name], "the refused one took the other with it"
        cancel.set()
        assert running.result().cancelled
    assert bench.run(replace(first, command=("sh", "-c", "exit 0"))).exit == 0


def test_several_run_at_once_and_each_gets_its_own_lines(bench: Bench) -> None:
    with ThreadPoolExecutor(4) as pool:
        scripts = [f"echo {number}; sleep 0.3; echo {number}" for number in range(4)]
        assert list(pool.map(bench.output, scripts)) == [[str(n), str(n)] for n in range(4)]


def test_a_container_can_be_removed_from_outside(bench: Bench) -> None:
    container = bench.container("echo on; sleep 30")
    try:
        ended = bench.run(container, lambda _: bench.engine.remove_container(container.name))
    except EngineError:
        return  # gone before it could be asked how it ended: the engine's error, and no hang
    assert ended.exit != 0


def test_removing_what_is_not_there_is_no_error(bench: Bench) -> None:
    bench.engine.remove_container("kmatrix-never-was")
    bench.engine.remove_image("kmatrix/never:was")


def test_an_image_is_tagged_listed_and_removed(bench: Bench) -> None:
    name = f"kmatrix/{RUN}:copy"
    bench.engine.tag_image(bench.image, name)
    assert bench.engine.find_image_id(name) == bench.engine.find_image_id(bench.image)
    assert bench.engine.list_images()[name] > 0
    bench.engine.remove_image(name)
    assert bench.engine.find_image_id(name) is None
    assert bench.engine.find_image_id(bench.image)


def test_an_image_is_built_and_its_output_given(bench: Bench) -> None:
    name = f"kmatrix/{RUN}:built"
    lines: list[str] = []
    made = bench.engine.build_image(name, {"Dockerfile": f"FROM {bench.image}\nENV A=b\n"}, lines.append)
    try:
        assert made == bench.engine.find_image_id(name)
        # Podman shouts.
        assert any(line.capitalize().startswith("Step 1") and bench.image in line for line in lines)
        assert name in bench.engine.list_images()
    finally:
        bench.engine.remove_image(name)


def test_images_that_were_saved_and_removed_are_loaded_as_they_were(bench: Bench, tmp_path: Path) -> None:
    names = [f"kmatrix/{RUN}:saved-{letter}" for letter in "ab"]
    built = {
        name: bench.engine.build_image(
            name, {"Dockerfile": f"FROM {bench.image}\nENV NAME={name}\n"}, lambda _: None
        )
        for name in names
    }
    try:
        assert save_images(bench.engine, names, tmp_path / "images.tar") == built
        for name in names:
            bench.engine.remove_image(name)
            assert bench.engine.find_image_id(name) is None
        assert load_images(bench.engine, names, tmp_path / "images.tar") == built
        assert built.items() <= {name: bench.engine.find_image_id(name) for name in names}.items()
    finally:
        for name in names:
            bench.engine.remove_image(name)


def test_an_image_that_is_not_there_is_not_saved(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        save_images(bench.engine, ["kmatrix/never:was"], tmp_path / "images.tar")
    assert not list(tmp_path.iterdir())


def test_a_file_that_holds_no_layers_is_the_engine_s_error(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "images.tar").write_bytes(b"no tar")
    if not isinstance(bench.engine, FakeEngine):
        with (tmp_path / "images.tar").open("rb") as file, pytest.raises(EngineError):
            bench.engine.load_images(file)


def test_an_unreachable_registry_is_said(bench: Bench) -> None:
    if isinstance(bench.engine, FakeEngine):
        bench.engine.shared.fault = "dial tcp: connect: connection refused"
    with pytest.raises(RegistryError, match="localhost:1: it does not answer"):
        bench.engine.pull_image("localhost:1/kmatrix/nothing:none")


def test_who_enters_gets_the_output_as_it_is_and_the_exit_code(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    assert bench.engine.run_interactively(bench.container("echo one; exit 3")) == 3
    assert capfd.readouterr().out == "one\n"
    assert bench.engine.run_interactively(bench.container("exit 0")) == 0


def test_what_is_entered_is_as_hardened_as_what_is_run(
    bench: Bench, writable: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert bench.engine.run_interactively(bench.container("touch /usr/x")) == 1
    assert bench.engine.run_interactively(bench.container("touch /in/x", Mount(writable, "/in"))) == 1
    capfd.readouterr()
    assert bench.engine.run_interactively(bench.container("id -u; ls /sys/class/net")) == 0
    assert capfd.readouterr().out.split() == [choose_container_user().split(":")[0], "lo"]


def test_who_has_entered_may_stay(bench: Bench) -> None:
    assert (
        bench.engine.run_interactively(
            bench.container("sleep 1; exit 4", limits=ContainerLimits(seconds=0.2))
        )
        == 4
    )


def test_who_is_interrupted_inside_leaves_nothing(bench: Bench) -> None:
    container = bench.container("sleep 30")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_interrupt_when, lambda: container.name in bench.ours())
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            bench.engine.run_interactively(container)
    assert bench.ours() == []
    assert time.monotonic() - started < 15


def _interrupt_when(ready: Callable[[], bool]) -> None:
    while not ready():
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGINT)


def test_entering_an_unknown_image_is_the_engines_error(bench: Bench) -> None:
    container = replace(bench.container("exit 0"), image="kmatrix/nowhere:none")
    with pytest.raises(EngineError, match="kmatrix/nowhere:none") as caught:
        bench.engine.run_interactively(container)
    assert "./inv images" in caught.value.hint


@pytest.mark.engine
class TestOnlyOnRealContainers:
    def test_the_base_image_has_what_a_kernel_build_needs(self, real: Bench) -> None:
        tools = ("make", "bison", "flex", "bc", "perl", "python3", "git", "patch", "zstd", "sparse")
        commands = [f"{tool} --version" for tool in tools]
        said = images.read_first_lines(real.engine, real.image, commands, choose_container_user())
        assert dict(zip(tools, map(bool, said), strict=True)) == dict.fromkeys(tools, True)

    def test_the_first_line_of_a_command_that_fails_is_empty(self, real: Bench) -> None:
        commands = ["echo one; echo two", "no-such-tool", "echo three; false", "echo 'a  b' >&2"]
        assert images.read_first_lines(real.engine, real.image, commands, choose_container_user()) == [
            "one",
            "",
            "",
            "a  b",
        ]

    def test_an_image_that_is_there_costs_nothing(self, real: Bench) -> None:
        started = time.monotonic()
        images.ensure_base_image(real.engine, lambda event: pytest.fail(f"{event}"))
        assert time.monotonic() - started < 0.1

    def test_no_capability_and_no_new_privilege(self, real: Bench) -> None:
        status = dict(line.split(":\t", 1) for line in real.output("cat /proc/self/status") if ":\t" in line)
        sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
        assert {int(status[name], 16) for name in sets} == {0}
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"

    def test_system_calls_that_no_build_needs_are_refused(self, real: Bench) -> None:
        # By number, as the C library would take another way where it can.
        for text, errors in ((_HIDDEN, {"ENOSYS"}), (_REFUSED[platform.machine()], {"EPERM"})):
            numbers = dict(word.split("=") for word in text.split())
            said = real.output(f"perl -e '{_TRY_SYSCALLS}' {' '.join(numbers.values())}")
            assert {error: name for name, error in zip(numbers, said, strict=True)}.keys() == errors

    def test_a_socket_is_local_or_not_at_all(self, real: Bench) -> None:
        script = f"perl -e '{_TRY_SOCKETS}'"
        assert real.output(script) == ["1"]
        lines: list[str] = []
        real.run(replace(real.container(script), network=True), lines.append)
        assert lines == ["1", "2", "10", "16"]

    def test_what_is_entered_has_the_same_filter_of_system_calls(
        self, real: Bench, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert real.engine.run_interactively(real.container(f"perl -e '{_TRY_SOCKETS}'")) == 0
        assert capfd.readouterr().out.split() == ["1"]

    def test_no_namespace_is_made_by_program_either(self, real: Bench) -> None:
        for option in ("-U", "-m", "-n", "-p", "-i", "-u", "-C"):
            assert real.run(real.container(f"unshare {option} true")).exit == 1

    def test_a_lifetime_cannot_be_taken_away_from_inside(self, real: Bench) -> None:
        # Signals to its first process: those that the kernel keeps from it, and those that timeout hands on.
        handed_on = "HUP INT QUIT TERM USR1 USR2"
        script = f"trap '' {handed_on}; for s in STOP KILL {handed_on}; do kill -$s 1; done; sleep 9; exit 9"
        limits = ContainerLimits(seconds=60, lifetime=2)
        ended = real.run(real.container(script, limits=limits))
        assert ended.exit != 9
        assert not ended.timed_out
        assert ended.seconds < 6

    def test_what_left_the_command_ends_with_it(self, real: Bench) -> None:
        limits = ContainerLimits(seconds=60, lifetime=60)
        ended = real.run(real.container("setsid sleep 30 & exit 4", limits=limits))
        assert ended.exit == 4
        assert ended.seconds < 5

    def test_bounds_are_read_back_inside(self, real: Bench) -> None:
        script = "ulimit -c; ulimit -f; df -B1 --output=size /tmp | tail -n 1; cat /proc/self/mounts"
        limits = ContainerLimits(seconds=60, memory=2**28, processes=50, file_size=2**20, tmpfs=2**22)
        lines: list[str] = []
        real.run(real.container(script, limits=limits), lines.append)
        assert lines[:2] == ["0", str(2**20 // 512)]
        assert int(lines[2]) == limits.tmpfs
        [options] = [line.split()[3].split(",") for line in lines if line.split()[1:2] == ["/tmp"]]
        assert {"rw", "nosuid", "nodev"} <= set(options)
        assert "noexec" not in options

    def test_a_file_beyond_its_limit_is_refused(self, real: Bench) -> None:
        limits = ContainerLimits(seconds=60, file_size=2**20)
        container = real.container("head -c 2M /dev/zero > /tmp/x || exit 9", limits=limits)
        assert real.run(container).exit == 9

    def test_processes_beyond_their_limit_are_refused(self, real: Bench) -> None:
        lines: list[str] = []
        script = "for n in 1 2 3 4 5 6 7 8; do sleep 2 & done; wait"
        ended = real.run(
            real.container(script, limits=ContainerLimits(seconds=30, processes=4)), lines.append
        )
        assert ended.exit != 0
        assert any("fork" in line.lower() for line in lines)

    def test_a_child_that_was_killed_for_memory_is_oom_too(self, real: Bench) -> None:
        limits = ContainerLimits(memory=64 * 2**20, seconds=60)
        ended = real.run(real.container("tail /dev/zero; exit 0", limits=limits))
        assert (ended.exit, ended.oom) == (0, True)

    def test_a_kill_that_is_not_for_memory_is_no_oom(self, real: Bench) -> None:
        ended = real.run(real.container("sh -c 'kill -9 $$'; exit 5"))
        assert (ended.exit, ended.oom) == (5, False)

    def test_a_container_outlives_its_output(self, real: Bench) -> None:
        ended = real.run(real.container("exec >&- 2>&-; sleep 1; exit 4"))
        assert ended.exit == 4
        assert ended.seconds > 0.9

    def test_a_silent_container_is_killed_too(self, real: Bench) -> None:
        ended = real.run(real.container("exec >&- 2>&-; sleep 30", limits=ContainerLimits(seconds=0.5)))
        assert ended.timed_out
        assert ended.seconds < 2.5

    def test_a_missing_mount_is_refused_and_not_made(self, real: Bench, tmp_path: Path) -> None:
        missing = tmp_path / "missing"
        with pytest.raises(EngineError, match="missing"):
            real.run(real.container("exit 0", Mount(missing, "/in")))
        assert not missing.exists()
        assert real.ours() == []

    def test_a_name_that_an_engine_would_read_as_options_mounts_nothing_else(
        self, real: Bench, tmp_path: Path
    ) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "other").touch()
        owned = (tmp_path / "a").stat().st_uid
        for name in ("a,U=true", "a,rw", "a,target=b", "a,src=b", 'a"b', "a\nb", "a=b", "a\\b", "'", "a b"):
            directory = tmp_path / name
            directory.mkdir()
            directory.chmod(0o777)
            script = "test -e /in/other && exit 8; touch /in/x && exit 9; test -d /in"
            with suppress(EngineError):
                assert real.run(real.container(script, Mount(directory, "/in"))).exit == 0, name
            assert list(directory.iterdir()) == [], name
        assert (tmp_path / "a").stat().st_uid == owned

    def test_nothing_but_memory_can_be_written(self, real: Bench) -> None:
        lines = real.output("find / /dev /run /sys -xdev -type d -writable 2>&-; true")
        assert {"/tmp", "/var/tmp"} <= set(lines) <= {"/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue"}
        # Neither by a user of a rootless engine, who is root in there.
        mounts = [line.split() for line in real.output("grep ' tmpfs ' /proc/self/mounts")]
        in_memory = {path for _, path, _, options, *_ in mounts if "rw" in options.split(",")}
        assert in_memory <= {"/tmp", "/var/tmp", "/dev", "/dev/shm", "/sys/fs/cgroup", *MASKED}

    def test_a_command_that_the_image_lacks_is_the_engines_error(self, real: Bench) -> None:
        with pytest.raises(EngineError, match="no-such-program") as caught:
            real.run(replace(real.container(""), command=("no-such-program",)))
        assert "the image lacks that program" in caught.value.hint
        assert real.ours() == []

    def test_entering_with_a_command_that_the_image_lacks_is_the_engines_error(self, real: Bench) -> None:
        with pytest.raises(EngineError, match="no-such-program") as caught:
            real.engine.run_interactively(replace(real.container(""), command=("no-such-program",)))
        assert "the image lacks that program" in caught.value.hint
        assert real.ours() == []

    def test_without_its_client_nobody_enters_and_it_says_what_to_install(
        self, real: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        name = real.engine.query_info().name
        with pytest.raises(EngineError, match=f"program {name}") as caught:
            real.engine.run_interactively(real.container("exit 0"))
        assert "apt-get install" in caught.value.hint
        assert real.ours() == []

    def test_who_enters_brings_a_stdin_that_ends(
        self, real: Bench, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with _stdin(b"one\ntwo"):
            assert real.engine.run_interactively(real.container("cat; echo; echo err >&2; exit 5")) == 5
        assert capfd.readouterr() == ("one\ntwo\n", "err\n")

    def test_a_report_comes_with_the_result_and_not_as_output(self, real: Bench) -> None:
        lines: list[str] = []
        script = "echo out; seq 100 >&2; echo 'exit 3' >&2; exit 3"
        ended = real.run(replace(real.container(script), reports=True), lines.append)
        assert lines == ["out"]
        assert ended.exit == 3
        assert ended.report == (*map(str, range(38, 101)), "exit 3")

    def test_everything_of_a_fast_long_output_arrives(self, real: Bench) -> None:
        assert real.output("seq 200000") == [str(number) for number in range(1, 200001)]

    def test_a_root_file_system_is_imported_under_its_whole_name(self, real: Bench, tmp_path: Path) -> None:
        name = f"kmatrix/{RUN}-root:trixie"
        (tmp_path / "note").write_text("héllo\n")
        with tarfile.open(tmp_path / "root.tar", "w") as tarball:
            tarball.add(tmp_path / "note", "note")
        imported = real.engine.import_rootfs(tmp_path / "root.tar", name)
        try:
            assert imported == real.engine.find_image_id(name)
            assert name in real.engine.list_images()
            assert real.engine.find_image_id(name.replace(":trixie", ":latest")) is None
        finally:
            real.engine.remove_image(name)

    def test_a_failed_build_tells_the_end_of_its_output(self, real: Bench) -> None:
        name = f"kmatrix/{RUN}:broken"
        dockerfile = f"FROM {real.image}\nRUN echo this is why; exit 7\n"
        with pytest.raises(EngineError, match="this is why") as caught:
            real.engine.build_image(name, {"Dockerfile": dockerfile}, lambda _: None)
        assert "7" in str(caught.value)
        assert real.engine.find_image_id(name) is None

    def test_a_file_beside_the_dockerfile_gets_into_the_image(self, real: Bench) -> None:
        name = f"kmatrix/{RUN}:files"
        dockerfile = f"FROM {real.image}\nCOPY note /note\n"
        real.engine.build_image(name, {"Dockerfile": dockerfile, "note": "héllo\n"}, lambda _: None)
        try:
            assert replace(real, image=name).output("cat /note") == ["héllo"]
        finally:
            real.engine.remove_image(name)
