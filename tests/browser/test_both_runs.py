"""Two runs side by side in Chromium: in the page of a run that has a baseline, and in that of a verdict."""

from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import (
    ADDED,
    BEFORE,
    BROKEN,
    FAILING,
    GONE,
    HOSTILE,
    PASSING,
    STOPPED,
    UNTOUCHED,
    OpenReader,
    Reader,
    find_violations,
)

STORY = "#story"
CHANGED = FAILING.replace("gcc-14", "clang-19")


@pytest.fixture(params=["baseline_file", "verdict_file"])
def file(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def reader(open_file: OpenReader, file: Path) -> Reader:
    return open_file(file)


def sign(page: Page, name: str) -> Locator:
    return page.locator(f".grid a[title^='{name}:']")


def rows(page: Page) -> Locator:
    return page.locator("#cell-list tbody tr:not(.spacer)")


@pytest.mark.parametrize(
    ("name", "signs", "words"),
    [
        (FAILING, "F→.", "fixed: fail -> pass"),
        (BROKEN, ".→F", "broken: pass -> fail"),
        (CHANGED, "F≠F", "changed: fail -> fail"),
        (STOPPED, "T?T", "unknown: timeout -> timeout: timeout before"),
        (GONE, ".→", "unknown: pass -> not planned"),
        (ADDED, "→.", "unknown: not planned -> pass"),
        (UNTOUCHED, ".", "pass"),
    ],
)
@pytest.mark.parametrize("script", [True, False])
def test_the_grid_tells_by_shape_and_in_words_what_changed(
    open_file: OpenReader, file: Path, name: str, signs: str, words: str, script: bool
) -> None:
    page = open_file(file, script=script).open()
    shown = page.locator(f".grid td > [title^='{name}:']")
    expect(shown).to_have_text(signs)
    expect(shown).to_have_attribute("title", f"{name}: {words}")
    if script:
        expect(sign(page, name)).to_have_accessible_name(f"{name}: {words}")


def test_states_stand_beside_each_other_without_javascript(open_file: OpenReader, file: Path) -> None:
    page = open_file(file, script=False).open()
    table = page.locator("table.both").first
    expect(table.locator("thead th").nth(1)).to_have_text(f"Before: {BEFORE}")
    expect(table.locator("tbody tr").filter(has_text="fail")).to_have_text("F fail22")


def test_findings_stand_beside_each_other_without_javascript(
    open_file: OpenReader, baseline_file: Path
) -> None:
    page = open_file(baseline_file, script=False).open()
    found = page.locator("tr[data-finding]")
    expect(found).to_have_count(3)
    expect(found.first).to_contain_text("new")
    expect(found.first.locator("td").nth(1)).to_have_text("not there")
    expect(found.first.locator("td").nth(2)).to_contain_text("F1: 2 cells")
    expect(page.locator("#before-F1 td").nth(1)).to_contain_text("KVM=y, MODULES=n, VFIO=n on powerpc")


def test_a_cell_is_told_as_both_runs_have_it(reader: Reader) -> None:
    page = reader.open()
    sign(page, FAILING).click()
    told = page.locator(f"{STORY} article")
    expect(page.locator(f"{STORY} > h2")).to_have_text(FAILING)
    expect(page.locator(STORY)).to_contain_text("fixed: fail -> pass")
    expect(told.locator("h3")).to_have_text([f"Before: {BEFORE}", "After: 20250601-120000-kvm-vfio"])
    expect(told.first).to_contain_text("weak declaration")
    expect(told.last).not_to_contain_text("weak declaration")
    one, other = (told.nth(n).bounding_box() for n in (0, 1))
    assert one
    assert other
    assert (one["y"], one["x"] + one["width"] <= other["x"]) == (other["y"], True)


def test_the_links_of_both_lead_to_files_that_are_there(reader: Reader) -> None:
    page = reader.open(f"#?cell={quote(FAILING)}")
    for number, directory in enumerate(("before", "after")):
        for name in ("log", "config"):
            link = page.locator(f"{STORY} article").nth(number).get_by_role("link", name=name, exact=True)
            path = Path(str(link.evaluate("link => decodeURIComponent(new URL(link.href).pathname)")))
            assert path.is_file()
            assert directory in path.parts


def test_the_log_of_the_run_before_is_told_too(reader: Reader) -> None:
    page = reader.open(f"#?cell={quote(FAILING)}")
    log = page.locator(f"{STORY} article").first.locator(".log-of-cell")
    log.locator("summary").click()
    expect(log.locator("mark")).to_contain_text(HOSTILE)
    expect(page.locator("img")).to_have_count(0)


@pytest.mark.parametrize(("name", "number"), [(GONE, 1), (ADDED, 0)])
def test_a_cell_of_one_plan_says_so(reader: Reader, name: str, number: int) -> None:
    page = reader.open()
    sign(page, name).click()
    told = page.locator(f"{STORY} article")
    expect(told.nth(number)).to_contain_text("Its plan has no such cell.")
    expect(told.nth(1 - number)).to_contain_text("built; no diagnostics")


def test_two_cells_can_still_be_held_side_by_side(reader: Reader) -> None:
    page = reader.open(f"#?cell={quote(FAILING)}&beside={quote(PASSING)}")
    expect(page.locator(f"{STORY} article h2")).to_have_text([FAILING, PASSING])
    page.get_by_role("button", name="Leave the second cell").click()
    expect(page.locator(f"{STORY} article h3")).to_have_count(2)


def test_cells_are_filtered_by_what_became_of_them(reader: Reader) -> None:
    page = reader.open()
    expect(page.locator("#cell-count")).to_have_text("145 cells")
    for name, cell in (("fixed", FAILING), ("broken", BROKEN), ("changed", CHANGED)):
        page.locator("select[name=change]").select_option(name)
        assert f"change={name}" in page.url
        expect(rows(page)).to_have_count(1)
        expect(rows(page)).to_contain_text(cell)
        expect(rows(page)).to_contain_text(name)
    page.locator("select[name=change]").select_option("unknown")
    expect(rows(page)).to_have_count(3)
    page.get_by_label("Text").fill("not planned ->")
    expect(rows(page)).to_contain_text(ADDED)


@pytest.mark.parametrize(("finding", "lit"), [("before-F1", [CHANGED, FAILING]), ("F1", [BROKEN, CHANGED])])
def test_a_finding_of_either_run_lights_its_cells(reader: Reader, finding: str, lit: list[str]) -> None:
    page = reader.open()
    page.get_by_role("button", name=f"See the cells of {finding} in the grid").click()
    expect(page.locator(".grid a.lit")).to_have_count(len(lit))
    for name in lit:
        expect(sign(page, name)).to_have_class("lit")
    assert f"finding={finding}" in page.url
    expect(page.locator(".grid a:focus")).to_have_count(1)


def test_by_keyboard_alone(reader: Reader) -> None:
    page = reader.open()
    page.get_by_role("button", name="See the cells of before-F1 in the grid").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator(f"{STORY} article h3")).to_have_count(2)
    assert page.evaluate("document.activeElement.id") == "story"
    page.keyboard.press("Escape")
    expect(page.locator(STORY)).to_be_hidden()
    expect(page.locator(".grid a:focus")).to_have_count(1)


@pytest.mark.parametrize(
    ("scheme", "width", "fragment"),
    [
        ("light", 1440, ""),
        ("dark", 420, ""),
        ("dark", 1440, f"#?finding=before-F1&cell={quote(FAILING)}"),
        ("light", 420, f"#?change=unknown&cell={quote(GONE)}"),
    ],
)
def test_axe_finds_nothing(
    open_file: OpenReader, file: Path, scheme: Literal["light", "dark"], width: int, fragment: str
) -> None:
    page = open_file(file, scheme=scheme, width=width).open(fragment)
    page.evaluate("for (const place of document.querySelectorAll('details')) place.open = true")
    assert find_violations(page) == []


def test_a_narrow_window_needs_no_scrolling_sideways(open_file: OpenReader, file: Path) -> None:
    page = open_file(file, width=360).open(f"#?cell={quote(FAILING)}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator(STORY).evaluate("place => place.scrollWidth <= place.clientWidth")
