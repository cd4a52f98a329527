"""Lanes: requests that share a build directory, and the order in which their configurations are built."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matrix.builder.cell_build import Stages
from matrix.builder.lane_dir import format_lane_key
from matrix.kconfig.config import Config
from matrix.plan import Request

# Flipping one of these rebuilds nearly everything (MODULES: 690 objects on x86, VFIO: 3 to 14); the weight
# keeps their flips apart as far as possible.
_REBUILD_WEIGHTS = {"MODULES": 1000, "SMP": 1000, "DEBUG_INFO": 1000}


@dataclass(frozen=True)
class Lane:
    """One build directory and the requests that are built there: one arch, toolchain and base."""

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
        # What is not on kbuild's lists (prepared headers, host tools) depends on the stages.
        fields |= {"stages": repr(stages), "image": image, "make": str(sorted(make.items()))}
        return format_lane_key(fields)


def group_into_lanes(requests: Iterable[Request]) -> tuple[Lane, ...]:
    """Requests grouped into lanes, both in plan order."""
    groups: dict[tuple[str, str, str], list[Request]] = {}
    for request in requests:
        groups.setdefault((request.arch, request.toolchain, request.base), []).append(request)
    return tuple(Lane(*fields, tuple(members)) for fields, members in groups.items())


def plan_visiting_order(configs: Sequence[Config]) -> tuple[int, ...]:
    """Indices into ``configs``, starting with the first: always on to the nearest that is left.

    The fewer symbols differ between one configuration and the next, the fewer objects make compiles again.
    """
    # Greedy, with O(n²) distances: the shortest way of all would be a travelling salesman's problem, and a
    # lane has some hundred configurations at most.
    left = list(range(len(configs)))
    order = left[:1]
    left = left[1:]
    while left:
        last = configs[order[-1]]
        # Ties go to the lower index, so that equal plans are built in equal order.
        nearest = min(left, key=lambda index: (_weigh_difference(last, configs[index]), index))
        order.append(nearest)
        left.remove(nearest)
    return tuple(order)


def _weigh_difference(config: Config, other: Config) -> int:
    return sum(_REBUILD_WEIGHTS.get(symbol, 1) for symbol in config.diff(other))
