"""What a run found: shown, explained, compared, tried again, and sent."""

import os
import sys
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from matrix.command_line import POSITIONAL, TaskOption, define_task, read_command_line
from matrix.commands import session
from matrix.commands.collect_runs import collect_history
from matrix.commands.compare import apply_baseline, compare_stored_runs, find_recorded_options
from matrix.commands.explain_config import explain_config, parse_config_request
from matrix.commands.patch import find_verdict
from matrix.commands.patch_request import load_request
from matrix.commands.repro import render_reproducer, select_repro_target, write_script
from matrix.commands.shell import MAKE_VARIABLE, open_cell_shell
from matrix.commands.submit import DEFAULT_WAIT, parse_submit_request, send_submission
from matrix.error_report import format_message
from matrix.errors import RequestError
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.record.run_directory import find_run_directory
from matrix.tasks.run_reporting import FORMAT_OPTION, URL_OPTION, build_report_options
from reports import ReportOptions
from reports.explain import show_config_explanation, show_explanation
from reports.finding_text import describe_repro_target
from reports.format_outputs import parse_format_outputs
from reports.history_view import HISTORY_FORMATS, HistoryView, select_history_format
from reports.kcidb import render_run_kcidb, render_verdict_kcidb
from reports.kcidb_objects import parse_submitter
from reports.patchwork import find_report_url
from reports.progress import display_progress
from reports.task_output import show_reproducer, show_shell_banner, show_submission

_RUN_OPTION: TaskOption = ("run", "latest", "a run's directory, or its name under runs/")


@define_task(
    own=[
        _RUN_OPTION,
        FORMAT_OPTION,
        (
            "baseline",
            "",
            "what is new since this run is told: its directory, or name (default: the run's own baseline)",
        ),
        ("single-file", False, "with html, of a run: whole logs of failing cells in the page, compressed"),
        URL_OPTION,
    ]
)
def report(
    *,
    run: str,
    format: list[str],  # noqa: A002 - the option's name
    baseline: str,
    single_file: bool,
    report_url: str,
) -> int:
    """A run again, or the verdict that `patch` kept in a directory, in any format."""
    outputs, url = parse_format_outputs(format), find_report_url(report_url, os.environ)
    outputs.check_files()
    stored_verdict = find_verdict(run, session.RUNS_DIRECTORY)
    if stored_verdict is not None:
        if baseline:
            raise RequestError(f"{run} is a verdict, which has its own run before", "leave out --baseline")
        if single_file:
            raise RequestError(
                f"{run} is a verdict, whose page has no whole logs",
                f"name a run of it: --run {stored_verdict[1][-1].directory}",
            )
        runs = stored_verdict[1]
        asked = load_request(runs[0].directory.parent)
        allows_lost, werror = bool(asked and asked.allow_lost), runs[-1].run.asks_for_werror
        outputs.show_verdict(*stored_verdict, ReportOptions(url=url, allow_lost=allows_lost, werror=werror))
        return 0
    stored = _load_stored_run(run)
    if single_file and not outputs.has_format("html"):
        shown = outputs.stdout_format
        raise RequestError(f"--single-file is for pages, not for the format {shown}", "add --format html")
    held, notes = find_recorded_options(stored.run, baseline, session.RUNS_DIRECTORY, read_command_line())
    for note in notes:
        sys.stderr.write(format_message(f"kmatrix: {note}") + "\n")
    result = apply_baseline(stored, held, werror=stored.run.asks_for_werror) if held else None
    options = replace(build_report_options(result), url=url, single_file=single_file)
    outputs.show_run(stored, options)
    return 0


@define_task(
    own=[
        _RUN_OPTION,
        ("finding", "", "only this one: its id, such as F1, or one of its keys"),
        ("config", "", "a .config of yours: what it misses of the condition, and it with that change"),
        ("toolchain", "", "with --config: what to resolve it with (default: the nearest to its own)"),
        ("out", "", "with --config: the changed .config's file (default: in the run's directory)"),
    ]
)
def explain(*, run: str, finding: str, config: str, toolchain: str, out: str) -> int:
    """A finding: its condition, its proof, its scope, how to see it, or why your .config does not show it."""
    stored = _load_stored_run(run)
    request = parse_config_request(config, toolchain, out)
    if request is not None:
        with display_progress(Console(stderr=True)) as emit:
            explanation = explain_config(stored, stored.select_finding(finding), request, emit)
        show_config_explanation(stored, explanation, Console())
        return 0
    shown = [stored.find_finding(finding)] if finding else stored.findings.findings
    show_explanation(stored, shown, Console())
    return 0


