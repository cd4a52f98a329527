"""kmatrix's tasks: each calls a command, shows what it emits, and exits with its code. No logic here."""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from json import dumps
from pathlib import Path
from typing import Any

from rich.console import Console

from matrix.bench_times import BenchTable
from matrix.catalog.types import Profile
from matrix.command_line import (
    POSITIONAL,
    POSITIONAL_LIST,
    PROFILE_OPTIONS,
    TaskOption,
    define_task,
    read_command_line,
)
from matrix.commands import develop
from matrix.commands.bench import run_bench
from matrix.commands.bench_cases import CASES
from matrix.commands.bench_request import parse_bench_request
from matrix.commands.bench_ways import WAY_NAMES
from matrix.commands.cache_size import list_cache_holdings
from matrix.commands.ci_workflow import (
    FORGE_LIMITS,
    parse_workflow_request,
    render_workflow,
    write_workflow,
)
from matrix.commands.collect_runs import collect_history
from matrix.commands.compare import (
    BaselineOptions,
    BaselineResult,
    apply_baseline,
    compare_stored_runs,
    parse_baseline_options,
)
from matrix.commands.diagnose import compute_diagnose_exit_code, diagnose_logs, parse_diagnose_request
from matrix.commands.doctor import diagnose_machine
from matrix.commands.explain_config import explain_config, parse_config_request
from matrix.commands.import_builds import import_builds, parse_import_request
from matrix.commands.kept_verdicts import describe_stopped_work
from matrix.commands.merge import merge_shards, parse_merge_request
from matrix.commands.patch import evaluate_patch, find_verdict
from matrix.commands.patch_request import parse_patch_request, read_named_series
from matrix.commands.patch_resume import find_verdict_resumption, resume_verdict
from matrix.commands.repro import render_reproducer, select_repro_target, write_script
from matrix.commands.resume import find_resumption, resume_run
from matrix.commands.run import compute_plan_exit_code, plan_matrix, run_matrix
from matrix.commands.session import RUNS_DIRECTORY
from matrix.commands.settings import GivenSettings
from matrix.commands.setup import (
    build_images,
    fetch_profile_source,
    load_profile_images,
    save_profile_images,
    set_up_machine,
)
from matrix.commands.shards import (
    check_resumed_options,
    create_shard_chooser,
    parse_plan_request,
    parse_shard_request,
    plan_lanes,
)
from matrix.commands.shell import MAKE_VARIABLE, open_cell_shell
from matrix.commands.submit import DEFAULT_WAIT, parse_submit_request, send_submission
from matrix.commands.sweep import parse_age, sweep_leftovers
from matrix.commands.verify import verify_run
from matrix.commands.watch import Look, hand_on_mail, iterate_mail_notes, look_at_branch, repeat_looks
from matrix.commands.watch_request import WatchRequest, hold_watch, parse_watch_request
from matrix.error_report import format_message
from matrix.errors import RequestError
from matrix.exit_codes import ExitCode, choose_worse_code
from matrix.findings.stored_run import StoredRun
from matrix.record.run_directory import find_run_directory
from matrix.record.run_model import Run
from matrix.record.states import compute_run_exit_code
from matrix.shards.plan_file import format_plan_file
from matrix.side_failures import survive_failures
from matrix.task_program import TaskProgram
from matrix.verdict.baseline import compare_with_baseline
from reports import NO_OPTIONS, ReportOptions, write_run_reports, write_verdict_reports
from reports.baseline_view import BaselineView
from reports.bench_table import TABLE_FORMATS, select_table_format
from reports.explain import show_config_explanation, show_explanation
from reports.finding_text import describe_repro_target
from reports.format_outputs import FORMAT_HELP, parse_format_outputs
from reports.history_view import HISTORY_FORMATS, HistoryView, select_history_format
from reports.kcidb import render_run_kcidb, render_verdict_kcidb
from reports.kcidb_objects import parse_submitter
from reports.log_formats import select_log_format
from reports.mail_run import render_run_mail
from reports.patchwork import find_report_url
from reports.progress import display_progress
from reports.style import print_line, print_lines
from reports.task_output import (
    show_checks,
    show_dead_runs,
    show_failed_steps,
    show_holdings,
    show_import_notes,
    show_leftovers,
    show_regression,
    show_reproducer,
    show_shell_banner,
    show_submission,
    show_test_steps,
)
from reports.terminal import show_plan, show_run_summary

