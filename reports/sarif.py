"""Findings as SARIF 2.1.0, for GitHub's code scanning and other viewers of static analysis.

A result is a finding, not each of its places: viewers make an alert of each result, show it at its first
location, and the others beside it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.foreign_text import clean_text, replace_controls
from matrix.record.states import PROVEN_STATES, UNTRIED_STATES, State
from matrix.verdict.baseline import KnownIssues
from matrix.verdict.finding_outcome import FindingOutcome, classify_outcome
from matrix.verdict.gates import is_added_cell_error
from matrix.verdict.verdict_model import FindingChange, Verdict
from reports import finding_text
from reports.cell_judgement import CellJudgement, JudgementKind
from reports.changes import RunChanges
from reports.formatting import format_count, join_first
from reports.kcidb_issues import list_issues
from reports.limits import LOG_OBJECTS, SARIF_BYTES, SARIF_PLACES, SARIF_RESULTS
from reports.summary import format_warning_flag

SarifObject = dict[str, Any]
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT = "SRCROOT"
_CUT = "cut"
_MESSAGE_CHARACTERS = str.maketrans("[]{}", "()()")
_BASELINE_STATES = {FindingOutcome.FIXED: "absent", FindingOutcome.GONE: "absent"}
"""Of what is not there any more; what is lost or not known is not known to be gone."""


@dataclass(frozen=True)
class _Reported:
    """A finding with the run that shows it, and what it is to a baseline where there is one."""

    stored: StoredRun
    finding: Finding
    state: str = ""
    outcome: str = ""

    @property
    def rule(self) -> str:
        """A compiler's flag, or else the name of a tool: whichever cells come first, the same of them all."""
        known = self.stored.run.diagnostics
        names = {_name_rule(known[key]) for key in self.finding.diagnostics if key in known}
        return min(names, key=lambda name: (not name.startswith("-"), name), default="") or "finding"


def _name_rule(diagnostic: Diagnostic) -> str:
    return replace_controls(format_warning_flag(diagnostic) or diagnostic.tool)


def render_sarif(
    stored: StoredRun,
    known_issues: KnownIssues,
    judged: Mapping[str, CellJudgement],
    verdict: Verdict | None = None,
    before: StoredRun | None = None,
) -> str:
    """The whole file of a run. With a verdict on what it was before, each result says what it is to that.
    ``judged`` are the judgements on the run's cells, by id."""
    if verdict is not None and before is not None:
        reported = list(_list_changes(verdict, before, stored))
    else:
        reported = [_Reported(stored, each) for each in stored.findings.findings]
    return _render(stored, reported, known_issues, list(_list_gaps(stored, judged, verdict)))


def _list_changes(verdict: Verdict, before: StoredRun, after: StoredRun) -> Iterator[_Reported]:
    changes = RunChanges.from_verdict(verdict, before, after)
    for change in changes.findings:
        located = changes.locate_finding(change)
        if located is not None:
            outcome = classify_outcome(change)
            yield _Reported(*located, _name_baseline_state(change, outcome), str(outcome))


def _name_baseline_state(change: FindingChange, outcome: FindingOutcome) -> str:
    """Empty where nothing is known of the cells that show it now: then none is claimed."""
    if change.before is None:
        is_new = outcome is FindingOutcome.NEW or change.new_in or is_added_cell_error(change)
        return "new" if is_new else ""
    return _BASELINE_STATES.get(outcome, "updated" if change.new_in else "unchanged")


def _render(
    stored: StoredRun, reported: Sequence[_Reported], known_issues: KnownIssues, gaps: list[SarifObject]
) -> str:
    """As many results as the readers take: what is worst or new stands first, and stays. ``gaps`` are
    notifications of what the results do not show."""
    rules = _list_rules(reported[:SARIF_RESULTS])
    positions = {rule["id"]: number for number, rule in enumerate(rules)}
    results: list[SarifObject] = []
    room = SARIF_BYTES - _measure(rules)
    for each, fingerprints in zip(reported[:SARIF_RESULTS], _list_fingerprints(reported), strict=False):
        result = _build_result(each, positions, known_issues) | {"partialFingerprints": fingerprints}
        room -= _measure(result)
        if room < 0:
            break
        results.append(result)
    invocation = _build_invocation(stored, len(reported) - len(results), gaps)
    return json.dumps(_build_log(stored, rules, results, invocation), indent=1) + "\n"


