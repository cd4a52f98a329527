"""Runs and verdicts as KCIDB, KernelCI's database, takes them: JSON of its I/O schema 5.3."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.record.states import PROVEN_STATES
from matrix.verdict.finding_outcome import FindingOutcome, classify_outcome
from matrix.verdict.verdict_model import FindingChange, FindingStatus, Verdict
from reports.kcidb_builds import BuildLister
from reports.kcidb_issues import (
    BuildsWithoutIssue,
    Incident,
    IncidentChoice,
    Issue,
    build_incidents,
    build_issues,
    list_issues,
)
from reports.kcidb_objects import KcidbObject, KcidbOrigin, choose_issue_version

SCHEMA = {"major": 5, "minor": 3}


def render_run_kcidb(stored: StoredRun, origin: KcidbOrigin) -> str:
    """A run as a submission: one checkout, a build for each cell, an issue for each finding."""
    findings = stored.findings.findings
    issues = list_issues(findings, choose_issue_version(stored.run))
    side = SubmittedRun(BuildLister(stored, origin), _name_issues(findings, issues))
    choice = IncidentChoice()
    choice.add_all(side.list_present())
    choice.add_absences(side.list_absent())
    return _format_submission(
        origin,
        checkouts=[side.lister.build_checkout(left_out=choice.left_out)],
        builds=side.lister.list_builds(),
        issues=issues,
        incidents=choice.chosen,
    )


def render_verdict_kcidb(verdict: Verdict, before: StoredRun, after: StoredRun, origin: KcidbOrigin) -> str:
    """A verdict as a submission: the checkouts of both sides, that with the patches last.

    A finding of both sides is one issue. One that is fixed is absent from the builds that had it, and one
    that is new from what they were before.
    """
    comparison = SubmittedVerdict.from_verdict(verdict, before, after, origin)
    sides = (comparison.before, comparison.after)
    choice = IncidentChoice()
    choice.add_all(chain.from_iterable(side.list_present() for side in reversed(sides)))
    choice.add_all(comparison.list_changed())
    choice.add_absences(chain.from_iterable(side.list_absent() for side in reversed(sides)))
    return _format_submission(
        origin,
        checkouts=[
            comparison.before.lister.build_checkout(),
            comparison.after.lister.build_checkout(_find_message_id(verdict), choice.left_out),
        ],
        builds=[build for side in sides for build in side.lister.list_builds()],
        issues=[*comparison.after.issues.values(), *comparison.before.issues.values()],
        incidents=choice.chosen,
    )


def _find_message_id(verdict: Verdict) -> str:
    """The mail that the patches came in; empty where one of them does not apply, as what was built is not
    what was sent then."""
    if any(patch.refused for patch in verdict.patches):
        return ""
    mail = verdict.cover or next((patch.mail for patch in verdict.patches if patch.mail), None)
    return mail.message_id if mail else ""


def _format_submission(
    origin: KcidbOrigin,
    *,
    checkouts: list[KcidbObject],
    builds: list[KcidbObject],
    issues: list[Issue],
    incidents: list[Incident],
) -> str:
    document = {
        "version": SCHEMA,
        "checkouts": _drop_repeated(checkouts),
        "builds": _drop_repeated(builds),
        "issues": build_issues(issues, origin),
        "incidents": list(build_incidents(incidents, origin)),
    }
    return json.dumps(document, allow_nan=False, indent=1) + "\n"


def _drop_repeated(objects: list[KcidbObject]) -> list[KcidbObject]:
    """Each id once: a run may be compared with itself."""
    return list({item["id"]: item for item in objects}.values())


def _name_issues(findings: tuple[Finding, ...], issues: list[Issue]) -> dict[str, Issue]:
    return {finding.id: issue for finding, issue in zip(findings, issues, strict=True)}


@dataclass(frozen=True)
class SubmittedRun:
    """A run in a submission, and the issue of each of its findings, by the finding's id."""

    lister: BuildLister
    issues: Mapping[str, Issue]

    @cached_property
    def build_ids(self) -> dict[str, str]:
        """Cell's id → its build's."""
        return {cell: self.lister.create_build_id(cell) for cell in self.lister.stored.cells_by_id}

    def list_present(self) -> Iterator[Incident]:
        """Where its findings are."""
        for finding in self.lister.stored.findings.findings:
            for cell in finding.cells:
                yield Incident(self.issues[finding.id], self.build_ids[cell], is_present=True)

    def list_absent(self) -> Iterator[BuildsWithoutIssue]:
        """Where they were looked for, and are not. Of what is not known nothing is said."""
        cells_by_build = {build: cell for cell, build in self.build_ids.items()}
        for finding, cells in self.lister.stored.iterate_absences():
            yield BuildsWithoutIssue(self.issues[finding], cells, self.build_ids, cells_by_build)


