"""What single tasks print in a terminal: a run against its baseline, a shell's banner, a reproducer, a
machine's state."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from rich.console import Console

from matrix.record.run_model import Cell
from matrix.shell_words import quote_word
from matrix.verdict.baseline import KnownIssues, Regression
from matrix.verdict.verdict_model import CellChange, FindingChange
from reports.formatting import (
    format_count,
    format_duration,
    format_labelled_lines,
    shorten_line,
    wrap_text,
)
from reports.limits import FAILED_TESTS, LINE_LENGTH, REGRESSIONS
from reports.style import STATE_STYLES, StyledLine, print_line, print_lines, replace_unencodable
from reports.verdict_text import format_state_change


def show_regression(regression: Regression | None, known_issues: KnownIssues, console: Console) -> None:
    """What is new or lost since the baseline, where there is one; which rows of known findings matter."""
    print_line(console)
    lines = [*(_render_regression(regression) if regression else ()), *_render_known_issues(known_issues)]
    for line in lines:
        print_line(console, line)


def _render_regression(regression: Regression) -> Iterator[str]:
    baseline = regression.verdict.before.run
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
    return ", ".join(words for words, rows in counted.items() if rows) or "nothing is new or lost"


def show_import_notes(notes: Sequence[str], console: Console) -> None:
    """How a run came about that others built, and what it cannot tell."""
    replace_unencodable(console)
    if notes:
        print_lines(console, ["", "imported from builds of others"])
    for note in notes:
        print_lines(console, wrap_text(note, first="  ", rest="    ", hyphens=True))


def _render_finding_rows(rows: Sequence[FindingChange]) -> Iterator[str]:
    for row in rows[:REGRESSIONS]:
        ids = " ".join(row.after.ids) if row.after else ""
        yield f"{ids}  {row.title}"
    yield from [f"and {len(rows) - REGRESSIONS} more"] if len(rows) > REGRESSIONS else []


def _render_cell_rows(rows: Sequence[CellChange]) -> Iterator[str]:
    for row in rows[:REGRESSIONS]:
        why = row.reason or row.why
        yield f"{row.id}: {format_state_change(row)}" + (f": {why}" if why else "")
    yield from [f"and {len(rows) - REGRESSIONS} more"] if len(rows) > REGRESSIONS else []


def _list_plan_changes(regression: Regression) -> list[str]:
    removed, added = regression.removed_count, regression.added_count
    changes = [f"{format_count(removed, 'cell')} of the baseline are not in this run"] if removed else []
    changes += [f"{format_count(added, 'cell')} of this run are not in the baseline"] if added else []
    return changes


def _render_known_issues(known_issues: KnownIssues) -> Iterator[str]:
    for finding, row in known_issues.excused_by.items():
        yield from format_labelled_lines("excused", [f"{finding} is known: {row}"])
    for row, findings in known_issues.expired.items():
        yield from format_labelled_lines("expired", [f"{row} excuses {', '.join(findings)} no more"])
    if known_issues.unseen:
        rows = ", ".join(known_issues.unseen)
        untried = format_count(known_issues.untried_count, "cell")
        outcome = f"but {untried} could not be tried" if known_issues.untried_count else "and can go"
        yield from format_labelled_lines("unseen", [f"{rows}: not seen any more, {outcome}"])


def show_shell_banner(cell: Cell, make: str, variable: str, console: Console) -> None:
    """The cell, its state, the command that decided it (``variable`` holds it inside), and the way out."""
    replace_unencodable(console)
    print_line(console, StyledLine(f"{cell.id}  ").append(cell.state, STATE_STYLES[cell.state]))
    print_line(console, f'Its make command; here, eval "${variable}" runs it:')
    print_line(console, f"  {make}")
    print_line(console, "All that is done here is gone when you leave: exit")


def show_reproducer(path: Path, console: Console) -> None:
    """Where the script is, and how it is run."""
    typed = quote_word(str(path.absolute()))
    print_line(console, str(path))
    print_line(console, "in a kernel tree")
    print_line(console, f"  sh {typed}")
    print_line(console, "to find the commit")
    print_line(console, f"  git bisect run sh {typed}")


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
    """One thing that can go; ``size`` in bytes. ``problem``: why it is still there, after removing it."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def problem(self) -> str: ...