def _measure(value: object) -> int:
    return len(json.dumps(value, indent=1)) * 5 // 4  # deeper in the file it is indented further


def _build_log(
    stored: StoredRun, rules: list[SarifObject], results: list[SarifObject], invocation: SarifObject
) -> SarifObject:
    run = stored.run
    profile = str(run.profile.get("profile", "")) or "run"
    driver = {"name": "kmatrix", "version": replace_controls(run.tool.version), "rules": rules}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "automationDetails": {"id": f"kmatrix/{_quote(profile)}/{_quote(run.id)}"},
                "invocations": [invocation],
                "originalUriBaseIds": {
                    _ROOT: {"description": {"text": "The root of the kernel's source tree."}}
                },
                "columnKind": "utf16CodeUnits",
                "results": results,
            }
        ],
    }


def _quote(text: str) -> str:
    return quote(replace_controls(text), safe="")


def _build_invocation(stored: StoredRun, hidden: int, gaps: list[SarifObject]) -> SarifObject:
    run = stored.run
    words = f"{format_count(hidden, 'more finding')} left out, as viewers take no more: findings.json has all"
    cuts = [_build_notification(_CUT, words)] if hidden else []
    times = {"startTimeUtc": run.started, "endTimeUtc": run.finished}
    return {
        "executionSuccessful": not run.interrupted and not gaps,
        **{name: time.strftime("%Y-%m-%dT%H:%M:%S.000Z") for name, time in times.items() if time},
        "toolExecutionNotifications": [*cuts, *gaps],
    }


def _list_gaps(
    stored: StoredRun, judged: Mapping[str, CellJudgement], verdict: Verdict | None
) -> Iterator[SarifObject]:
    """What is wrong and in no result: without these, a file without results would read as clean."""
    for patch in verdict.patches if verdict else ():
        if patch.refused:
            words = f"{patch.name} does not apply, so neither it nor what follows was tried: {patch.refused}"
            yield _build_notification("refused-patch", words, "error")
    untried = sum(cell.state in UNTRIED_STATES for cell in stored.run.cells)
    if untried:
        words = f"{format_count(untried, 'cell')} could not be tried: what they would show is not known"
        yield _build_notification("untried", words)
    for judgement, cells in _group_unexplained_cells(stored, judged).items():
        words = f"{format_count(len(cells), 'cell')} without a known finding, {judgement.label}"
        words += f" ({judgement.message}): {join_first(cells, LOG_OBJECTS, ' and ')}"
        yield _build_notification("unexplained", words, "error")
    if not untried and not _has_proof(stored, verdict):
        yield _build_notification("unproven", "Nothing was proven: no cell compiled anything", "error")


def _group_unexplained_cells(
    stored: StoredRun, judged: Mapping[str, CellJudgement]
) -> dict[CellJudgement, list[str]]:
    """The cells that failed, or are not what they were before, and have no finding that says so."""
    groups: dict[CellJudgement, list[str]] = {}
    for cell in stored.run.cells:
        names = stored.findings_by_cell.get(cell.id, {})
        has_failed = cell.state is State.FAIL
        is_explained = any(stored.is_error(cell.id, name) for name in names) if has_failed else names
        is_bad = has_failed or judged[cell.id].kind in (JudgementKind.FAILED, JudgementKind.ERROR)
        if is_bad and not is_explained and cell.state not in UNTRIED_STATES:
            groups.setdefault(judged[cell.id], []).append(cell.id)
    return groups


def _has_proof(stored: StoredRun, verdict: Verdict | None) -> bool:
    """Whether a cell proves anything; of a verdict, one that both plans have."""
    if verdict is None:
        return any(cell.state in PROVEN_STATES for cell in stored.run.cells)
    return any(cell.is_in_both_plans and cell.after in PROVEN_STATES for cell in verdict.cells)


def _build_notification(name: str, words: str, level: str = "warning") -> SarifObject:
    return {"level": level, "descriptor": {"id": name}, "message": {"text": _clean_message(words)}}


def _clean_message(words: str) -> str:
    """In SARIF's messages a bracket begins a link, and a brace what is put in."""
    return clean_text(words).translate(_MESSAGE_CHARACTERS)


def find_cut_notes(text: str) -> list[str]:
    """What a file says of findings that are not in it."""
    invocations = [each for run in json.loads(text)["runs"] for each in run["invocations"]]
    notes = (note for each in invocations for note in each["toolExecutionNotifications"])
    return [note["message"]["text"] for note in notes if note["descriptor"]["id"] == _CUT]


