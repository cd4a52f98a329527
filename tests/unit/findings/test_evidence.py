"""What a run's cells testify, held against the same asked cell by cell."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.derive import derive_findings
from matrix.findings.evidence import MadeObjects, find_made_objects, is_problem_absent
from matrix.findings.finding import Finding, Proof
from matrix.record.run_model import Cell, DiagnosticRef, Run, StageRecord
from matrix.record.states import State
from tests.fakes.runs import GCC_ERROR, a_cell, a_run

OTHER = Diagnostic(severity="error", tool="ld", message="'other' is missing", symbols=("other",))
SAID = {"ours": (GCC_ERROR, "a.o"), "other": (OTHER, None), "third": (GCC_ERROR, "b.o")}
SILENT = [State.UNREACHABLE, State.EMPTY, State.TIMEOUT, State.OOM, State.INFRA, State.NOT_RUN]
ARCHES, SYMBOLS = ("s390", "x86"), {"A": ("n", "m", "y"), "B": ("n", "y")}


def a_stage(state: State) -> tuple[StageRecord, ...]:
    names: Sequence[tuple[str, State]] = [("focus", State.PASS), ("vmlinux", state)]
    return tuple(StageRecord.model_validate({"name": n, "state": s, "command": "make"}) for n, s in names)


def made_up(point: tuple[str, ...], what: str) -> Cell:
    """A cell: it says something, or passes, or is in a state that proves nothing."""
    arch, *values = point
    state = State.FAIL if what in SAID or what == "fail" else next(state for state in State if state == what)
    cell = a_cell(arch, symbols=dict(zip(SYMBOLS, values, strict=True)), state=state)
    refs = [DiagnosticRef(key=SAID[what][0].key, object=SAID[what][1], stage="focus")] if what in SAID else []
    return cell.model_copy(update={"diagnostics": tuple(refs), "stages": a_stage(state)})


@st.composite
def runs(draw: st.DrawFn) -> tuple[Run, MadeObjects]:
    """Some cells of the product, in any order and state; of failing ones, what they made all the same."""
    every = draw(st.permutations(list(itertools.product(ARCHES, *SYMBOLS.values()))))
    kinds = st.sampled_from([*SAID, "ours", "ours", "fail", State.PASS, State.PASS, State.WARN, *SILENT])
    cells = [made_up(point, draw(kinds)) for point in every[: draw(st.integers(2, len(every)))]]
    objects = st.frozensets(st.sampled_from(["a.o", "b.o", "c.o", "d.o"]))
    made = {cell.id: draw(objects) for cell in cells if cell.state is State.FAIL and draw(st.booleans())}
    axes = {"arch": ("x86", "s390"), "toolchain": ("gcc-14",), "base": ("defconfig",), **SYMBOLS}
    return a_run(cells, [one for one, _ in SAID.values()], axes=axes), made


class Asked:
    """One finding of a run: what each cell says about it."""

    def __init__(self, run: Run, made: MadeObjects, finding: Finding) -> None:
        self.axes = {
            name: [v for v in among if v in self.values(run, name)] for name, among in run.axes.items()
        }
        self.points = {cell.id: {"arch": cell.arch, **cell.request} for cell in run.cells}
        self.cells = {cell.id: cell for cell in run.cells}
        stages = {r.stage for c in run.cells for r in c.diagnostics if c.id in finding.cells}
        self.says = {
            cell.id: True
            if cell.id in finding.cells
            else False
            if is_problem_absent(cell, finding.objects, stages, made)
            else None
            for cell in run.cells
        }

    @staticmethod
    def values(run: Run, name: str) -> set[str]:
        return {
            {"toolchain": c.toolchain, "base": c.base, "arch": c.arch, **c.request}[name] for c in run.cells
        }

    def inside(self, cube: Mapping[str, Sequence[str]]) -> list[str]:
        return [n for n, p in self.points.items() if all(p.get(a, v[0]) in v for a, v in cube.items())]

    def neighbours(self, cube: Mapping[str, Sequence[str]], axis: str, to: str) -> Iterator[tuple[str, str]]:
        """(cell with the finding, neighbour) across a term."""
        for here in self.inside(cube):
            if self.says[here]:
                wanted = self.points[here] | {axis: to}
                yield from ((here, there) for there, point in self.points.items() if point == wanted)


@settings(deadline=None, max_examples=300)
@given(runs())
def test_each_value_outside_a_term_has_the_neighbour_that_tells_most(
    made_run: tuple[Run, MadeObjects],
) -> None:
    for finding, asked in asked_of(*made_run):
        wanted = {
            (number, axis, to)
            for number, cube in enumerate(finding.condition)
            for axis, values in cube.items()
            for to in asked.axes[axis]
            if to not in values
        }
        assert {(one.of, one.flip, one.to) for one in finding.proof} == wanted
        for one in finding.proof:
            pairs = list(asked.neighbours(finding.condition[one.of], one.flip, one.to))
            assert_told(one, pairs, asked)


def assert_told(one: Proof, pairs: Sequence[tuple[str, str]], asked: Asked) -> None:
    if not pairs:
        assert (one.cell, one.beside, one.has_finding, one.reason) == (None, None, None, "not planned")
        return
    assert one.cell is not None
    assert one.beside is not None
    assert (one.beside, one.cell) in pairs
    assert one.from_ == asked.points[one.beside][one.flip]
    order = {False: 0, None: 1, True: 2}
    assert order[one.has_finding] == min(order[asked.says[there]] for _, there in pairs)
    assert one.has_finding is asked.says[one.cell]
    assert one.state is asked.cells[one.cell].state
    assert (one.reason is None) == (one.has_finding is not None)


@settings(deadline=None, max_examples=300)
@given(runs())
def test_an_axis_that_is_no_term_was_seen_at_all_values_or_is_assumed(
    made_run: tuple[Run, MadeObjects],
) -> None:
    for finding, asked in asked_of(*made_run):
        expected = {}
        for number, cube in enumerate(finding.condition):
            inside = asked.inside(cube)
            for axis in (name for name, among in asked.axes.items() if len(among) > 1 and name not in cube):
                seen = [asked.points[name][axis] for name in inside if asked.says[name]]
                others = [value for value in asked.axes[axis] if value not in seen]
                among = [asked.cells[n].state.value for n in inside if asked.points[n][axis] in others]
                because = {state: among.count(state) for state in among} or {"not planned": 1}
                if others:
                    expected[number, axis] = (tuple(others), because)
        told = {(one.of, one.axis): (one.unknown, one.because) for one in finding.assumes}
        assert told == expected


@settings(deadline=None, max_examples=300)
@given(runs())
def test_every_cell_is_in_one_part_of_the_scope(made_run: tuple[Run, MadeObjects]) -> None:
    for finding, asked in asked_of(*made_run):
        parts = {True: finding.scope.seen, False: finding.scope.absent, None: finding.scope.unknown}
        for says, part in parts.items():
            names = [name for name, its in asked.says.items() if its is says]
            arches = [asked.cells[name].arch for name in names]
            assert {one.arch: one.cells for one in part} == {arch: arches.count(arch) for arch in arches}
            for one in part:
                states = [asked.cells[n].state.value for n in names if asked.cells[n].arch == one.arch]
                because = {} if says is not None else {state: states.count(state) for state in states}
                assert one.because == because


@settings(deadline=None, max_examples=100)
@given(runs())
def test_no_cell_that_lacks_it_meets_the_condition_and_each_that_has_it_does(
    made_run: tuple[Run, MadeObjects],
) -> None:
    for finding, asked in asked_of(*made_run):
        met = {name for cube in finding.condition for name in asked.inside(cube)}
        assert {name for name, says in asked.says.items() if says} <= met
        assert not {name for name, says in asked.says.items() if says is False} & met


def asked_of(run: Run, made: MadeObjects) -> Iterator[tuple[Finding, Asked]]:
    for finding in derive_findings(run, made).findings:
        yield finding, Asked(run, made, finding)


def test_axes_and_values_stand_in_the_order_of_the_plan_whatever_the_cells_order() -> None:
    cells = [made_up(("x86", a, "n"), "ours" if a != "n" else State.PASS) for a in ("y", "m", "n")]
    (found,) = derive_findings(a_run(cells, [GCC_ERROR], axes={"arch": ("x86",), **SYMBOLS}), {}).findings
    assert found.condition == ({"A": ("m", "y")},)
    assert list(found.context) == ["arch", "B", "toolchain", "base"]


def test_many_that_made_most_objects_and_few_that_made_few_are_told_apart() -> None:
    chance = random.Random(2)
    cells = [made_up((arch, a, "n"), "other") for arch in ARCHES for a in ("n", "m")]
    cells += [made_up(("x86", "y", "n"), "ours"), made_up(("s390", "y", "y"), "third")]
    for _ in range(50):
        made = {c.id: frozenset(o for o in ("a.o", "b.o") if chance.random() < 0.5) for c in cells[:4]}
        run = a_run(cells, [one for one, _ in SAID.values()])
        for finding in derive_findings(run, made).findings:
            if finding.objects:
                absent = {c.id for c in cells[:4] if made[c.id] & set(finding.objects)}
                assert sum(where.cells for where in finding.scope.absent) == len(absent)


@pytest.mark.parametrize("reason", ["no such symbol", None])
def test_a_cell_that_says_nothing_says_why(reason: str | None) -> None:
    silent = made_up(("x86", "n", "n"), State.UNREACHABLE).model_copy(update={"reason": reason})
    cells = [made_up(("x86", "y", "n"), "ours"), silent, made_up(("x86", "n", "y"), State.PASS)]
    (found,) = derive_findings(a_run(cells, [GCC_ERROR]), {}).findings
    told = {one.reason for one in found.proof if one.has_finding is None}
    assert told <= {reason or "unreachable", "not planned"}


def test_a_neighbour_that_fails_otherwise_says_so() -> None:
    cells = [made_up(("x86", "y", "n"), "ours"), made_up(("x86", "n", "n"), "other")]
    cells += [made_up(("x86", "m", "n"), State.PASS)]
    found = next(one for one in derive_findings(a_run(cells, [GCC_ERROR, OTHER]), {}).findings if one.objects)
    (dumb,) = [one for one in found.proof if one.has_finding is None]
    assert dumb.reason == "it fails for another reason, and what it made tells nothing"


NOT_MADE = {
    "fixdep": "error opening file: drivers/net/.a.o.d: No such file or directory",
    "sh": "scripts/basic/fixdep: Text file busy",
    "make": "Killed",
    "objtool": "elf_update failed",
    "objcopy": "a.o: file truncated",
}


@pytest.mark.parametrize("tool", NOT_MADE)
def test_an_object_that_any_error_names_was_not_made_without_one(tool: str) -> None:
    """A record whose list of objects has what was tried: the errors say which of them were not made."""
    other = Diagnostic(severity="error", tool=tool, message=NOT_MADE[tool], symbols=())
    cells = [made_up(("x86", "y", "n"), "ours"), made_up(("x86", "n", "n"), "other")]
    refs = (DiagnosticRef(key=other.key, object="a.o", stage="focus"),)
    cells[1] = cells[1].model_copy(update={"diagnostics": refs})
    run = a_run(cells, [GCC_ERROR, other])
    made = find_made_objects(run, lambda _: frozenset({"a.o", "b.o"}))
    assert made == {cells[0].id: frozenset({"b.o"}), cells[1].id: frozenset({"b.o"})}
    found = next(one for one in derive_findings(run, made).findings if cells[0].id in one.cells)
    assert found.condition == ({},)
    assert found.scope.absent == ()
    assert not any(proof.has_finding is False for proof in found.proof)
