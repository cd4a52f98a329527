"""What a run is made with: what was prepared once, and what its lanes share."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from matrix.builder.cell_build import Stages
from matrix.builder.compiler_cache import open_compiler_cache
from matrix.builder.finished_cells import FinishedCells
from matrix.builder.lane_dir import LaneDirectory, open_empty_lane, open_lane, open_lane_copy
from matrix.builder.lanes import Lane
from matrix.catalog.load import Catalog
from matrix.catalog.types import Profile, parse_duration, parse_size
from matrix.engine.job_pool import JobPool
from matrix.engine.protocol import ContainerLimits, Engine, EngineInfo
from matrix.engine.step import StepRunner, remove_writers
from matrix.file_times import touch_future_files
from matrix.kconfig.definitions import Definitions, read_tree_definitions
from matrix.memory.layers import Memory
from matrix.memory.object_setting import InputReader
from matrix.memory.results import CellInputs, ResultMemory
from matrix.memory.tree_contents import TreeContents
from matrix.record.events import EventSink
from matrix.record.journal import Journal
from matrix.record.run_model import ToolchainRecord
from matrix.resolve.make_runner import MakeRunner
from matrix.resolve.resolution_store import ResolutionStore
from matrix.resolve.resolver import Resolver
from matrix.resolve.tool_answers import ToolAnswers
from matrix.shards.lane_split import KnownTime
from matrix.source.cache import SourceCache
from matrix.source.kernel_tree import SourceTree, find_missing_paths

# The part of the memory that containers may share; the rest is for the machine itself.
_USABLE_MEMORY = 0.9


@dataclass(frozen=True)
class Session:
    """What a command has prepared: a profile with its catalog, the engine, the images, the source.

    With ``scratch``, a directory, each lane is empty and gone at its end, and nothing that is remembered is
    read or written. ``user`` is the user that containers run as; ``toolchains`` are the records of the
    profile's images.
    """

    profile: Profile
    catalog: Catalog
    engine: Engine
    engine_info: EngineInfo
    user: str
    cache: SourceCache
    tree: SourceTree
    toolchains: dict[str, ToolchainRecord]
    scratch: Path | None = None
    _definitions: dict[tuple[str, str], Definitions] = field(default_factory=dict)
    _definitions_lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def jobs(self) -> int:
        """Compile jobs in all."""
        return self.profile.jobs or self.engine_info.cpus

    @cached_property
    def conf_digest(self) -> str:
        """The digest of all that conf can read of the tree."""
        return self.tree_contents.manifest.compute_conf_digest()

    @cached_property
    def definitions_digest(self) -> str:
        """The digest of all that says which symbols the tree defines."""
        return self.tree_contents.manifest.compute_definitions_digest()

    @cached_property
    def tree_contents(self) -> TreeContents:
        """The tree as the memories see it."""
        return TreeContents(self.cache.load_manifest(self.tree.digest), self.tree.path)

    @cached_property
    def input_reader(self) -> InputReader:
        """What goes into objects of the tree."""
        return InputReader(self.tree_contents)

    @cached_property
    def _settled_tree(self) -> SourceTree:
        """The tree, with no file of it newer than now."""
        touch_future_files(self.tree.path)
        return self.tree

    def find_stages(self, arch: str) -> Stages:
        """What is built of each cell of an arch."""
        focus = resolve_focus(self.profile, self.catalog, arch)
        absent = frozenset(path for path, _ in find_missing_paths(self.tree.path, focus))
        return Stages(self.profile.stage, focus, absent)

    def merge_make_variables(self, arch: str, toolchain: str) -> dict[str, str]:
        """The make line of an arch and toolchain, with what the user added."""
        return {**self.catalog.build_make_variables(arch, toolchain), **self.profile.make}

    def read_definitions(self, arch: str) -> Definitions:
        """The tree's Kconfig of an arch, read once, also where lanes ask side by side."""
        srcarch = self.catalog.arches[arch].srcarch
        key = self.definitions_digest, srcarch
        with self._definitions_lock:
            if key not in self._definitions:
                self._definitions[key] = read_tree_definitions(self.tree.path, srcarch)
            return self._definitions[key]

    def create_step_runner(self, owner: str, lanes_at_once: int = 1) -> StepRunner:
        """What runs the containers of ``owner``, when so many lanes share the machine's memory."""
        share = int(self.engine_info.memory * _USABLE_MEMORY / lanes_at_once)
        memory = parse_size(self.profile.memory) if self.profile.memory else share
        limits = ContainerLimits(memory=memory, seconds=parse_duration(self.profile.timeout))
        return StepRunner(self.engine, self.user, owner, limits, cache=self.cache.layout.root)

    def create_make_runner(
        self,
        steps: StepRunner,
        toolchain: str,
        make_variables: Mapping[str, str],
        open_build_directory: Callable[[], Path],
        budget: "JobBudget | None" = None,
    ) -> MakeRunner:
        """``make`` of the session's tree with one of its toolchains; with all jobs unless they are shared."""
        image = self.toolchains[toolchain].image_id
        runner = MakeRunner(
            steps,
            self.tree.path,
            image,
            make_variables,
            budget.compute_share if budget else (lambda: self.jobs),
            open_build_directory,
            budget.pool if budget else None,
            # What is built in empty directories is there to be compared: it asks for itself.
            answers=None if self.scratch else ToolAnswers(),
        )
        # What is built to be compared with what is remembered takes nothing from anywhere.
        if not self.profile.ccache or self.scratch is not None:
            return runner
        folder = self.cache.layout.compiler_caches
        kept = open_compiler_cache(folder, image, self.tree.patches, self.user, fresh=self.profile.fresh)
        return replace(runner, mounts=kept.mounts, env=kept.env)

    def create_resolver(
        self, runner: MakeRunner, catalog: Catalog, fixed_symbols: Mapping[str, str]
    ) -> Resolver:
        """What resolves requests with this make."""
        store = self.scratch / "resolutions" if self.scratch else self.cache.layout.resolutions
        # A build asks in an environment that conf alone has not: neither is told what the other was.
        apart = replace(runner, answers=runner.answers and ToolAnswers())
        digests = self.conf_digest, self.definitions_digest
        return Resolver(apart, catalog, *digests, fixed_symbols, ResolutionStore(store))

    def open_lane(
        self, lane: Lane, stages: Stages, make_variables: Mapping[str, str], *, copy: bool = False
    ) -> AbstractContextManager[LaneDirectory]:
        """The directory of a lane, or a ``copy`` of it that is gone at the end."""
        image = self.toolchains[lane.toolchain].image_id
        key = lane.compute_directory_key(stages, image, make_variables)
        if self.scratch is not None:
            return open_empty_lane(key, self._settled_tree, self.cache, self.user)
        if copy:
            return open_lane_copy(key, self._settled_tree, self.cache, self.user)
        end_writers = partial(remove_writers, self.engine)
        fresh = self.profile.fresh
        return open_lane(key, self._settled_tree, self.cache, self.user, end_writers, fresh=fresh)

    def open_memory(self, run: str) -> Memory:
        """What the layers of the tree remember, for the run with this name, which no other has."""
        folder = self.cache.layout.memory if self.scratch is None else None
        return Memory(folder, self.tree.patches, run, self.profile.fresh)