@define_task(
    own=[
        ("before", POSITIONAL, "a run's directory, or its name under runs/"),
        ("after", POSITIONAL, "the run that is compared with it"),
        ("fixes", [], "a finding of the first that must be gone, by its id or a key; repeats"),
        ("allow-lost", False, "cells that cannot be built any more do not fail it"),
        ("werror", False, f"exit {ExitCode.WARNED} for new warnings"),
        FORMAT_OPTION,
        URL_OPTION,
    ]
)
def compare(
    *,
    before: str,
    after: str,
    fixes: list[str],
    allow_lost: bool,
    werror: bool,
    format: list[str],  # noqa: A002
    report_url: str,
) -> int:
    """Two runs: what is new, fixed, lost, still there."""
    outputs, url = parse_format_outputs(format), find_report_url(report_url, os.environ)
    outputs.check_files()
    runs = [_load_stored_run(name) for name in (before, after)]
    verdict, code = compare_stored_runs(*runs, fixes=fixes, allow_lost=allow_lost, werror=werror)
    options = ReportOptions(allow_lost=allow_lost, werror=werror, exit_code=code, url=url)
    outputs.show_verdict(verdict, runs, options)
    return code


@define_task(
    own=[
        ("run", [], "a run's directory, or its name under runs/; repeats (default: the newest there)"),
        ("format", next(iter(HISTORY_FORMATS)), f"{' or '.join(HISTORY_FORMATS)}; the latter on stdout"),
    ]
)
def history(*, run: list[str], format: str) -> int:  # noqa: A002
    """Several runs: when each finding and cell was good and bad, and how times moved."""
    show = select_history_format(format)
    show(HistoryView(collect_history(run, session.RUNS_DIRECTORY, read_command_line())), Console())
    return 0


@define_task(
    own=[
        _RUN_OPTION,
        ("finding", "", "the finding to see: its id, such as F1, or one of its keys"),
        ("cell", "", "the cell to see it in (default: the finding's first), or that fails"),
        ("toolchain", "", "the finding's first cell with this toolchain"),
        ("out", "", "the script's file (default: in the run's directory); - for stdout"),
    ]
)
def repro(*, run: str, finding: str, cell: str, toolchain: str, out: str) -> int:
    """Write the reproducer of a finding or a cell: one POSIX sh script that stands alone."""
    stored = _load_stored_run(run)
    target = select_repro_target(stored, finding, cell, toolchain)
    comment = describe_repro_target(stored.run, target.cell, target.finding)
    script = render_reproducer(stored, target, comment)
    if out == "-":
        sys.stdout.write(script)
    else:
        show_reproducer(
            write_script(script, Path(out) if out else stored.directory / target.script_name), Console()
        )
    return 0


@define_task(
    own=[
        ("cell", POSITIONAL, "the cell's id, as the report has it"),
        _RUN_OPTION,
        ("command", "", "run this in its shell, in place of a prompt"),
    ]
)
def shell(*, cell: str, run: str, command: str) -> int:
    """A prompt in a cell's container, with its config and its build directory; the exit code is the shell's.

    Without a terminal, the shell reads its commands from stdin. What is done there is gone afterwards.
    """
    stored = _load_stored_run(run)
    console = Console(stderr=True)
    with ExitStack() as stack:
        with display_progress(console) as emit:
            cell_shell = stack.enter_context(open_cell_shell(stored, cell, emit))
        if not command:
            show_shell_banner(cell_shell.cell, cell_shell.make_command, MAKE_VARIABLE, console)
        return cell_shell.run_shell(command)


@define_task(
    own=[
        ("run", POSITIONAL, "a run's or a verdict's directory, or its name under runs/"),
        ("url", "", "the server's address, https://HOST; http:// only on this machine"),
        ("origin", "", "the name that KernelCI knows your CI system by; or the variable KMATRIX_ORIGIN"),
        ("token-file", "", "a file with the server's token, which not everybody can read"),
        ("tree", "", "the tree's well-known name, such as mainline"),
        ("repository", "", "the https:// address of its git repository"),
        ("branch", "", "the branch of it that was built"),
        ("files-url", "", "where the run's directory can be read by others: for links to logs and .configs"),
        ("wait", DEFAULT_WAIT, "how long to ask whether it was processed; 0 does not ask"),
        ("dry-run", False, "print what would be sent, and send nothing"),
    ]
)
def submit(
    *, run: str, url: str, token_file: str, wait: str, dry_run: bool, origin: str, **source: str
) -> int:
    """Send a run or a verdict to KCIDB, KernelCI's database: the one task that sends anything."""
    submitter = parse_submitter(origin or os.environ.get("KMATRIX_ORIGIN", ""), **source)
    token = os.environ.get("KMATRIX_TOKEN")
    request = None if dry_run else parse_submit_request(url, token_file, token, wait)
    stored_verdict = find_verdict(run, session.RUNS_DIRECTORY)
    if stored_verdict is not None:
        verdict, runs = stored_verdict
        document = render_verdict_kcidb(verdict, runs[0], runs[-1], submitter)
    else:
        document = render_run_kcidb(_load_stored_run(run), submitter)
    if request is None:
        sys.stdout.write(document)
        return 0
    show = partial(show_submission, request.server.http.host, Console())
    send_submission(request, document, show)
    return 0


def _load_stored_run(run: str) -> StoredRun:
    return StoredRun.load(find_run_directory(run, session.RUNS_DIRECTORY, read_command_line()))
