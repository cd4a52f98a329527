"""Two runs compared: what is new, fixed, lost, still there; a run against its baseline and what is known."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from matrix.builder.cell_record import create_blank_cell
from matrix.catalog.types import Profile
from matrix.errors import KmatrixError
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.plan import plan_requests
from matrix.record.run_directory import find_run_directory
from matrix.record.run_model import Run
from matrix.record.states import UNTRIED_STATES
from matrix.user_files import expand_user_path
from matrix.verdict.baseline import (
    NO_KNOWN_ISSUES,
    KnownIssue,
    KnownIssues,
    Regression,
    compare_with_baseline,
    compute_excused_exit_code,
    load_known_issues,
    match_known_issues,
)
from matrix.verdict.comparison import compare_runs
from matrix.verdict.gates import compute_verdict_exit_code
from matrix.verdict.matching import pair_cells
from matrix.verdict.verdict_model import Verdict


def compare_stored_runs(
    before: StoredRun,
    after: StoredRun,
    *,
    fixes: Sequence[str] = (),
    allow_lost: bool = False,
    werror: bool = False,
) -> tuple[Verdict, ExitCode]:
    """The verdict on two runs, and its exit code."""
    verdict = compare_runs(before, after, fixes=fixes)
    return verdict, compute_verdict_exit_code(verdict, allow_lost=allow_lost, werror=werror)


@dataclass(frozen=True)
class BaselineOptions:
    """What a run is held against: a baseline, rows of known findings by name; either may be missing.

    ``known_file`` has those rows.
    """

    baseline: StoredRun | None = None
    known: Mapping[str, KnownIssue] | None = None
    known_file: Path | None = None

    @property
    def recorded_names(self) -> dict[str, str]:
        """The keys of the record of a run that is held against this."""
        return {
            "baseline": str(self.baseline.directory) if self.baseline else "",
            "known": str(self.known_file or ""),
        }


@dataclass(frozen=True)
class BaselineResult:
    """A run held against that. ``regression`` and ``baseline`` are missing without a baseline."""

    exit_code: ExitCode
    known_issues: KnownIssues
    regression: Regression | None = None
    baseline: StoredRun | None = None


def parse_baseline_options(
    baseline: str, known: str, runs: Path, profile: Profile, command: Sequence[str] = ()
) -> BaselineOptions | None:
    """What these options name; None without any. RequestError for what will not do, before any work:
    a baseline that has no cell of the profile's plan is of no use either. ``command`` is what was typed."""
    if not (baseline or known):
        return None
    stored = StoredRun.load(find_run_directory(baseline, runs, command)) if baseline else None
    if stored is not None and not profile.lacks_rows:
        planned = tuple(map(create_blank_cell, plan_requests(profile)))
        pair_cells(stored.run, stored.run.model_copy(update={"id": "(the profile's plan)", "cells": planned}))
    file = expand_user_path(known).absolute() if known else None
    return BaselineOptions(stored, load_known_issues(file) if file else None, file)


def find_recorded_options(
    run: Run, baseline: str, runs: Path, command: Sequence[str] = ()
) -> tuple[BaselineOptions | None, tuple[str, ...]]:
    """What a run of the past is held against: another ``baseline`` if one is named, else its own, and its own
    known findings, as their file is now. And a sentence on each of its own that cannot be read any more.

    RequestError for a baseline that is named and is none.
    """
    notes: list[str] = []
    stored, known, file = None, None, Path(run.known) if run.known else None
    if baseline:
        stored = StoredRun.load(find_run_directory(baseline, runs, command))
    elif run.baseline:
        with _noting_errors(f"without its baseline {run.baseline}", notes):
            stored = StoredRun.load(find_run_directory(run.baseline, runs))
    if file is not None:
        with _noting_errors(f"without its known findings in {file}", notes):
            known = load_known_issues(file)
    has_any = stored is not None or known is not None
    return BaselineOptions(stored, known, file) if has_any else None, tuple(notes)


@contextmanager
def _noting_errors(what: str, notes: list[str]) -> Iterator[None]:
    try:
        yield
    except KmatrixError as error:
        notes.append(f"{what}: {error}")


def apply_baseline(stored: StoredRun, options: BaselineOptions, *, werror: bool = False) -> BaselineResult:
    """A run's exit code where only what is new, lost or not known counts."""
    known_issues = NO_KNOWN_ISSUES
    if options.known is not None:
        today = datetime.now(UTC).date()
        untried = sum(cell.state in UNTRIED_STATES for cell in stored.run.cells)
        matched = match_known_issues(stored.findings, options.known, today)
        known_issues = replace(matched, untried_count=untried)
    if options.baseline is None:
        return BaselineResult(compute_excused_exit_code(stored, known_issues, werror=werror), known_issues)
    regression = compare_with_baseline(options.baseline, stored, known_issues, werror=werror)
    return BaselineResult(regression.exit_code, known_issues, regression, options.baseline)
