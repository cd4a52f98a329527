"""A prompt in a cell's container: real containers, the miniature tree, a real terminal."""

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from matrix.record.run_directory import load_run
from tests.e2e.conftest import Kmatrix, one
from tests.engines import ON_DOCKER_ALONE, link_programs
from tests.minitree import REGRESSION, WARNING

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("each_engine")]
ROOT = Path(__file__).parents[2]
CELL = "powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n"
SAID = "weak declaration of 'vfio_file_iommu_group' being applied to a already existing, static definition"
PROMPT = b"kmatrix$ "


class Shells:
    """The task itself, as a process of its own, in a cell of a user's last run."""

    def __init__(self, kmatrix: Kmatrix, cell: str) -> None:
        self.kmatrix = kmatrix
        self.words = [sys.executable, "-c", "import tasks; tasks.program.run()", "shell", cell]
        self.words += ["--run", str(kmatrix.directory)]
        self.environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "KMATRIX_CACHE": str(kmatrix.place / "cache"),
        }

    def do(self, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*self.words, *words],
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def containers(self) -> list[str]:
        """Its shells' containers, not those of another kmatrix on this engine: they mount its directories."""
        shown = ("--format", "{{.Names}} {{.Mounts}}", "--no-trunc", "--filter", "name=kmatrix-shell-")
        lines = subprocess.check_output(["docker", "ps", "--all", *shown], text=True).splitlines()
        return [line for line in lines if f"{self.kmatrix.place}/" in line]

    def lanes(self) -> dict[str, tuple[int, bytes]]:
        """Every file of the lanes, with its time and its content."""
        files = [path for path in (self.kmatrix.place / "cache/lanes").rglob("*") if path.is_file()]
        return {
            str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files if path.name != "lock"
        }


@pytest.fixture
def shells(kmatrix: Kmatrix, each_engine: str) -> Iterator[Shells]:
    # Two neighbours, so that the lane's directory may have been at the other one last.
    select = ["MODULES=n,KVM=y,VFIO=y", "MODULES=n,KVM=y,VFIO=n"]
    kmatrix.run(source=[kmatrix.tree], patch=[str(REGRESSION)], toolchain=["gcc-14"], select=select)
    session = Shells(kmatrix, CELL)
    if each_engine == "podman":
        session.environment["PATH"] = link_programs(kmatrix.place / "programs", each_engine)
    yield session
    assert session.containers() == []
    assert not list((kmatrix.place / "cache/lanes").glob("*-copy-*"))


