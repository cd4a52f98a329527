"""A watched branch whose last good run stays behind, or whose patches are edited: what is told and built."""

import re
from pathlib import Path

import pytest

from matrix.commands.watch import Look
from matrix.commands.watch_news import find_news
from matrix.record.run_directory import load_run
from matrix.record.run_model import Cell
from matrix.record.states import State
from tests.unit.commands.run_desk import CELL, ERROR, VFIO, always
from tests.unit.commands.watch_desk import SOURCE, WatchedDesk

CUT = f"{CELL}MODULES=y,VFIO=y"


class CutDesk(WatchedDesk):
    """A desk of two cells, of which a deadline may cut one short."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.asks('MODULES = ["y"]\nVFIO = ["m", "y"]\n')

    def look_at(self, text: str, *, cuts: str = "") -> Look:
        """The look at another commit, of whose run a deadline cut short the cell with this id."""
        self.commit(f"int {text};\n")
        seen = self.look(hands_on=not cuts)
        if cuts:
            self._cut(cuts)
            seen = self.look()
        return seen

    def _cut(self, name: str) -> None:
        file = self.runs()[-1] / "run.json"
        found = load_run(file.parent)
        cells = tuple(_forget(cell) if cell.id == name else cell for cell in found.cells)
        file.write_text(found.model_copy(update={"cells": cells}).model_dump_json(by_alias=True, indent=1))


def _forget(cell: Cell) -> Cell:
    return cell.model_copy(update={"state": State.NOT_RUN, "diagnostics": (), "stages": ()})


def _baseline_of(seen: Look) -> Path | None:
    found = seen.baseline.baseline if seen.baseline else None
    return found.directory if found else None


@pytest.fixture
def desk(tmp_path: Path) -> CutDesk:
    """Its first run has a result of each cell, and is told of."""
    made = CutDesk(tmp_path)
    made.look()
    return made


# --- a last good run that stays behind


def test_what_was_told_is_not_told_again_where_the_last_good_run_stays_behind(desk: CutDesk) -> None:
    desk.says(VFIO, always(ERROR))
    desk.look_at("second", cuts=CUT)
    assert len(desk.subjects()) == 1
    assert desk.subjects()[0].startswith("1 new, 0 fixed")
    third = desk.look_at("third", cuts=CUT)
    assert _baseline_of(third) == desk.runs()[0]
    assert desk.result is not None
    assert desk.result.regression is not None
    assert desk.result.regression.new_findings  # against the last good run it is new all the same
    assert len(desk.subjects()) == 1


def test_what_came_and_went_since_the_last_good_run_is_told_twice(desk: CutDesk) -> None:
    desk.says(VFIO, always(ERROR))
    desk.look_at("second", cuts=CUT)
    desk.says(VFIO, always())
    third = desk.look_at("third", cuts=CUT)
    assert _baseline_of(third) == desk.runs()[0]  # against which nothing is new or fixed
    assert len(desk.subjects()) == 2
    assert desk.subjects()[1].startswith("0 new, 1 fixed")
    desk.look_at("fourth", cuts=CUT)
    assert len(desk.subjects()) == 2


def test_a_cell_is_held_against_the_newest_run_that_has_its_result(desk: CutDesk) -> None:
    desk.says(VFIO, lambda config: [ERROR] if config["VFIO"] == "y" else [])
    desk.look_at("second", cuts=CUT)
    assert desk.subjects() == []
    desk.look_at("third")  # the second has no result of it, the first has
    assert len(desk.subjects()) == 1
    assert desk.subjects()[0].startswith("1 new, 0 fixed")
    desk.look_at("fourth", cuts=CUT)
    desk.look_at("fifth")  # the fourth has no result of it, the third has
    assert len(desk.subjects()) == 1


def test_news_of_two_runs_are_two_mails(desk: CutDesk) -> None:
    desk.look_at("second", cuts=CUT)
    other = ERROR.replace("'x'", "'other'")
    desk.says(VFIO, lambda config: [ERROR] if config["VFIO"] == "y" else [other])
    desk.look_at("third")
    assert len(desk.subjects()) == 2
    assert [_find_run_before(desk, number) for number in (0, 1)] == [
        path.name for path in reversed(desk.runs()[:2])
    ]


def _find_run_before(desk: WatchedDesk, number: int) -> str:
    found = re.search(r"Since (\S+):", str(desk.read_mails()[number].get_payload()))
    return found[1] if found else ""


def test_a_problem_that_two_runs_show_to_be_new_is_told_once(desk: CutDesk) -> None:
    desk.look_at("second", cuts=CUT)
    desk.says(VFIO, always(ERROR))
    desk.look_at("third")
    assert len(desk.subjects()) == 1


def test_what_a_cell_s_first_result_shows_is_told(tmp_path: Path) -> None:
    desk = CutDesk(tmp_path)
    desk.says(VFIO, lambda config: [ERROR] if config["VFIO"] == "y" else [])
    desk.look_at("first", cuts=CUT)
    assert desk.subjects() == []
    desk.look_at("second")
    assert len(desk.subjects()) == 1
    desk.look_at("third")
    assert len(desk.subjects()) == 1


def test_news_against_a_run_of_another_request_are_told(desk: CutDesk) -> None:
    desk.says(VFIO, always(ERROR))
    seen = desk.look_at("second")
    assert seen.stored is not None
    assert desk.result is not None
    request = desk.request()
    assert [*find_news(request, seen.stored, desk.result, desk.place / "nowhere")] == [desk.result.regression]


# --- files that are edited


def _write_patch(desk: WatchedDesk, text: str) -> Path:
    file = desk.place / "fix.patch"
    file.write_text(f"--- a/{SOURCE}\n+++ b/{SOURCE}\n@@ -1 +1 @@\n-int vfio;\n+{text}\n")
    return file


def test_an_edited_patch_is_built_again(tmp_path: Path) -> None:
    desk = WatchedDesk(tmp_path)
    request = desk.request(patch=[str(_write_patch(desk, "int first;"))])
    assert desk.look(request).is_new
    assert desk.look(request) == Look()
    _write_patch(desk, "int second;")
    again = desk.look(request)
    assert again.is_new
    assert f"is built again: since {desk.runs()[0].name}, the patch fix.patch changed" in " ".join(
        desk.notes()
    )
    assert _baseline_of(again) == desk.runs()[0]
    assert desk.look(request) == Look()
    _write_patch(desk, "int first;")
    assert desk.look(request) == Look()  # as it was built
    assert len(desk.runs()) == 2


def test_a_base_that_is_edited_is_built_again(tmp_path: Path) -> None:
    desk = WatchedDesk(tmp_path)
    fragment = tmp_path / "more.config"
    fragment.write_text("CONFIG_MODULES=y\n")
    desk.asks(
        f'[bases.mine]\ntarget = "defconfig"\nfragment = ["{fragment}"]\n[symbols]\nVFIO = ["n", "y"]\n',
        'base = ["mine"]\nfocus = ["drivers/vfio/"]\narch = ["x86"]\ntoolchain = ["gcc-14"]\nlanes = 1\n',
    )
    assert desk.look().is_new
    assert desk.look() == Look()
    fragment.write_text("# CONFIG_MODULES is not set\n")
    assert desk.look().is_new
    assert "the base mine changed" in " ".join(desk.notes())
    assert desk.look() == Look()
