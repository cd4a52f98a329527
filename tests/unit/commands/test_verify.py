"""Cells that were not built, built once more alone: any difference is told, and is exit code 70."""

from pathlib import Path

import pytest

from matrix.catalog.types import parse_share
from matrix.commands.settings import resolve_profile
from matrix.commands.verify import choose_verified_cells, verify_run
from matrix.exit_codes import ExitCode
from matrix.record.events import ProgressNote
from matrix.record.run_model import Cell
from matrix.record.states import Evidence
from tests.fakes.runs import a_cell, a_run
from tests.unit.commands.test_run import ERROR, VFIO, WARNING, Desk, always, dying, in_cell

TWO = 'GROUP = ["n", "y"]\nVFIO = ["y"]\n'


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.asks(TWO)
    desk.says(VFIO, always(WARNING))
    return desk


def verify(desk: Desk, share: str = "1.0") -> ExitCode:
    desk.kernel.jobs.clear()
    profile = resolve_profile(desk._settled({"verify": [share]}), {})
    return verify_run(profile, desk.stored, desk._tell, desk.world)


def told(desk: Desk) -> list[str]:
    notes = [event.text for event in desk.events if isinstance(event, ProgressNote)]
    return [text.partition("verify: ")[2] for text in notes if text.startswith("verify: ")]


def test_what_is_remembered_rightly_is_the_same_in_an_empty_directory(desk: Desk) -> None:
    desk.run()
    desk.run()
    lanes = desk.lanes()
    assert verify(desk) is ExitCode.PASSED
    assert told(desk) == []
    assert len({job.host("/build") for job in desk.kernel.ran(configures=False)}) == 2
    assert desk.lanes() == lanes


def test_a_run_that_built_all_has_nothing_to_verify(desk: Desk) -> None:
    desk.run()
    assert verify(desk) is ExitCode.PASSED
    assert desk.kernel.jobs == []


@pytest.mark.parametrize("line", [ERROR, WARNING.replace("unused variable 'x'", "unused variable 'y'")])
def test_another_state_or_diagnostic_is_told_and_exits_with_70(desk: Desk, line: str) -> None:
    """Something that no key has changed under the memory: here, the compiler itself."""
    desk.run()
    desk.run()
    desk.says(VFIO, always(line))
    assert verify(desk) is ExitCode.BUG
    assert any("the diagnostic drivers/vfio/vfio.c:7:5: unused variable 'x'" in text for text in told(desk))
    assert any("the state was warn, and is fail" in text for text in told(desk)) == (line == ERROR)


def test_another_list_of_objects_is_told(desk: Desk) -> None:
    desk.run()
    desk.run()
    del desk.kernel.objects["drivers/vfio/group.o"]
    assert verify(desk) is ExitCode.BUG
    assert [text.partition(": ")[2] for text in told(desk)] == [
        "the object drivers/vfio/group.o was there, and is not"
    ]


def test_what_the_machine_kept_from_being_built_is_no_difference(desk: Desk) -> None:
    desk.run()
    desk.run()
    desk.kernel.before = in_cell("GROUP=n,VFIO=y", dying("the engine hiccups"))
    assert verify(desk) is ExitCode.MACHINE_FAULT


def test_verifying_leaves_what_is_remembered_as_it_was(desk: Desk) -> None:
    first = desk.run()
    desk.run()
    assert verify(desk) is ExitCode.PASSED
    assert {cell.evidence_from for cell in desk.run().cells} == {f"{first.id}/{c.id}" for c in first.cells}


def cells_of(count: int, evidence: Evidence) -> list[Cell]:
    return [a_cell(symbols={"N": str(number)}, evidence=evidence) for number in range(count)]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.001, 1), (0.1, 4), (0.5, 20), (1.0, 40)])
def test_the_share_is_of_those_that_were_not_built(share: float, expected: int) -> None:
    run = a_run([*cells_of(40, Evidence.REMEMBERED), a_cell(symbols={"N": "x"}, evidence=Evidence.BUILT)])
    chosen = choose_verified_cells(run, share)
    assert len(chosen) == expected
    assert all(cell.evidence is Evidence.REMEMBERED for cell in chosen)


def test_another_run_chooses_others() -> None:
    runs = [a_run(cells_of(40, Evidence.REMEMBERED), id=name) for name in ("one", "two")]
    chosen = [[cell.id for cell in choose_verified_cells(run, 0.2)] for run in runs]
    assert chosen[0] != chosen[1]


@pytest.mark.parametrize(("text", "share"), [("0", 0), ("1", 1), ("0.25", 0.25), ("25%", 0.25), ("100%", 1)])
def test_a_share_is_a_part_or_percent(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["", "2", "101%", "-1", "0.1.2", "half", "1e-1", "٠.٥"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected a share such as"):
        parse_share(text)
