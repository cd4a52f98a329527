"""A lane that waits for its workers, and what its units take (pure)."""

from collections import deque
from dataclasses import dataclass, field

COLD_START = 3.0
"""What a lane takes on a machine that has not been in it, in usual cells of it: as shards are split."""


@dataclass(frozen=True, eq=False)
class Unit:
    """Cells that one visit is for: those of one configuration, or, to be resolved, all of a lane.

    ``ids`` are of its cells. ``seconds`` is what it may take, where that is known. ``tried``: the workers
    that could not, and are not given it again. ``losses``: so many workers were lost while they had it.
    """

    lane: str
    ids: tuple[str, ...]
    seconds: float | None = None
    resolves: bool = False
    tried: frozenset[str] = frozenset()
    losses: int = 0


@dataclass
class Pace:
    """What units took so far."""

    seconds: float = 0.0
    units: int = 0

    def add(self, seconds: float) -> None:
        """Note what one more unit took."""
        self.seconds += seconds
        self.units += 1

    @property
    def average(self) -> float | None:
        """Seconds of a unit; None before there was one."""
        return self.seconds / self.units if self.units else None


@dataclass(eq=False)
class QueuedLane:
    """A lane's ``units`` that wait, its ``owner``, and the ``visitors`` that are in it now. ``weight``: what
    its cells take against those of others."""

    name: str
    weight: float
    units: deque[Unit]
    owner: str | None = None
    visitors: set[str] = field(default_factory=set)
    pace: Pace = field(default_factory=Pace)

    @property
    def is_done(self) -> bool:
        """Whether nothing of it waits or is at work."""
        return not self.units and not self.visitors

    @property
    def size(self) -> float:
        """How long it is against others, before any time is known."""
        return sum(len(unit.ids) for unit in self.units) * self.weight

    def estimate_usual(self, of_all: Pace) -> float:
        """What a usual unit of it takes, in seconds; by the pace ``of_all`` lanes where none was done."""
        return self.pace.average or (of_all.average or 1.0) * self.weight

    def estimate_saving(self, of_all: Pace, *, is_warm: bool) -> float:
        """The seconds by which it ends earlier where another worker takes its last unit; not more than zero
        where that does not pay. ``is_warm``: that worker has been in it."""
        if not self.units or self.units[-1].resolves:
            return 0.0
        usual = self.estimate_usual(of_all)
        times = [usual if unit.seconds is None else unit.seconds for unit in self.units]
        start = 0.0 if is_warm else COLD_START * usual
        return sum(times) / max(1, len(self.visitors)) - start - times[-1]