@dataclass(frozen=True)
class SubmittedVerdict:
    """Both sides of a verdict in a submission; what is one finding has the same issue on both."""

    verdict: Verdict
    before: SubmittedRun
    after: SubmittedRun

    @classmethod
    def from_verdict(
        cls, verdict: Verdict, before: StoredRun, after: StoredRun, origin: KcidbOrigin
    ) -> "SubmittedVerdict":
        """Both sides, with the issues of the after-side for what it has, too."""
        twins = dict(_match_findings(verdict, after))
        alone = tuple(finding for finding in before.findings.findings if finding.id not in twins)
        findings = after.findings.findings
        issues = list_issues((*findings, *alone), choose_issue_version(after.run))
        of_after = _name_issues(findings, issues[: len(findings)])
        of_before = _name_issues(alone, issues[len(findings) :])
        of_before |= {name: of_after[twin] for name, twin in twins.items()}
        sides = (BuildLister(before, origin), BuildLister(after, origin))
        return cls(verdict, SubmittedRun(sides[0], of_before), SubmittedRun(sides[1], of_after))

    def list_changed(self) -> Iterator[Incident]:
        """What only the comparison shows: an issue of one side is in no build of the other."""
        for change in self.verdict.findings:
            if change.before and not change.after and classify_outcome(change) is FindingOutcome.FIXED:
                cells = [cell for cell in change.before.cells if self._is_gone_by_itself(change, cell)]
                yield from _list_absences(self.before, change.before.ids, self.after, cells)
            if change.after and not change.before and change.fate is FindingStatus.NEW:
                yield from _list_absences(self.after, change.after.ids, self.before, change.new_in)

    def _is_gone_by_itself(self, change: FindingChange, cell: str) -> bool:
        """Whether its own build after shows that, and not an object made apart or a neighbour."""
        rests_on_others = change.seen_through or change.excluded_like
        known = self.before.lister.stored.cells_by_id.get(cell)
        return not rests_on_others or (known is not None and known.toolchain in change.gone_with)


def _match_findings(verdict: Verdict, after: StoredRun) -> Iterator[tuple[str, str]]:
    """(finding before, the same one after) for what both sides have."""
    for change in verdict.findings:
        twins = [name for name in change.after.ids if name in after.findings_by_id] if change.after else []
        for name in change.before.ids if change.before and twins else ():
            yield name, twins[0]


def _list_absences(
    owner: SubmittedRun, findings: tuple[str, ...], other: SubmittedRun, cells: list[str] | tuple[str, ...]
) -> Iterator[Incident]:
    """That these findings of one side are not in these of its cells as the other side built them."""
    built = {cell.axes_key: cell.id for cell in other.lister.stored.run.cells if cell.state in PROVEN_STATES}
    of_owner = owner.lister.stored.cells_by_id
    twins = [built.get(of_owner[cell].axes_key) for cell in cells if cell in of_owner]
    for issue in (owner.issues[name] for name in findings if name in owner.issues):
        yield from (Incident(issue, other.build_ids[twin], is_present=False) for twin in twins if twin)
