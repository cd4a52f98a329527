"""The main job: build a matrix, in one run or in shards, of a tree, a patch or a branch."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from json import dumps
from typing import Any

from rich.console import Console

from matrix.catalog.types import Profile
from matrix.command_line import POSITIONAL, POSITIONAL_LIST, PROFILE_OPTIONS, define_task, read_command_line
from matrix.commands import session
from matrix.commands.ci_workflow import FORGE_LIMITS, parse_workflow_request, render_workflow, write_workflow
from matrix.commands.cluster import create_cluster_environment, parse_given_cluster
from matrix.commands.compare import parse_baseline_options
from matrix.commands.merge import merge_shards, parse_merge_request
from matrix.commands.patch import evaluate_patch
from matrix.commands.patch_request import parse_patch_request, read_named_series
from matrix.commands.patch_resume import find_verdict_resumption, resume_verdict
from matrix.commands.resume import find_resumption, resume_run
from matrix.commands.run import compute_plan_exit_code, plan_matrix, run_matrix
from matrix.commands.settings import GivenSettings
from matrix.commands.setup import set_up_machine
from matrix.commands.shards import (
    check_resumed_options,
    create_shard_chooser,
    parse_plan_request,
    parse_shard_request,
    plan_lanes,
)
from matrix.commands.watch import Look, iterate_mail_notes, look_at_branch, repeat_looks
from matrix.commands.watch_news import hand_on_mail
from matrix.commands.watch_request import WatchRequest, hold_watch, parse_watch_request
from matrix.error_report import format_message
from matrix.exit_codes import ExitCode, choose_worse_code
from matrix.findings.stored_run import StoredRun
from matrix.shards.plan_file import format_plan_file
from matrix.side_failures import survive_failures
from matrix.tasks.many_machines import TLS_OPTIONS
from matrix.tasks.run_reporting import (
    FORMAT_OPTION,
    URL_OPTION,
    build_report_options,
    report_run,
    report_verification,
)
from matrix.verdict.baseline import Regression
from reports import ReportOptions, write_verdict_reports
from reports.baseline_view import BaselineView
from reports.format_outputs import parse_format_outputs
from reports.mail_run import render_run_mail
from reports.patchwork import find_report_url
from reports.progress import display_progress
from reports.style import print_line, print_lines
from reports.terminal import show_plan


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
        ("cluster", "", "let the workers of this Dask scheduler build: tls://HOST:PORT; see docs/cluster.md"),
        *TLS_OPTIONS,
        FORMAT_OPTION,
    ],
    settle=GivenSettings,
)
def run(  # noqa: PLR0913 - the options, each by name
    given: GivenSettings,
    *,
    baseline: str,
    known: str,
    resume: str,
    shard: str,
    plan: str,
    cluster: str,
    format: list[str],  # noqa: A002 - the option's name
    **tls: str,
) -> int:
    """Plan, build, report: the main job."""
    outputs = parse_format_outputs(format)  # before hours of building
    address = parse_given_cluster(cluster, tls, os.environ)
    console, command = Console(stderr=outputs.has_stdout), read_command_line()
    resumption = find_resumption(resume, given, session.RUNS_DIRECTORY, command)
    asked = None
    if resumption is None:
        profile = given.build_profile()
        asked = parse_shard_request(shard, plan, baseline, known, session.RUNS_DIRECTORY, command)
    else:
        profile = resumption.profile
        check_resumed_options(resumption.run, shard=shard, plan=plan, baseline=baseline, known=known)
        baseline, known = baseline or resumption.run.baseline, known or resumption.run.known
    outputs.require_run()
    outputs.check_files(profile.out)
    if asked or (resumption and resumption.run.shard):
        baseline = known = ""  # A shard has a part of the cells: what is new or lost is merge's to say.
    baseline_options = parse_baseline_options(baseline, known, session.RUNS_DIRECTORY, profile, command)
    begin: Callable[..., StoredRun] = run_matrix
    go_on: Callable[..., StoredRun] = resume_run
    if address is not None:
        environment = create_cluster_environment(address)
        begin, go_on = (partial(each, environment=environment) for each in (run_matrix, resume_run))
    if baseline_options:
        go_on = partial(go_on, baseline=baseline_options)
    if baseline_options or asked:
        chooser = create_shard_chooser(asked) if asked else None
        begin = partial(begin, baseline=baseline_options, choose_shard=chooser)
    with outputs.guard_display(console):
        with display_progress(console) as emit:
            stored = go_on(resumption, emit) if resumption else begin(profile, emit, command)
        code, result = report_run(stored, baseline_options, profile, console)
    # Last: what the run itself found is told however this ends.
    try:
        with outputs.guard_display(console):
            code = choose_worse_code(code, report_verification(profile, stored, console))
    finally:
        outputs.write_run(stored, replace(build_report_options(result), exit_code=code))
    return code


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
    request = parse_plan_request(shards, baseline, session.RUNS_DIRECTORY, read_command_line(), as_json=json)
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


@define_task(
    own=[
        ("dir", POSITIONAL_LIST, "a shard's directory, or its name under runs/; repeats, or stands alone"),
        ("baseline", "", "fail only on what is new or lost since this run: its directory, or its name"),
        ("known", "", "a TOML file of reviewed findings, which do not fail the run"),
        ("out", "", "directory of the run (default: runs/<run-id>)"),
        FORMAT_OPTION,
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
    request = parse_merge_request(dir, out, baseline, known, session.RUNS_DIRECTORY, command)
    stored = merge_shards(request, command)
    console = Console(stderr=outputs.has_stdout)
    with outputs.guard_display(console):
        code, result = report_run(stored, request.baseline, request.profile, console)
    outputs.write_run(stored, replace(build_report_options(result), exit_code=code))
    return code


@define_task(
    *(name for name in PROFILE_OPTIONS if name not in {"patch", "verify"}),
    own=[
        ("file", POSITIONAL_LIST, "a patch, a diff, a mailbox, a directory of patches, or - for stdin"),
        ("before", [], "a patch that belongs to the base; repeats, in order"),
        ("message", "", "the id of the mail in FILE that holds the diff, or the cover letter"),
        ("each", False, "build after every patch of a series"),
        ("fixes", [], "a finding of the base that it must mend, by its id or a key; repeats"),
        ("allow-lost", False, "cells that cannot be built any more do not fail it"),
        FORMAT_OPTION,
        URL_OPTION,
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
        resumption = find_verdict_resumption(resume, given, asked, session.RUNS_DIRECTORY)
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
        tester=result.tester,
        allow_lost=result.allow_lost,
        werror=result.runs[-1].run.asks_for_werror,
        exit_code=result.exit_code,
        url=url,
    )
    outputs.show_verdict(result.verdict, result.runs, options)
    if result.untested_reason:
        sys.stderr.write(format_message(f"kmatrix: no Tested-by: {result.untested_reason}") + "\n")
    return result.exit_code


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
    mail, if there is --mail-to, was handed on. It may have failed: what it found is known then. A mail tells
    what changed since the run before: each cell is held against the newest earlier run with its result.
    """
    request = parse_watch_request(profile, every, fetch, known, mail_to)
    console = Console()

    def look() -> int:
        with display_progress(console) as emit:
            seen = look_at_branch(request, read_command_line(), emit)
        return _report_look(request, seen, console)

    with hold_watch(request, session.RUNS_DIRECTORY):
        print_lines(console, iterate_mail_notes(request))
        return look() if once else repeat_looks(request.seconds, look, partial(print_line, console))


def _report_look(request: WatchRequest, seen: Look, console: Console) -> int:
    if seen.stored is None:
        return ExitCode.PASSED
    run_code, result = report_run(seen.stored, seen.baseline, request.profile, console)
    with survive_failures("the mail"):
        if seen.is_complete:
            render = partial(_render_news, seen.stored)
            hand_on_mail(request, seen.stored, result, session.RUNS_DIRECTORY, render)
    if seen.is_new:
        return choose_worse_code(run_code, report_verification(request.profile, seen.stored, console))
    return run_code


def _render_news(stored: StoredRun, since: Regression | None) -> str:
    return render_run_mail(stored, since=BaselineView(since) if since else None)


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
