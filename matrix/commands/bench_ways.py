"""The other ways to build a cell that a bench measures kmatrix against: make in a loop, and tuxmake.

Each way builds cells of one lane, one after another, with the trees, images, targets and number of jobs that
kmatrix's own run had.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol

from matrix.bench_times import CellTime
from matrix.builder.lane_dir import LaneDirectory
from matrix.builder.lanes import Lane
from matrix.builder.run_context import Session
from matrix.cache_layout import CacheLayout
from matrix.engine.step import StepRunner
from matrix.errors import MachineError, RequestError
from matrix.foreign_files import ForeignDirectory
from matrix.foreign_trees import remove_tree
from matrix.kconfig.config import Config
from matrix.record.run_model import Cell
from matrix.record.states import UNTRIED_STATES, State, find_worst_state
from matrix.resolve.make_runner import MakeRunner
from matrix.source.cache import SourceCache

TUXMAKE_REQUIREMENT = "tuxmake>=1.45"
# tuxmake calls an arch as the machine does.
_TUXMAKE_ARCHES = {"x86": "x86_64"}
# It sets these by itself.
_TUXMAKE_VARIABLES = frozenset({"ARCH", "CROSS_COMPILE"})
_TUXMAKE_STATES = {0: State.PASS, 2: State.FAIL}
"""Its exit codes; any other is no build's."""


@dataclass(frozen=True)
class BenchCell:
    """A cell of kmatrix's own run: its record, and the .config that the tree's conf made of it."""

    cell: Cell
    config: str

    @property
    def lane(self) -> Lane:
        return Lane(self.cell.arch, self.cell.toolchain, self.cell.base, ())

    def make_stages(self, session: Session, make: Callable[[tuple[str, ...]], State]) -> State:
        """Call ``make`` with the targets of each stage that kmatrix makes; the worst state of them."""
        stages, config = session.find_stages(self.cell.arch), Config.parse(self.config)
        last, made = State.PASS, list[State]()
        for name in stages.list_stages():
            skipped = stages.find_skip_state(name, config, last)
            last = skipped or make(stages.list_make_targets(name))
            made += [] if skipped else [last]
        return find_worst_state(made)

    def list_targets(self, session: Session) -> list[str]:
        """The targets of all these stages, where none fails."""
        targets: list[str] = []

        def note(more: tuple[str, ...]) -> State:
            targets.extend(more)
            return State.PASS

        self.make_stages(session, note)
        return targets

    def take_time(self, seconds: float, state: State) -> CellTime:
        """The time of a build that ended so. It agrees where kmatrix's own failed or passed as well."""
        agrees = state not in UNTRIED_STATES and (state is State.FAIL) == (self.cell.state is State.FAIL)
        return CellTime(self.cell.id, self.lane.name, seconds, agrees)


class BenchWay(Protocol):
    """``keeps``: what it built helps it with the next cell, so that cells must be walked in their order."""

    name: ClassVar[str]
    keeps: ClassVar[bool]

    def build_cells(self, session: Session, cells: Sequence[BenchCell]) -> Iterator[CellTime]:
        """Build these cells of one lane. MachineError where a build could not be run."""
        ...


@dataclass(frozen=True)
class FreshMake:
    """make in a loop, with a new build directory for each cell, below ``work``."""

    work: Path
    name: ClassVar[str] = "fresh"
    keeps: ClassVar[bool] = False

    def build_cells(self, session: Session, cells: Sequence[BenchCell]) -> Iterator[CellTime]:
        for cell in cells:
            directory = LaneDirectory(self.work / "fresh", session.user, session.tree)
            started = time.monotonic()
            directory.reset_build()
            state = _make_cell(session, directory, cell)
            yield cell.take_time(time.monotonic() - started, state)
            # Not left to the next cell, which would remove it in its own time.
            remove_tree(directory.root)


@dataclass(frozen=True)
class KeptMake:
    """make in one directory for each lane, kept from cell to cell and from tree to tree, below ``work``.

    A patched tree begins with a copy of its base's directory. ``sources``: the cache with the trees.
    """

    work: Path
    sources: SourceCache
    name: ClassVar[str] = "kept"
    keeps: ClassVar[bool] = True

    def build_cells(self, session: Session, cells: Sequence[BenchCell]) -> Iterator[CellTime]:
        cache = SourceCache(CacheLayout(self.work / "kept", self.sources.layout.root))
        stages = session.find_stages(cells[0].cell.arch)
        own = replace(session, cache=cache)
        with own.open_lane(cells[0].lane, stages, cells[0].cell.make_variables) as directory:
            for cell in cells:
                started = time.monotonic()
                state = _make_cell(session, directory, cell)
                yield cell.take_time(time.monotonic() - started, state)


def _make_cell(session: Session, directory: LaneDirectory, cell: BenchCell) -> State:
    """Make a cell's targets, stage by stage, as kmatrix does; the worst state of them."""
    runner = _create_runner(session, directory, cell)
    directory.put_config(cell.config)
    return cell.make_stages(session, lambda targets: runner.run(targets, cell.cell.id, lambda _: None).state)


