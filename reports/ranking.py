"""The findings of a run in the order in which its page shows them: what is new, errors, what is near to a
plain defconfig."""

from dataclasses import dataclass
from pathlib import Path

from matrix.findings.make_steps import RunLocation
from matrix.findings.stored_run import StoredRun
from reports.baseline_view import BaselineView, FindingAge
from reports.finding_view import FindingView
from reports.limits import FindingLimits
from reports.nearness import Nearness, measure_nearness


@dataclass(frozen=True)
class RankedFinding:
    """A finding with what decides its place. ``age`` is None without a baseline."""

    view: FindingView
    nearness: Nearness
    age: FindingAge | None = None

    @property
    def arches(self) -> str:
        return ", ".join(dict.fromkeys(lane.arch for lane in self.view.finding.scope.seen))

    @property
    def toolchains(self) -> str:
        return ", ".join(dict.fromkeys(lane.toolchain for lane in self.view.finding.scope.seen))

    @property
    def bases(self) -> str:
        return ", ".join(dict.fromkeys(cell.base for cell in self.view.affected_cells))


def rank_findings(
    stored: StoredRun, shown: FindingLimits, baseline: BaselineView | None = None
) -> list[RankedFinding]:
    """All findings: the new ones of a run with a baseline first, errors before warnings, then by the distance
    from a plain defconfig; the rest in the order of their ids."""
    location = RunLocation(stored, Path())
    ranked = [
        RankedFinding(
            FindingView(location, finding, shown),
            measure_nearness(stored, finding),
            baseline.find_age(finding) if baseline else None,
        )
        for finding in stored.findings.findings
    ]
    return sorted(ranked, key=_rank)


def _rank(each: RankedFinding) -> tuple[bool, bool, Nearness]:
    return each.age is not FindingAge.NEW, not each.view.finding.is_error, each.nearness
