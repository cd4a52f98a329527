"""The history of several runs, in a terminal and as a page: a sign for each run, oldest first."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console

from matrix.findings.stored_run import StoredRun
from matrix.record.states import State
from matrix.verdict.run_history import CellHistory, FindingHistory, FindingMark, RunHistory
from reports import summary
from reports.format_names import find_named_format
from reports.formatting import format_count, format_duration
from reports.jinja_templates import load_html_template
from reports.limits import HISTORY_CELLS, HISTORY_TIMES
from reports.style import STATE_SIGNS, STATE_STYLES, StyledLine, print_line, print_lines, replace_unencodable

_MARK_STATES = {
    FindingMark.ERROR: State.FAIL,
    FindingMark.WARNING: State.WARN,
    FindingMark.ABSENT: State.PASS,
    FindingMark.UNKNOWN: State.NOT_RUN,
}
"""What a mark looks like, its sign included."""
_BAD_MARKS = frozenset({FindingMark.ERROR, FindingMark.WARNING})


@dataclass(frozen=True)
class HistoryRow:
    """A finding or a cell: the state that each run's sign shows, None where its plan has no such cell."""

    title: str
    states: tuple[State | None, ...]
    outcome: str


@dataclass(frozen=True)
class HistoryView:
    """What both formats show of a history."""

    history: RunHistory

    @property
    def headline(self) -> str:
        counts = (
            format_count(len(self.history.runs), "run"),
            format_count(len(self.history.findings), "finding"),
            f"{format_count(len(self.history.changed_cells), 'cell')} that changed or failed",
        )
        return ", ".join(counts)

    @property
    def runs(self) -> list[tuple[str, str, str]]:
        """Each run's id, its source, its outcome."""
        return [
            (stored.run.id, summary.format_source(stored.run), _format_run(stored))
            for stored in self.history.runs
        ]

    @property
    def findings(self) -> list[HistoryRow]:
        return [self._view_finding(problem) for problem in self.history.findings]

    def _view_finding(self, problem: FindingHistory) -> HistoryRow:
        marks = [self.history.mark_finding(problem, place) for place in range(len(self.history.runs))]
        states = tuple(_MARK_STATES[mark] for mark in marks)
        return HistoryRow(problem.title, states, self._format_outcome(marks))

    def _format_outcome(self, marks: Sequence[FindingMark]) -> str:
        """``bad since 2``, ``bad until 3, good since 4``: runs by the numbers that the list of them has."""
        bad = [place for place, mark in enumerate(marks) if mark in _BAD_MARKS]
        first, last = bad[0], bad[-1]
        if last == len(marks) - 1:
            return "bad in all" if len(bad) == len(marks) else f"bad since {self._find_begin(marks) + 1}"
        good = [place for place in range(last + 1, len(marks)) if marks[place] is FindingMark.ABSENT]
        until = f"bad in {first + 1}" if first == last else f"bad until {last + 1}"
        return f"{until}, good since {good[0] + 1}" if good else f"{until}, not known since"

    @staticmethod
    def _find_begin(marks: Sequence[FindingMark]) -> int:
        """The first run that shows it since it was absent for the last time."""
        absent = [place for place, mark in enumerate(marks) if mark is FindingMark.ABSENT]
        since = absent[-1] if absent else -1
        return next(place for place, mark in enumerate(marks) if place > since and mark in _BAD_MARKS)

    @property
    def cells(self) -> list[HistoryRow]:
        shown = self.history.changed_cells[:HISTORY_CELLS]
        return [HistoryRow(cell.id, self._list_states(cell), _format_last_state(cell)) for cell in shown]

    @property
    def hidden_cell_count(self) -> int:
        return max(0, len(self.history.changed_cells) - HISTORY_CELLS)

    def _list_states(self, cell: CellHistory) -> tuple[State | None, ...]:
        return tuple(cell.states.get(place) for place in range(len(self.history.runs)))

    @property
    def times(self) -> list[tuple[str, str]]:
        """The cells whose times moved most, each with them."""
        return [(cell.id, _format_times(cell)) for cell in self.history.moved_times[:HISTORY_TIMES]]


def _format_run(stored: StoredRun) -> str:
    took = summary.measure_wall_time(stored.run)
    time = "not finished" if took is None else format_duration(took)
    return f"{summary.format_run_headline(stored)}, {time}"


def _format_last_state(cell: CellHistory) -> str:
    return f"last {cell.states[max(cell.states)]}"


def _format_times(cell: CellHistory) -> str:
    """``9.4 s, 12.0 s: × 1.28``."""
    times = ", ".join(format_duration(cell.seconds[place]) for place in sorted(cell.seconds))
    return f"{times}: × {cell.time_ratio:.2f}"


def _show_text(view: HistoryView, console: Console) -> None:
    replace_unencodable(console)
    print_line(console, StyledLine(view.headline, style="bold"))
    print_lines(console, _render_lines(view))


def _render_lines(view: HistoryView) -> Iterator[StyledLine]:
    yield StyledLine()
    for number, (run, source, outcome) in enumerate(view.runs, 1):
        yield StyledLine(f"{number:>3}  {run}  {outcome}")
        yield StyledLine(f"     {source}", style="dim")
    for heading, rows in (("findings", view.findings), ("cells", view.cells)):
        yield from [StyledLine(), StyledLine(heading, style="bold")] if rows else []
        yield from map(_render_row, rows)
    if view.hidden_cell_count:
        yield StyledLine(f"and {format_count(view.hidden_cell_count, 'more cell')}")
    yield from [StyledLine(), StyledLine("times", style="bold")] if view.times else []
    for cell, times in view.times:
        yield StyledLine(f"  {times}  {cell}")


def _render_row(row: HistoryRow) -> StyledLine:
    line = StyledLine("  ")
    for state in row.states:
        line.append(STATE_SIGNS[state] if state else " ", STATE_STYLES[state] if state else "").append(" ")
    return line.append(f" {row.outcome}: {row.title}")


def render_history_html(view: HistoryView) -> str:
    """The whole page; it needs no script."""
    return load_html_template("history.html.j2").render(view=view)


def _show_html(view: HistoryView, console: Console) -> None:
    console.out(render_history_html(view), highlight=False, end="")


HISTORY_FORMATS: dict[str, Callable[[HistoryView, Console], None]] = {
    "terminal": _show_text,
    "html": _show_html,
}


def select_history_format(name: str) -> Callable[[HistoryView, Console], None]:
    """What shows a history in the format of this name. RequestError, with the nearest one, where there is
    none."""
    return find_named_format(name, HISTORY_FORMATS, f"there is no format {name!r} of a history")