_RUN_OPTION: TaskOption = ("run", "latest", "a run's directory, or its name under runs/")
_FORMAT_OPTION: TaskOption = ("format", [], FORMAT_HELP)
_URL_OPTION: TaskOption = (
    "report-url",
    "",
    "where this report will be read, for Patchwork (default: the job's page, where a CI names it)",
)


@define_task(*PROFILE_OPTIONS)
def setup(profile: Profile) -> int:
    """Make this machine ready: install and start an engine where it may, build images, fetch the source."""
    with display_progress(Console()) as emit:
        set_up_machine(profile, emit)
    return 0


@define_task(
    *PROFILE_OPTIONS,
    own=[
        ("baseline", "", "fail only on what is new or lost since this run: its directory, or its name"),
        ("known", "", "a TOML file of reviewed findings, which do not fail the run"),
        ("resume", "", "go on with this run where it stopped: its directory, its name, or latest"),
        ("shard", "", "build a share of the plan, such as 2/4; merge joins the runs of all shares"),
        ("plan", "", "with --shard: split the plan in this file of plan --json, by its times"),
        _FORMAT_OPTION,
    ],
    settle=GivenSettings,
)
def run(
    given: GivenSettings,
    *,
    baseline: str,
    known: str,
    resume: str,
    shard: str,
    plan: str,
    format: list[str],  # noqa: A002 - the option's name
) -> int:
    """Plan, build, report: the main job."""
    outputs = parse_format_outputs(format)  # before hours of building
    console, command = Console(stderr=outputs.has_stdout), read_command_line()
    resumption = find_resumption(resume, given, RUNS_DIRECTORY, command)
    asked = None
    if resumption is None:
        profile = given.build_profile()
        asked = parse_shard_request(shard, plan, baseline, known, RUNS_DIRECTORY, command)
    else:
        profile = resumption.profile
        check_resumed_options(resumption.run, shard=shard, plan=plan, baseline=baseline, known=known)
        baseline, known = baseline or resumption.run.baseline, known or resumption.run.known
    outputs.require_run()
    outputs.check_files(profile.out)
    if asked or (resumption and resumption.run.shard):
        baseline = known = ""  # A shard has a part of the cells: what is new or lost is merge's to say.
    baseline_options = parse_baseline_options(baseline, known, RUNS_DIRECTORY, profile, command)
    begin: Callable[..., StoredRun] = run_matrix
    if baseline_options or asked:
        chooser = create_shard_chooser(asked) if asked else None
        begin = partial(run_matrix, baseline=baseline_options, choose_shard=chooser)
    with outputs.guard_display(console):
        with display_progress(console) as emit:
            stored = resume_run(resumption, emit) if resumption else begin(profile, emit, command)
        code, result = _report_run(stored, baseline_options, profile, console)
    # Last: what the run itself found is told however this ends.
    try:
        with outputs.guard_display(console):
            code = choose_worse_code(code, _verify_run(profile, stored, console))
    finally:
        outputs.write_run(stored, replace(_build_report_options(result), exit_code=code))
    return code


