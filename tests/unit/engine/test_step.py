"""What a step's container is told: when to end by itself, and what it may write to."""

import threading
from pathlib import Path

from matrix.engine.protocol import LABEL, ContainerLimits, ContainerSpec, LineCallback, Mount
from matrix.engine.step import Step, StepRunner, remove_writers
from tests.fakes.engine import FakeEngine

IMAGE = "kmatrix/base:fake"
DAY = 24 * 60 * 60


def runner(engine: FakeEngine, seconds: float | None = 60.0) -> StepRunner:
    return StepRunner(engine, "7:7", "r", ContainerLimits(seconds=seconds))


def writing(directory: Path) -> Step:
    return Step(IMAGE, ("true",), (Mount(Path("/src"), "/src"), Mount(directory, "/build", read_only=False)))


def test_a_container_outlives_its_time_limit_only_a_little() -> None:
    engine = FakeEngine(images=[IMAGE])
    runner(engine).run(Step(IMAGE, ("true",)), lambda _: None)
    runner(engine, None).run(Step(IMAGE, ("true",)), lambda _: None)
    runner(engine).with_time_spent(50).run(Step(IMAGE, ("true",)), lambda _: None)
    assert [spec.limits.lifetime for spec in engine.ran] == [120.0, DAY, 70.0]
    assert [spec.limits.seconds for spec in engine.ran] == [60.0, None, 10.0]


def test_a_prompt_ends_after_a_day() -> None:
    engine = FakeEngine(images=[IMAGE])
    runner(engine).run_interactively(Step(IMAGE, ("true",)))
    assert engine.ran[0].limits.lifetime == DAY


def test_no_two_containers_of_one_owner_have_one_name() -> None:
    engine = FakeEngine(images=[IMAGE])
    for _ in range(50):
        runner(engine).run(Step(IMAGE, ("true",)), lambda _: None)
    assert len({spec.name for spec in engine.ran}) == 50


def test_who_may_write_to_a_directory_is_found_and_removed_and_nobody_else(tmp_path: Path) -> None:
    started, ends = threading.Barrier(3), threading.Event()

    def wait_for_end(_container: ContainerSpec, _on_line: LineCallback) -> int:
        started.wait(10)
        return 0 if ends.wait(10) else 1

    engine = FakeEngine(wait_for_end, images=[IMAGE])
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
    threads = [
        threading.Thread(target=runner(engine).run, args=(writing(tmp_path / name), print))
        for name in ("mine", "other")
    ]
    for thread in threads:
        thread.start()
    started.wait(10)
    # The same directory by another name: it is one lock that both found free.
    (tmp_path / "link").symlink_to(tmp_path)
    remove_writers(engine, tmp_path / "link" / "mine")
    threads[0].join(10)
    [left] = engine.list_containers()
    assert {spec.name: spec.mounts[1].host.name for spec in engine.ran}[left] == "other"
    ends.set()
    threads[1].join(10)


def test_a_read_only_mount_is_nothing_that_a_container_writes_to(tmp_path: Path) -> None:
    engine = FakeEngine(images=[IMAGE])
    runner(engine).run(Step(IMAGE, ("true",), (Mount(tmp_path, "/src"),)), lambda _: None)
    assert engine.ran[0].labels == {LABEL: "r"}