def resolve_focus(profile: Profile, catalog: Catalog, arch: str) -> tuple[str, ...]:
    """The focus on one arch: ``arch/{srcarch}/kvm/`` is ``arch/x86/kvm/``, and paths of other arches
    are left out."""
    own = catalog.arches[arch].srcarch
    paths = (path.replace("{srcarch}", own) for path in profile.focus)
    return tuple(path for path in paths if not path.startswith("arch/") or path.startswith(f"arch/{own}/"))


class JobBudget:
    """The job budget over the lanes that are at work now: the others take over the share of a finished one.

    ``lanes`` are to be worked on, ``at_once`` of them side by side. With a ``pool`` each may use all jobs, as
    its makes share them one by one.
    """

    def __init__(self, jobs: int, at_once: int, lanes: int, pool: JobPool | None = None) -> None:
        self.at_once = at_once
        self.pool = pool
        self._jobs = jobs
        self._lanes_left = lanes
        self._lock = threading.Lock()

    def compute_share(self) -> int:
        """Compile jobs for one step, at least one."""
        if self.pool is not None:
            return self._jobs
        with self._lock:
            return max(1, self._jobs // max(1, min(self.at_once, self._lanes_left)))

    def release_lane(self) -> None:
        """Count a lane as done."""
        with self._lock:
            self._lanes_left -= 1


@dataclass(frozen=True)
class BuiltCell:
    """A cell that was just built, while its directory is there.

    ``find_keys``: object → its key in the memory, of those that could be kept. ``runner`` is what made them.
    """

    inputs: CellInputs
    find_keys: Callable[[], Mapping[str, str]]
    lane: LaneDirectory
    runner: MakeRunner


def _skip_examination(_: BuiltCell) -> None:
    """Examine nothing."""


RETRY_DELAY, MAX_RETRY_DELAY = 2.0, 60.0
"""Seconds before the first retry of a cell, which each further one doubles, and at most."""


@dataclass(frozen=True)
class RunContext:
    """What the lanes of one run share. Without ``build``: resolve only.

    ``memory`` is what its cells are looked up in before they are built. ``deadline`` is
    a ``time.monotonic()`` after which no new cell starts. ``examine`` is called with each cell that was built
    to an end; where it raises a MachineError, the cell could not be tried. ``finished`` are the cells of a
    resumed run that have their results already: ``lanes`` is without them. ``elsewhere`` are the ids of the
    plan's cells that other machines build. ``note_time`` is told of a plan's cells what the memory knows of
    their times.
    """

    session: Session
    lanes: tuple[Lane, ...]
    steps: StepRunner
    budget: JobBudget
    journal: Journal
    emit: EventSink
    memory: Memory
    build: bool = True
    deadline: float | None = None
    examine: Callable[[BuiltCell], None] = _skip_examination
    finished: FinishedCells = field(default_factory=FinishedCells)
    elsewhere: frozenset[str] = frozenset()
    note_time: Callable[[str, KnownTime], None] | None = None
    cell_failed: threading.Event = field(default_factory=threading.Event)

    @cached_property
    def results(self) -> ResultMemory:
        """The results that are remembered of cells of this tree."""
        return ResultMemory(self.memory, self.session.tree_contents)

    @cached_property
    def request_ids(self) -> frozenset[str]:
        """Those of the whole plan."""
        unfinished = frozenset(request.id for lane in self.lanes for request in lane.requests)
        return unfinished | self.finished.ids | self.elsewhere

    def find_stop_reason(self) -> str:
        """Why no new cell may start, or nothing."""
        if self.steps.cancel.is_set():
            return "not started: interrupted"
        if self.session.profile.fail_fast and self.cell_failed.is_set():
            return "not started: --fail-fast, and a cell had failed"
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return "not started: the --deadline had passed"
        return ""

    def wait_before_retry(self, number: int) -> bool:
        """Wait until a cell may be tried again for the ``number``-th time; False when it may not be.

        An interrupt ends the wait, and one that the deadline would end is not begun.
        """
        seconds = min(RETRY_DELAY * 2 ** (number - 1), MAX_RETRY_DELAY)
        if self.deadline is not None and time.monotonic() + seconds >= self.deadline:
            return False
        self.steps.cancel.wait(seconds)
        return not self.find_stop_reason()
