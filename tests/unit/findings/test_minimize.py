"""The smallest condition, held against brute force on small tables."""

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.findings import truth_table
from matrix.findings.minimize import Cover, minimize_condition
from matrix.findings.truth_table import TruthTable, compute_step_limit
from tests.stopwatch import limit_cpu

Axes = Mapping[str, Sequence[str]]
Rows = Sequence[Mapping[str, str]]
SEEN, ABSENT, UNKNOWN = "sax"
STORY = {
    "arch": ["arm64", "powerpc", "s390", "x86"],
    "KVM": ["n", "m", "y"],
    "MODULES": ["n", "y"],
    "VFIO": ["n", "m", "y"],
}


def points(axes: Axes) -> list[dict[str, str]]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def mask(labels: Sequence[str], wanted: str) -> int:
    return sum(1 << number for number, label in enumerate(labels) if label == wanted)


def solved(axes: Axes, rows: Rows, labels: Sequence[str]) -> Cover:
    return minimize_condition(TruthTable(axes, rows), mask(labels, SEEN), mask(labels, ABSENT))


def meets(row: Mapping[str, str], cube: Mapping[str, Sequence[str]]) -> bool:
    return all(row[axis] in values for axis, values in cube.items())


def where(axes: Axes, seen: str, absent: str = "") -> tuple[dict[str, tuple[str, ...]], ...]:
    """The condition for rows given as Python expressions; without ``absent``, all others."""
    rows = points(axes)
    labels = [
        SEEN
        if eval(seen, {}, dict(row))
        else ABSENT
        if not absent or eval(absent, {}, dict(row))
        else UNKNOWN
        for row in rows
    ]
    return solved(axes, rows, labels).cubes


def smallest_size(axes: Axes, rows: Rows, labels: Sequence[str]) -> tuple[int, int]:
    """(conjunctions, terms) of the smallest condition there is, by trying every one."""
    seen = frozenset(n for n, label in enumerate(labels) if label == SEEN)
    cubes: dict[frozenset[int], int] = {}
    for terms in itertools.product(*(_terms([rows[n][axis] for n in seen]) for axis in axes)):
        cube = {axis: values for axis, values in zip(axes, terms, strict=True) if values}
        met = frozenset(n for n, row in enumerate(rows) if meets(row, cube))
        if met & seen and not any(labels[n] == ABSENT for n in met):
            cubes[met & seen] = min(len(cube), cubes.get(met & seen, 99))
    best = (99, 99)

    def pick(left: frozenset[int], count: int, terms: int) -> None:
        nonlocal best
        if not left:
            best = min(best, (count, terms))
        elif count < best[0]:
            for covered, cost in cubes.items():
                if min(left) in covered:
                    pick(left - covered, count + 1, terms + cost)

    pick(seen, 0, 0)
    return best


def _terms(values: Sequence[str]) -> list[tuple[str, ...]]:
    among = sorted(set(values))
    return [(), *(t for size in range(1, len(among) + 1) for t in itertools.combinations(among, size))]


@st.composite
def tables(
    draw: st.DrawFn, axes_at_most: int = 4, values_at_most: int = 3
) -> tuple[Axes, Rows, Sequence[str]]:
    sizes = draw(st.lists(st.integers(2, values_at_most), min_size=1, max_size=axes_at_most))
    axes = {f"a{number}": [f"v{value}" for value in range(size)] for number, size in enumerate(sizes)}
    rows = draw(st.permutations(points(axes)))
    rows = rows[: draw(st.integers(1, len(rows)))]
    labels = [draw(st.sampled_from([SEEN, ABSENT, ABSENT, UNKNOWN])) for _ in rows]
    spare = [number for number, label in enumerate(labels) if label == SEEN][7:]
    return axes, rows, [ABSENT if number in spare else label for number, label in enumerate(labels)]


@settings(deadline=None)
@given(tables())
def test_it_is_as_small_as_brute_force_finds(table: tuple[Axes, Rows, Sequence[str]]) -> None:
    found = solved(*table)
    if SEEN in table[2]:
        assert (len(found.cubes), sum(map(len, found.cubes))) == smallest_size(*table)
    else:
        assert found.cubes == ()
    assert found.minimal


