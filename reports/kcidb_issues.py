"""Findings as KCIDB has them: an issue for each, incidents where it is, and where it is known not to be."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

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


def choose_incidents(present: Iterable[Incident], absent: Iterable[Incident]) -> tuple[list[Incident], int]:
    """At most as many as one submission has, those that are there first; and how many are left out.

    An issue that is there in a build is not absent from it as well: two findings may have one id.
    """
    chosen: dict[tuple[str, str], Incident] = {}
    left_out = 0
    for incident in chain(present, absent):
        place = (incident.issue.key, incident.build)
        if place not in chosen and len(chosen) >= KCIDB_INCIDENTS:
            left_out += 1
        else:
            chosen.setdefault(place, incident)
    return list(chosen.values()), left_out


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
