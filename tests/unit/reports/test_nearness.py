"""How near to a plain defconfig findings show, and their order by that."""

from pathlib import Path

import pytest

from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import BaseRecord, Run
from matrix.record.states import State
from reports.limits import HTML
from reports.nearness import BaseKind, classify_base, measure_nearness
from reports.ranking import rank_findings
from tests.fakes.runs import GCC_ERROR, WARNING, a_cell, a_run, the_story

NOWHERE = Path("/nowhere")


def texts(run: Run) -> list[str]:
    stored = StoredRun(run, NOWHERE)
    return [measure_nearness(stored, finding).text for finding in stored.findings.findings]


def in_base(base: str, **fields: object) -> Run:
    """A run of one failing cell on this base."""
    return a_run(
        [a_cell(symbols={}, base=base, state=State.FAIL, diagnostics=[GCC_ERROR])], [GCC_ERROR], **fields
    )


def test_each_symbol_of_the_condition_is_a_step_away() -> None:
    assert texts(the_story()) == ["defconfig with 3 symbols chosen"]


def test_a_symbol_that_all_cells_have_alike_is_one_too() -> None:
    run = a_run([a_cell(symbols={"KVM": "y"}, state=State.FAIL, diagnostics=[GCC_ERROR])], [GCC_ERROR])
    assert texts(run) == ["defconfig with 1 symbol chosen"]


@pytest.mark.parametrize("value", ["n", "m", "y", "64", "0x10", '"a b"', ""])
def test_the_words_say_no_more_of_a_symbol_than_that_it_has_a_value(value: str) -> None:
    cells = [
        a_cell(symbols={"MODULES": value}, state=State.FAIL, diagnostics=[GCC_ERROR]),
        a_cell(symbols={"MODULES": "other"}),
    ]
    assert texts(a_run(cells, [GCC_ERROR])) == ["defconfig with 1 symbol chosen"]


@pytest.mark.parametrize(
    ("base", "text"),
    [
        ("defconfig", "defconfig, whatever the symbols"),
        ("allmodconfig", "allmodconfig, whatever the symbols; robots build that, and few people"),
        ("randconfig", "randconfig, whatever the symbols; nobody builds that by choice"),
    ],
)
def test_a_base_that_few_build_has_it_written_beside_it(base: str, text: str) -> None:
    assert texts(in_base(base)) == [text]


def test_the_record_of_a_base_outweighs_its_name() -> None:
    assert classify_base("mine", BaseRecord(targets={"x86": "allnoconfig"})) is BaseKind.EXTREME
    assert classify_base("mine", BaseRecord(targets={"x86": "randconfig"}, seed=4)) is BaseKind.RANDOM
    assert classify_base("randconfig", BaseRecord(targets={"x86": "defconfig"})) is BaseKind.DEFAULT
    assert classify_base("mine", BaseRecord(config_sha256="0" * 64)) is BaseKind.DEFAULT


def test_the_nearest_of_several_bases_counts() -> None:
    cells = [
        a_cell(symbols={}, base=base, state=State.FAIL, diagnostics=[GCC_ERROR])
        for base in ("randconfig", "defconfig")
    ]
    assert texts(a_run(cells, [GCC_ERROR])) == ["defconfig, whatever the symbols"]


def test_errors_come_first_then_what_is_near_then_what_has_the_first_id() -> None:
    said = [
        GCC_ERROR.model_copy(update={"message": f"'{name}' is wrong", "symbols": (name,), "line": line})
        for line, name in enumerate(("far", "mid", "near"), 1)
    ]
    far, mid, near = said
    failing = (
        ("arm64", "y", "randconfig", far),
        ("powerpc", "y", "defconfig", mid),
        ("x86", "y", "defconfig", near),
        ("x86", "n", "defconfig", near),
    )
    cells = [
        a_cell("arm64", symbols={"A": "n"}, base="randconfig"),
        a_cell("powerpc", symbols={"A": "n"}),
        *(
            a_cell(arch, symbols={"A": value}, base=base, state=State.FAIL, diagnostics=[one])
            for arch, value, base, one in failing
        ),
        a_cell("s390", symbols={"A": "y"}, state=State.WARN, diagnostics=[WARNING]),
    ]
    ranked = rank_findings(StoredRun(a_run(cells, [*said, WARNING]), NOWHERE), HTML)
    named = [next((w for w in ("far", "mid", "near") if w in each.view.title), "x") for each in ranked]
    assert named == ["near", "mid", "far", "x"]
    assert [each.nearness.is_far for each in ranked] == [False, False, True, False]
