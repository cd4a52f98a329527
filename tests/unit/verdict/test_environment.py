"""Symbols that have another value after, and the condition under which they have."""

from matrix.kconfig.config import Config
from matrix.record.run_model import Cell, Run
from matrix.record.states import State
from matrix.verdict.comparison import compare_runs
from matrix.verdict.verdict_model import SymbolChange, SymbolFlip
from tests.fakes.runs import a_cell, a_run
from tests.fakes.sides import NOWHERE, KeptRun, Values, a_side, alone, newer, turned

OFF = {"KVM_VFIO": "n"}
ON = {"KVM_VFIO": "y"}


def symbols(run: Run, before: Values, after: Values, to: Run | None = None) -> tuple[SymbolChange, ...]:
    one, other = a_side(run, configs=before), a_side(to or turned(run), configs=after)
    return compare_runs(one, other).symbols


def matrix() -> Run:
    return a_run(
        a_cell("powerpc", tool, {"KVM": "y", "VFIO": v}) for tool in ("gcc-14", "clang-19") for v in "ny"
    )


def test_symbols_that_change_in_the_same_cells_are_one_row_with_its_condition() -> None:
    run = matrix()
    before = {cell.id: ON | {"HAVE_IT": "n", "A": "1"} for cell in run.cells}
    after = {
        cell.id: OFF | {"HAVE_IT": "y", "A": "1"} if cell.request["VFIO"] == "n" else before[cell.id]
        for cell in run.cells
    }
    (row,) = symbols(run, before, after, turned(run))
    assert [(flip.symbol, flip.from_, flip.to) for flip in row.flips] == [
        ("HAVE_IT", "n", "y"),
        ("KVM_VFIO", "y", "n"),
    ]
    assert (row.cells, row.condition, row.minimal) == (2, ({"VFIO": ("n",)},), True)


def test_those_that_change_elsewhere_or_otherwise_are_rows_of_their_own_most_cells_first() -> None:
    run = matrix()
    values = ({"A": "y"}, {"A": "m"}, {"A": "m"}, {"A": "m"})
    after = {cell.id: value for cell, value in zip(run.cells, values, strict=True)}
    rows = symbols(run, {cell.id: {} for cell in run.cells}, after, turned(run))
    assert [(row.cells, row.flips[0].to) for row in rows] == [(3, "m"), (1, "y")]


def with_digests(run: Run, *digests: str) -> Run:
    cells = zip(run.cells, digests, strict=True)
    return run.model_copy(
        update={"cells": tuple(cell.model_copy(update={"config_sha256": name}) for cell, name in cells)}
    )


def test_equal_digests_are_not_read_and_each_other_once() -> None:
    read: list[str] = []

    def config(cell: Cell) -> Config:
        read.append(str(cell.config_sha256))
        return Config({"A": "y"} if cell.config_sha256 == "one" else {})

    before = with_digests(matrix(), "one", "one", "one", "same")
    after = with_digests(matrix(), "two", "three", "two", "same")
    one, other = (KeptRun(run, NOWHERE, lambda _: frozenset(), config) for run in (before, after))
    (row,) = compare_runs(one, other).symbols
    assert row.cells == 3
    assert sorted(read) == ["one", "three", "two"]


def test_configurations_that_are_not_kept_say_nothing() -> None:
    run = matrix()
    kept = a_side(run)
    lost = KeptRun(turned(run), NOWHERE, kept.load_objects, lambda _: None)
    assert compare_runs(kept, lost).symbols == ()


def test_cells_that_neither_side_reaches_are_not_counted_and_lost_ones_are() -> None:
    run = a_run([a_cell(state=State.UNREACHABLE), a_cell("x86")])
    unreached, other = (cell.id for cell in run.cells)
    assert symbols(run, {unreached: ON, other: ON}, {unreached: OFF, other: ON}) == ()
    lost = turned(run, a_cell("x86", state=State.UNREACHABLE))
    (row,) = symbols(run, {unreached: ON, other: ON}, {unreached: OFF, other: OFF}, lost)
    assert (row.cells, row.condition) == (1, ({},))


def test_nor_is_what_another_compiler_may_have_changed() -> None:
    run = alone(State.PASS)
    name = run.cells[0].id
    assert symbols(run, {name: ON}, {name: OFF}, newer(run)) == ()


def test_a_row_is_told_with_from_and_to() -> None:
    row = SymbolChange(
        flips=(SymbolFlip(symbol="A", from_="y", to="n"),), cells=1, condition=({},), minimal=True
    )
    assert row.model_dump(by_alias=True)["flips"] == ({"symbol": "A", "from": "y", "to": "n"},)
