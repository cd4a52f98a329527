"""A run against its baseline, told: what is new, broken, lost, excused, expired, and what can go. And how
kmatrix's own tests and checks ended."""

from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO

from rich.console import Console

from matrix.cluster.visits import WorkerState
from matrix.record.run_model import Run
from matrix.record.states import State
from matrix.verdict.baseline import NO_KNOWN_ISSUES, KnownIssues, compare_with_baseline
from reports.limits import FAILED_TESTS
from reports.task_output import show_cluster, show_failed_steps, show_regression, show_test_steps
from tests.fakes.runs import GCC_ERROR
from tests.fakes.sides import alone, two

PASSING, FAILING = alone(State.PASS), alone(State.FAIL, GCC_ERROR)


def told(baseline: Run, this: Run, ledger: KnownIssues = NO_KNOWN_ISSUES) -> str:
    out = StringIO()
    console = Console(file=out, width=80)
    show_regression(compare_with_baseline(*two(baseline, this), ledger), ledger, console)
    assert all(len(line) <= 80 or "/" in line for line in out.getvalue().splitlines())
    return " ".join(out.getvalue().split())


def show(*workers: WorkerState, dashboard: str = "") -> list[str]:
    """The lines that show a cluster of these workers."""
    out = StringIO()
    show_cluster(workers, dashboard, Console(file=out, width=80))
    return out.getvalue().splitlines()


def test_workers_are_shown_with_their_lanes_and_their_rate() -> None:
    first = WorkerState("a-1", "tls://a:1", 4, ("x86/gcc-14", "x86/clang-19"), cells=30, seconds=1800)
    second = WorkerState("b-2", "tls://b:1", 1)
    assert show(first, second, dashboard="http://a:8787/status") == [
        "2 workers, 5 lanes at once",
        "  a-1  tls://a:1  4 at once",
        "    30 cells done, 60 an hour",
        "    at x86/gcc-14",
        "    at x86/clang-19",
        "  b-2  tls://b:1  1 at once",
        "    0 cells done, 0 an hour",
        "dashboard: http://a:8787/status",
    ]


def test_a_cluster_without_workers_is_shown_as_one() -> None:
    assert show() == ["0 workers, 0 lanes at once"]


def test_the_name_of_a_worker_is_printed_and_not_obeyed() -> None:
    name = "\x1b[31mred[bold]"
    assert "\x1b" not in "".join(show(WorkerState(name, name, 1, (name,)), dashboard=name))


def test_nothing_new_is_said_in_a_sentence() -> None:
    assert told(FAILING, FAILING).endswith("nothing is new or lost")


def test_what_is_new_is_named_with_its_cells() -> None:
    said = told(PASSING, FAILING)
    assert "1 new finding, 1 cell broken" in said
    assert "new F1 arch/powerpc/kvm/vfio.o" in said
    assert f"broken {FAILING.cells[0].id}: pass -> fail" in said


def test_what_is_lost_has_its_reason() -> None:
    said = told(PASSING, alone(State.UNREACHABLE, reason="KVM needs MODULES, which is n"))
    assert "1 cell lost" in said
    assert "KVM needs MODULES, which is n" in said


def test_what_is_known_excuses_and_what_is_out_of_date_is_said() -> None:
    said = told(PASSING, FAILING, KnownIssues({"F1": "vfio-stub"}, {}, ("old-row",)))
    assert "known F1" in said
    assert "excused F1 is known: vfio-stub" in said
    assert "unseen old-row: not seen any more, and can go" in said
    assert "expired vfio-stub excuses F1 no more" in told(
        PASSING, FAILING, KnownIssues({}, {"vfio-stub": ("F1",)}, ())
    )


def test_without_a_baseline_only_the_ledger_is_told() -> None:
    out = StringIO()
    show_regression(None, KnownIssues({}, {}, ("old-row",)), Console(file=out, width=80))
    assert " ".join(out.getvalue().split()) == "unseen old-row: not seen any more, and can go"


def test_a_row_that_was_not_seen_may_be_where_nothing_could_be_tried() -> None:
    out = StringIO()
    show_regression(None, KnownIssues({}, {}, ("old-row",), untried_count=3), Console(file=out, width=200))
    said = " ".join(out.getvalue().split())
    assert said == "unseen old-row: not seen any more, but 3 cells could not be tried"


@dataclass(frozen=True)
class Step:
    name: str
    exit_code: int
    seconds: float = 1.0
    failures: tuple[str, ...] = ()


def show_steps(show: Callable[[list[Step], Console], None], *steps: Step) -> list[str]:
    out = StringIO()
    show(list(steps), Console(file=out, width=80))
    return out.getvalue().splitlines()


def test_what_failed_in_any_part_comes_last_and_then_each_part_with_its_time() -> None:
    lines = show_steps(
        show_test_steps,
        Step("tests in containers", 1, 192.0, ("tests/e2e/test_a.py::test_b: [bold]no" + "o" * 600,)),
        Step("unit tests", 0, 9.44),
        Step("tests", -9, 1.0),
    )
    assert lines[1].startswith("FAILED tests/e2e/test_a.py::test_b: [bold]nooo")
    assert len(lines[1]) < 600
    assert lines[2:] == [
        "tests in containers: 1 failed, 3 min 12 s",
        "unit tests: passed, 9.4 s",
        "tests: ended with exit code -9, 1.0 s",
    ]


def test_of_very_many_failures_the_rest_is_counted_part_by_part() -> None:
    lines = show_steps(
        show_test_steps,
        Step("tests in containers", 1, 1.0, ("a: x",) * (FAILED_TESTS + 3)),
        Step("unit tests", 1, 1.0, ("b: x",)),
    )
    assert lines[1 : FAILED_TESTS + 1] == ["FAILED a: x"] * FAILED_TESTS
    assert lines[FAILED_TESTS + 1 :] == [
        "FAILED 3 more of the tests in containers",
        "FAILED b: x",
        f"tests in containers: {FAILED_TESTS + 3} failed, 1.0 s",
        "unit tests: 1 failed, 1.0 s",
    ]


def test_checks_end_with_one_line_that_names_those_that_failed() -> None:
    good, bad, worse = Step("ruff", 0), Step("mypy", 1), Step("figures", 2)
    assert show_steps(show_failed_steps, good, bad, worse) == ["failed: mypy, figures"]
    assert show_steps(show_failed_steps, good) == ["1 check passed"]