def _list_rules(reported: Sequence[_Reported]) -> list[SarifObject]:
    return [_build_rule(name) for name in dict.fromkeys(each.rule for each in reported)]


def _build_rule(name: str) -> SarifObject:
    is_flag = name.startswith("-")
    short = f"What {name} warns of." if is_flag else f"An error or warning of {name}."
    return {
        "id": name,
        "shortDescription": {"text": short},
        "fullDescription": {"text": f"{short} The condition under which it appears is in each result."},
        "help": {"text": "./inv explain shows a finding's condition, its proof, and what to type to see it."},
    }


def _build_result(each: _Reported, positions: Mapping[str, int], known_issues: KnownIssues) -> SarifObject:
    finding = each.finding
    places = list(_list_places(each))
    row = known_issues.excused_by.get(finding.id) if each.state != "absent" else None
    result: SarifObject = {
        "ruleId": each.rule,
        "ruleIndex": positions[each.rule],
        "level": "error" if finding.is_error else "warning",
        "message": {"text": _format_message(each)},
        "locations": places[:1] or [_build_logical_location(each)],
        "properties": {
            "finding": finding.id,
            "keys": [clean_text(key) for key in finding.keys[:SARIF_PLACES]],
            "cells": len(finding.cells),
        },
    }
    if places[1:]:
        result["relatedLocations"] = [{**place, "id": number} for number, place in enumerate(places[1:], 1)]
    if each.state:
        result["baselineState"] = each.state
    if each.outcome:
        result["properties"]["outcome"] = each.outcome
    if known_issues.excused_by:
        suppression = {"kind": "external", "status": "accepted", "justification": replace_controls(row or "")}
        result["suppressions"] = [suppression] if row else []
    return result


def _format_message(each: _Reported) -> str:
    """A title, a condition, a number of cells: in sentences, as viewers show the first alone."""
    conditions = " ".join(finding_text.format_condition(each.finding))
    words = f"{clean_text(each.finding.title)}. Appears with {clean_text(conditions)}, in "
    words += format_count(len(each.finding.cells), "cell")
    words += f". Since the baseline: {each.outcome}." if each.outcome else "."
    return words.translate(_MESSAGE_CHARACTERS)


def _list_fingerprints(reported: Sequence[_Reported]) -> Iterator[dict[str, str]]:
    """Of each finding, from the key that KCIDB's id is made of: it holds across lines and runs, and where it
    quotes a line of source across compilers. Findings of one key are told apart by their order."""
    issues = iter(list_issues([each.finding for each in reported if each.finding.own_keys], 0))
    seen: dict[str, int] = {}
    for each in reported:
        key = next(issues).key if each.finding.own_keys else each.finding.title
        digest = hashlib.sha256(key.encode()).hexdigest()
        seen[digest] = seen.get(digest, 0) + 1
        # The second is what GitHub matches alerts by; its own would change with the line.
        line_hash = f"{digest[:16]}:{seen[digest]}"
        yield {"kmatrixKey/v1": digest[:32], "primaryLocationLineHash": line_hash}


def _list_places(each: _Reported) -> Iterator[SarifObject]:
    """Each place that its messages name, once, the main message's first."""
    run, seen = each.stored.run, set[tuple[str, int | None]]()
    for label, diagnostic in finding_text.label_diagnostics(run, each.finding).items():
        own = (diagnostic.file, diagnostic.line, diagnostic.column, f"{label}: {diagnostic.message}")
        sites = ((site.file, site.line, None, f"{label}: {site.code or 'here'}") for site in diagnostic.sites)
        for file, line, column, words in (own, *sites):
            if file and (file, line) not in seen and len(seen) < SARIF_PLACES:
                seen.add((file, line))
                yield _build_location(file, line, column, words)


def _build_location(file: str, line: int | None, column: int | None, words: str) -> SarifObject:
    place: SarifObject = {"artifactLocation": {"uri": quote(replace_controls(file)), "uriBaseId": _ROOT}}
    if line:
        place["region"] = {"startLine": line, **({"startColumn": column} if column else {})}
    return {"physicalLocation": place, "message": {"text": clean_text(words)}}


def _build_logical_location(each: _Reported) -> SarifObject:
    """Of what has no place in the source: the object in which it came up."""
    name = replace_controls(next(iter(each.finding.objects), each.rule))
    return {"logicalLocations": [{"fullyQualifiedName": name, "kind": "object"}]}
