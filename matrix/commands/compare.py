"""Two runs compared: what is new, fixed, lost, still there; a run against its baseline and what is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from matrix.errors import RequestError
from matrix.kconfig.config import Config
from matrix.record.run_model import Cell, Run
from matrix.record.stored_run import find_run_directory, load_cell_config, load_cell_objects, load_run
from matrix.verdict.baseline import (
    NO_KNOWN_ISSUES,
    KnownIssues,
    Regression,
    compare_with_baseline,
    compute_excused_exit_code,
    load_known_issues,
    match_known_issues,
)
from matrix.verdict.comparison import compare_runs as compare_sides
from matrix.verdict.gates import compute_verdict_exit_code
from matrix.verdict.run_data import RunData
from matrix.verdict.verdict_model import FindingChange, Verdict


def load_run_data(run: Run, directory: Path) -> RunData:
    """A run with everything that a verdict asks of it, out of its directory."""
    return RunData.from_run(run, partial(load_cell_objects, directory), partial(_load_config, directory))


def _load_config(directory: Path, cell: Cell) -> Config | None:
    try:
        return Config.parse(load_cell_config(directory, cell))
    except RequestError:
        return None


def compare_run_directories(
    before: Path, after: Path, *, fixes: Sequence[str] = (), allow_lost: bool = False, werror: bool = False
) -> tuple[Verdict, int]:
    """The verdict on the runs in two directories, and the exit code that it deserves."""
    sides = [load_run_data(load_run(directory), directory) for directory in (before, after)]
    verdict = compare_sides(*sides, fixes=fixes)
    return verdict, compute_verdict_exit_code(verdict, allow_lost=allow_lost, werror=werror)


def find_new_findings(baseline: Path, run: Run, directory: Path) -> tuple[FindingChange, ...]:
    """The findings of a run that are new since its baseline, whose directory is given."""
    return compare_with_baseline(
        load_run_data(load_run(baseline), baseline), load_run_data(run, directory)
    ).new_findings


@dataclass(frozen=True)
class BaselineOptions:
    """What a run is held against: a baseline's directory, a file of known findings; either may be missing."""

    baseline: Path | None = None
    known: Path | None = None


@dataclass(frozen=True)
class BaselineResult:
    """A run held against that. ``regression`` is missing without a baseline."""

    exit_code: int
    known_issues: KnownIssues
    regression: Regression | None = None


def parse_baseline_options(baseline: str, known: str, runs: Path) -> BaselineOptions | None:
    """What these options name; None without any. RequestError for what will not do, before any work."""
    measure = BaselineOptions(
        find_run_directory(baseline, runs) if baseline else None, Path(known) if known else None
    )
    if measure.baseline is not None:
        load_run(measure.baseline)
    if measure.known is not None:
        load_known_issues(measure.known)
    return measure if baseline or known else None


def apply_baseline(
    run: Run, directory: Path, measure: BaselineOptions, *, werror: bool = False
) -> BaselineResult:
    """A run's exit code where only what is new, lost or not known counts."""
    this = load_run_data(run, directory)
    ledger = NO_KNOWN_ISSUES
    if measure.known is not None:
        today = datetime.now(UTC).date()
        ledger = match_known_issues(this.findings, load_known_issues(measure.known), today)
    if measure.baseline is None:
        return BaselineResult(compute_excused_exit_code(this, ledger, werror=werror), ledger)
    baseline = load_run_data(load_run(measure.baseline), measure.baseline)
    regression = compare_with_baseline(baseline, this, ledger, werror=werror)
    return BaselineResult(regression.exit_code, ledger, regression)
