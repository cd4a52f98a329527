"""What a lane works on, and what it is told: lanes out of requests, and all that they share."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from matrix.builder.cell_build import Stages
from matrix.builder.lane_dir import format_lane_key
from matrix.builder.reuse import ReusableRun
from matrix.catalog.load import Catalog
from matrix.kconfig.config import Config
from matrix.kconfig.definitions import Definitions
from matrix.plan import Request
from matrix.record.events import EventSink
from matrix.record.journal import Journal
from matrix.resolve.make_runner import MakeContext
from matrix.source.cache import SourceCache

# Flipping one of these rebuilds nearly everything; the weight keeps their flips apart as far as possible.
_REBUILD_WEIGHTS = {"MODULES": 1000, "SMP": 1000, "DEBUG_INFO": 1000}


def plan_visiting_order(configs: Sequence[Config]) -> tuple[int, ...]:
    """Indices into ``configs``, starting with the first: always on to the nearest that is left.

    Greedy, O(n²) distances; ties go to the earlier one, so that equal plans are built in equal order.
    """
    left = list(range(len(configs)))
    order: list[int] = []
    while left:
        here = order[-1] if order else left[0]
        nearest = min(left, key=lambda index: (_weigh_difference(configs[here], configs[index]), index))
        order.append(nearest)
        left.remove(nearest)
    return tuple(order)


def _weigh_difference(one: Config, other: Config) -> int:
    return sum(_REBUILD_WEIGHTS.get(symbol, 1) for symbol in one.diff(other))


@dataclass(frozen=True)
class Lane:
    """One build directory and the requests that visit it: one arch, toolchain and base."""

    arch: str
    toolchain: str
    base: str
    requests: tuple[Request, ...]

    @property
    def name(self) -> str:
        return f"{self.arch}/{self.toolchain}/{self.base}"

    def compute_directory_key(self, stages: Stages, image: str, make: Mapping[str, str]) -> str:
        """The name of its directory, with all else that its objects depend on. ``image`` is an id."""
        fields = {"arch": self.arch, "toolchain": self.toolchain, "base": self.base}
        # What is not on kbuild's lists (prepared headers, host tools) depends on what was asked for.
        fields |= {"stages": repr(stages), "image": image, "make": str(sorted(make.items()))}
        return format_lane_key(fields)


def group_into_lanes(requests: Iterable[Request]) -> tuple[Lane, ...]:
    """Requests grouped into lanes, both in plan order."""
    groups: dict[tuple[str, str, str], list[Request]] = {}
    for request in requests:
        groups.setdefault((request.arch, request.toolchain, request.base), []).append(request)
    return tuple(Lane(*fields, tuple(members)) for fields, members in groups.items())


@dataclass(frozen=True)
class RunContext:
    """Everything a lane needs to know beside its requests. Without ``build``: resolve only.

    ``images`` are the ids by toolchain; ``make`` the user's own make variables; ``deadline`` a
    ``time.monotonic()`` after which no new cell starts. What ``before`` can answer is not built.
    """

    make_context: MakeContext
    cache: SourceCache
    catalog: Catalog
    axes: Mapping[str, tuple[str, ...]]
    fixed_symbols: Mapping[str, str]
    stages_for_arch: Callable[[str], Stages]
    image_ids: Mapping[str, str]
    user_variables: Mapping[str, str]
    definitions_for_arch: Callable[[str], Definitions]
    journal: Journal
    emit: EventSink
    request_ids: frozenset[str]
    build: bool = True
    fail_fast: bool = False
    deadline: float | None = None
    reusable_run: ReusableRun | None = None
    cell_failed: threading.Event = field(default_factory=threading.Event)

    def find_stop_reason(self) -> str:
        """Why no new cell may start, or nothing."""
        if self.make_context.cancel.is_set():
            return "not started: interrupted"
        if self.fail_fast and self.cell_failed.is_set():
            return "not started: --fail-fast, and a cell had failed"
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return "not started: the --deadline had passed"
        return ""

    def merge_make_variables(self, lane: Lane) -> dict[str, str]:
        """The make line of a lane's arch and toolchain, with what the user added."""
        return {**self.catalog.build_make_variables(lane.arch, lane.toolchain), **self.user_variables}
