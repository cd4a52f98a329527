"""Several runs: when findings and cells were good and bad, and how times moved."""

from datetime import timedelta

from matrix.record.run_model import Cell, Run
from matrix.record.states import Evidence, State
from matrix.verdict.run_history import FindingMark, RunHistory
from tests.fakes.runs import GCC_ERROR, STARTED, WARNING, a_cell, a_run
from tests.fakes.sides import OTHER, a_side

ERROR, WARNING_, ABSENT, UNKNOWN = FindingMark


def a_history(*runs: Run) -> RunHistory:
    """The history of runs that were started one after another, given the last first."""
    dated = [
        run.model_copy(update={"id": f"run-{number}", "started": STARTED + timedelta(hours=number)})
        for number, run in enumerate(runs)
    ]
    return RunHistory.of_runs(map(a_side, reversed(dated)))


def one(state: State, *said: object, **fields: object) -> Run:
    return a_run([a_cell(state=state, diagnostics=said, **fields)], said)  # type: ignore[arg-type]


def marks(history: RunHistory) -> list[list[FindingMark]]:
    places = range(len(history.runs))
    return [[history.mark_finding(problem, place) for place in places] for problem in history.findings]


FAILING, PASSING = one(State.FAIL, GCC_ERROR), one(State.PASS)


def test_runs_stand_in_the_order_of_their_start() -> None:
    assert [stored.run.id for stored in a_history(PASSING, FAILING).runs] == ["run-0", "run-1"]


def test_a_finding_is_bad_where_it_is_seen_and_good_where_all_its_cells_were_built_without_it() -> None:
    assert marks(a_history(PASSING, FAILING, PASSING)) == [[ABSENT, ERROR, ABSENT]]
    assert marks(a_history(one(State.WARN, WARNING), PASSING)) == [[WARNING_, ABSENT]]


def test_where_its_cell_could_not_be_built_or_fails_otherwise_nothing_is_known() -> None:
    others = (one(State.TIMEOUT), one(State.UNREACHABLE), one(State.FAIL, OTHER), a_run([a_cell("x86")]))
    for other in others:
        assert marks(a_history(FAILING, other))[0] == [ERROR, UNKNOWN]


def test_where_one_of_its_cells_was_not_built_nothing_is_known() -> None:
    two = a_run(
        [a_cell(symbols={"A": v}, state=State.FAIL, diagnostics=[GCC_ERROR]) for v in "ny"], [GCC_ERROR]
    )
    half = a_run([a_cell(symbols={"A": "n"}), a_cell(symbols={"A": "y"}, state=State.OOM)])
    part = a_run([a_cell(symbols={"A": "n"})])
    assert marks(a_history(two, half, part)) == [[ERROR, UNKNOWN, ABSENT]]


def test_findings_are_the_same_by_their_keys() -> None:
    moved = GCC_ERROR.model_copy(update={"line": 999})
    assert marks(a_history(FAILING, one(State.FAIL, moved))) == [[ERROR, ERROR]]
    assert len(marks(a_history(FAILING, one(State.FAIL, OTHER)))) == 2


def test_cells_that_stay_as_they_are_are_not_named_unless_they_fail() -> None:
    cells = [a_cell(symbols={"A": "n"}), a_cell(symbols={"A": "y"})]
    fails = a_cell(symbols={"A": "y"}, state=State.FAIL, diagnostics=[GCC_ERROR])
    before, after = a_run(cells), a_run([cells[0], fails], [GCC_ERROR])
    assert [cell.id for cell in a_history(before, after).changed_cells] == [fails.id]
    assert [cell.id for cell in a_history(after, after).changed_cells] == [fails.id]
    assert a_history(before, before).changed_cells == []


def timed(seconds: float, **fields: object) -> Cell:
    cell = a_cell(**fields)  # type: ignore[arg-type]
    stages = tuple(stage.model_copy(update={"seconds": seconds / 2}) for stage in cell.stages)
    return cell.model_copy(update={"stages": stages})


def test_times_are_those_of_cells_that_were_built() -> None:
    history = a_history(
        a_run([timed(10)]), a_run([timed(1, evidence=Evidence.REMEMBERED)]), a_run([timed(30)])
    )
    (cell,) = history.moved_times
    assert (dict(cell.seconds), cell.time_ratio) == ({0: 10.0, 2: 30.0}, 3.0)


def test_what_moved_most_comes_first_whichever_way() -> None:
    before = a_run([timed(10, symbols={"A": v}) for v in "nmy"])
    after = a_run([timed(s, symbols={"A": v}) for s, v in ((11, "n"), (2, "m"), (20, "y"))])
    assert [cell.id[-1] for cell in a_history(before, after).moved_times] == ["m", "y", "n"]


def test_one_run_has_a_history_too() -> None:
    assert marks(a_history(FAILING)) == [[ERROR]]
    assert a_history(a_run()).findings == []