@settings(deadline=None)
@given(tables())
def test_it_covers_what_was_seen_and_nothing_that_is_absent(
    table: tuple[Axes, Rows, Sequence[str]],
) -> None:
    _, rows, labels = table
    found = solved(*table)
    for row, label in zip(rows, labels, strict=True):
        met = any(meets(row, cube) for cube in found.cubes)
        assert met or label != SEEN
        assert not met or label != ABSENT


@settings(deadline=None)
@given(tables())
def test_a_term_names_the_values_at_which_it_was_seen_and_no_others(
    table: tuple[Axes, Rows, Sequence[str]],
) -> None:
    axes, rows, labels = table
    for cube in solved(*table).cubes:
        mine = [r for r, label in zip(rows, labels, strict=True) if label == SEEN and meets(r, cube)]
        for axis, values in cube.items():
            assert values == tuple(value for value in axes[axis] if value in {row[axis] for row in mine})


def best_of_all(axes: Axes, rows: Rows, labels: Sequence[str]) -> tuple[dict[str, tuple[str, ...]], ...]:
    """What the order of ties leaves, of all covers by conjunctions that no value can be added to."""
    seen = [n for n, label in enumerate(labels) if label == SEEN]
    values = {axis: [v for v in axes[axis] if v in {rows[n][axis] for n in seen}] for axis in axes}
    choices = [[(), *_nonempty(values[axis])] for axis in axes]
    allowed = [
        cube
        for terms in itertools.product(*choices)
        if not any(
            meets(row, cube := {a: v for a, v in zip(axes, terms, strict=True) if v}) and label == ABSENT
            for row, label in zip(rows, labels, strict=True)
        )
        and any(meets(rows[n], cube) for n in seen)
    ]
    largest = [one for one in allowed if not any(one != other and within(one, other) for other in allowed)]
    tight = list({str(t): t for t in (tightened(axes, rows, seen, cube) for cube in largest)}.values())
    count, _ = smallest_size(axes, rows, labels)
    covers = [
        chosen
        for chosen in itertools.combinations(tight, count)
        if all(any(meets(rows[n], cube) for cube in chosen) for n in seen)
    ]
    ranked = [tuple(sorted(chosen, key=lambda cube: rank(axes, cube))) for chosen in covers]
    return min(ranked, key=lambda chosen: tie(axes, rows, labels, chosen))


def _nonempty(values: Sequence[str]) -> list[tuple[str, ...]]:
    return [t for size in range(1, len(values) + 1) for t in itertools.combinations(values, size)]


def within(one: Mapping[str, Sequence[str]], other: Mapping[str, Sequence[str]]) -> bool:
    return all(axis in one and set(one[axis]) <= set(values) for axis, values in other.items())


