"""From a run to its findings: condition, proof, assumptions, scope."""

import itertools
import json
import random
from collections.abc import Iterable

import pytest
from jsonschema import Draft202012Validator

from matrix.commands.json_schemas import FINDINGS_SCHEMA
from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.derive import derive_findings
from matrix.findings.evidence import find_made_objects, is_problem_absent
from matrix.findings.finding import Finding, Findings
from matrix.record.run_model import Cell, DiagnosticRef, Run
from matrix.record.states import State
from tests.fakes.runs import CLANG_ERROR, GCC_ERROR, STORY, WARNING, a_cell, a_run, the_story
from tests.stopwatch import limit_cpu

OBJECT = "arch/powerpc/kvm/vfio.o"
OTHER = Diagnostic(severity="error", tool="gcc", file="kernel/fork.c", line=3, message="'other' undeclared")


def findings(run: Run, made: dict[str, frozenset[str]] | None = None) -> list[Finding]:
    return list(derive_findings(run, made or {}).findings)


def the_finding(run: Run, made: dict[str, frozenset[str]] | None = None) -> Finding:
    (found,) = findings(run, made)
    return found


def cells(states: dict[tuple[str, str], State | Diagnostic]) -> list[Cell]:
    """powerpc cells by (KVM, VFIO); a diagnostic stands for the failure that it makes."""
    return [
        a_cell(symbols={"KVM": kvm, "VFIO": vfio}, state=what)
        if isinstance(what, State)
        else a_cell(symbols={"KVM": kvm, "VFIO": vfio}, state=State.FAIL, diagnostics=[what])
        for (kvm, vfio), what in states.items()
    ]


def a_square(ny: State | Diagnostic, yn: State | Diagnostic, yy: State | Diagnostic) -> Run:
    """KVM × VFIO on powerpc; KVM=y, VFIO=n is the last argument, KVM=n, VFIO=n always passes."""
    states: dict[tuple[str, str], State | Diagnostic] = {
        ("n", "n"): State.PASS,
        ("n", "y"): ny,
        ("y", "y"): yn,
        ("y", "n"): yy,
    }
    return a_run(cells(states), [d for d in states.values() if isinstance(d, Diagnostic)])


def test_the_story_is_one_finding_under_its_condition() -> None:
    found = the_finding(the_story())
    assert found.condition == ({"arch": ("powerpc",), "KVM": ("y",), "MODULES": ("n",), "VFIO": ("n",)},)
    assert found.minimal
    assert found.severity == {"gcc-14": "error", "clang-19": "error"}
    assert found.context == {"base": "defconfig"}
    assert len(found.cells) == 2
    assert found.assumes == ()


def test_every_term_has_a_neighbour_for_every_other_value_of_its_axis() -> None:
    proof = the_finding(the_story()).proof
    told = {(one.flip, one.from_, one.to): (one.state, one.has_finding) for one in proof}
    assert told == {
        ("arch", "powerpc", "arm64"): (State.PASS, False),
        ("arch", "powerpc", "s390"): (State.PASS, False),
        ("arch", "powerpc", "x86"): (State.PASS, False),
        ("KVM", "y", "n"): (State.PASS, False),
        ("KVM", "y", "m"): (State.UNREACHABLE, None),
        ("MODULES", "n", "y"): (State.PASS, False),
        ("VFIO", "n", "y"): (State.PASS, False),
        ("VFIO", "n", "m"): (State.UNREACHABLE, None),
    }


def test_a_neighbour_differs_from_a_cell_with_the_finding_in_one_axis_alone() -> None:
    run = the_story()
    rows = {
        cell.id: {"arch": cell.arch, "toolchain": cell.toolchain, "base": cell.base, **cell.request}
        for cell in run.cells
    }
    found = the_finding(run)
    for one in found.proof:
        assert one.beside in found.cells
        assert one.cell is not None
        assert one.beside is not None
        differing = {axis for axis, value in rows[one.cell].items() if rows[one.beside][axis] != value}
        assert differing == {one.flip}


def test_a_neighbour_that_tells_nothing_says_why() -> None:
    silent = [one for one in the_finding(the_story()).proof if one.has_finding is None]
    assert {one.reason for one in silent} == {"KVM=m: MODULES=n makes it y", "VFIO=m: MODULES=n makes it y"}


