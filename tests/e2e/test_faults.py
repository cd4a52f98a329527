"""What ends a step, in real containers on the miniature tree: limits, kills, crashes, clocks, floods.

A fault is shell that the tree's Makefile runs in the build directory in one cell, before the build. All
faults of a run share one lane, so each cell also shows that the one before it left nothing.
"""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from matrix.builder import run_context
from matrix.engine.protocol import ContainerLimits
from matrix.record.run_model import Cell
from matrix.record.states import State
from tests.e2e.conftest import Kmatrix

pytestmark = [pytest.mark.engine, pytest.mark.timeout(280)]

PROFILE = """
stage = "focus"
focus = ["drivers/vfio/"]
arch = ["powerpc"]
toolchain = ["{toolchain}"]
base = ["defconfig"]
memory = "512M"
retries = {retries}
timeout = "{timeout}"
[symbols]
FAULT = [{faults}]
[fixed]
VFIO = "y"
"""
# Far smaller than kmatrix's own, so that they are reached at once and cost the machine nothing.
LIMITS = partial(ContainerLimits, processes=150, open_files=64, file_size=6 * 2**20, tmpfs=4 * 2**20)
ERROR = "echo 'int f(void) { return nothing; }' > e.c; powerpc64le-linux-gnu-gcc -c -o e.o e.c; "
# A compiler that waits for its source is killed, as the machine's own OOM killer does it.
KILL = """mkfifo /tmp/source
{compile} & job=$!
for second in 1 2 3 4 5 6 7 8 9; do
    for process in /proc/[0-9]*; do
        grep -qz '^{victim}' $process/cmdline 2>/dev/null && kill -9 ${{process#/proc/}} && break 2
    done; sleep 0.5
done
wait $job"""
GCC = KILL.format(
    compile="powerpc64le-linux-gnu-gcc -x c -c -o k.o /tmp/source", victim="/usr/libexec/gcc.*cc1"
)
CLANG = KILL.format(compile="clang --target=powerpc64le-linux-gnu -x c -c -o k.o /tmp/source", victim="clang")
GCC_CRASH = """python3 -c 'print("int x = " + "(" * 300000 + "1" + ")" * 300000 + ";")' > /tmp/c.c
powerpc64le-linux-gnu-gcc -c -o c.o /tmp/c.c"""
CLANG_CRASH = "echo '#pragma clang __debug crash' > /tmp/c.c; clang -c -o c.o /tmp/c.c"
CLOCK = "printf 'a: b\\n\\ttouch a\\n' > m.mk; touch -d '+1 day' b; make -f m.mk a"
HOLD_FILES = "import os\nheld = [os.dup(0) for _ in range(100)]"


@dataclass(frozen=True)
class Fault:
    """``state`` and ``reason`` are what its cell must come to."""

    name: str
    shell: str
    state: str
    reason: str = ""


