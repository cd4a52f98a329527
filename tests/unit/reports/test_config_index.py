"""The lines of .config files that a page's text filter searches."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell
from reports import limits
from reports.config_index import ConfigIndex, encode_numbers, index_configs
from tests.fakes.runs import a_cell, a_run


def decode(text: str) -> set[int]:
    if text.startswith("="):
        packed = int.from_bytes(base64.b64decode(text[1:]), "little")
        return {n for n in range(packed.bit_length()) if packed >> n & 1}
    bounds = [(*map(int, part.split("-")),) for part in text.split()]
    return {n for bound in bounds for n in range(bound[0], bound[-1] + 1)}


def index_of(directory: Path, texts: Mapping[str, str], cells: Iterable[Cell] = ()) -> ConfigIndex:
    """The index of a run of one cell for each text, in the lane that the text is given for."""
    (directory / "configs").mkdir()
    rows = list(cells)
    for number, (name, text) in enumerate(texts.items()):
        arch = name.partition(" ")[0]
        digest = hashlib.sha256(text.encode()).hexdigest()
        (directory / "configs" / digest).write_text(text)
        rows.append(a_cell(arch, symbols={"A": str(number)}, config_sha256=digest))
    digests = dict.fromkeys(cell.config_sha256 for cell in rows if cell.config_sha256)
    numbers = {digest: number for number, digest in enumerate(digests)}
    return index_configs(StoredRun(a_run(rows), directory), numbers)


def found(index: ConfigIndex) -> dict[str, set[int]]:
    """Each line with the configurations that have it."""
    return {line: decode(numbers) for lines, numbers in index.groups for line in lines}


@pytest.mark.parametrize("numbers", [{0}, {0, 1, 2}, {7}, set(range(0, 3000, 3)), {0, 9999}])
def test_numbers_are_written_in_the_shorter_way(numbers: set[int]) -> None:
    text = encode_numbers(sum(1 << number for number in numbers))
    assert decode(text) == numbers
    assert len(text) < 520


def test_each_line_has_the_configurations_in_which_it_stands(tmp_path: Path) -> None:
    index = index_of(
        tmp_path,
        {
            "x86 1": "#\n# Linux/x86 6.12\n#\nCONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n",
            "x86 2": "CONFIG_A=y\n# CONFIG_B is not set\n# CONFIG_C is not set\n",
            "arm64 1": 'CONFIG_A=y\nCONFIG_D="a b"\n',
        },
    )
    assert found(index) == {"A=y": {0, 1, 2}, "B=m": {0}, "B": {1}, "C": {0, 1}, 'D="a b"': {2}}
    assert (index.hidden_count, index.unread_count) == (0, 0)


def test_lines_that_come_together_stand_together(tmp_path: Path) -> None:
    index = index_of(tmp_path, {"x86 1": "CONFIG_P=y\nCONFIG_Q=y\n", "x86 2": "CONFIG_R=y\n"})
    assert sorted(lines for lines, _ in index.groups) == [("P=y", "Q=y"), ("R=y",)]


def test_what_is_missing_or_damaged_is_counted(tmp_path: Path) -> None:
    missing = a_cell("s390")
    index = index_of(tmp_path, {"x86": "CONFIG_A=y\n"}, [missing])
    assert found(index) == {"A=y": {1}}
    assert index.unread_count == 1


def test_one_that_is_unlike_its_lane_is_counted_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTML_INDEXED_DIFFERENCES", 3)
    texts = {f"x86 {n}": "".join(f"CONFIG_{n}_{line}=y\n" for line in range(9)) for n in range(3)}
    index = index_of(tmp_path, texts | {"x86 near": texts["x86 0"] + "CONFIG_NEAR=y\n"})
    assert index.unread_count == 2
    assert found(index)["NEAR=y"] == {3}
    assert found(index)["0_0=y"] == {0, 3}


def test_what_has_no_room_is_counted_and_what_was_asked_for_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTML_INDEX_BYTES", 30)
    common = "".join(f"CONFIG_LONG_NAME_{number}=y\n" for number in range(10))
    index = index_of(
        tmp_path, {"x86 1": f"{common}CONFIG_A=y\n", "x86 2": f"{common}# CONFIG_A is not set\n"}
    )
    assert found(index) == {"A=y": {0}, "A": {1}}
    assert index.hidden_count == 10


def test_cells_of_one_configuration_share_its_number(tmp_path: Path) -> None:
    text = "CONFIG_A=y\n"
    index = index_of(tmp_path, {"x86 1": text, "arm64 2": text})
    assert found(index) == {"A=y": {0}}
    assert index.unread_count == 0