def test_the_scope_counts_where_it_was_seen_where_it_is_absent_and_where_nobody_could_look() -> None:
    scope = the_finding(the_story()).scope
    assert [(w.arch, w.toolchain, w.cells) for w in scope.seen] == [
        ("powerpc", "gcc-14", 1),
        ("powerpc", "clang-19", 1),
    ]
    counted = [where.cells for part in (scope.seen, scope.absent, scope.unknown) for where in part]
    assert sum(counted) == len(the_story().cells)
    assert {(w.arch, w.toolchain) for w in scope.absent} == {
        (arch, tool) for arch in ("arm64", "powerpc", "s390", "x86") for tool in ("gcc-14", "clang-19")
    }
    assert all(set(where.because) == {"unreachable"} for where in scope.unknown)
    assert sum(where.because["unreachable"] for where in scope.unknown) == sum(w.cells for w in scope.unknown)


def test_an_axis_that_only_empty_cells_could_speak_for_is_assumed_and_not_proven() -> None:
    run = a_run(
        [
            a_cell(symbols={"KVM": "y", "VFIO": "n"}, state=State.FAIL, diagnostics=[GCC_ERROR]),
            a_cell(symbols={"KVM": "y", "VFIO": "y"}),
            a_cell(symbols={"KVM": "n", "VFIO": "n"}, state=State.EMPTY),
            a_cell(symbols={"KVM": "n", "VFIO": "y"}),
        ],
        [GCC_ERROR],
    )
    found = the_finding(run)
    assert found.condition == ({"VFIO": ("n",)},)
    (assumed,) = found.assumes
    assert (assumed.axis, assumed.seen, assumed.unknown) == ("KVM", ("y",), ("n",))
    assert assumed.because == {"empty": 1}


def test_a_selection_that_left_the_neighbours_out_is_said() -> None:
    run = a_run(
        [
            a_cell(symbols={"KVM": "y", "VFIO": "n"}, state=State.FAIL, diagnostics=[GCC_ERROR]),
            a_cell(symbols={"KVM": "n", "VFIO": "y"}),
        ],
        [GCC_ERROR],
    )
    found = the_finding(run)
    ((axis, _),) = found.condition[0].items()
    (proof,) = found.proof
    assert (proof.flip, proof.cell, proof.has_finding, proof.reason) == (axis, None, None, "not planned")
    assert [assumed.because for assumed in found.assumes] == [{"not planned": 1}]


@pytest.mark.parametrize(
    "state", [State.UNREACHABLE, State.EMPTY, State.TIMEOUT, State.OOM, State.INFRA, State.NOT_RUN]
)
def test_what_was_not_built_proves_nothing(state: State) -> None:
    found = the_finding(a_square(State.PASS, state, GCC_ERROR))
    assert found.condition == ({"KVM": ("y",)},)
    assert [(a.axis, a.because) for a in found.assumes] == [("VFIO", {state.value: 1})]


def test_a_cell_that_fails_for_another_reason_proves_nothing() -> None:
    found, other = findings(a_square(State.PASS, OTHER, GCC_ERROR))
    ours = found if "weak" in found.title else other
    assert ours.condition == ({"KVM": ("y",)},)
    assert [(a.axis, a.because) for a in ours.assumes] == [("VFIO", {"fail": 1})]


def test_unless_it_made_the_object_all_the_same() -> None:
    run = a_square(State.PASS, OTHER, GCC_ERROR)
    failing = next(cell for cell in run.cells if cell.request == {"KVM": "y", "VFIO": "y"})
    ours = next(f for f in findings(run, {failing.id: frozenset({OBJECT})}) if "weak" in f.title)
    assert ours.condition == ({"KVM": ("y",), "VFIO": ("n",)},)
    assert (State.FAIL, False) in {(one.state, one.has_finding) for one in ours.proof}


def test_an_object_that_an_error_blames_was_not_made() -> None:
    run = a_square(State.PASS, OTHER, GCC_ERROR)
    made = find_made_objects(run, lambda _: frozenset({OBJECT, "kernel/fork.o"}))
    assert set(made.values()) == {frozenset({"kernel/fork.o"})}


def test_an_object_that_only_warned_was_made() -> None:
    warned = a_cell(state=State.FAIL, diagnostics=[OTHER, WARNING])
    refs = (warned.diagnostics[0].model_copy(update={"object": "kernel/fork.o"}), warned.diagnostics[1])
    run = a_run([warned.model_copy(update={"diagnostics": refs})], [OTHER, WARNING])
    assert find_made_objects(run, lambda _: frozenset({OBJECT, "kernel/fork.o"})) == {
        warned.id: frozenset({OBJECT})
    }


def test_without_an_object_a_failing_cell_lacks_it_when_the_stage_came_to_its_end() -> None:
    (failing,) = [c for c in a_square(State.PASS, State.PASS, GCC_ERROR).cells if c.state is State.FAIL]
    assert is_problem_absent(failing, (), ("configure",), {})
    assert not is_problem_absent(failing, (), ("focus",), {})


