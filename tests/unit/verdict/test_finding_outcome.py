"""One outcome has one wording: whichever finding was asked for, in whichever order, in every format."""

from itertools import permutations
from typing import Any

import pytest

from matrix.errors import RequestError
from matrix.verdict.finding_outcome import WORDINGS, FindingOutcome, classify_outcome
from matrix.verdict.gates import check_fix, compute_verdict_exit_code, format_fix_check
from matrix.verdict.verdict_model import CellFindingStatus, FindingChange, FindingStatus, SideFinding
from reports import NO_OPTIONS, find_format, verdict_text
from reports.changes import FINDING_OUTCOME_STATES
from reports.finding_view import view_finding_change
from reports.limits import TERMINAL
from reports.mail_verdict import render_verdict_mail
from tests.fakes.verdicts import Case, header_fix

GONE, BUILT, STILL = CellFindingStatus.NOT_BUILT, CellFindingStatus.COMPILED, CellFindingStatus.STILL
# Every way in which each outcome comes about: what is asked of one is held against the other.
FATES: dict[FindingOutcome, list[dict[str, Any]]] = {
    FindingOutcome.STILL: [
        {"fate": FindingStatus.STILL, "became": {STILL: 1, BUILT: 1}},
        {"fate": FindingStatus.STILL, "became": {STILL: 1, CellFindingStatus.UNKNOWN: 1}},
        {"fate": FindingStatus.STILL, "became": {STILL: 2}, "new_in": ("x/y",)},
        {"fate": FindingStatus.STILL, "became": {BUILT: 2}, "new_in": ("x/y",), "why": "gone where it was"},
    ],
    FindingOutcome.LOST: [
        {"fate": FindingStatus.LOST, "became": {CellFindingStatus.LOST: 2}, "why": "unreachable after"},
        {"fate": FindingStatus.LOST, "became": {CellFindingStatus.LOST: 1, BUILT: 1}, "why": "empty after"},
    ],
    FindingOutcome.FIXED: [
        {"fate": FindingStatus.FIXED, "became": {BUILT: 2}},
        {"fate": FindingStatus.FIXED, "became": {GONE: 1, BUILT: 1}, "why": "KVM_VFIO y → n"},
    ],
    FindingOutcome.GONE: [
        {"fate": FindingStatus.FIXED, "became": {GONE: 2}},
        {"fate": FindingStatus.FIXED, "became": {CellFindingStatus.UNLISTED: 1, BUILT: 1}},
    ],
    FindingOutcome.UNKNOWN: [
        {"fate": FindingStatus.UNKNOWN, "became": {CellFindingStatus.UNKNOWN: 2}, "why": "timeout after"},
        {"fate": FindingStatus.UNKNOWN, "became": {CellFindingStatus.NOT_PLANNED: 2}, "why": "not planned"},
    ],
}
PAIRS = [
    pytest.param(outcome, first, second, id=f"{outcome}-{number}")
    for outcome, rows in FATES.items()
    for number, (first, second) in enumerate([*permutations(rows, 2), (rows[0], rows[0])])
]


def the_change(name: str, fields: dict[str, Any]) -> FindingChange:
    seen = SideFinding(ids=(name,), severity={"gcc-14": "error"}, condition=({},), cells=("a", "b"))
    after = seen if fields["fate"] is FindingStatus.STILL else None
    return FindingChange(title=f"o{name}.o: title", keys=(f"k-{name}",), before=seen, after=after, **fields)


def the_case(first: dict[str, Any], second: dict[str, Any], asked: tuple[str, ...]) -> Case:
    """Two findings in this order, of which these were asked for."""
    case = header_fix().having(findings=(the_change("F1", first), the_change("F2", second)))
    return case.having(fixes=tuple(check_fix(case.verdict, name) for name in asked))


@pytest.mark.parametrize(("outcome", "first", "second"), PAIRS)
@pytest.mark.parametrize("asked", [(), ("F1",), ("F2",), ("F1", "F2"), ("k-F2", "f1")])
def test_two_findings_of_one_outcome_are_told_alike(
    outcome: FindingOutcome, first: dict[str, Any], second: dict[str, Any], asked: tuple[str, ...]
) -> None:
    case, wording = the_case(first, second, asked), WORDINGS[outcome]
    told = f"{wording.verb} F1, F2{wording.addition}"
    assert [part for part in verdict_text.list_outcome_phrases(case.changes) if "F1" in part] == [told]
    mail = " ".join(render_verdict_mail(*case.given).split())
    assert f"{wording.verb} 2 errors{wording.addition}" in mail.replace(".", "")
    for name, check in zip(asked, case.verdict.fixes, strict=True):
        assert format_fix_check(check).startswith(f"{name}{wording.sentence}")
        assert format_fix_check(check) in " ".join(
            find_format("text").render_verdict(*case.given, NO_OPTIONS).split()
        )
    for change in case.changes.findings:
        assert view_finding_change(case.changes, change, TERMINAL).status is outcome


@pytest.mark.parametrize(("outcome", "first", "second"), PAIRS)
@pytest.mark.parametrize("name", ["text", "markdown", "html"])
def test_every_format_labels_both_with_the_same_word(
    outcome: FindingOutcome, first: dict[str, Any], second: dict[str, Any], name: str
) -> None:
    for asked in ((), ("F1",), ("F2",)):
        shown = find_format(name).render_verdict(*the_case(first, second, asked).given, NO_OPTIONS)
        heads = {"text": f"\n{outcome}: F", "markdown": f"### {outcome}: F", "html": f"{outcome}</span> F"}
        assert shown.count(heads[name]) == 2


@pytest.mark.parametrize(("outcome", "first", "second"), PAIRS)
def test_the_exit_code_is_the_same_whichever_was_asked_for(
    outcome: FindingOutcome, first: dict[str, Any], second: dict[str, Any]
) -> None:
    codes = {
        int(compute_verdict_exit_code(the_case(first, second, (name,)).verdict)) for name in ("F1", "F2")
    }
    assert codes == {{"is fixed": 0, "is not fixed": 100}.get(WORDINGS[outcome].sentence.strip(), 2)}


def test_every_outcome_has_its_wording_and_its_look() -> None:
    assert set(WORDINGS) == set(FindingOutcome) == set(FINDING_OUTCOME_STATES)
    assert {FindingOutcome.NEW, *FATES} == set(FindingOutcome)
    for outcome, rows in FATES.items():
        assert {classify_outcome(the_change("F1", row)) for row in rows} == {outcome}
    assert {status.value for status in FindingStatus} <= {outcome.value for outcome in FindingOutcome}


def test_of_what_only_came_up_after_nobody_can_ask() -> None:
    new = FindingChange(title="t", keys=("k",), fate=FindingStatus.NEW, new_in=("x",))
    assert classify_outcome(new) is FindingOutcome.NEW
    with pytest.raises(RequestError):
        check_fix(header_fix().having(findings=(new,)).verdict, "k")
