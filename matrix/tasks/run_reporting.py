"""What tasks that build have in common: how a run is shown, kept as reports, verified, and judged."""

from rich.console import Console

from matrix.catalog.types import Profile
from matrix.command_line import TaskOption
from matrix.commands.compare import BaselineOptions, BaselineResult, apply_baseline
from matrix.commands.verify import verify_run
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Run
from matrix.record.states import compute_run_exit_code
from matrix.side_failures import survive_failures
from reports import NO_OPTIONS, ReportOptions, write_run_reports
from reports.format_outputs import FORMAT_HELP
from reports.progress import display_progress
from reports.task_output import show_regression
from reports.terminal import show_run_summary

FORMAT_OPTION: TaskOption = ("format", [], FORMAT_HELP)
URL_OPTION: TaskOption = (
    "report-url",
    "",
    "where this report will be read, for Patchwork (default: the job's page, where a CI names it)",
)


def report_run(
    stored: StoredRun, options: BaselineOptions | None, profile: Profile, console: Console
) -> tuple[ExitCode, BaselineResult | None]:
    """Show a run that was built, and write its reports; its exit code, and what its baseline makes of it."""
    with survive_failures("the run's findings and reports"):
        stored.write_findings()
        write_run_reports(stored)
    show_run_summary(stored, console)
    if options is None:
        return _compute_exit_code(stored.run, profile), None
    result = apply_baseline(stored, options, werror=profile.werror)
    with survive_failures("the run's reports"):
        write_run_reports(stored, build_report_options(result))
    show_regression(result.regression, result.known_issues, console)
    return result.exit_code, result


def _compute_exit_code(done: Run, profile: Profile) -> ExitCode:
    return compute_run_exit_code(
        [c.state for c in done.cells],
        interrupted=done.interrupted,
        werror=profile.werror,
        is_part=done.shard is not None,
    )


def build_report_options(result: BaselineResult | None) -> ReportOptions:
    """What a run's reports have of its baseline and of what is known."""
    if result is None:
        return NO_OPTIONS
    return ReportOptions(
        regression=result.regression, baseline=result.baseline, known_issues=result.known_issues
    )


def report_verification(profile: Profile, stored: StoredRun, console: Console) -> ExitCode:
    with survive_failures("what verifies the run"), display_progress(console) as emit:
        return verify_run(profile, stored, emit)
    return ExitCode.MACHINE_FAULT  # as what failed counts