def test_what_every_cell_has_needs_no_term() -> None:
    everywhere = [a_cell(a, t, state=State.WARN, diagnostics=[WARNING]) for a, t in lanes()]
    found = the_finding(a_run(everywhere, [WARNING]))
    assert found.condition == ({},)
    assert found.proof == ()
    assert found.context == {"base": "defconfig", **STORY}


def lanes() -> Iterable[tuple[str, str]]:
    return [(arch, tool) for arch in ("powerpc", "x86") for tool in ("gcc-14", "clang-19")]


def test_one_compiler_alone_is_a_term() -> None:
    run = a_run(
        [
            a_cell(a, t, state=State.FAIL, diagnostics=[CLANG_ERROR]) if t == "clang-19" else a_cell(a, t)
            for a, t in lanes()
        ],
        [CLANG_ERROR],
    )
    assert the_finding(run).condition == ({"toolchain": ("clang-19",)},)


def test_findings_are_named_in_their_order() -> None:
    run = a_run(
        [
            a_cell("powerpc", state=State.WARN, diagnostics=[WARNING]),
            a_cell("x86", state=State.FAIL, diagnostics=[GCC_ERROR]),
        ],
        [WARNING, GCC_ERROR],
    )
    assert [(one.id, one.is_error) for one in findings(run)] == [("F1", True), ("F2", False)]


def test_a_run_without_diagnostics_has_none() -> None:
    assert findings(a_run([a_cell()])) == []


def test_the_order_of_the_cells_changes_nothing_but_their_order() -> None:
    run = the_story()
    turned = run.model_copy(update={"cells": run.cells[::-1]})
    one, two = the_finding(run), the_finding(turned)
    assert (one.condition, one.keys, one.minimal) == (two.condition, two.keys, two.minimal)


def test_the_published_schema_takes_the_story() -> None:
    schema = json.loads(FINDINGS_SCHEMA.path.read_text("utf-8"))
    written = derive_findings(the_story(), {}).model_dump_json(by_alias=True)
    Draft202012Validator(schema).validate(json.loads(written))
    assert {"flip", "from", "to", "cell", "state", "has_finding"} <= json.loads(written)["findings"][0][
        "proof"
    ][0].keys()


def test_what_is_written_can_be_read_again() -> None:
    made = derive_findings(the_story(), {})
    assert Findings.model_validate_json(made.model_dump_json(by_alias=True)) == made


def test_a_cell_that_has_not_all_symbols_of_the_others_is_told_apart_by_that() -> None:
    run = a_run(
        [
            a_cell(symbols={"KVM": "y"}, state=State.FAIL, diagnostics=[GCC_ERROR]),
            a_cell(symbols={"KVM": "y", "VFIO": "y"}),
        ],
        [GCC_ERROR],
    )
    assert the_finding(run).condition == ({"VFIO": ("",)},)


def a_large_run(problems: int) -> Run:
    """2,592 cells; a problem is in few of them, at random values of four axes, in an object of its own."""
    axes = {
        "arch": ["powerpc", "x86", "s390", "arm64"],
        "toolchain": ["gcc-12", "gcc-14", "clang-17", "clang-19"],
        "base": ["defconfig", "allnoconfig"],
        **{f"S{number}": ["n", "m", "y"] for number in range(4)},
    }
    chance = random.Random(5)
    rows = [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]
    refs: list[list[DiagnosticRef]] = [[] for _ in rows]
    known = [OTHER.model_copy(update={"symbols": (f"f{n}",), "line": n + 1}) for n in range(problems)]
    for number, one in enumerate(known):
        names = chance.sample(list(axes), 4)
        some = {p for p in itertools.product(*(axes[name] for name in names)) if chance.random() < 0.3}
        ref = DiagnosticRef(key=one.key, object=f"drivers/{number}.o", stage="focus")
        for row, mine in zip(rows, refs, strict=True):
            mine.extend([ref] if tuple(row[name] for name in names) in some else [])
    cells = [
        a_cell(row.pop("arch"), row.pop("toolchain"), row, base=row.pop("base"), state=State.FAIL)
        for row in rows
    ]
    told = [cell.model_copy(update={"diagnostics": tuple(m)}) for cell, m in zip(cells, refs, strict=True)]
    return a_run(told, known)


def test_hundreds_of_findings_in_thousands_of_cells_take_seconds() -> None:
    run = a_large_run(100)
    objects = frozenset(f"drivers/{number}.o" for number in range(1000))
    made = find_made_objects(run, lambda _: objects)
    with limit_cpu(20):
        found = findings(run, dict(made))
        assert len(found) == 100
        assert all(one.condition and one.scope.absent for one in found)
        assert all(one.minimal for one in found)
