"""Lanes: requests that share a build directory."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from matrix.builder.cell_build import Stages
from matrix.builder.lane_dir import format_lane_key
from matrix.plan import Request

_TIMES = {"clang": 1.4}
"""What a cell takes with the toolchain of an image's template, against gcc's 1: measured on Linux 6.12."""


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


def weigh_template(template: str | None) -> float:
    """What a cell takes with the toolchain of an image's template, against gcc's 1."""
    return _TIMES.get(template or "", 1.0)


def order_by_length(lanes: Iterable[Lane], templates: Mapping[str, str | None]) -> list[Lane]:
    """The lanes, those first that are likely to take longest: no core waits long for the last one.

    ``templates``: toolchain → the template of its image, None for a user's own image.
    """

    def estimate_time(lane: Lane) -> float:
        return len(lane.requests) * weigh_template(templates[lane.toolchain])

    return sorted(lanes, key=estimate_time, reverse=True)


@dataclass
class RequestsAhead:
    """The requests of a lane that need conf. ``needs_conf`` is asked of each once, as it may read a file."""

    requests: Sequence[Request]
    needs_conf: Callable[[Request], bool]
    _seen: int = 0
    _found: deque[int] = field(default_factory=deque)

    def list_from(self, request: Request, limit: int) -> list[Request]:
        """A request, and those next that need conf: ``limit`` in all. Each call is of a later one."""
        place = self._places[request.id]
        while self._found and self._found[0] <= place:
            self._found.popleft()
        self._seen = max(self._seen, place + 1)
        while len(self._found) < limit - 1 and self._seen < len(self.requests):
            if self.needs_conf(self.requests[self._seen]):
                self._found.append(self._seen)
            self._seen += 1
        return [request, *(self.requests[number] for number in self._found)]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {request.id: number for number, request in enumerate(self.requests)}
