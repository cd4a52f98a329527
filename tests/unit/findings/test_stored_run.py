"""A stored run's findings: derived from what it kept, found by name, written beside the record."""

from pathlib import Path

import pytest

from matrix.errors import RequestError
from matrix.findings.finding import Findings
from matrix.findings.stored_run import FINDINGS_FILE, StoredRun, filter_cells_by_toolchain
from matrix.record.states import State
from tests.fakes.runs import a_run, the_story


@pytest.fixture
def stored(tmp_path: Path) -> StoredRun:
    return StoredRun(the_story(), tmp_path)


def test_findings_are_derived_once_and_written_as_they_are(stored: StoredRun) -> None:
    assert stored.findings is stored.findings
    stored.write_findings()
    written = Findings.model_validate_json((stored.directory / FINDINGS_FILE).read_text())
    assert written == stored.findings


def test_a_finding_is_found_by_its_id_and_by_each_of_its_keys(stored: StoredRun) -> None:
    (finding,) = stored.findings.findings
    for name in ("F1", "f1", *finding.keys):
        assert stored.find_finding(name) == finding
    assert stored.select_finding("") == finding
    with pytest.raises(RequestError, match=r"no finding 'F2' \(it has F1\)"):
        stored.find_finding("F2")


def test_without_any_finding_every_name_is_refused() -> None:
    with pytest.raises(RequestError, match=r"\(it has none\)"):
        StoredRun(a_run(), Path()).select_finding("")


def test_cells_of_a_finding_are_the_failing_ones_first(stored: StoredRun) -> None:
    (finding,) = stored.findings.findings
    cells = stored.list_affected_cells(finding)
    assert {cell.id for cell in cells} == set(finding.cells)
    assert [cell.state for cell in cells] == [State.FAIL, State.FAIL]
    assert [cell.toolchain for cell in filter_cells_by_toolchain(finding, cells, "clang-19")] == ["clang-19"]
    with pytest.raises(RequestError, match="was not seen with gcc-13"):
        filter_cells_by_toolchain(finding, cells, "gcc-13")