FAULTS = (
    Fault(
        "processes",
        "n=0; while [ $n -lt 300 ]; do sleep 9 & n=$((n+1)); done; exit 1",
        "infra",
        "limit of 150 processes",
    ),
    Fault(
        "processes, hidden",
        "(n=0; while [ $n -lt 300 ]; do sleep 9 & n=$((n+1)); done) 2>/dev/null; true",
        "infra",
        "limit of 150 processes",
    ),
    Fault(
        "a fork bomb", "f() { f | f & }; f 2>/dev/null; sleep 3; exit 1", "infra", "limit of 150 processes"
    ),
    Fault("/tmp is full", "head -c 5000000 /dev/zero > /tmp/x", "infra", "4 MiB for /tmp"),
    Fault(
        "/tmp is full, hidden",
        "head -c 5000000 /dev/zero 2>/dev/null > /tmp/x; exit 1",
        "infra",
        "4 MiB for /tmp",
    ),
    Fault(
        "/tmp is full, passed",
        "head -c 5000000 /dev/zero 2>/dev/null > /tmp/x; true",
        "infra",
        "4 MiB for /tmp",
    ),
    Fault(
        "/tmp was full",
        "head -c 5000000 /dev/zero > /tmp/x || { rm /tmp/x; exit 1; }",
        "infra",
        "a disk was full",
    ),
    Fault("file size", "head -c 9000000 /dev/zero > big", "infra", "for a file was reached"),
    Fault(
        "file size, python",
        'python3 -c \'open("big", "wb").write(bytes(9000000))\'',
        "infra",
        "for a file was reached",
    ),
    Fault("open files", f"python3 -c '{HOLD_FILES}'", "infra", "limit of 64 open files"),
    Fault("memory", "python3 -c 'bytearray(900000000)'", "oom", "memory limit of 0.5 GiB"),
    Fault(
        "memory, hidden",
        "python3 -c 'bytearray(900000000)' 2>/dev/null; true",
        "oom",
        "memory limit of 0.5 GiB",
    ),
    Fault("killed", GCC, "infra", "killed from outside"),
    Fault("killed shell", "sh -c 'kill -9 $$'", "infra", "killed from outside"),
    Fault("killed with an error", f"{ERROR}{GCC}", "fail"),
    Fault("full with an error", f"{ERROR}head -c 5000000 /dev/zero > /tmp/x", "infra", "4 MiB for /tmp"),
    Fault("make killed", "kill -9 $PPID; sleep 9", "infra", "from outside"),
    Fault("crash", GCC_CRASH, "fail"),
    Fault("crash, once", f"[ -e once ] || {{ touch once\n{GCC_CRASH}; }}", "infra", "a program broke"),
    Fault("clock", CLOCK, "infra", "newer than now"),
    Fault("an error", f"{ERROR}", "fail"),
    Fault("yes", "timeout 3 yes; true", "pass"),
    Fault("yes, no newline", "timeout 3 yes | tr -d '\\n'; true", "pass"),
)
CLANG_FAULTS = (
    Fault("killed", CLANG, "infra", "killed from outside"),
    Fault("crash", CLANG_CRASH, "fail"),
    Fault("crash, once", f"[ -e once ] || {{ touch once\n{CLANG_CRASH}; }}", "infra", "a program broke"),
    Fault("nothing", "true", "pass"),
)


def lay_faults(
    kmatrix: Kmatrix, faults: tuple[Fault, ...], toolchain: str = "gcc-14", **keys: object
) -> None:
    """The tree's Makefile runs the fault whose number is CONFIG_FAULT."""
    tree = Path(kmatrix.tree)
    makefile = tree / "Makefile"
    last = "\t+@$(again) $(filter-out $(configs),$(goals))\n"
    makefile.write_text(makefile.read_text().replace(last, f"\t@cd $(there) && sh $(here)/faults.sh\n{last}"))
    cases = "\n".join(f"{number})\n{fault.shell}\n;;" for number, fault in enumerate(faults))
    (tree / "faults.sh").write_text(f"case $(sed -n 's/^CONFIG_FAULT=//p' .config) in\n{cases}\nesac\n")
    with (tree / "Kconfig").open("a") as kconfig:
        kconfig.write('\nconfig FAULT\n\tint "fault"\n\tdefault 0\n')
    numbers = ", ".join(f'"{number}"' for number in range(len(faults)))
    values = {"retries": 0, "timeout": "2m", **keys}
    kmatrix.profile.write_text(PROFILE.format(toolchain=toolchain, faults=numbers, **values))


def check(faults: tuple[Fault, ...], cells: tuple[Cell, ...]) -> None:
    found = {
        fault.name: (cell.state.value, fault.reason in str(cell.reason), cell.reason)
        for fault, cell in zip(faults, cells, strict=True)
    }
    wrong = {
        fault.name: found[fault.name] for fault in faults if found[fault.name][:2] != (fault.state, True)
    }
    assert not wrong, "\n".join(f"{name}: {result}" for name, result in wrong.items())


