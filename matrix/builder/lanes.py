"""Lanes: requests that share a build directory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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


def order_by_length(lanes: Iterable[Lane], templates: Mapping[str, str | None]) -> list[Lane]:
    """The lanes, those first that are likely to take longest: no core waits long for the last one.

    ``templates``: toolchain → the template of its image, None for a user's own image.
    """

    def estimate_time(lane: Lane) -> float:
        return len(lane.requests) * _TIMES.get(templates[lane.toolchain] or "", 1.0)

    return sorted(lanes, key=estimate_time, reverse=True)
