"""How near to a plain defconfig a finding shows, in words: what few people build ranks lower, and has it
written beside it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.plan import LANE_AXES
from matrix.record.run_model import BaseRecord, Run
from reports.formatting import format_count


class BaseKind(IntEnum):
    """Who builds such a configuration, the most people first."""

    DEFAULT = 0
    """A defconfig, or a .config that somebody has."""
    EXTREME = 1
    """All that can be on or off: what robots build."""
    RANDOM = 2
    """Made by chance."""


_EXTREME_TARGETS = frozenset({"allmodconfig", "allyesconfig", "allnoconfig", "tinyconfig", "alldefconfig"})
_KIND_NOTES = {
    BaseKind.DEFAULT: "",
    BaseKind.EXTREME: "; robots build that, and few people",
    BaseKind.RANDOM: "; nobody builds that by choice",
}


@dataclass(frozen=True, order=True)
class Nearness:
    """The distance of a finding from a plain defconfig, nearest first: who builds its base, and how many
    symbols its condition chooses on top, to whatever value. ``text`` is that in words."""

    kind: BaseKind
    symbols: int
    text: str

    @property
    def is_far(self) -> bool:
        """Whether hardly anybody builds such a configuration."""
        return self.kind is not BaseKind.DEFAULT


def measure_nearness(stored: StoredRun, finding: Finding) -> Nearness:
    """The distance of the conjunction of a finding's condition that is nearest to a plain defconfig.

    Symbols that had one value in the whole run count, too: nothing shows that it would come up without them.
    """
    everywhere = [name for name in finding.context if name not in LANE_AXES]
    affected = (stored.cells_by_id[name] for name in finding.cells if name in stored.cells_by_id)
    bases = tuple(dict.fromkeys(cell.base for cell in affected))
    return min(
        _measure_conjunction(stored.run, cube, everywhere, cube.get("base", bases))
        for cube in finding.condition or ({},)
    )


def _measure_conjunction(
    run: Run, cube: Mapping[str, object], everywhere: Iterable[str], bases: Iterable[str]
) -> Nearness:
    kind, base = min(
        ((classify_base(name, run.bases.get(name)), name) for name in bases),
        default=(BaseKind.DEFAULT, "defconfig"),
    )
    symbols = len({*(name for name in cube if name not in LANE_AXES), *everywhere})
    setting = (
        f"{base} with {format_count(symbols, 'symbol')} chosen"
        if symbols
        else f"{base}, whatever the symbols"
    )
    return Nearness(kind, symbols, f"{setting}{_KIND_NOTES[kind]}")


def classify_base(name: str, base: BaseRecord | None) -> BaseKind:
    """The kind of a base, by its make target or, in records that lack it, by its name."""
    targets = {*base.targets.values()} if base and base.targets else {name}
    if (base is not None and base.seed is not None) or "randconfig" in targets:
        return BaseKind.RANDOM
    return BaseKind.EXTREME if targets & _EXTREME_TARGETS else BaseKind.DEFAULT
