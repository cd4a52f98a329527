"""What became of a finding in a cell in which other errors hide it.

1. An object that is refused for promoted warnings alone can be made with those demoted. Who makes it is the
   caller's: `HiddenBuilds` collects what is wanted, and has what was made.
2. An object that a failing cell does not show at all is left out there as in its neighbour, a cell that was
   built and differs in the toolchain only: where it was in both before, the very same symbols changed in
   both, and no makefile did.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Literal, NamedTuple

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.finding import Finding
from matrix.findings.fingerprint import compute_finding_keys, format_problem_title
from matrix.findings.stored_run import StoredRun
from matrix.record.demoted_build import DemotedBuild, HiddenObject, is_demotable
from matrix.record.run_model import AxesKey, Cell
from matrix.record.states import COMPLETE_STATES, State
from matrix.verdict.cell_finding import (
    CellFindingCheck,
    FindingWhereabouts,
    check_after_cell,
    is_listable_object,
)
from matrix.verdict.environment import ConfigComparison, EnvironmentComparison
from matrix.verdict.matching import CellPair, FindingMatches, has_run_stages
from matrix.verdict.verdict_model import CellFindingStatus, SeenThrough

_MAX_BEYOND = 3
When = Literal["before", "after"]


@dataclass
class HiddenBuilds:
    """Builds of hidden objects, as far as they are ``known``. What is asked for and is not is ``wanted``."""

    known: dict[HiddenObject, DemotedBuild] = field(default_factory=dict)
    wanted: set[HiddenObject] = field(default_factory=set)

    def find(self, hidden: HiddenObject) -> DemotedBuild | None:
        """The build of this object; None where it is not known, and wanted from now on."""
        if hidden not in self.known:
            self.wanted.add(hidden)
        return self.known.get(hidden)

    def add(self, builds: Mapping[HiddenObject, DemotedBuild]) -> None:
        """Take what was wanted."""
        self.known.update(builds)
        self.wanted -= builds.keys()


class _ObjectCheck(NamedTuple):
    """What became of a finding in one object that a failing cell did not make."""

    status: CellFindingStatus
    why: str = ""
    through: SeenThrough | None = None
    like: str = ""


@dataclass(frozen=True)
class HiddenFindingSearch:
    """Looks for findings behind other errors. ``excludes``: the symbols alone decide what is built, as the
    files that changed are known and no makefile is among them."""

    matches: FindingMatches
    environment: EnvironmentComparison
    configs: ConfigComparison
    builds: HiddenBuilds
    excludes: bool

    def check_failing_cell(
        self, check: CellFindingCheck, finding: Finding, whereabouts: FindingWhereabouts
    ) -> CellFindingCheck:
        """A cell's check, decided where what hides the finding after can be looked behind."""
        after = check.pair.after
        is_open = check.status is CellFindingStatus.UNKNOWN and after is not None
        if not is_open or after is None or after.state is not State.FAIL or not whereabouts.objects:
            return check
        if not has_run_stages(after, whereabouts.stages):
            return check
        made = self.matches.after.made_objects.get(after.id, frozenset())
        missing = sorted(whereabouts.objects - made)
        looks = [self._check_object(check, name, finding) for name in missing]
        return _merge_object_checks(check, looks, is_any_made=len(missing) < len(whereabouts.objects))

    def find_hidden_before(
        self, pair: CellPair, finding: Finding, objects: Iterable[str]
    ) -> SeenThrough | None:
        """How a finding is seen in a cell that fails before, and does not show it; None where it is not."""
        before = pair.before
        if before is None or before.state is not State.FAIL:
            return None
        for name in sorted(objects):
            errors = _find_errors(self.matches.before, before, name)
            if errors and all(map(is_demotable, errors)):
                look = self._look_through("before", before, name, finding)
                if look is not None and look.shows:
                    return look
        return None

    def check_other_toolchains(
        self, finding: Finding, seen: Sequence[tuple[CellPair, FindingWhereabouts]]
    ) -> Iterator[CellFindingCheck]:
        """What became of it with toolchains that did not show it before, as other errors hid it.

        ``seen`` are the cells that had it, and where.
        """
        places = {_get_key_without_toolchain(pair.cell): whereabouts for pair, whereabouts in seen}
        neighbours = ((pair, where) for key, where in places.items() for pair in self._pairs_by_key[key])
        for pair, whereabouts in neighbours:
            if pair.cell.toolchain in finding.severity or pair.after is None:
                continue
            if self.environment.explain_differences(pair):
                continue
            look = self.find_hidden_before(pair, finding, whereabouts.objects)
            if look is not None:
                check = check_after_cell(pair, whereabouts, self.matches)
                check = self.check_failing_cell(check, finding, whereabouts)
                yield check._replace(through=(look, *check.through))

    @cached_property
    def _pairs_by_key(self) -> Mapping[AxesKey, list[CellPair]]:
        """Cells that differ in the toolchain only, by what they have in common."""
        pairs: dict[AxesKey, list[CellPair]] = defaultdict(list)
        for pair in self.environment.pairs:
            pairs[_get_key_without_toolchain(pair.cell)].append(pair)
        return pairs

    @cached_property
    def _known_keys(self) -> frozenset[str]:
        """The keys of all findings of both sides."""
        sides = (self.matches.before, self.matches.after)
        return frozenset(key for side in sides for finding in side.findings.findings for key in finding.keys)

    def _check_object(self, check: CellFindingCheck, name: str, finding: Finding) -> _ObjectCheck:
        after = check.pair.cell
        errors = _find_errors(self.matches.after, after, name)
        if not errors:
            like = self._find_neighbour(check.pair, name)
            status = CellFindingStatus.NOT_BUILT if like else CellFindingStatus.UNKNOWN
            return _ObjectCheck(status, check.why, like=like)
        hard = [error for error in errors if not is_demotable(error)]
        if hard:
            names = " and ".join(self._name_findings("after", after, name, hard)) or "an error"
            return _ObjectCheck(
                CellFindingStatus.UNKNOWN, f"{check.why}: {names} in it is no warning that could be demoted"
            )
        look = self._look_through("after", after, name, finding)
        if look is None:
            return _ObjectCheck(CellFindingStatus.UNKNOWN, check.why)
        if look.shows is None:
            return _ObjectCheck(CellFindingStatus.UNKNOWN, _explain_unseen(check.why, look), look)
        return _ObjectCheck(CellFindingStatus.STILL if look.shows else CellFindingStatus.COMPILED, "", look)

    def _look_through(self, when: When, cell: Cell, name: str, finding: Finding) -> SeenThrough | None:
        """What a build of this object alone shows of a finding; None where there is none yet."""
        side = self._get_side(when)
        build = self.builds.find(HiddenObject(side.directory, cell.id, name))
        if build is None:
            return None
        # What the cell's own build showed is not the finding, or the cell would have it.
        known = {_strip_severity(item) for item in _list_diagnostics(side, cell, name)}
        news = [item for item in build.diagnostics if _strip_severity(item) not in known]
        shown = [item for item in news if not compute_finding_keys(item, name).isdisjoint(finding.keys)]
        through = self._name_findings(when, cell, name, _find_errors(side, cell, name))
        return SeenThrough(
            cell=cell.id,
            toolchain=cell.toolchain,
            when=when,
            objects=(name,),
            through=through,
            stays=bool(through) and self._are_on_both_sides(when, cell, name),
            demoted=build.demoted,
            switched_off=build.switched_off,
            command=build.command,
            shows=True if shown else False if build.is_made else None,
            why=None if shown or build.is_made else build.reason,
            beyond=self._list_unknown_titles(news, name),
            log=build.log,
        )

    def _get_side(self, when: When) -> StoredRun:
        return self.matches.before if when == "before" else self.matches.after

    def _list_unknown_titles(self, shown: Iterable[Diagnostic], name: str) -> tuple[str, ...]:
        """What no finding of either side is."""
        titles = (
            format_problem_title(item, name)
            for item in shown
            if compute_finding_keys(item, name).isdisjoint(self._known_keys)
        )
        return tuple(dict.fromkeys(titles))[:_MAX_BEYOND]

    def _find_owners(self, when: When, cell: Cell, name: str, errors: Collection[Diagnostic]) -> list[str]:
        """The side's findings that these errors of an object are, by id."""
        side, wanted = self._get_side(when), {error.key for error in errors}
        return [
            finding
            for finding, refs in side.findings_by_cell.get(cell.id, {}).items()
            if any(ref.object == name and ref.key in wanted for ref in refs)
        ]

    def _name_findings(
        self, when: When, cell: Cell, name: str, errors: Collection[Diagnostic]
    ) -> tuple[str, ...]:
        owners = self._find_owners(when, cell, name, errors)
        if when == "before":
            return tuple(owners)
        known = self.matches.before_ids
        return tuple(dict.fromkeys(known[owner][0] if known[owner] else f"{owner} after" for owner in owners))

    def _are_on_both_sides(self, when: When, cell: Cell, name: str) -> bool:
        known = self.matches.after_ids if when == "before" else self.matches.before_ids
        errors = _find_errors(self._get_side(when), cell, name)
        return all(known[owner] for owner in self._find_owners(when, cell, name, errors))

    def _find_neighbour(self, pair: CellPair, name: str) -> str:
        """The neighbour that was built, and leaves out this object for what changed here too; or nothing."""
        flips = self.configs.diff_pair(pair)
        if not flips or not self.excludes or not is_listable_object(name):
            return ""
        for other in self._pairs_by_key[_get_key_without_toolchain(pair.cell)]:
            if self._leaves_out(other, name) and self.configs.diff_pair(other) == flips:
                return other.cell.id
        return ""

    def _leaves_out(self, pair: CellPair, name: str) -> bool:
        """Whether an object belonged to a cell before, and after, where all was built, does not any more."""
        before, after = pair
        if before is None or after is None or after.state not in COMPLETE_STATES:
            return False
        if self.environment.explain_differences(pair):
            return False
        listed = self.matches.after.load_objects(after)
        return bool(listed) and name not in listed and name in self.matches.before.load_objects(before)