class Terminal:
    """A terminal with the task in it."""

    def __init__(self, shells: Shells, *words: str) -> None:
        self.master, slave = pty.openpty()
        self.settings = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [*shells.words, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=shells.environment,
            start_new_session=True,
            # Its controlling terminal, as a login's: one that is closed tells it so.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )
        self.seen = b""

    def until(self, text: bytes, seconds: float = 120) -> bytes:
        """What came up to this text, and what came before it since the last time."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} did not come: {self.seen!r}"
            self.seen += os.read(self.master, 65536)
        found, _, self.seen = self.seen.partition(text)
        return found

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        """The exit code, when the task has ended and the terminal is as it was."""
        code = self.process.wait(60)
        assert termios.tcgetattr(self.slave) == self.settings, "the terminal was left as the client had it"
        return code

    def close(self) -> None:
        """As when its window is closed."""
        os.close(self.slave)
        os.close(self.master)
        self.process.wait(60)


def test_the_deciding_symbols_are_there_and_the_failure_is_seen_again(shells: Shells) -> None:
    before = shells.lanes()
    done = shells.do("--command", "grep -E '^(# )?CONFIG_(KVM|MODULES|VFIO)[= ]' .config; pwd; id -u")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert sorted(done.stdout.split("\n")[:3]) == [
        "# CONFIG_MODULES is not set",
        "# CONFIG_VFIO is not set",
        "CONFIG_KVM=y",
    ]
    assert done.stdout.split("\n")[3] == "/build"
    assert done.stdout.split("\n")[4] != "0"
    again = shells.do("--command", 'eval "$make_again"')
    assert again.returncode == 2
    assert SAID in again.stderr
    assert "CC      arch/powerpc/kvm/../../../virt/kvm/vfio.o" in again.stdout
    assert shells.lanes() == before


@ON_DOCKER_ALONE
def test_nothing_that_is_done_there_reaches_a_later_run(shells: Shells) -> None:
    """Every object is spoilt, the configuration is another, and the source is tried."""
    before = shells.lanes()
    spoil = "find . -name '*.o' -exec sh -c 'echo spoilt > \"$1\"' sh {} ';'; : > .config; rm -rf drivers"
    assert shells.do("--command", spoil).returncode == 0
    written = shells.do("--command", "touch /src/x || touch /usr/x || exit 40")
    assert written.returncode == 40
    assert "Read-only file system" in written.stderr
    assert shells.lanes() == before


def test_without_a_terminal_the_shell_reads_stdin_and_ends_with_its_own_code(shells: Shells) -> None:
    done = shells.do(stdin="echo out\necho err >&2\ncat /sys/class/net/*/operstate | wc -l\nexit 41\n")
    assert done.returncode == 41
    assert done.stdout.split() == ["out", "1"]
    *told, last = done.stderr.splitlines()
    assert last == "err"
    failed = one(load_run(shells.kmatrix.directory), lambda cell: cell.id == CELL)
    assert told[0] == f"{CELL}  fail"
    assert told[2].strip() == failed.stages[-1].command


@ON_DOCKER_ALONE
def test_a_warning_is_given_again_where_nothing_else_would_be_compiled(kmatrix: Kmatrix) -> None:
    done = kmatrix.run(
        source=[kmatrix.tree],
        patch=[str(WARNING)],
        toolchain=["gcc-14"],
        select=["KVM=y,MODULES=n,VFIO=y"],
    )
    again = Shells(kmatrix, done.cells[0].id).do("--command", 'eval "$make_again"')
    assert again.returncode == 0
    assert "-Wunused-variable" in again.stderr
    assert [line.split()[-1] for line in again.stdout.splitlines() if line.startswith("  CC ")] == [
        "drivers/vfio/vfio_main.o"
    ]


def test_a_prompt_answers_and_ctrl_c_is_the_shells(shells: Shells) -> None:
    with closing(Terminal(shells)) as terminal:
        told = terminal.until(PROMPT)
        assert CELL.encode() in told
        assert b"make -C /src O=/build" in told
        terminal.type("test -t 0 && test -t 1 && echo $((6 * 7)) in $PWD\r")
        assert b"42 in /build" in terminal.until(PROMPT)
        terminal.type("sleep 600\r")
        terminal.until(b"sleep 600\r\n")
        time.sleep(1)
        terminal.type("\x03")
        terminal.until(PROMPT)
        terminal.type("\x10")  # Ctrl-P, which Docker's client would keep for itself: the command before
        terminal.until(b"sleep 600", seconds=20)
        terminal.type("\x15exit 7\r")
        assert terminal.end() == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.usefixtures("hangups_arrive")
def test_a_signal_ends_the_prompt_and_gives_the_terminal_back(shells: Shells, number: signal.Signals) -> None:
    with closing(Terminal(shells)) as terminal:
        terminal.until(PROMPT)
        terminal.process.send_signal(number)
        terminal.until(b"kmatrix: interrupted")
        assert terminal.end() == 130


@pytest.mark.usefixtures("hangups_arrive")
def test_a_terminal_that_is_closed_leaves_nothing(shells: Shells) -> None:
    with closing(Terminal(shells)) as terminal:
        terminal.until(PROMPT)
        assert len(shells.containers()) == 1
    assert shells.containers() == []
