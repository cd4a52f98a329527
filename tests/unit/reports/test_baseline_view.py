"""A run's page that has a baseline opens with what changed since."""

from matrix.record.run_model import Run
from matrix.record.states import State
from matrix.verdict.baseline import compare_with_baseline
from reports import ReportOptions, find_format
from reports.baseline_view import BaselineView
from tests.fakes.runs import GCC_ERROR, WARNING
from tests.fakes.sides import alone, newer, two
from tests.unit.reports.test_pages import Page


def view(before: Run, after: Run) -> tuple[BaselineView, str]:
    """The view of these, and the words of the after-run's page with it."""
    first, second = two(before, after)
    regression = compare_with_baseline(first, second)
    text = find_format("html").render_run(second, ReportOptions(regression=regression))
    return BaselineView(regression), Page(text).words


def test_what_is_new_and_what_is_fixed_stands_first() -> None:
    told, words = view(alone(State.FAIL, GCC_ERROR), alone(State.WARN, WARNING))
    assert told.counts == {"new": 1, "fixed": 1, "lost": 0, "known": 0}
    assert words.index("1 new, 1 fixed, 0 lost, 0 known since") < words.index("Findings")
    assert "1 finding of" in words
    assert "weak declaration" in words


def test_what_was_there_is_known() -> None:
    told, words = view(alone(State.FAIL, GCC_ERROR), alone(State.FAIL, GCC_ERROR))
    assert told.counts == {"new": 0, "fixed": 0, "lost": 0, "known": 1}
    assert "known F1" in " ".join(words.split())


def test_what_cannot_be_built_any_more_is_lost_and_not_fixed() -> None:
    told, words = view(alone(State.FAIL, GCC_ERROR), alone(State.UNREACHABLE))
    assert (told.counts["fixed"], told.counts["lost"]) == (0, 1)
    assert "1 cell lost" in words


def test_what_is_not_known_is_said_to_be_so() -> None:
    told, words = view(alone(State.PASS), newer(alone(State.FAIL, GCC_ERROR)))
    assert "not known" in told.changed_cells
    assert "1 cell not known" in words


def test_a_warning_beside_new_errors_does_not_come_first() -> None:
    _, words = view(alone(State.WARN, WARNING), alone(State.FAIL, GCC_ERROR, WARNING))
    assert words.index("weak declaration") < words.index("unused variable")
    assert "1 new, 0 fixed, 0 lost, 1 known" in words