def _report_run(
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
        write_run_reports(stored, _build_report_options(result))
    show_regression(result.regression, result.known_issues, console)
    return result.exit_code, result


def _build_report_options(result: BaselineResult | None) -> ReportOptions:
    """What a run's reports have of its baseline and of what is known."""
    if result is None:
        return NO_OPTIONS
    return ReportOptions(
        regression=result.regression, baseline=result.baseline, known_issues=result.known_issues
    )


@define_task(
    own=[
        ("dir", POSITIONAL_LIST, "a shard's directory, or its name under runs/; repeats, or stands alone"),
        ("baseline", "", "fail only on what is new or lost since this run: its directory, or its name"),
        ("known", "", "a TOML file of reviewed findings, which do not fail the run"),
        ("out", "", "directory of the run (default: runs/<run-id>)"),
        _FORMAT_OPTION,
    ]
)
def merge(
    *,
    dir: list[str],  # noqa: A002 - the option's name
    baseline: str,
    known: str,
    out: str,
    format: list[str],  # noqa: A002
) -> int:
    """Make one run of the runs of its shards; the exit code is the whole run's."""
    outputs, command = parse_format_outputs(format), read_command_line()
    outputs.require_run()
    outputs.check_files(out or None)
    request = parse_merge_request(dir, out, baseline, known, RUNS_DIRECTORY, command)
    stored = merge_shards(request, command)
    console = Console(stderr=outputs.has_stdout)
    with outputs.guard_display(console):
        code, result = _report_run(stored, request.baseline, request.profile, console)
    outputs.write_run(stored, replace(_build_report_options(result), exit_code=code))
    return code


def _verify_run(profile: Profile, stored: StoredRun, console: Console) -> ExitCode:
    with survive_failures("what verifies the run"), display_progress(console) as emit:
        return verify_run(profile, stored, emit)
    return ExitCode.MACHINE_FAULT  # as what failed counts


@define_task(
    *(name for name in PROFILE_OPTIONS if name != "out"),
    own=[
        ("every", "1h", "from the begin of one look to the next, such as 30m"),
        (
            "once",
            False,
            "look once, and exit with the code of the run that was due, or 0: for cron and timers",
        ),
        (
            "fetch",
            "",
            "before each look, let git on this machine fetch this remote: of a repository of your own",
        ),
        ("known", "", "a TOML file of reviewed findings, which are no news and do not fail a run"),
        ("mail-to", "", "a mailbox's file, or a program that reads a mail: what is new, fixed or lost"),
    ],
)
def watch(profile: Profile, *, every: str, once: bool, fetch: str, known: str, mail_to: str) -> int:
    """Build each newest commit of a branch once, --source DIR@BRANCH, against the last good run before it.

    The last good run is the newest that ended by itself with the fewest cells without a result, and whose
    mail, if there is --mail-to, was handed on. It may have failed: what it found is known then.
    """
    request = parse_watch_request(profile, every, fetch, known, mail_to)
    console = Console()

    def look() -> int:
        with display_progress(console) as emit:
            seen = look_at_branch(request, read_command_line(), emit)
        return _report_look(request, seen, console)

    with hold_watch(request, RUNS_DIRECTORY):
        print_lines(console, iterate_mail_notes(request))
        return look() if once else repeat_looks(request.seconds, look, partial(print_line, console))


def _report_look(request: WatchRequest, seen: Look, console: Console) -> int:
    if seen.stored is None:
        return ExitCode.PASSED
    run_code, result = _report_run(seen.stored, seen.baseline, request.profile, console)
    since = BaselineView(result.regression) if result and result.regression else None
    with survive_failures("the mail"):
        hand_on_mail(request, seen, result, render_run_mail(seen.stored, since=since))
    if seen.is_new:
        return choose_worse_code(run_code, _verify_run(request.profile, seen.stored, console))
    return run_code


@define_task(
    *PROFILE_OPTIONS,
    own=[
        ("json", False, "print it as JSON: run.json's keys, and its lanes; run --plan takes it"),
        ("shards", "", "with --json: what each of so many shards would build"),
        (
            "baseline",
            "",
            "with --json: the run that knows how long cells take: its directory, or its name",
        ),
    ],
)
def plan(profile: Profile, *, json: bool, shards: str, baseline: str) -> int:
    """What would be built: requests, resolutions, lanes, what is unreachable and why."""
    request = parse_plan_request(shards, baseline, RUNS_DIRECTORY, read_command_line(), as_json=json)
    with display_progress(Console(stderr=True)) as emit:
        if request is None:
            planned = plan_matrix(profile, emit)
        else:
            planned, lanes = plan_lanes(profile, emit, request.baseline)
    if request is None:
        show_plan(planned, Console())
    else:
        sys.stdout.write(dumps(format_plan_file(planned, lanes, request.shards), indent=1) + "\n")
    return compute_plan_exit_code(planned)


def _compute_exit_code(done: Run, profile: Profile) -> ExitCode:
    return compute_run_exit_code(
        [c.state for c in done.cells],
        interrupted=done.interrupted,
        werror=profile.werror,
        is_part=done.shard is not None,
    )


@define_task(
    own=[
        _RUN_OPTION,
        _FORMAT_OPTION,
        (
            "baseline",
            "",
            "a page opens with what is new since this run, a mail marks it: its directory, or name",
        ),
        ("single-file", False, "with the format html: whole logs of failing cells in the page, compressed"),
        _URL_OPTION,
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
    stored_verdict = find_verdict(run, RUNS_DIRECTORY)
    if stored_verdict is not None:
        if baseline:
            raise RequestError(f"{run} is a verdict, which has its own run before", "leave out --baseline")
        outputs.show_verdict(*stored_verdict, ReportOptions(url=url))
        return 0
    stored = _load_stored_run(run)
    if single_file and not outputs.has_format("html"):
        shown = outputs.stdout_format
        raise RequestError(f"--single-file is for pages, not for the format {shown}", "add --format html")
    options = ReportOptions(url=url, single_file=single_file)
    if baseline:
        before = _load_stored_run(baseline)
        options = replace(options, baseline=before, regression=compare_with_baseline(before, stored))
    outputs.show_run(stored, options)
    return 0


def _load_stored_run(run: str) -> StoredRun:
    return StoredRun.load(find_run_directory(run, RUNS_DIRECTORY, read_command_line()))


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
    stored_verdict = find_verdict(run, RUNS_DIRECTORY)
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


@define_task(
    *(name for name in PROFILE_OPTIONS if name not in {"patch", "verify"}),
    own=[
        ("file", POSITIONAL_LIST, "a patch, a diff, a mailbox, a directory of patches, or - for stdin"),
        ("before", [], "a patch that belongs to the base; repeats, in order"),
        ("message", "", "the id of the mail in FILE that holds the diff, or the cover letter"),
        ("each", False, "build after every patch of a series"),
        ("fixes", [], "a finding of the base that it must mend, by its id or a key; repeats"),
        ("allow-lost", False, "cells that cannot be built any more do not fail it"),
        _FORMAT_OPTION,
        _URL_OPTION,
        ("tested-by", False, "end the mail with your Tested-by, where it is earned"),
        ("resume", "", "go on with this verdict where it stopped: its directory, its name, or latest"),
    ],
    settle=GivenSettings,
)
def patch(
    given: GivenSettings,
    *,
    file: list[str],
    before: list[str],
    message: str,
    format: list[str],  # noqa: A002
    report_url: str,
    resume: str,
    **more: Any,
) -> int:
    """The verdict on a patch or series: before and after over the whole matrix."""
    # Before hours of building.
    outputs, url = parse_format_outputs(format), find_report_url(report_url, os.environ)
    series = read_named_series(file, message, sys.stdin.buffer, is_needed=not resume)
    asked = parse_patch_request(series, before, more)
    if resume:
        outputs.check_files()
        resumption = find_verdict_resumption(resume, given, asked, RUNS_DIRECTORY)
        evaluate = partial(resume_verdict, resumption)
    else:
        profile = given.build_profile()
        outputs.check_files(profile.out)
        evaluate = partial(evaluate_patch, profile, asked, argv=read_command_line())
    console = Console(stderr=outputs.has_stdout)
    with outputs.guard_display(console), display_progress(console) as emit:
        result = evaluate(emit=emit)
    with survive_failures("the verdict's reports"):
        write_verdict_reports(result.verdict, result.runs, result.tester)
    options = ReportOptions(
        tester=result.tester, allow_lost=result.allow_lost, exit_code=result.exit_code, url=url
    )
    outputs.show_verdict(result.verdict, result.runs, options)
    if result.untested_reason:
        sys.stderr.write(format_message(f"kmatrix: no Tested-by: {result.untested_reason}") + "\n")
    return result.exit_code


@define_task(
    own=[
        ("before", POSITIONAL, "a run's directory, or its name under runs/"),
        ("after", POSITIONAL, "the run that is compared with it"),
        ("fixes", [], "a finding of the first that must be gone, by its id or a key; repeats"),
        ("allow-lost", False, "cells that cannot be built any more do not fail it"),
        ("werror", False, f"exit {ExitCode.WARNED} for new warnings"),
        _FORMAT_OPTION,
        _URL_OPTION,
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
    outputs.show_verdict(verdict, runs, ReportOptions(allow_lost=allow_lost, exit_code=code, url=url))
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
    show(HistoryView(collect_history(run, RUNS_DIRECTORY, read_command_line())), Console())
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
    "profile",
    "toolchain",
    own=[
        ("save", "", "also write them into this file, for another machine"),
        ("load", "", "load them out of such a file in place of building them"),
    ],
)
def images(profile: Profile, *, save: str, load: str) -> int:
    """Build or pull the images of the profile's toolchains; their ids."""
    if save and load:
        raise RequestError("--save and --load cannot go together", "load them first, then save them")
    with display_progress(Console(stderr=True)) as emit:
        if load:
            image_ids = load_profile_images(profile, load)
        else:
            image_ids = save_profile_images(profile, save, emit) if save else build_images(profile, emit)
    print_lines(Console(), [f"{name} {image}" for name, image in image_ids.items()])
    return 0


@define_task("profile", "source", "patch")
def source(profile: Profile) -> int:
    """Fetch the source into the cache, with its patches; its place."""
    with display_progress(Console(stderr=True)) as emit:
        tree = fetch_profile_source(profile, emit)
    print_line(Console(), f"{tree.version} {tree.digest} {tree.path}")
    return 0


@define_task("profile", "toolchain", "source", "cache-size")
def doctor(profile: Profile) -> int:
    """What is wrong with this machine, and what to do about it."""
    checks = diagnose_machine(profile)
    show_checks(checks, Console())
    return ExitCode.PASSED if all(check.ok for check in checks) else ExitCode.MACHINE_FAULT


@define_task(
    "profile",
    "cache-size",
    own=[
        ("yes", False, "remove it; without this, only show it"),
        ("runs-older", "", "also runs that nothing was written to for so long, such as 30d"),
    ],
)
def sweep(profile: Profile, *, yes: bool, runs_older: str) -> int:
    """What the cache holds, and what can go: containers of dead runs, lanes, sources, what is old, images."""
    age = parse_age(runs_older)
    show_holdings(list_cache_holdings(), Console())
    show_dead_runs(describe_stopped_work(RUNS_DIRECTORY), Console())
    leftovers = sweep_leftovers(
        remove=yes, cache_size=profile.cache_size, runs=RUNS_DIRECTORY, runs_older=age
    )
    show_leftovers(leftovers, Console(), removed=yes)
    stayed = any(leftover.problem for leftover in leftovers)
    return ExitCode.MACHINE_FAULT if stayed else ExitCode.PASSED


@define_task(
    "profile",
    "source",
    own=[
        ("forge", POSITIONAL, " or ".join(FORGE_LIMITS)),
        ("shards", "4", "how many machines share the plan; few with many cells each are faster"),
        ("known", "", "a TOML file of reviewed findings in that repository, which do not fail it"),
        ("out", "", "the workflow's file (default: stdout)"),
    ],
    settle=GivenSettings,
)
def ci(given: GivenSettings, *, forge: str, shards: str, known: str, out: str) -> int:
    """Write the workflow of a forge that builds nightly and on demand, in shards: plan, shards, merge."""
    request = parse_workflow_request(forge, shards, known, out, given)
    if request.out is None:
        sys.stdout.write(render_workflow(request))
    else:
        write_workflow(request)
    return 0


@define_task(
    own=[
        ("unit", False, "only the unit tests: seconds, no engine"),
        ("only", "", "only tests that match this"),
    ]
)
def test(*, unit: bool, only: str) -> int:
    """Test kmatrix itself: units, contracts, and end to end in real containers."""
    steps = develop.run_tests(unit=unit, only=only)
    show_test_steps(steps, Console())
    return develop.find_first_failure(steps)


_UNMEASURED = frozenset({"patch", "werror", "fail-fast", "verify", "fresh", "deadline"})


@define_task(
    *(name for name in PROFILE_OPTIONS if name not in _UNMEASURED),
    own=[
        ("case", [], f"{', '.join(case.name for case in CASES)} (default: all that can be)"),
        ("against", [], f"{', '.join(WAY_NAMES)} (default: all)"),
        ("repeat", "1", "how often everything is measured, in turn"),
        ("sample", "4", "cells that each other way builds in a repetition, about; 0 for all"),
        ("next", "", "another version of the tree, as --source has it, for the case next"),
        ("format", TABLE_FORMATS[0], " or ".join(TABLE_FORMATS)),
    ],
)
def bench(
    profile: Profile,
    *,
    case: list[str],
    against: list[str],
    repeat: str,
    sample: str,
    next: str,  # noqa: A002
    format: str,  # noqa: A002
) -> int:
    """Measure kmatrix against make in a loop and tuxmake: the same cells, images, targets and jobs."""
    show = select_table_format(format)
    request = parse_bench_request(case, against, repeat, sample, next)
    # An error or Ctrl-C goes on when the display is closed and what was measured until then is printed.
    with ExitStack() as stack, display_progress(Console(stderr=True)) as emit:

        def keep(measured: BenchTable) -> None:
            stack.callback(show, measured, Console())

        table = run_bench(profile, request, emit, keep, read_command_line())
    show(table, Console())
    return 0


@define_task()
def lint() -> int:
    """Check kmatrix's own code: ruff, mypy, import-linter."""
    steps = develop.run_checks()
    show_failed_steps(steps, Console())
    return develop.find_first_failure(steps)


program = TaskProgram(
    "kmatrix builds a Linux tree in every combination of arch, compiler and Kconfig symbols.",
    {
        "The main job": (setup, run, plan, merge, patch, watch, ci),
        "What a run found": (report, explain, compare, history, repro, shell, submit),
        "Builds of others": (diagnose, import_),
        "This machine": (images, source, doctor, sweep),
        "kmatrix itself": (test, bench, lint),
    },
)
namespace = program.namespace
"""What Invoke's own command looks for in a file of this name."""
