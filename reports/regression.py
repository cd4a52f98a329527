"""What a run says against its baseline and what is known, which decides about a scheduled job."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from matrix.verdict.baseline import Regression
from matrix.verdict.known import KnownIssues
from matrix.verdict.model import CellChange, FindingChange
from reports.look import say
from reports.text import clean, labelled, plural

_SHOWN = 10


def show_regression(regression: Regression | None, ledger: KnownIssues, console: Console) -> None:
    """What is new or lost since the baseline, where there is one; which rows of known findings matter."""
    say(console)
    lines = [*(_against(regression) if regression else ()), *_known(ledger)]
    for line in lines:
        say(console, line)


def _against(regression: Regression) -> Iterator[str]:
    yield f"against the baseline {clean(regression.verdict.before.run)}: {_outcome(regression)}"
    yield from labelled("new", _findings(regression.new_findings))
    yield from labelled("broken", _cells(regression.broken_cells))
    yield from labelled("lost", _cells(regression.lost_cells))
    yield from labelled("not known", _cells(regression.undecided_cells))
    yield from labelled("known", _findings(regression.excused_findings))
    yield from labelled("plan", _plan(regression))


def _outcome(regression: Regression) -> str:
    counted = {
        plural(len(regression.new_findings), "new finding"): regression.new_findings,
        f"{plural(len(regression.broken_cells), 'cell')} broken": regression.broken_cells,
        f"{plural(len(regression.lost_cells), 'cell')} lost": regression.lost_cells,
        f"{plural(len(regression.undecided_cells), 'cell')} not known": regression.undecided_cells,
    }
    return ", ".join(words for words, among in counted.items() if among) or "nothing is new or lost"


def _findings(rows: Sequence[FindingChange]) -> Iterator[str]:
    for row in rows[:_SHOWN]:
        ids = " ".join(row.after.ids) if row.after else ""
        yield clean(f"{ids}  {row.title}")
    yield from [f"and {len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else []


def _cells(rows: Sequence[CellChange]) -> Iterator[str]:
    for row in rows[:_SHOWN]:
        why = row.reason or row.why
        yield clean(f"{row.id}: {row.before or 'not planned'} -> {row.after or 'not planned'}") + (
            f": {clean(why)}" if why else ""
        )
    yield from [f"and {len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else []


def _plan(regression: Regression) -> list[str]:
    told = []
    if regression.removed_count:
        told.append(f"{plural(regression.removed_count, 'cell')} of the baseline are not in this run")
    if regression.added_count:
        told.append(f"{plural(regression.added_count, 'cell')} of this run are not in the baseline")
    return told


def _known(ledger: KnownIssues) -> Iterator[str]:
    for finding, row in ledger.excused_by.items():
        yield from labelled("excused", [clean(f"{finding} is known: {row}")])
    for row, findings in ledger.expired.items():
        yield from labelled("expired", [clean(f"{row} excuses {', '.join(findings)} no more")])
    if ledger.unseen:
        yield from labelled("unseen", [clean(f"{', '.join(ledger.unseen)}: not seen any more, and can go")])
