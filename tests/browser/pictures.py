"""The pictures of README and docs, made anew: ``.venv/bin/python -m tests.browser.pictures docs``."""

import sys
import tempfile
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from playwright.sync_api import Browser, sync_playwright

from matrix.verdict.baseline import compare_with_baseline
from reports import NO_OPTIONS, ReportOptions, find_format
from tests.browser.conftest import CHROMIUM, FAILING, PASSING, keep, story, write_both_runs, write_page
from tests.fakes.verdicts import header_fix

_CELL = f"cell={quote(FAILING)}"
_VIEWS: dict[str, tuple[Literal["light", "dark"], str]] = {
    "report-light": ("light", ""),
    "report-dark": ("dark", ""),
    "report-finding": ("light", "#?finding=F1"),
    "report-cell": ("dark", f"#?{_CELL}"),
    "report-two-cells": ("light", f"#?{_CELL}&beside={quote(PASSING)}"),
}


def _take(
    browser: Browser, address: str, scheme: Literal["light", "dark"], picture: Path, place: str = ""
) -> None:
    """What one sees of a page that is opened there, with this place in the middle."""
    page = browser.new_page(viewport={"width": 1200, "height": 720}, color_scheme=scheme)
    page.goto(address)
    if "finding=" in address:
        page.get_by_role("button", name="See its cells in the grid").click()
    if place:
        page.locator(place).evaluate("shown => shown.scrollIntoView({ block: 'center' })")
    page.screenshot(path=picture)
    page.close()


def _take_verdict(browser: Browser, place: Path, directory: Path) -> None:
    case = header_fix()
    before, after = keep(case.before.run, place / "before"), keep(case.after.run, place / "after")
    verdict = place / "verdict.html"
    verdict.write_text(find_format("html").render_verdict(case.verdict, before, after, NO_OPTIONS))
    _take(browser, verdict.as_uri(), "light", directory / "report-verdict.png")


def _take_both_runs(browser: Browser, place: Path, directory: Path) -> None:
    """A run's page with its baseline: both runs, and a cell as both have it."""
    before, after = write_both_runs(place)
    page = write_page(after, ReportOptions(regression=compare_with_baseline(before, after))).as_uri()
    _take(browser, page, "light", directory / "report-both-runs.png", "#grid")
    _take(browser, f"{page}#?{_CELL}", "dark", directory / "report-both-cell.png")


def make_pictures(directory: Path) -> None:
    """A picture for each view of a run's page, and one of a verdict's."""
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        run = write_page(keep(story(), Path(place)))
        for name, (scheme, fragment) in _VIEWS.items():
            _take(browser, run.as_uri() + fragment, scheme, directory / f"{name}.png")
        _take(browser, run.as_uri(), "light", directory / "report-lanes.png", ".lanes")
        _take_verdict(browser, Path(place) / "verdict", directory)
        _take_both_runs(browser, Path(place), directory)
        browser.close()


if __name__ == "__main__":
    make_pictures(Path(sys.argv[1]))