def _merge_object_checks(
    check: CellFindingCheck, looks: Sequence[_ObjectCheck], *, is_any_made: bool
) -> CellFindingCheck:
    """A cell's check by those of the objects that it did not make: one that shows the finding decides."""
    statuses = {look.status for look in looks} | ({CellFindingStatus.COMPILED} if is_any_made else set())
    order = (
        CellFindingStatus.STILL,
        CellFindingStatus.UNKNOWN,
        CellFindingStatus.COMPILED,
        CellFindingStatus.NOT_BUILT,
    )
    status = next((status for status in order if status in statuses), CellFindingStatus.UNKNOWN)
    why = next((look.why for look in looks if look.status is status), check.why)
    through = merge_seen_through(look.through for look in looks if look.through)
    like = next((look.like for look in looks if look.like), "")
    return CellFindingCheck(
        check.pair, status, why if status is CellFindingStatus.UNKNOWN else "", through, like
    )


def merge_seen_through(looks: Iterable[SeenThrough]) -> tuple[SeenThrough, ...]:
    """Objects that came out alike in one command, as one."""

    def describe(look: SeenThrough) -> str:
        return look.model_dump_json(exclude={"objects"})

    groups = (list(group) for _, group in groupby(sorted(looks, key=describe), key=describe))
    return tuple(
        group[0].model_copy(update={"objects": tuple(name for look in group for name in look.objects)})
        for group in groups
    )


def _explain_unseen(why: str, look: SeenThrough) -> str:
    flags = ", ".join((*look.demoted, *look.switched_off))
    return f"{why}, nor by itself with {flags} demoted: {look.why}" if flags else f"{why}: {look.why}"


def _list_diagnostics(side: StoredRun, cell: Cell, name: str) -> Iterator[Diagnostic]:
    known = side.run.diagnostics
    return (known[ref.key] for ref in cell.proven_diagnostics if ref.object == name and ref.key in known)


def _find_errors(side: StoredRun, cell: Cell, name: str) -> list[Diagnostic]:
    """The errors of an object in a cell."""
    return [item for item in _list_diagnostics(side, cell, name) if item.severity == "error"]


def _strip_severity(item: Diagnostic) -> tuple[object, ...]:
    return item.file, item.line, item.column, item.message, item.flag


def _get_key_without_toolchain(cell: Cell) -> AxesKey:
    return frozenset(pair for pair in cell.axes.items() if pair[0] != "toolchain")
