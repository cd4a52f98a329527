"""kmatrix's tasks: each calls a job, shows what it emits, and exits with its code. No logic here."""

import inspect
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.program import Program
from invoke.tasks import Task, task
from rich.console import Console

import matrix
from matrix.catalog.types import Profile
from matrix.errors import KmatrixError
from matrix.jobs import develop
from matrix.jobs.compare import compare as compare_job
from matrix.jobs.compare import measure_of, measured, new_since
from matrix.jobs.derive import chosen, findings_of, keep_findings, only
from matrix.jobs.doctor import doctor as examine
from matrix.jobs.fit import answer, asked_with
from matrix.jobs.patch import asked_of, find_verdict
from matrix.jobs.patch import patch as patch_job
from matrix.jobs.prepare import ROOT
from matrix.jobs.repro import keep_script, subject_of
from matrix.jobs.run import plan as plan_job
from matrix.jobs.run import plan_code
from matrix.jobs.run import run as run_job
from matrix.jobs.settings import OPTIONS, Option, settle
from matrix.jobs.setup import fetch, make_images
from matrix.jobs.setup import setup as setup_job
from matrix.jobs.shell import AGAIN, opened
from matrix.jobs.sweep import sweep as sweep_job
from matrix.record.load import find_run_directory, load_run
from matrix.record.model import Run
from matrix.record.outcome import compute_run_exit_code
from matrix.source.series import read_series
from matrix.verdict.model import Mailbox, Verdict
from reports import render, render_verdict, write_all, write_verdict
from reports.changes import Told
from reports.explain import show_explanation
from reports.fit import show_answer
from reports.health import show_health, show_waste
from reports.live import live_display
from reports.regression import show_regression
from reports.reproducer import reproducer, show_script
from reports.room import show_room
from reports.terminal import show, show_plan
from reports.verdict_text import show_verdict

RUNS = ROOT / "runs"
_PROFILE = Option("profile", "a built-in profile (kvm-vfio, quick) or a TOML file; default kvm-vfio")
_BY_NAME = {option.name: option for option in (_PROFILE, *OPTIONS)}
_ALL = tuple(_BY_NAME)

Own = tuple[str, object, str]
"""An option of one task alone: name, default, help. Without a default it is positional."""
_POSITIONAL = inspect.Parameter.empty
_RUN: Own = ("run", "latest", "a run's directory, or its name under runs/")


def _task(*shared: str, own: Sequence[Own] = ()) -> Callable[[Callable[..., int]], Task[Callable[..., None]]]:
    """A task of these shared options and some of its own, whose body returns the exit code.

    Invoke reads a task's options from its signature, so a signature is made of the options' table; the
    body gets the profile that they settle on, and its own options by name.
    """
    options = [_BY_NAME[name] for name in shared]

    def decorate(body: Callable[..., int]) -> Task[Callable[..., None]]:
        def run(_: Context, **values: Any) -> None:
            with _told_errors():
                mine = {name: values.pop(name.replace("-", "_")) for name, _, _ in own}
                profile = [settle(_words(values), os.environ)] if options else []
                code = body(*profile, **{name.replace("-", "_"): value for name, value in mine.items()})
            if code:
                raise Exit(code=code)

        run.__name__, run.__doc__ = body.__name__, body.__doc__
        defaults = {option.name: _default(option) for option in options} | {
            name: value for name, value, _ in own
        }
        run.__signature__ = _signature(defaults)  # type: ignore[attr-defined]
        texts = {option.name: option.help for option in options} | {name: text for name, _, text in own}
        lists = [name.replace("-", "_") for name, default in defaults.items() if default == []]
        made: Task[Callable[..., None]] = task(auto_shortflags=False, iterable=lists, help=texts)(run)
        return made

    return decorate