class ReportedHolding(Protocol):
    """What the cache holds of one kind; ``size`` in bytes."""

    @property
    def kind(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def size(self) -> int: ...


class ReportedStep(Protocol):
    """One program that tested or checked kmatrix, for so many ``seconds``; ``failures`` are of tests."""

    @property
    def name(self) -> str: ...
    @property
    def exit_code(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def failures(self) -> Sequence[str]: ...


def show_checks(checks: Sequence[ReportedCheck], console: Console) -> None:
    """A line for each thing, and below what is not well, what to do."""
    width = max((len(check.subject) for check in checks), default=0)
    for check in checks:
        mark = StyledLine("ok  ", "green") if check.ok else StyledLine("BAD ", "bold red")
        print_line(console, mark.append(f"{check.subject:{width}}  {check.message}"))
        if not check.ok and check.advice:
            print_line(console, f"    {'':{width}}  → {check.advice}")


def show_submission(host: str, console: Console, number: str, status: str) -> None:
    """What a server says of a submission, by the id that it gave it."""
    print_line(console, f"{host}: submission {number} is {status}")


def show_holdings(holdings: Sequence[ReportedHolding], console: Console) -> None:
    """A line for each kind of things in the cache."""
    for held in holdings:
        print_line(console, f"{held.kind:18} {format_size(held.size):>10}  {held.count:,} of them")


def show_dead_runs(sentences: Iterable[str], console: Console) -> None:
    """A line for each run that was stopped: it stays."""
    for sentence in sentences:
        print_line(console, f"run stays: {sentence}")


def show_leftovers(leftovers: Sequence[ReportedLeftover], console: Console, *, removed: bool) -> None:
    """A line for each thing that can go, and their sum."""
    for leftover in leftovers:
        print_line(console, f"{leftover.kind:10} {format_size(leftover.size):>10}  {leftover.name}")
        if leftover.problem:
            print_line(console, f"{'':21}  still there: {leftover.problem}")
    gone = [leftover for leftover in leftovers if not leftover.problem]
    total = format_size(sum(leftover.size for leftover in gone))
    if not leftovers:
        console.print("Nothing to sweep.")
    elif removed:
        console.print(f"Removed {len(gone)} things, {total}.")
    else:
        console.print(f"{len(leftovers)} things, {total}. To remove them: ./inv sweep --yes")


def show_test_steps(steps: Sequence[ReportedStep], console: Console) -> None:
    """The tests that failed in all parts, a line each; then what became of each part, and its time."""
    failed = [StyledLine("FAILED ", "red").append(row) for step in steps for row in _list_failed_tests(step)]
    outcomes = [f"{step.name}: {_format_outcome(step)}, {format_duration(step.seconds)}" for step in steps]
    print_lines(console, ["", *failed, *outcomes])


def _list_failed_tests(step: ReportedStep) -> Iterator[str]:
    for failure in step.failures[:FAILED_TESTS]:
        yield shorten_line(failure, LINE_LENGTH)
    left_out = len(step.failures) - FAILED_TESTS
    yield from [f"{left_out} more of the {step.name}"] if left_out > 0 else []


def _format_outcome(step: ReportedStep) -> str:
    if step.failures:
        return f"{len(step.failures)} failed"
    return f"ended with exit code {step.exit_code}" if step.exit_code else "passed"


def show_failed_steps(steps: Sequence[ReportedStep], console: Console) -> None:
    """One line: which checks failed, or how many passed."""
    failed = ", ".join(step.name for step in steps if step.exit_code)
    print_line(console, f"failed: {failed}" if failed else f"{format_count(len(steps), 'check')} passed")


def format_size(count: int) -> str:
    """``1.5 GiB``."""
    value = float(count)
    for unit in _UNITS[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_UNITS[-1]}"
