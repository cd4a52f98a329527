"""Rows have all that a Kconfig lets come together, whatever it lets; nothing of it is known beforehand."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.covering_rows import PATIENCE, RowAnswer, RowSearch, ValueRow, list_all_values, list_values

Need = tuple[int, bool]
"""The number of a symbol above, and whether it has to be on, or off."""


@dataclass(frozen=True)
class Table:
    """A Kconfig of symbols that are `n` where none of the needs holds in one of their lines."""

    axes: tuple[tuple[str, ...], ...]
    needs: tuple[tuple[tuple[Need, ...], ...], ...]

    def answer(self, row: ValueRow) -> RowAnswer:
        actual: list[str] = []
        for value, lines in zip(row, self.needs, strict=True):
            allowed = all(any((actual[number] != "n") is is_on for number, is_on in line) for line in lines)
            actual.append(value if allowed else "n")
        return RowAnswer(row, row == tuple(actual), tuple(actual))

    def search(self, strength: int, seed: int = 0, patience: float = inf) -> "Covered":
        search = RowSearch(self.axes, strength, seed, patience)
        answers: list[RowAnswer] = []
        while rows := search.propose_rows():
            made = [self.answer(row) for row in rows]
            search.learn(made)
            answers += made
        return Covered(search.rows, answers, strength)


@dataclass(frozen=True)
class Covered:
    rows: tuple[ValueRow, ...]
    answers: list[RowAnswer]
    strength: int

    @property
    def reached(self) -> set[object]:
        rows = (answer.row for answer in self.answers if answer.is_reachable)
        return {values for row in rows for values in list_values(row, self.strength)}


def draw_table(chooser: random.Random, count: int, share: float = 0.4) -> Table:
    """A table of so many symbols, of which about a share needs others."""
    axes, needs = [], []
    for number in range(count):
        axes.append(chooser.choice([("n", "y"), ("n", "m", "y")]))
        lines = range(chooser.choice([1, 1, 2])) if number and chooser.random() < share else range(0)
        needs.append(tuple(tuple(_draw_line(chooser, number)) for _ in lines))
    return Table(tuple(axes), tuple(needs))


def _draw_line(chooser: random.Random, number: int) -> Iterator[Need]:
    for _ in range(chooser.choice([1, 1, 2])):
        yield chooser.randrange(number), chooser.random() < 0.8


tables = st.builds(
    draw_table, st.randoms(use_true_random=False), st.integers(3, 5), st.floats(min_value=0, max_value=1)
)


@settings(max_examples=40, deadline=None)
@given(table=tables, strength=st.sampled_from([2, 3]), seed=st.integers(0, 3))
def test_what_can_be_reached_is_in_a_row_and_the_rest_was_asked_for(
    table: Table, strength: int, seed: int
) -> None:
    found = table.search(strength, seed)
    reachable = [row for row in product(*table.axes) if table.answer(row).is_reachable]
    assert found.reached == {values for row in reachable for values in list_values(row, strength)}
    for values in list_all_values(table.axes, strength):
        if values not in found.reached:
            having = [row for row in product(*table.axes) if set(values) <= set(enumerate(row))]
            assert set(having) <= set(found.rows), "each row that has it was asked for"


@settings(max_examples=20, deadline=None)
@given(table=tables, seed=st.integers(0, 3))
def test_no_row_is_dropped_or_asked_for_twice(table: Table, seed: int) -> None:
    found = table.search(2, seed)
    assert [answer.row for answer in found.answers] == list(found.rows)
    assert len(set(found.rows)) == len(found.rows)
    assert all(value in axis for row in found.rows for value, axis in zip(row, table.axes, strict=True))


@settings(max_examples=15, deadline=None)
@given(table=tables, seed=st.integers(0, 3))
def test_the_same_seed_makes_the_same_rows(table: Table, seed: int) -> None:
    assert table.search(2, seed, 8).rows == table.search(2, seed, 8).rows


def test_another_seed_makes_other_rows() -> None:
    table = draw_table(random.Random(1), 8)
    assert len({table.search(2, seed, 8).rows for seed in range(4)}) == 4


def test_where_all_goes_together_no_row_is_in_vain() -> None:
    axes = (("n", "m", "y"),) * 4
    found = Table(axes, ((),) * 4).search(2)
    assert all(answer.is_reachable for answer in found.answers)
    assert len(found.rows) <= 15


@pytest.mark.parametrize("strength", [0, 1])
def test_fewer_symbols_than_are_to_come_together(strength: int) -> None:
    axes: Sequence[tuple[str, ...]] = (("n", "y"),) * strength
    assert sorted(Table(tuple(axes), ((),) * strength).search(strength).rows) == sorted(product(*axes))


def test_a_request_that_could_not_be_tried_is_not_repeated_and_ends_nothing() -> None:
    search = RowSearch((("n", "y"),) * 3, 2, 0)
    asked = []
    while rows := search.propose_rows():
        asked += rows
        search.learn([])
    assert sorted(asked) == sorted(product("ny", repeat=3))


def test_a_value_of_no_axis_is_learnt_nothing_from() -> None:
    search = RowSearch((("y",), ("m", "y")), 2, 0)
    while rows := search.propose_rows():
        search.learn(RowAnswer(row, False, ("y", None)) for row in rows)
    assert sorted(search.rows) == [("y", "m"), ("y", "y")]


def measure_misses(table: Table, strength: int, patience: float) -> tuple[int, int]:
    """(of what can be reached how much no row has, how much can be reached)."""
    reachable = [row for row in product(*table.axes) if table.answer(row).is_reachable]
    all_values = {values for row in reachable for values in list_values(row, strength)}
    return len(all_values - table.search(strength, 0, patience).reached), len(all_values)


def test_what_is_given_up_could_hardly_ever_be_reached() -> None:
    # With eight symbols, of which half need others, and the patience that runs have.
    counts = [measure_misses(draw_table(random.Random(seed), 8, 0.5), 2, PATIENCE) for seed in range(8)]
    missed, reachable = (sum(column) for column in zip(*counts, strict=True))
    assert reachable > 800
    assert missed * 500 < reachable, f"{missed} of {reachable}"


def test_what_bent_beside_others_is_asked_for_by_itself_before_it_is_given_up() -> None:
    search = RowSearch((("n", "y"),) * 5, 2, 0, patience=1)
    while rows := search.propose_rows():
        search.learn(RowAnswer(row, False, (None,) * 5) for row in rows)
    # Forty pairs: a row that lacks ten of them gives up the one it was made for.
    assert len(search.rows) == 2**5
