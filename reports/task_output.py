"""What doctor and sweep found, for the terminal."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from rich.console import Console
from rich.text import Text

from matrix.record.run_model import Cell
from matrix.verdict.baseline import KnownIssues, Regression
from matrix.verdict.verdict_model import CellChange, FindingChange
from reports.formatting import clean_text, format_count, format_labelled_lines
from reports.style import STATE_STYLES, print_line, replace_unencodable

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


_MAX_MAKE_LENGTH = 4000


def show_shell_banner(cell: Cell, make: str, variable: str, console: Console) -> None:
    """The cell, its state, the command that decided it (``variable`` holds it inside), and the way out."""
    replace_unencodable(console)
    print_line(console, Text(f"{clean_text(cell.id)}  ").append(cell.state, STATE_STYLES[cell.state]))
    print_line(console, f'Its make command; here, eval "${variable}" runs it:')
    print_line(console, f"  {clean_text(make, _MAX_MAKE_LENGTH)}")
    print_line(console, "All that is done here is gone when you leave: exit")


_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class ReportedCheck(Protocol):
    """One thing that was looked at."""

    @property
    def subject(self) -> str: ...
    @property
    def ok(self) -> bool: ...
    @property
    def message(self) -> str: ...
    @property
    def advice(self) -> str: ...


class ReportedLeftover(Protocol):
    """One thing that can go; ``size`` in bytes."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...


def show_checks(found: Sequence[ReportedCheck], console: Console) -> None:
    """A line for each thing, and below what is not well, what to do."""
    width = max((len(item.subject) for item in found), default=0)
    for item in found:
        mark = Text("ok  ", "green") if item.ok else Text("BAD ", "bold red")
        console.print(mark + Text(f"{item.subject:{width}}  {item.message}"), soft_wrap=True)
        if not item.ok and item.advice:
            console.print(Text(f"    {'':{width}}  → {item.advice}"), soft_wrap=True)


def show_leftovers(found: Sequence[ReportedLeftover], console: Console, *, removed: bool) -> None:
    """A line for each thing that can go, and their sum."""
    for item in found:
        console.print(Text(f"{item.kind:10} {format_size(item.size):>10}  {item.name}"), soft_wrap=True)
    total = format_size(sum(item.size for item in found))
    if not found:
        console.print("Nothing to sweep.")
    elif removed:
        console.print(f"Removed {len(found)} things, {total}.")
    else:
        console.print(f"{len(found)} things, {total}. To remove them: ./inv sweep --yes")


def format_size(count: int) -> str:
    """``1.5 GiB``."""
    value = float(count)
    for unit in _UNITS[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_UNITS[-1]}"