def _signature(defaults: dict[str, object]) -> inspect.Signature:
    context = inspect.Parameter("c", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return inspect.Signature(
        [context]
        + [
            inspect.Parameter(name.replace("-", "_"), inspect.Parameter.KEYWORD_ONLY, default=default)
            for name, default in defaults.items()
        ]
    )


def _default(option: Option) -> object:
    if option.repeats:
        return []
    return False if option.is_switch else None


def _words(values: dict[str, Any]) -> dict[str, list[str]]:
    """Invoke's values → the words of those options that were given."""
    given = {
        name.replace("_", "-"): value for name, value in values.items() if value not in (None, False, [])
    }
    return {
        name: value if isinstance(value, list) else ["yes" if value is True else value]
        for name, value in given.items()
    }


@contextmanager
def _told_errors() -> Iterator[None]:
    """The one place where an error becomes a sentence on stderr and an exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (`| head`). Python flushes once more at its end: that must not fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Exit(code=1) from None
    except KmatrixError as error:
        _quit(error.exit_code, f"kmatrix: {error}", error.hint)
    except KeyboardInterrupt:
        _quit(130, "kmatrix: interrupted")
    except Exception as error:  # noqa: BLE001 - whatever comes here is a bug, and is said to be one
        if os.environ.get("KMATRIX_TRACEBACK"):
            traceback.print_exc()
        _quit(
            70, f"kmatrix: this is a bug: {type(error).__name__}: {error}", "KMATRIX_TRACEBACK=1 shows where"
        )


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _quit(code: int, message: str, hint: str = "") -> NoReturn:
    raise Exit(message + (f"\n  {hint}" if hint else ""), code)


@_task(*_ALL)
def setup(profile: Profile) -> int:
    """Make this machine ready: install and start an engine where it may, build images, fetch the source."""
    with live_display(Console()) as emit:
        setup_job(profile, emit)
    return 0


@_task(
    *_ALL,
    own=[
        ("baseline", "", "fail only on what is new or lost since this run: its directory, or its name"),
        ("known", "", "a TOML file of reviewed findings, which do not fail the run"),
    ],
)
def run(profile: Profile, *, baseline: str, known: str) -> int:
    """Plan, build, report: the main job."""
    console = Console()
    measure = measure_of(baseline, known, RUNS)
    with live_display(console) as emit:
        done, directory = run_job(profile, emit, _typed())
    findings = findings_of(done, directory)
    keep_findings(findings, directory)
    write_all(done, findings, directory)
    show(done, findings, directory, console)
    if measure is None:
        return _code(done, profile)
    held = measured(done, directory, measure, werror=profile.werror)
    show_regression(held.regression, held.ledger, console)
    return held.code


def _typed() -> list[str]:
    return ["./inv", *sys.argv[1:]]


@_task(*_ALL, own=[("json", False, "print it as JSON, in the shape of run.json's cells")])
def plan(profile: Profile, *, json: bool) -> int:
    """What would be built: requests, resolutions, lanes, what is unreachable and why."""
    console = Console()
    with live_display(Console(stderr=True)) as emit:
        planned = plan_job(profile, emit)
    if json:
        sys.stdout.write(
            planned.model_dump_json(by_alias=True, indent=1, include={"axes", "source", "cells"}) + "\n"
        )
    else:
        show_plan(planned, console)
    return plan_code(planned)


def _code(done: Run, profile: Profile) -> int:
    return compute_run_exit_code(
        [c.state for c in done.cells], interrupted=done.interrupted, werror=profile.werror
    )


@_task(
    own=[
        _RUN,
        ("format", "terminal", "terminal, html, markdown, text or mail; but for the terminal, on stdout"),
        ("baseline", "", "a mail marks with >> what is new since this run: its directory, or its name"),
    ]
)
def report(*, run: str, format: str, baseline: str) -> int:  # noqa: A002 - the option's name
    """A run again, or the verdict that `patch` kept in a directory, in any format."""
    kept = find_verdict(run, RUNS)
    if kept is not None:
        _tell_verdict(kept[0], [_told(directory) for directory in kept[1]], format)
        return 0
    done, directory = _loaded(run)
    findings = findings_of(done, directory)
    if format == "terminal":
        show(done, findings, directory, Console())
    else:
        new = new_since(find_run_directory(baseline, RUNS), done, directory) if baseline else None
        sys.stdout.write(render(done, findings, directory, format, new))
    return 0


def _told(directory: Path) -> Told:
    done = load_run(directory)
    return Told(done, findings_of(done, directory), directory)


def _tell_verdict(
    verdict: Verdict,
    sides: Sequence[Told],
    format: str,  # noqa: A002
    tester: Mailbox | None = None,
) -> None:
    if format == "terminal":
        show_verdict(verdict, sides[0], sides[-1], Console())
    else:
        sys.stdout.write(render_verdict(verdict, sides[0], sides[-1], format, tester))


def _loaded(run: str) -> tuple[Run, Path]:
    directory = find_run_directory(run, RUNS)
    return load_run(directory), directory


@_task(
    *(name for name in _ALL if name != "patch"),
    own=[
        ("file", _POSITIONAL, "a patch, a diff, a mailbox, a directory of patches, or - for stdin"),
        ("before", [], "a patch that belongs to the base; repeats, in order"),
        ("message", "", "the id of the mail in FILE that holds the diff, or the cover letter"),
        ("each", False, "build after every patch of a series"),
        ("fixes", [], "a finding of the base that it must mend, by its id or a key; repeats"),
        ("allow-lost", False, "cells that cannot be built any more do not fail it"),
        ("format", "terminal", "terminal, html, markdown, text or mail; but for the terminal, on stdout"),
        ("tested-by", False, "end the mail with your Tested-by, where it is earned"),
    ],
)
def patch(
    profile: Profile,
    *,
    file: str,
    before: list[str],
    message: str,
    format: str,  # noqa: A002
    **more: Any,
) -> int:
    """The verdict on a patch or series: before and after over the whole matrix."""
    asked = asked_of(read_series(file, message, sys.stdin.buffer), before, more)
    with live_display(Console(stderr=format != "terminal")) as emit:
        judged = patch_job(profile, asked, emit, _typed())
    sides = [_told(directory) for directory in judged.directories]
    write_verdict(judged.verdict, sides, judged.tester)
    _tell_verdict(judged.verdict, sides, format, judged.tester)
    if judged.untested:
        sys.stderr.write(f"kmatrix: no Tested-by: {judged.untested}\n")
    return judged.code


@_task(
    own=[
        ("before", _POSITIONAL, "a run's directory, or its name under runs/"),
        ("after", _POSITIONAL, "the run that is compared with it"),
        ("fixes", [], "a finding of the first that must be gone, by its id or a key; repeats"),
        ("allow-lost", False, "cells that cannot be built any more do not fail it"),
        ("werror", False, "exit 101 for new warnings"),
        ("format", "terminal", "terminal, html, markdown, text or mail; but for the terminal, on stdout"),
    ]
)
def compare(
    *,
    before: str,
    after: str,
    fixes: list[str],
    allow_lost: bool,
    werror: bool,
    format: str,  # noqa: A002
) -> int:
    """Two runs: what is new, fixed, lost, still there."""
    directories = [find_run_directory(name, RUNS) for name in (before, after)]
    verdict, code = compare_job(*directories, fixes=fixes, allow_lost=allow_lost, werror=werror)
    _tell_verdict(verdict, [_told(directory) for directory in directories], format)
    return code


@_task(
    own=[
        _RUN,
        ("finding", "", "only this one: its id, such as F1, or one of its keys"),
        ("config", "", "a .config of yours: what it misses of the condition, and it with that change"),
        ("toolchain", "", "with --config: what to resolve it with (default: the nearest to its own)"),
        ("out", "", "with --config: the changed .config's file (default: in the run's directory)"),
    ]
)
def explain(*, run: str, finding: str, config: str, toolchain: str, out: str) -> int:
    """A finding: its condition, its proof, its scope, how to see it, or why your .config does not show it."""
    done, directory = _loaded(run)
    findings = findings_of(done, directory)
    asked = asked_with(config, toolchain, out)
    if asked is not None:
        with live_display(Console(stderr=True)) as emit:
            told = answer(done, directory, only(findings, finding), asked, emit)
        show_answer(done, told, directory, Console())
        return 0
    shown = [chosen(findings, finding)] if finding else findings.findings
    show_explanation(done, shown, directory, Console())
    return 0


@_task(
    own=[
        _RUN,
        ("finding", "", "the finding to see: its id, such as F1, or one of its keys"),
        ("cell", "", "the cell to see it in (default: the finding's first), or that fails"),
        ("toolchain", "", "the finding's first cell with this toolchain"),
        ("out", "", "the script's file (default: in the run's directory); - for stdout"),
    ]
)
def repro(*, run: str, finding: str, cell: str, toolchain: str, out: str) -> int:
    """Write the reproducer of a finding or a cell: one POSIX sh script that stands alone."""
    done, directory = _loaded(run)
    subject = subject_of(done, findings_of(done, directory), finding, cell, toolchain)
    script = reproducer(done, subject.cell, directory, subject.finding)
    if out == "-":
        sys.stdout.write(script)
    else:
        show_script(keep_script(script, Path(out) if out else directory / subject.file), Console())
    return 0


@_task(
    own=[
        ("cell", _POSITIONAL, "the cell's id, as the report has it"),
        _RUN,
        ("command", "", "run this in its shell, in place of a prompt"),
    ]
)
def shell(*, cell: str, run: str, command: str) -> int:
    """A prompt in a cell's container, with its config and its build directory; the exit code is the shell's.

    Without a terminal, the shell reads its commands from stdin. What is done there is gone afterwards.
    """
    done, directory = _loaded(run)
    console = Console(stderr=True)
    with ExitStack() as until_left:
        with live_display(console) as emit:
            room = until_left.enter_context(opened(done, directory, cell, emit))
        if not command:
            show_room(room.cell, room.make, AGAIN, console)
        return room.enter(command)


@_task("profile", "toolchain")
def images(profile: Profile) -> int:
    """Build or pull the images of the profile's toolchains; their ids."""
    with live_display(Console(stderr=True)) as emit:
        made = make_images(profile, emit)
    sys.stdout.writelines(f"{name} {image}\n" for name, image in made.items())
    return 0


@_task("profile", "source", "patch")
def source(profile: Profile) -> int:
    """Fetch the source into the cache, with its patches; its place."""
    with live_display(Console(stderr=True)) as emit:
        tree = fetch(profile, emit)
    sys.stdout.write(f"{tree.version} {tree.digest} {tree.path}\n")
    return 0


@_task("profile", "toolchain", "source")
def doctor(profile: Profile) -> int:
    """What is wrong with this machine, and what to do about it."""
    found = examine(profile)
    show_health(found, Console())
    return 0 if all(finding.well for finding in found) else 2


@_task(own=[("yes", False, "remove it; without this, only show it")])
def sweep(*, yes: bool) -> int:
    """What can go: containers of dead runs, lanes, old images and sources."""
    show_waste(sweep_job(remove=yes), Console(), removed=yes)
    return 0


@_task(
    own=[
        ("unit", False, "only the unit tests: seconds, no engine"),
        ("only", "", "only tests that match this"),
    ]
)
def test(*, unit: bool, only: str) -> int:
    """Test kmatrix itself: units, contracts, and end to end in real containers."""
    return develop.run_tests(unit=unit, only=only)


@_task()
def lint() -> int:
    """Check kmatrix's own code: ruff, mypy, import-linter."""
    return develop.lint()


namespace = Collection(
    setup, run, plan, report, explain, patch, compare, repro, shell, images, source, doctor, sweep, test, lint
)


class _Program(Program):
    """Invoke's, but that ``TASK --help`` is help for a task with a positional argument as well, which would
    else take the word for its value."""

    def normalize_argv(self, argv: list[str] | None) -> None:
        super().normalize_argv(argv)
        for name, word in pairwise(self.argv):
            if word == "--help" and name in namespace.task_names:
                self.argv = [self.argv[0], "--help", name]


program = _Program(
    name="kmatrix",
    binary="./inv",
    binary_names=["inv", "kmatrix"],
    namespace=namespace,
    version=matrix.__version__,
)
