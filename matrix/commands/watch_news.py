"""What of a watched branch's run is news to those who are told, and the mails that are handed on.

A cell is held against the newest earlier run that was told of and has its result. The last good run may stay
behind, as those after it are cut short; it would make the same news of every commit.
"""

from collections.abc import Callable, Iterator, Set
from pathlib import Path

from matrix.commands.compare import BaselineResult
from matrix.commands.kept_runs import find_runs_of
from matrix.commands.watch_request import WatchRequest
from matrix.findings.stored_run import StoredRun
from matrix.foreign_files import ForeignDirectory
from matrix.fs import write_atomically
from matrix.record.run_directory import RunDirectory
from matrix.record.run_model import Run
from matrix.record.states import UNTRIED_STATES
from matrix.verdict.baseline import NO_KNOWN_ISSUES, KnownIssues, Regression, compare_with_baseline

WATCH_MAIL_FILE = "mail.txt"
"""The mail of a run that was handed on; empty where there was nothing to tell. It is written afterwards: a
watch that is killed between them hands the mail on twice, and never loses it. Nothing is held against a run
without it, where mails are handed on: what that run found is new until it is told."""


def is_told(request: WatchRequest, directory: Path) -> bool:
    """Whether there is nothing to hand on of a run, as it was done or nobody is told."""
    return request.mail is None or ForeignDirectory(directory).stat_file(WATCH_MAIL_FILE) is not None


def find_good_run(request: WatchRequest, runs: Path, before: Run | None = None) -> RunDirectory | None:
    """The last good run of a request, before another one: of those that ended by themselves, the newest of
    those with the fewest cells without a result. None where there is none.

    It may have failed: what it found is known then, and is not told again. So it was told, where mails are
    handed on: else what it found would be lost as soon as the branch moves.
    """
    best, fewest = None, 0
    for found in _iterate_told_runs(request, runs, before):
        untried = sum(not cell.is_finished for cell in found.run.cells)
        if best is None or untried < fewest:
            best, fewest = found, untried
        if not untried:
            break
    return best


def _iterate_told_runs(request: WatchRequest, runs: Path, before: Run | None) -> Iterator[RunDirectory]:
    """The runs of a request, before another one, that ended by themselves and were told of; newest first."""
    for found in find_runs_of(request.record, runs):
        if found.run.finished is None or found.run.interrupted or not _is_before(found.run, before):
            continue
        if is_told(request, found.directory):
            yield found


def _is_before(run: Run, other: Run | None) -> bool:
    return other is None or (run.id != other.id and run.started < other.started)


def hand_on_mail(
    request: WatchRequest,
    stored: StoredRun,
    result: BaselineResult | None,
    runs: Path,
    render: Callable[[Regression | None], str],
) -> bool:
    """Hand on the mail of a complete run in which something is new, fixed or lost; whether it was.

    ``runs`` is the folder with those before it, ``render`` makes a mail of what changed since one of them.
    MachineError where it does not get through: the next look tries again.
    """
    if request.mail is None:
        return False
    mails = [render(news) for news in find_news(request, stored, result, runs)]
    for mail in mails:
        request.mail.deliver(mail)
    write_atomically(stored.directory / WATCH_MAIL_FILE, "\n".join(mails))
    return bool(mails)


def find_news(
    request: WatchRequest, stored: StoredRun, result: BaselineResult | None, runs: Path
) -> Iterator[Regression | None]:
    """What changed since the runs that were told of: since the newest, and since those before it where only
    they have the result of a cell. None stands for a run with cells of which none has: as of a first run, all
    that is in these alone, and is not known, is new."""
    known_issues = result.known_issues if result is not None else NO_KNOWN_ISSUES
    open_cells = _list_tried_cells(stored.run)
    told_runs = [*_iterate_told_runs(request, runs, stored.run)]
    if not told_runs and result is not None and result.regression is not None:
        # Another request's run is its baseline: nobody else was told of this one's.
        if result.regression.news:
            yield result.regression
        return
    told = set[str]()
    for earlier in told_runs:
        cells = open_cells & _list_tried_cells(earlier.run)
        if cells:
            regression = compare_with_baseline(StoredRun.load(earlier.directory), stored, known_issues)
            news = {name for name, where in regression.news.items() if not cells.isdisjoint(where)}
            if news - told:
                yield regression
            told |= news
        open_cells -= cells
        if not open_cells:
            return
    if _has_unknown_problems(stored, known_issues, open_cells, told):
        yield None


def _list_tried_cells(run: Run) -> set[str]:
    return {cell.id for cell in run.cells if cell.state not in UNTRIED_STATES}


def _has_unknown_problems(
    stored: StoredRun, known_issues: KnownIssues, cells: Set[str], told: Set[str]
) -> bool:
    """Whether there is a finding in these cells alone that is not known, nor told, or a failure without
    one."""
    unknown = any(
        finding.id not in known_issues.excused_by
        and cells >= {*finding.cells}
        and finding.keys[0] not in told
        for finding in stored.findings.findings
    )
    return unknown or any(cell.id in cells for cell in stored.find_unexplained_cells())