def tightened(
    axes: Axes, rows: Rows, seen: Sequence[int], cube: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    mine = [rows[n] for n in seen if meets(rows[n], cube)]
    return {axis: tuple(v for v in axes[axis] if v in {row[axis] for row in mine}) for axis in cube}


def rank(axes: Axes, cube: Mapping[str, Sequence[str]]) -> list[tuple[int, int]]:
    places = {axis: place for place, axis in enumerate(axes)}
    return [(places[a], sum(1 << list(axes[a]).index(v) for v in values)) for a, values in cube.items()]


def tie(axes: Axes, rows: Rows, labels: Sequence[str], chosen: Sequence[Mapping[str, Sequence[str]]]) -> Any:
    """Terms, cells of which nobody knows, values named, then the axes and values in plan order."""
    met = [n for n, row in enumerate(rows) if any(meets(row, cube) for cube in chosen)]
    return (
        sum(map(len, chosen)),
        sum(labels[n] == UNKNOWN for n in met),
        sum(len(values) for cube in chosen for values in cube.values()),
        [rank(axes, cube) for cube in chosen],
    )


@settings(deadline=None, max_examples=500)
@given(st.one_of(tables(axes_at_most=3), tables(values_at_most=2)))
def test_ties_are_broken_in_the_documented_order(table: tuple[Axes, Rows, Sequence[str]]) -> None:
    if SEEN in table[2]:
        assert solved(*table).cubes == best_of_all(*table)


@pytest.mark.parametrize("seed", [9, 21, 35, 42])
def test_a_conjunction_that_lies_in_a_larger_one_wins_no_tie(seed: int) -> None:
    axes = {name: ["n", "m", "y"] for name in "ABC"}
    chance = random.Random(seed)
    labels = [chance.choice(SEEN + ABSENT * 2 + UNKNOWN) for _ in points(axes)]
    assert solved(axes, points(axes), labels).cubes == best_of_all(axes, points(axes), labels)


@settings(deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(
    table: tuple[Axes, Rows, Sequence[str]], order: random.Random
) -> None:
    axes, rows, labels = table
    pairs = list(zip(rows, labels, strict=True))
    order.shuffle(pairs)
    assert solved(axes, *zip(*pairs, strict=True)) == solved(axes, rows, labels)


def test_the_story() -> None:
    story = "arch == 'powerpc' and KVM == 'y' and MODULES == 'n' and VFIO == 'n'"
    (cube,) = where(STORY, story)
    assert cube == {"arch": ("powerpc",), "KVM": ("y",), "MODULES": ("n",), "VFIO": ("n",)}


def test_an_axis_that_nobody_could_test_is_no_term() -> None:
    story = "arch == 'powerpc' and KVM == 'y' and MODULES == 'n' and VFIO == 'n'"
    (cube,) = where(STORY, story, "KVM == 'y' or VFIO != 'n'")
    assert "KVM" not in cube


def test_several_values_of_an_axis_are_one_term() -> None:
    assert where(STORY, "KVM != 'n'") == ({"KVM": ("m", "y")},)


def test_a_term_that_names_every_value_is_none() -> None:
    assert where(STORY, "VFIO == 'n'") == ({"VFIO": ("n",)},)


def test_either_or_takes_two_conjunctions() -> None:
    axes = {"A": ["n", "y"], "B": ["n", "y"]}
    assert where(axes, "A != B") == ({"A": ("n",), "B": ("y",)}, {"A": ("y",), "B": ("n",)})


def test_two_arches_under_conditions_of_their_own() -> None:
    found = where(STORY, "arch == 'x86' and KVM == 'n' or arch == 's390' and VFIO == 'y'")
    assert found == ({"arch": ("s390",), "VFIO": ("y",)}, {"arch": ("x86",), "KVM": ("n",)})


def test_what_is_everywhere_needs_no_term_and_what_is_nowhere_no_condition() -> None:
    assert where(STORY, "True") == ({},)
    assert where(STORY, "False") == ()


def test_of_two_equal_axes_the_one_that_meets_fewer_unknown_cells_is_named() -> None:
    axes = {"A": ["n", "y"], "B": ["n", "y"]}
    rows = [{"A": "y", "B": "y"}, {"A": "n", "B": "n"}, {"A": "y", "B": "n"}]
    assert solved(axes, rows, [SEEN, ABSENT, UNKNOWN]).cubes == ({"B": ("y",)},)


def test_then_the_one_that_comes_first_in_the_plan() -> None:
    axes = {"A": ["n", "y"], "B": ["n", "y"]}
    assert where(axes, "A == B == 'y'", "A == B == 'n'") == ({"A": ("y",)},)


def test_rows_that_the_axes_cannot_tell_apart_count_as_seen() -> None:
    twice = [{"A": "y"}, {"A": "y"}, {"A": "n"}]
    assert solved({"A": ["n", "y"]}, twice, [SEEN, ABSENT, ABSENT]).cubes == ({"A": ("y",)},)


@settings(deadline=None)
@given(tables(axes_at_most=3), st.data())
def test_absent_rows_that_the_axes_cannot_tell_from_seen_ones_change_nothing(
    table: tuple[Axes, Rows, Sequence[str]], data: st.DataObject
) -> None:
    axes, rows, labels = table
    seen = [row for row, label in zip(rows, labels, strict=True) if label == SEEN]
    if seen:
        again = data.draw(st.lists(st.sampled_from(seen), max_size=3))
        assert solved(axes, [*rows, *again], [*labels, *[ABSENT] * len(again)]) == solved(*table)


@pytest.mark.parametrize("steps", [3, 300])
def test_without_enough_steps_it_is_still_right_and_claims_nothing(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = {name: ["n", "m", "y"] for name in "ABCD"}
    rows = points(axes)
    chance = random.Random(7)
    labels = [chance.choice([SEEN, ABSENT]) for _ in rows]
    monkeypatch.setattr(truth_table, "_LEAST_STEPS", 1)
    monkeypatch.setattr(truth_table, "_STEPS", steps)
    found = solved(axes, rows, labels)
    assert not found.minimal
    for row, label in zip(rows, labels, strict=True):
        assert any(meets(row, cube) for cube in found.cubes) == (label == SEEN)


@settings(deadline=None, max_examples=50)
@given(tables())
def test_without_any_steps_no_conjunction_and_no_term_is_idle(
    table: tuple[Axes, Rows, Sequence[str]],
) -> None:
    _, rows, labels = table
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(truth_table, "_LEAST_STEPS", 1)
        patch.setattr(truth_table, "_STEPS", 1)
        cubes = solved(*table).cubes
    seen, absent = ([r for r, its in zip(rows, labels, strict=True) if its == w] for w in (SEEN, ABSENT))
    for number, cube in enumerate(cubes):
        others = [other for place, other in enumerate(cubes) if place != number]
        assert not all(any(meets(row, other) for other in others) for row in seen)
        for axis in cube:
            wider = {name: values for name, values in cube.items() if name != axis}
            assert any(meets(row, wider) for row in absent)


def test_with_more_steps_it_is_no_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = {name: ["n", "m", "y"] for name in "ABCD"}
    rows = points(axes)
    chance = random.Random(11)
    labels = [chance.choice([SEEN, ABSENT, UNKNOWN]) for _ in rows]
    monkeypatch.setattr(truth_table, "_LEAST_STEPS", 1)
    sizes = []
    for steps in (1, 100, 300, 1000, 3000, 20_000):
        monkeypatch.setattr(truth_table, "_STEPS", steps)
        cubes = solved(axes, rows, labels).cubes
        sizes.append((len(cubes), sum(map(len, cubes))))
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) > 2


def test_a_row_that_is_seen_and_absent_counts_as_seen() -> None:
    axes = {"A": ["n", "y"], "B": ["n", "y"]}
    assert minimize_condition(TruthTable(axes, points(axes)), 0b0011, 0b1111).cubes == ({"A": ("n",)},)


def test_many_axes_of_which_few_cells_were_built_take_no_longer() -> None:
    axes = {f"S{number}": ["n", "y"] for number in range(30)}
    chance = random.Random(3)
    rows = [{name: chance.choice("ny") for name in axes} for _ in range(2000)]
    labels = [SEEN, *[ABSENT] * 1999]
    with limit_cpu(10):
        found = solved(axes, rows, labels)
    (cube,) = found.cubes
    assert not found.minimal
    assert meets(rows[0], cube)
    assert not any(meets(row, cube) for row in rows[1:])
    for axis in cube:
        fewer = {name: values for name, values in cube.items() if name != axis}
        assert any(meets(row, fewer) for row in rows[1:])


def test_a_hundred_thousand_cells_take_milliseconds_for_each_finding() -> None:
    axes = {
        "arch": list("abcd"),
        "toolchain": list("123456"),
        "base": list("xy"),
        **{f"S{number}": ["n", "m", "y"] for number in range(7)},
    }
    rows = points(axes)
    table = TruthTable(axes, rows)
    chance = random.Random(1)
    with limit_cpu(10):
        for _ in range(50):
            names = chance.sample(list(axes), 3)
            seen = table.find_matching_rows({name: (chance.choice(axes[name]),) for name in names})
            found = minimize_condition(table, seen, table.all_rows & ~seen)
            assert [set(cube) for cube in found.cubes] == [set(names)]
    assert len(rows) == 104_976


def test_however_many_conditions_a_run_has_their_searches_share_one_bound() -> None:
    table = TruthTable({"A": ["n", "y"]}, [{"A": "n"}, {"A": "y"}])
    alone = compute_step_limit(table)
    assert {compute_step_limit(table, searches) for searches in (1, 50, 100)} == {alone}
    shares = {searches: compute_step_limit(table, searches) for searches in (200, 10_000, 10**9)}
    assert shares == {200: alone // 2, 10_000: alone // 100, 10**9: 1}
