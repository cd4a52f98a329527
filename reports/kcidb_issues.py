"""Findings as KCIDB has them: an issue for each, incidents where it is, and where it is known not to be."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from matrix.findings.finding import Finding
from reports.finding_text import format_condition, format_severity
from reports.kcidb_objects import KcidbObject, KcidbOrigin, build_object
from reports.limits import KCIDB_INCIDENTS

# Of a key that quotes a line of source beside what is named there, two compilers most often agree.
_SITE_KEY = re.compile(r"\S+ \S+ `.+`", re.DOTALL)


@dataclass(frozen=True)
class Issue:
    """A finding, or what is one finding on both sides of a verdict. ``key`` is the one that its id is made
    of; ``version`` as `choose_issue_version` has it."""

    finding: Finding
    key: str
    version: int

    def create_id(self, origin: KcidbOrigin) -> str:
        """The same in every run that has a finding with this key."""
        return origin.create_id("issue", self.key)


@dataclass(frozen=True)
class Incident:
    """An issue in a build, by the build's id: there, or known not to be there."""

    issue: Issue
    build: str
    is_present: bool


def list_issues(findings: Sequence[Finding], version: int) -> list[Issue]:
    """An issue for each finding, told apart by a key that no other of them has, where it has such a one."""
    owners: dict[str, int] = {}
    for finding in findings:
        for key in finding.own_keys:
            owners[key] = owners.get(key, 0) + 1
    return [
        Issue(finding, min(finding.own_keys, key=lambda key: (owners[key] > 1, *_rank_key(key))), version)
        for finding in findings
    ]


def _rank_key(key: str) -> tuple[bool, int, str]:
    """Among the keys that quote a line of source, the longest: it is the most distinctive."""
    return not _SITE_KEY.fullmatch(key), -len(key), key


def build_issues(issues: Iterable[Issue], origin: KcidbOrigin) -> list[KcidbObject]:
    """The issues as objects, each id once."""
    first: dict[str, Issue] = {}
    for issue in issues:
        first.setdefault(issue.key, issue)
    return [_build_issue(issue, origin) for issue in first.values()]


def _build_issue(issue: Issue, origin: KcidbOrigin) -> KcidbObject:
    finding = issue.finding
    is_tools = finding.blames is not None
    condition = " ".join(format_condition(finding))
    return build_object(
        {
            "id": issue.create_id(origin),
            "version": issue.version,
            "origin": origin.name,
            "report_subject": finding.title,
            "comment": f"{finding.title}: {condition}; {format_severity(finding)}",
            "culprit": {"code": not is_tools, "tool": is_tools, "harness": False},
            "misc": {
                "kmatrix": {
                    "keys": list(finding.keys),
                    "severity": finding.severity,
                    "condition": [
                        {axis: list(values) for axis, values in cube.items()} for cube in finding.condition
                    ],
                    "is_minimal": finding.minimal,
                    "objects": list(finding.objects),
                }
            },
        }
    )


@dataclass(frozen=True)
class BuildsWithoutIssue:
    """An issue, and all cells of a run that are known not to have it. ``build_ids``: cell's id → its build's,
    and ``cells_by_build`` the other way."""

    issue: Issue
    cells: Collection[str]
    build_ids: Mapping[str, str]
    cells_by_build: Mapping[str, str]

    def list_incidents(self) -> Iterator[Incident]:
        return (Incident(self.issue, self.build_ids[cell], is_present=False) for cell in self.cells)

    def count_others(self, builds: Iterable[str]) -> int:
        """How many of its builds are none of these."""
        return len(self.cells) - sum(self.cells_by_build.get(build) in self.cells for build in builds)


@dataclass
class IncidentChoice:
    """At most as many incidents as one submission has, those that are added first; ``left_out`` counts the
    others.

    An issue that is there in a build is not absent from it as well: two findings may have one id.
    """

    left_out: int = 0
    chosen: list[Incident] = field(default_factory=list)
    _builds: dict[str, set[str]] = field(default_factory=dict)

    def add_all(self, incidents: Iterable[Incident]) -> None:
        for incident in incidents:
            builds = self._builds.setdefault(incident.issue.key, set())
            if incident.build in builds:
                continue
            if len(self.chosen) >= KCIDB_INCIDENTS:
                self.left_out += 1
                continue
            builds.add(incident.build)
            self.chosen.append(incident)

    def add_absences(self, absences: Iterable[BuildsWithoutIssue]) -> None:
        """Once there is no room for more they are only counted: they are as many as findings times cells."""
        for each in absences:
            if len(self.chosen) < KCIDB_INCIDENTS:
                self.add_all(each.list_incidents())
            else:
                self.left_out += each.count_others(self._builds.get(each.issue.key, ()))


def build_incidents(incidents: Iterable[Incident], origin: KcidbOrigin) -> Iterator[KcidbObject]:
    """The incidents as objects."""
    for incident in incidents:
        issue, version = incident.issue.create_id(origin), incident.issue.version
        yield build_object(
            {
                # With the version: a run and a verdict on it tell of the same build with two.
                "id": origin.create_id("incident", incident.build, issue, str(version)),
                "origin": origin.name,
                "issue_id": issue,
                "issue_version": version,
                "build_id": incident.build,
                "present": incident.is_present,
            }
        )
