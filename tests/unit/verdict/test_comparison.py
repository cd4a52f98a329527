"""verdict.json: its schema, its steps, and what it costs to make one."""

import itertools
import json

from jsonschema import Draft202012Validator

from matrix.commands.json_schemas import VERDICT_SCHEMA
from matrix.record.run_model import Run
from matrix.record.states import State
from matrix.verdict.comparison import compare_runs, extract_patch_step
from matrix.verdict.verdict_model import FindingStatus, Mailbox, PatchMail, Transition, Verdict, VerdictPatch
from tests.fakes.runs import GCC_ERROR, WARNING, a_cell, a_run, the_story
from tests.fakes.sides import a_side, mended, newer, turned
from tests.stopwatch import limit_cpu


def a_verdict() -> Verdict:
    """One with something under every key."""
    story = the_story()
    ids = [cell.id for cell in story.cells]
    before = a_side(story, configs={name: {"KVM_VFIO": "y"} for name in ids})
    after = a_side(newer(mended(story), "x86"), configs={name: {"A": "y"} for name in ids})
    plain = compare_runs(before, after, fixes=["F1"])
    made = compare_runs(
        before, after, fixes=["F1"], steps=[extract_patch_step("0001-a.patch", "vfio: a", plain)]
    )
    mail = PatchMail(subject="[PATCH] vfio: a", sender=Mailbox(address="a@example.org"))
    patch = VerdictPatch(name="0001-a.patch", sha256="0" * 64, mail=mail)
    told = {"patches": (patch,), "cover": mail, "base_commit": "12ab", "base_differs": "…", "notes": ("…",)}
    return made.model_copy(update=told)


def test_the_published_schema_takes_a_verdict() -> None:
    schema = json.loads(VERDICT_SCHEMA.path.read_text("utf-8"))
    written = json.loads(a_verdict().model_dump_json(by_alias=True))
    Draft202012Validator(schema).validate(written)
    assert all(written[key] for key in schema["properties"])
    assert written["schema"] == 1
    assert set(written["symbols"][0]["flips"][0]) == {"symbol", "from", "to"}


def test_what_is_written_can_be_read_again() -> None:
    made = a_verdict()
    assert Verdict.model_validate_json(made.model_dump_json(by_alias=True)) == made


def test_a_verdict_without_steps_has_none() -> None:
    side = a_side(the_story())
    assert compare_runs(side, side).steps is None


def test_a_run_against_itself_changes_nothing() -> None:
    side = a_side(the_story())
    found = compare_runs(side, side)
    assert set(found.counts) == {Transition.UNCHANGED, Transition.STILL_FAILING}
    assert [one.fate for one in found.findings] == [FindingStatus.STILL]
    assert (found.symbols, found.differences) == ((), ())


def test_a_side_is_told_with_its_source_and_its_cells_by_state() -> None:
    found = compare_runs(a_side(the_story()), a_side(mended(the_story())))
    assert found.before.cells == {State.FAIL: 2, State.PASS: 96, State.UNREACHABLE: 46}
    assert (found.after.run, found.before.source.version) == ("after", "6.12.48")


def test_a_step_has_only_what_its_patch_changed() -> None:
    before = a_run(
        [a_cell(state=State.FAIL, diagnostics=[GCC_ERROR]), a_cell("x86"), a_cell("s390")], [GCC_ERROR]
    )
    after = turned(before, a_cell("x86", state=State.WARN, diagnostics=[WARNING]), diagnostics=[WARNING])
    found = extract_patch_step("0002-b.patch", "vfio: b", compare_runs(a_side(before), a_side(after)))
    assert (found.name, found.subject, found.before, found.after) == (
        "0002-b.patch",
        "vfio: b",
        before.id,
        "after",
    )
    assert [cell.arch for cell in found.cells] == ["x86"]
    assert [one.fate for one in found.findings] == [FindingStatus.NEW]


def large(number: int, state: State) -> Run:
    """As many cells; in a failing run every tenth fails."""
    symbols = [f"S{place}" for place in range(5)]
    points = itertools.islice(itertools.product("0123456789", repeat=5), number)
    cells = [
        a_cell("x86", symbols=dict(zip(symbols, values, strict=True)), state=state, diagnostics=[GCC_ERROR])
        if values[-1] == "0" and state is State.FAIL
        else a_cell("x86", symbols=dict(zip(symbols, values, strict=True)))
        for values in points
    ]
    return a_run(cells, [GCC_ERROR])


def test_twenty_thousand_cells_are_compared_in_seconds() -> None:
    sides = a_side(large(20_000, State.FAIL)), a_side(large(20_000, State.PASS))
    with limit_cpu(10):
        found = compare_runs(*sides)
        assert found.counts == {Transition.FIXED: 2_000, Transition.UNCHANGED: 18_000}
