"""What every engine must do: the same cases on the fake one and on each real one of the table."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.engine.connect import choose_container_user
from matrix.engine.protocol import LABEL, ContainerLimits, Mount
from matrix.errors import EngineError
from tests.contract.engine_bench import RUN, Bench


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
