"""What only a real container can show: its hardening, its limits, and how it ends."""

import os
import platform
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.engine import images
from matrix.engine.connect import choose_container_user
from matrix.engine.protocol import ContainerLimits, Mount
from matrix.errors import EngineError
from tests.contract.engine_bench import RUN, Bench

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