@pytest.mark.parametrize(("toolchain", "faults"), [("gcc-14", FAULTS), ("clang-19", CLANG_FAULTS)])
def test_each_fault_is_called_what_it_is(
    kmatrix: Kmatrix, toolchain: str, faults: tuple[Fault, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_context, "ContainerLimits", LIMITS)
    lay_faults(kmatrix, faults, toolchain)
    done = kmatrix.run(source=[kmatrix.tree])
    check(faults, done.cells)
    by_name = {fault.name: cell for fault, cell in zip(faults, done.cells, strict=True)}
    marks = [done.diagnostics[ref.key].internal for ref in by_name["crash"].diagnostics]
    assert marks == [True]
    for cell in done.cells:
        assert (kmatrix.directory / str(cell.log)).stat().st_size < 8 * 2**20


def test_objects_from_the_future_hide_nothing_from_the_next_cell(kmatrix: Kmatrix) -> None:
    late = Fault("late", "find . -type f | xargs touch -d '+1 day' 2>/dev/null; true", "pass")
    lay_faults(kmatrix, (late,))
    # After the build: before it, make itself would complain.
    makefile = Path(kmatrix.tree) / "Makefile"
    hook = "\t@cd $(there) && sh $(here)/faults.sh\n"
    last = "\t+@$(again) $(filter-out $(configs),$(goals))\n"
    makefile.write_text(makefile.read_text().replace(f"{hook}{last}", f"{last}{hook}"))
    good = kmatrix.run(source=[kmatrix.tree])
    assert [cell.state for cell in good.cells] == [State.PASS]
    (Path(kmatrix.tree) / "drivers/vfio/vfio_main.c").write_text("int broken(void) { return nothing; }\n")
    broken = kmatrix.run(source=[kmatrix.tree])
    assert [cell.state for cell in broken.cells] == [State.FAIL]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 20 MiB for the cache, in memory."""
    place = tmp_path / "cache"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root mounts a small disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_is_never_the_trees_fault_however_much_is_left(kmatrix: Kmatrix) -> None:
    fill = "head -c 30000000 /dev/zero > filler 2>/dev/null; truncate -s -{left}K filler"
    levels = (0, 4, 8, 12, 16, 24, 28, 32, 40, 48, 56, 64, 80, 112, 160, 400)
    lay_faults(kmatrix, tuple(Fault(f"{left}K", fill.format(left=left), "") for left in levels))
    done = kmatrix.run(source=[kmatrix.tree])
    states = {left: cell.state for left, cell in zip(levels, done.cells, strict=True)}
    assert set(states.values()) == {State.INFRA, State.PASS}
    assert (states[0], states[400]) == (State.INFRA, State.PASS)


def test_an_endless_output_does_not_outlive_the_time_limit(kmatrix: Kmatrix) -> None:
    faults = (Fault("endless", "yes 'x.c:1:1: warning: w' > /proc/1/fd/1", "timeout"),)
    lay_faults(kmatrix, faults, timeout="10s")
    done = kmatrix.run(source=[kmatrix.tree])
    check(faults, done.cells)
    assert done.cells[0].seconds < 40


def test_a_fault_is_tried_again_and_its_attempts_are_told_apart(kmatrix: Kmatrix) -> None:
    faults = (
        Fault("killed", "sh -c 'kill -9 $$'", "infra", "killed from outside"),
        Fault("none", "true", "pass"),
    )
    lay_faults(kmatrix, faults, retries=1)
    done = kmatrix.run(source=[kmatrix.tree])
    check(faults, done.cells)
    first, second = done.cells
    assert [attempt.state for attempt in first.attempts] == [State.INFRA, State.INFRA]
    assert second.attempts == ()
    assert "[kmatrix: attempt 2 begins here]" in (kmatrix.directory / str(first.log)).read_text()
