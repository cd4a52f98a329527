"""kmatrix itself: tested, measured and checked."""

from contextlib import ExitStack

from rich.console import Console

from matrix.bench_times import BenchTable
from matrix.catalog.types import Profile
from matrix.command_line import PROFILE_OPTIONS, define_task, read_command_line
from matrix.commands import develop
from matrix.commands.bench import run_bench
from matrix.commands.bench_cases import CASES
from matrix.commands.bench_request import parse_bench_request
from matrix.commands.bench_ways import WAY_NAMES
from reports.bench_table import TABLE_FORMATS, select_table_format
from reports.progress import display_progress
from reports.task_output import show_failed_steps, show_test_steps


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


_UNMEASURED = frozenset({"patch", "cover", "werror", "fail-fast", "verify", "fresh", "deadline"})


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
