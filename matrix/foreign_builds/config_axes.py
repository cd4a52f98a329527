"""Which Kconfig symbols distinguish builds, out of their .configs. Pure.

conf writes ``# CONFIG_X is not set`` for a symbol that is off where a person could have set it, and nothing
where none could. So what is a person's to set shows in the files themselves: a symbol that one of them has as
"not set" and another has on. What only follows from others is absent where it is off. With a tree its prompts
decide instead.

1. A symbol is a candidate when it differs between two builds of one arch and compiler: what differs between
   arches or compilers is theirs. What those are (``CC_…``, ``HAVE_…``, ``ARCH_…``, versions) is none.
2. Candidates that divide the builds in the same way cannot be told apart: one stands for all of them. MODULES
   does before any other; then one that is a person's to set, that others' names begin with, that comes first
   in the .configs.
3. Of those that are left, as few as tell all builds apart: always the one that divides them most, of several
   one that is a person's to set; then without those that the others make idle.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import methodcaller

from matrix.kconfig.config import Config

_OF_THE_TOOLS = re.compile(
    r"(?:CC|AS|LD|LLD|GCC|CLANG|RUSTC|RUST|BINDGEN|PAHOLE|TOOLCHAIN|TOOLS|HAVE|ARCH|HAS)_.*|.*_VERSION(?:_TEXT)?"
    r"|LOCALVERSION(?:_AUTO)?|BUILD_SALT"
)
_TRISTATES = frozenset({"y", "m", "n"})
_MODULES = "MODULES"
_MAX_COMPARED_NAMES = 2_000
MAX_AXES = 16
"""Symbols that are chosen: more of them say nothing that a person could read."""

BuildLane = tuple[str, str]
Division = tuple[int, ...]
"""How a symbol divides builds: for each the first one of its lane that has the same value."""


@dataclass(frozen=True)
class LaneConfig:
    """A build's .config; builds of one ``lane`` have the same arch and compiler."""

    lane: BuildLane
    config: Config


@dataclass(frozen=True)
class ChosenAxis:
    """A symbol that distinguishes builds. ``followers``: those that divide the builds in the same way; first
    those that are a person's to set.

    ``is_settable``: it is a person's to set, as far as that is known.
    """

    symbol: str
    followers: tuple[str, ...]
    is_settable: bool


@dataclass(frozen=True)
class AxisChoice:
    """The symbols that distinguish builds; how many differ at all."""

    axes: tuple[ChosenAxis, ...]
    differing: int

    @property
    def untold(self) -> int:
        """How many of those symbols divide the builds otherwise than any axis does."""
        return self.differing - sum(1 + len(axis.followers) for axis in self.axes)


def choose_axes(builds: Sequence[LaneConfig], has_prompt: Callable[[str], bool] | None = None) -> AxisChoice:
    """The fewest symbols that distinguish these builds. ``has_prompt``: of a symbol, in their tree.

    Time grows with the builds times their symbols.
    """
    lanes = _divide_builds(builds, lambda _: "")
    divisions = {name: division for name, division in _divide_by_symbols(builds) if division != lanes}
    groups = _group_symbols(builds, divisions, has_prompt or _create_prompt_guess(builds))
    return AxisChoice(axes=tuple(_choose_fewest(groups, lanes)), differing=len(divisions))


def _divide_by_symbols(builds: Sequence[LaneConfig]) -> Iterator[tuple[str, Division]]:
    """(symbol, how it divides the builds), in the order of the .configs."""
    for name in dict.fromkeys(name for build in builds for name in build.config):
        if not _OF_THE_TOOLS.fullmatch(name):
            yield name, _divide_builds(builds, methodcaller("value_of", name))


def _divide_builds(builds: Sequence[LaneConfig], read_value: Callable[[Config], str]) -> Division:
    firsts: dict[tuple[BuildLane, str], int] = {}
    return tuple(
        firsts.setdefault((build.lane, read_value(build.config)), number)
        for number, build in enumerate(builds)
    )


def _create_prompt_guess(builds: Sequence[LaneConfig]) -> Callable[[str], bool]:
    """Whether some .config has a symbol as "not set"."""
    unset = {name for build in builds for name, value in build.config.items() if value == "n"}
    return unset.__contains__


def _group_symbols(
    builds: Sequence[LaneConfig], divisions: Mapping[str, Division], has_prompt: Callable[[str], bool]
) -> dict[Division, ChosenAxis]:
    """Division → the axis for all symbols that make it."""
    members: dict[Division, list[str]] = {}
    for name, division in divisions.items():
        members.setdefault(division, []).append(name)
    return {division: _pick_axis(names, builds, has_prompt) for division, names in members.items()}


def _pick_axis(
    names: Sequence[str], builds: Sequence[LaneConfig], has_prompt: Callable[[str], bool]
) -> ChosenAxis:
    """The symbol that stands for these."""

    def rank_symbol(name: str) -> tuple[object, ...]:
        is_tristate = all(build.config.value_of(name) in _TRISTATES for build in builds)
        derived = sum(other.startswith(f"{name}_") for other in names[:_MAX_COMPARED_NAMES])
        return (name != _MODULES, not has_prompt(name), not is_tristate, -derived)

    first = min(names, key=rank_symbol)
    others = sorted((name for name in names if name != first), key=lambda name: not has_prompt(name))
    return ChosenAxis(first, tuple(others), has_prompt(first))


def _choose_fewest(groups: Mapping[Division, ChosenAxis], lanes: Division) -> list[ChosenAxis]:
    """As few as divide the builds as all together do, by their names. ``lanes``: how arch and compiler do."""
    chosen: list[Division] = []
    parts = _count_parts([lanes])
    while groups and len(chosen) < MAX_AXES:
        sizes = {division: _count_parts([lanes, *chosen, division]) for division in groups}
        best = max(groups, key=lambda division: (sizes[division], groups[division].is_settable))
        if sizes[best] == parts:
            break
        chosen, parts = [*chosen, best], sizes[best]
    for division in list(chosen):
        rest = [other for other in chosen if other != division]
        chosen = rest if _count_parts([lanes, *rest]) == parts else chosen
    return sorted((groups[division] for division in chosen), key=lambda axis: axis.symbol)


def _count_parts(divisions: Sequence[Division]) -> int:
    """Into how many parts these divide the builds together."""
    return len(set(zip(*divisions, strict=True)))


def list_differing_symbols(one: Config, other: Config) -> list[str]:
    """The symbols that distinguish two .configs, those that are a person's to set first."""
    names = [name for name in one.diff(other) if not _OF_THE_TOOLS.fullmatch(name)]
    unset = {name for config in (one, other) for name, value in config.items() if value == "n"}
    return sorted(names, key=lambda name: name not in unset)
