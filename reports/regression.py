"""What a run says against its baseline and what is known, which decides about a scheduled job."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from matrix.verdict.baseline import Regression
from matrix.verdict.known import KnownIssues
from matrix.verdict.model import CellChange, FindingChange
from reports.look import print_line
from reports.text import clean_text, format_count, format_labelled_lines

_REGRESSIONS_SHOWN = 10


def show_regression(regression: Regression | None, ledger: KnownIssues, console: Console) -> None:
    """What is new or lost since the baseline, where there is one; which rows of known findings matter."""
    print_line(console)
    lines = [*(_render_regression(regression) if regression else ()), *_render_known_issues(ledger)]
    for line in lines:
        print_line(console, line)


def _render_regression(regression: Regression) -> Iterator[str]:
    baseline = clean_text(regression.verdict.before.run)
    yield f"against the baseline {baseline}: {_format_regression_outcome(regression)}"
    yield from format_labelled_lines("new", _render_finding_rows(regression.new_findings))
    yield from format_labelled_lines("broken", _render_cell_rows(regression.broken_cells))
    yield from format_labelled_lines("lost", _render_cell_rows(regression.lost_cells))
    yield from format_labelled_lines("not known", _render_cell_rows(regression.undecided_cells))
    yield from format_labelled_lines("known", _render_finding_rows(regression.excused_findings))
    yield from format_labelled_lines("plan", _list_plan_changes(regression))


def _format_regression_outcome(regression: Regression) -> str:
    counted = {
        format_count(len(regression.new_findings), "new finding"): regression.new_findings,
        f"{format_count(len(regression.broken_cells), 'cell')} broken": regression.broken_cells,
        f"{format_count(len(regression.lost_cells), 'cell')} lost": regression.lost_cells,
        f"{format_count(len(regression.undecided_cells), 'cell')} not known": regression.undecided_cells,
    }
    return ", ".join(words for words, among in counted.items() if among) or "nothing is new or lost"


def _render_finding_rows(rows: Sequence[FindingChange]) -> Iterator[str]:
    for row in rows[:_REGRESSIONS_SHOWN]:
        ids = " ".join(row.after.ids) if row.after else ""
        yield clean_text(f"{ids}  {row.title}")
    yield from [f"and {len(rows) - _REGRESSIONS_SHOWN} more"] if len(rows) > _REGRESSIONS_SHOWN else []


def _render_cell_rows(rows: Sequence[CellChange]) -> Iterator[str]:
    for row in rows[:_REGRESSIONS_SHOWN]:
        why = row.reason or row.why
        yield clean_text(f"{row.id}: {row.before or 'not planned'} -> {row.after or 'not planned'}") + (
            f": {clean_text(why)}" if why else ""
        )
    yield from [f"and {len(rows) - _REGRESSIONS_SHOWN} more"] if len(rows) > _REGRESSIONS_SHOWN else []


def _list_plan_changes(regression: Regression) -> list[str]:
    told = []
    if regression.removed_count:
        told.append(f"{format_count(regression.removed_count, 'cell')} of the baseline are not in this run")
    if regression.added_count:
        told.append(f"{format_count(regression.added_count, 'cell')} of this run are not in the baseline")
    return told


def _render_known_issues(ledger: KnownIssues) -> Iterator[str]:
    for finding, row in ledger.excused_by.items():
        yield from format_labelled_lines("excused", [clean_text(f"{finding} is known: {row}")])
    for row, findings in ledger.expired.items():
        yield from format_labelled_lines(
            "expired", [clean_text(f"{row} excuses {', '.join(findings)} no more")]
        )
    if ledger.unseen:
        yield from format_labelled_lines(
            "unseen", [clean_text(f"{', '.join(ledger.unseen)}: not seen any more, and can go")]
        )
