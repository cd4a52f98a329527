"""What a worker looks at before it begins, and what it tells of it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout
from matrix.cluster.addresses import ClusterAddress
from matrix.cluster.visits import Report, WorkerHost
from matrix.commands import doctor, worker
from matrix.commands.session import Environment
from matrix.commands.visit_host import HostLimits
from matrix.commands.worker import WorkerRequest, parse_worker_request, work_for_cluster
from matrix.engine.images import compute_base_tag
from matrix.engine.protocol import EngineInfo
from matrix.errors import EngineError, RequestError
from matrix.source.cache import SourceCache
from tests.fakes.engine import FakeEngine

HERE = ClusterAddress("tcp://127.0.0.1:1", "127.0.0.1")
GIB = 2**30


class SizedEngine(FakeEngine):
    """An engine on a machine of this much memory."""

    memory = 8 * GIB

    def query_info(self) -> EngineInfo:
        return EngineInfo("fake", "1.0", 2, self.memory, "v2", "memory", False)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> SizedEngine:
    """A machine on which all is well; its containers are looked into elsewhere."""
    monkeypatch.setattr(doctor, "list_missing_isolation", lambda *_: ())
    monkeypatch.setattr(doctor, "measure_free_space", lambda _: 40 * GIB)
    return SizedEngine(images=(compute_base_tag(),))


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[SizedEngine], list[str]]:
    """Let a machine become a worker, and end at once; what it told."""
    started: list[int] = []

    def end_at_once(
        _address: ClusterAddress,
        lanes: int,
        create_host: Callable[[Report], WorkerHost],
        _note: Callable[[str], None],
    ) -> None:
        create_host(lambda *_: None)
        started.append(lanes)

    monkeypatch.setattr("matrix.cluster.dask_worker.run_worker", end_at_once)

    def begin_work(engine: SizedEngine) -> list[str]:
        cache = SourceCache(CacheLayout(tmp_path / "cache"))
        told: list[str] = []
        work_for_cluster(WorkerRequest(HERE, Environment(engine, cache), HostLimits(0)), told.append)
        assert started == [2], "as many lanes as the engine has processors"
        return told

    return begin_work


def test_a_machine_on_which_all_is_well_has_nothing_to_tell(
    engine: SizedEngine, begin: Callable[[SizedEngine], list[str]]
) -> None:
    assert begin(engine) == []


def test_a_worker_tells_what_doctor_would(
    engine: SizedEngine, begin: Callable[[SizedEngine], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.memory = 2 * GIB
    monkeypatch.setattr(doctor, "measure_free_space", lambda _: GIB)
    monkeypatch.setattr(doctor, "list_missing_isolation", lambda *_: ("the limit of memory",))
    isolation, disk, memory = begin(engine)
    assert (
        isolation
        == "Not well: isolation: the engine does not apply: the limit of memory: use a rootful engine"
    )
    assert disk.startswith("Not well: disk: 1 GiB free for ")
    assert memory == "Not well: memory: 2.0 GiB, 2 processors: use fewer lanes: --lanes 1"


def test_without_an_engine_there_is_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_none() -> FakeEngine:
        raise EngineError("no container engine answers", "./inv setup")

    monkeypatch.setattr("matrix.commands.session.connect_engine", find_none)
    with pytest.raises(EngineError, match="no container engine answers"):
        work_for_cluster(WorkerRequest(HERE, Environment(), HostLimits(0)), lambda _: None)


def test_limits_are_what_is_given(tmp_path: Path) -> None:
    request = parse_worker_request(HERE, "3", "8", "4G", str(tmp_path))
    assert request.limits == HostLimits(3, 8, "4G")
    assert request.environment.open_cache().layout.root == tmp_path
    assert parse_worker_request(HERE, "", "", "", "").limits == HostLimits(0, None, None)


@pytest.mark.parametrize(
    ("lanes", "cpus", "memory", "sentence"),
    [
        ("0", "", "", "--lanes: expected 1 to"),
        ("x", "", "", "--lanes: "),
        ("", "99999", "", "--cpus: expected 1 to 10000"),
        ("", "", "much", "--memory: "),
    ],
)
def test_wrong_limits_are_refused(lanes: str, cpus: str, memory: str, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        parse_worker_request(HERE, lanes, cpus, memory, "")


def test_containers_are_guarded_while_it_works(
    engine: SizedEngine, begin: Callable[[SizedEngine], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded: list[str] = []

    def note_token(token: str) -> AbstractContextManager[None]:
        guarded.append(token)
        return nullcontext()

    monkeypatch.setattr(worker, "guard_containers", note_token)
    begin(engine)
    (token,) = guarded
    assert len(token) == 8
