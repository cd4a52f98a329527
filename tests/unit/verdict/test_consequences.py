"""An error and what follows from it, on both sides of a verdict."""

from datetime import date

import pytest

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.record.states import State
from matrix.verdict.baseline import (
    KnownIssue,
    compare_with_baseline,
    compute_excused_exit_code,
    match_known_issues,
)
from matrix.verdict.comparison import compare_runs
from matrix.verdict.verdict_model import FindingStatus
from tests.fakes.cascades import CAUSE, FOLLOWER
from tests.fakes.sides import a_side, alone, turned

BOTH, CAUSE_ALONE, FOLLOWER_ALONE = (CAUSE, FOLLOWER), (CAUSE,), (FOLLOWER,)
TODAY = date(2026, 1, 15)
STILL, NEW = FindingStatus.STILL, FindingStatus.NEW


@pytest.mark.parametrize(
    ("before", "after", "statuses", "new"),
    [
        (BOTH, BOTH, [STILL], [False]),
        (BOTH, FOLLOWER_ALONE, [STILL], [False]),
        (BOTH, CAUSE_ALONE, [STILL], [False]),
        (CAUSE_ALONE, BOTH, [STILL], [False]),
        (FOLLOWER_ALONE, BOTH, [NEW, STILL], [True, False]),
    ],
)
def test_what_is_left_of_a_problem_is_not_new_and_what_caused_it_is(
    before: tuple[Diagnostic, ...],
    after: tuple[Diagnostic, ...],
    statuses: list[FindingStatus],
    new: list[bool],
) -> None:
    run = alone(State.FAIL, *before)
    row = alone(State.FAIL, *after).cells[0]
    sides = a_side(run), a_side(turned(run, row, diagnostics=after))
    verdict = compare_runs(*sides)
    assert [change.fate for change in verdict.findings] == statuses
    assert [change.new_error for change in verdict.findings] == new
    assert compare_with_baseline(*sides).exit_code == (100 if any(new) else 0)


def test_a_problem_of_which_something_is_left_is_not_fixed() -> None:
    run = alone(State.FAIL, *BOTH)
    after = turned(run, alone(State.FAIL, FOLLOWER).cells[0], diagnostics=FOLLOWER_ALONE)
    (check,) = compare_runs(a_side(run), a_side(after), fixes=["F1"]).fixes
    assert not check.fixed


@pytest.mark.parametrize(
    ("listed", "seen", "code"),
    [(BOTH, FOLLOWER_ALONE, 0), (BOTH, BOTH, 0), (CAUSE_ALONE, BOTH, 0), (FOLLOWER_ALONE, BOTH, 100)],
)
def test_a_known_consequence_excuses_no_other_cause(
    listed: tuple[Diagnostic, ...], seen: tuple[Diagnostic, ...], code: int
) -> None:
    (finding,) = a_side(alone(State.FAIL, *listed)).findings.findings
    row = KnownIssue(keys=finding.keys, reason="queued", link="https://example.org/1", expires=TODAY)
    side = a_side(alone(State.FAIL, *seen))
    known = match_known_issues(side.findings, {"row": row}, TODAY)
    assert compute_excused_exit_code(side, known) == code