def _create_runner(session: Session, directory: LaneDirectory, cell: BenchCell) -> MakeRunner:
    steps: StepRunner = session.create_step_runner("bench")
    variables = cell.cell.make_variables
    return session.create_make_runner(steps, cell.cell.toolchain, variables, lambda: directory.build)


@dataclass(frozen=True)
class Tuxmake:
    """tuxmake with its local Docker runtime: it configures each cell anew, in a new directory.

    Its containers are its own, not kmatrix's hardened ones. ``program``: its path.
    """

    work: Path
    program: Path
    name: ClassVar[str] = "tuxmake"
    keeps: ClassVar[bool] = False

    def build_cells(self, session: Session, cells: Sequence[BenchCell]) -> Iterator[CellTime]:
        for cell in cells:
            started = time.monotonic()
            state = self._run(session, cell)
            seconds = time.monotonic() - started
            same = self._has_same_config(cell)
            yield cell.take_time(seconds, state if same else State.UNKNOWN)
            remove_tree(self._directory)

    @property
    def _directory(self) -> Path:
        return self.work / "tuxmake"

    def _run(self, session: Session, cell: BenchCell) -> State:
        remove_tree(self._directory)
        (self._directory / "build").mkdir(parents=True)
        command = [str(self.program), *self._list_options(session, cell)]
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if ended.returncode not in _TUXMAKE_STATES:
            last = (ended.stderr or ended.stdout).strip().splitlines()[-1:]
            raise MachineError(f"tuxmake could not build {cell.cell.id}: {''.join(last) or ended.returncode}")
        return _TUXMAKE_STATES[ended.returncode]

    def _list_options(self, session: Session, cell: BenchCell) -> Iterator[str]:
        row, record = session.catalog.toolchains[cell.cell.toolchain], cell.cell
        yield from ("--directory", str(session.tree.path))
        yield from ("--target-arch", _TUXMAKE_ARCHES.get(record.arch, record.arch))
        yield from ("--toolchain", row.template or _guess_family(record.make_variables))
        yield from ("--runtime", "docker-local", "--image", session.toolchains[record.toolchain].image)
        yield from ("--jobs", str(session.jobs))
        yield from ("--output-dir", str(self._directory / "out"))
        yield from ("--build-dir", str(self._directory / "build"))
        yield from self._list_config_options(session, cell)
        yield from (
            f"{name}={value}"
            for name, value in record.make_variables.items()
            if name not in _TUXMAKE_VARIABLES
        )
        yield "config"
        for target in cell.list_targets(session):
            yield from ("--make-target", target)

    def _list_config_options(self, session: Session, cell: BenchCell) -> Iterator[str]:
        base = session.catalog.bases[cell.cell.base]
        target = session.catalog.find_base_target(cell.cell.arch, cell.cell.base) or base.file
        yield from ("--kconfig", str(target))
        added = (f"CONFIG_{name}={value}" for name, value in cell.cell.fragment.items())
        for line in (*base.fragment, *added):
            yield from ("--kconfig-add", line)

    def _has_same_config(self, cell: BenchCell) -> bool:
        """Whether it came to kmatrix's own configuration; symbols that it has not count as n."""
        text = ForeignDirectory(self._directory / "build").read_text(".config") or ""
        return not Config.parse(text).diff(Config.parse(cell.config))


def _guess_family(variables: Mapping[str, str]) -> str:
    """The compiler's family of a toolchain whose image the profile names."""
    return "clang" if "LLVM" in variables or variables.get("CC", "").startswith("clang") else "gcc"


def find_tuxmake() -> Path:
    """The program, of kmatrix's own environment or on PATH. RequestError, with what to type, without it."""
    own = Path(sys.executable).with_name("tuxmake")
    found = str(own) if own.is_file() else shutil.which("tuxmake")
    if found is None:
        raise RequestError(
            "tuxmake is not installed, and no task of kmatrix's installs it",
            f"{sys.executable} -m pip install '{TUXMAKE_REQUIREMENT}'; or leave it out: --against fresh,kept",
        )
    if shutil.which("docker") is None:
        raise RequestError(
            "tuxmake needs the program docker, which is not on PATH",
            "install it (Debian: docker.io); or leave tuxmake out: --against fresh,kept",
        )
    return Path(found)


_WAYS: Mapping[str, Callable[[Path, SourceCache], BenchWay]] = {
    "tuxmake": lambda work, _: Tuxmake(work, find_tuxmake()),
    "fresh": lambda work, _: FreshMake(work),
    "kept": KeptMake,
}
WAY_NAMES = tuple(_WAYS)


def create_way(name: str, work: Path, sources: SourceCache) -> BenchWay:
    """The way of this name. RequestError for tuxmake where it is not installed, or Docker's client is not."""
    return _WAYS[name](work, sources)
