"""The pages of a verdict and of a history in Chromium."""

from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import expect

from matrix.verdict.run_history import RunHistory
from reports import NO_OPTIONS, find_format
from reports.history_view import HistoryView, render_history_html
from tests.browser.conftest import OpenReader, find_violations
from tests.fakes.verdicts import header_fix


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("verdict") / "verdict.html"
    made.write_text(find_format("html").render_verdict(*header_fix().given, NO_OPTIONS))
    return made


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 420)])
def test_axe_finds_nothing_in_a_verdict(
    open_file: OpenReader, file: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    page = open_file(file, scheme=scheme, width=width).open()
    page.evaluate("for (const place of document.querySelectorAll('details')) place.open = true")
    assert find_violations(page) == []


def test_axe_finds_nothing_in_a_history(open_file: OpenReader, tmp_path: Path) -> None:
    sides = header_fix()
    made = tmp_path / "history.html"
    made.write_text(render_history_html(HistoryView(RunHistory.of_runs((sides.before, sides.after)))))
    page = open_file(made, width=420).open()
    expect(page.locator("#findings + .wide tbody tr")).to_have_count(1)
    assert find_violations(page) == []


def test_before_and_after_stand_side_by_side(open_file: OpenReader, file: Path) -> None:
    page = open_file(file).open()
    expect(page.locator(".patch")).to_be_in_viewport()
    turned = page.locator(".grid a", has_text="→")
    expect(turned).to_have_text(["F→.", "F→."])
    expect(page.locator(".grid a:not(:has(.turn))")).to_have_count(142)
    page = open_file(file, script=False).open()
    expect(page.locator(".grid a", has_text="→")).to_have_text(["F→.", "F→."])
    expect(page.locator(".grid td span[title]")).to_have_count(142)
