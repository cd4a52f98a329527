"""Builds that others made: their logs, runs of them, and what of a failing .config matters."""

import sys

from rich.console import Console

from matrix.command_line import POSITIONAL, POSITIONAL_LIST, define_task, read_command_line
from matrix.commands.diagnose import compute_diagnose_exit_code, diagnose_logs, parse_diagnose_request
from matrix.commands.import_builds import import_builds, parse_import_request
from matrix.commands.minimise import minimise_config
from matrix.commands.minimise_request import DEFAULT_PROBES, parse_minimise_request
from matrix.commands.settings import GivenSettings
from matrix.record.states import compute_run_exit_code
from matrix.side_failures import survive_failures
from matrix.tasks.run_reporting import report_run
from reports import write_run_reports
from reports.cause_text import show_causes
from reports.log_formats import select_log_format
from reports.progress import display_progress
from reports.task_output import show_import_notes
from reports.terminal import show_run_summary


@define_task(
    own=[
        (
            "log",
            POSITIONAL_LIST,
            "a build's log, as text or gzip, or - for stdin; repeats, or stands alone",
        ),
        ("json", False, "print one line of JSON for each log"),
        ("github", False, "print annotations for GitHub's workflows"),
        ("fails", False, "make failed: for a log that does not show it"),
        ("succeeds", False, "make came to its end: for a log that does not show it"),
        ("source-root", "", "where the tree was in the build (default: as the log shows it)"),
        ("build-root", "", "where O= was (default: as the log shows it)"),
    ]
)
def diagnose(
    *,
    log: list[str],
    json: bool,
    github: bool,
    fails: bool,
    succeeds: bool,
    source_root: str,
    build_root: str,
) -> int:
    """Any kernel's build log: the targets that failed, with their causes, and each error and warning once."""
    request = parse_diagnose_request(log, source_root, build_root, fails=fails, succeeds=succeeds)
    show = select_log_format(json=json, github=github)
    diagnosed = []
    for each in diagnose_logs(request, sys.stdin.buffer):
        show(each.name, each.log, Console())
        diagnosed.append(each)
    return compute_diagnose_exit_code(diagnosed)


@define_task(
    own=[
        ("dir", POSITIONAL_LIST, "a directory with a build's log and its .config; repeats, or stands alone"),
        (
            "symbols",
            "",
            "the symbols that are axes, with commas (default: the fewest that tell the builds apart)",
        ),
        ("tree", "", "the kernel tree that they were built from: its prompts say which symbols may be axes"),
        ("out", "", "directory of the run (default: runs/<run-id>)"),
    ]
)
def import_(*, dir: list[str], symbols: str, tree: str, out: str) -> int:  # noqa: A002 - the option's name
    """Make a run of builds by others: of tuxmake, KernelCI, the 0-day robot, any log with its .config."""
    request = parse_import_request(dir, symbols, tree, out)
    console = Console()
    result = import_builds(request, read_command_line())
    with survive_failures("the run's findings and reports"):
        result.stored.write_findings()
        write_run_reports(result.stored)
    show_run_summary(result.stored, console)
    show_import_notes(result.notes, console)
    return compute_run_exit_code([cell.state for cell in result.stored.run.cells])


@define_task(
    "toolchain",
    "source",
    "patch",
    "make",
    "jobs",
    "memory",
    "timeout",
    "cache-size",
    "images",
    "out",
    own=[
        ("config", POSITIONAL, "a .config that fails, such as a robot's"),
        ("neighbour", "defconfig", "a .config, or a base, that does not fail: what differs is searched"),
        ("focus", [], "build only this directory (with a slash) or object, and not the whole; repeats"),
        ("message", "", "a part of the error's words (default: the first error)"),
        ("probes", DEFAULT_PROBES, "experiments at most"),
    ],
    settle=GivenSettings,
)
def minimise(
    given: GivenSettings, *, config: str, neighbour: str, focus: list[str], message: str, probes: str
) -> int:
    """From a failing .config to the symbols that matter, found by experiments and proven by a run."""
    request = parse_minimise_request(given, config, neighbour, focus, message, probes)
    console = Console()
    with display_progress(console) as emit:
        minimised = minimise_config(request, emit, read_command_line())
    code, _ = report_run(minimised.stored, None, request.profile, console)
    show_causes(minimised.found, console)
    return code
