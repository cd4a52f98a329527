"""The page of a run in Chromium: every way to work with it, by mouse, keyboard and address."""

import hashlib
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect

from matrix.findings.stored_run import StoredRun
from matrix.record.states import Evidence
from tests.browser.conftest import (
    FAILING,
    HOSTILE,
    PASSING,
    STOPPED,
    OpenReader,
    Reader,
    find_violations,
    keep,
    write_page,
)
from tests.fakes.runs import the_story

LIT = ".grid a.lit"
STORY = "#story"


def sign(page: Page, name: str) -> Locator:
    return page.locator(f".grid a[title^='{name}:']")


def ids(rows: Locator) -> list[str]:
    return rows.locator("th button").all_inner_texts()


def list_of(page: Page) -> Locator:
    return page.locator("#cell-list tbody tr:not(.spacer)")


def test_the_answer_comes_first(reader: Reader) -> None:
    page = reader.open()
    expect(page.locator("h1")).to_have_text(
        "2 of 98 cells failed, 1 could not be tried, 13 with warnings, 2 findings"
    )
    lines = page.locator(".finding > summary")
    expect(lines).to_have_count(2)
    for words in (
        "F1",
        "weak declaration",
        "powerpc · gcc-14, clang-19 · defconfig",
        "KVM=y, MODULES=n, VFIO=n",
    ):
        expect(lines.first).to_contain_text(words)
    expect(page.locator("#faults")).not_to_have_attribute("open", "")


def test_choosing_a_finding_lights_its_cells(reader: Reader) -> None:
    page = reader.open()
    expect(page.locator(LIT)).to_have_count(0)
    page.locator("#F1 > summary").click()
    expect(page.locator(LIT)).to_have_count(2)
    expect(sign(page, FAILING)).to_have_class("lit")
    expect(page.locator("#status")).to_contain_text("the cells of F1 are lit")
    assert "finding=F1" in page.url
    page.locator("#F2 > summary").click()
    expect(page.locator(LIT)).to_have_count(13)
    page.locator("#F2 > summary").click()
    expect(page.locator(LIT)).to_have_count(0)


def test_a_finding_leads_to_its_cells_in_the_grid(reader: Reader) -> None:
    page = reader.open("#F1")
    page.get_by_role("button", name="See its cells in the grid").click()
    expect(page.locator(".grid a:focus")).to_have_attribute("title", f"{FAILING}: fail, has F1")


def look_of(sign: Locator) -> list[str]:
    """What of it is seen without colours."""
    names = ["outlineStyle", "textDecorationLine", "fontWeight"]
    return [str(sign.evaluate(f"place => getComputedStyle(place).{name}")) for name in names]


def test_what_the_filters_leave_out_is_told_by_shape_and_in_words(reader: Reader) -> None:
    page = reader.open()
    faded, plain = sign(page, PASSING), sign(page, FAILING)
    before = look_of(faded.locator(".sign"))
    page.locator("select[name=state]").select_option("fail")
    assert look_of(faded.locator(".sign")) == ["dotted", "line-through", "400"] != before
    assert look_of(plain.locator(".sign")) == before
    expect(faded).to_have_accessible_name(f"{PASSING}: pass, left out by the filters")
    expect(plain).to_have_accessible_name(f"{FAILING}: fail")
    page.get_by_role("button", name="Show all").click()
    assert look_of(faded.locator(".sign")) == before
    expect(faded).to_have_accessible_name(f"{PASSING}: pass")


def test_a_bar_of_a_lane_tells_what_failed_by_its_height(reader: Reader) -> None:
    page = reader.open()
    heights = {
        state: {bar.get_attribute("height") for bar in page.locator(f".lanes rect.{state}").all()}
        for state in ("fail", "warn", "pass", "timeout")
    }
    assert heights == {"fail": {"12"}, "warn": {"9"}, "pass": {"6"}, "timeout": {"9"}}


def test_choosing_a_cell_opens_its_story(reader: Reader) -> None:
    page = reader.open()
    sign(page, FAILING).click()
    told = page.locator(STORY)
    expect(told.locator("h2")).to_have_text(FAILING)
    for words in (
        "the compiler, linker, modpost",
        "configure",
        "focus",
        "weak declaration",
        "Became",
        "MODULES",
    ):
        expect(told).to_contain_text(words)
    expect(told).to_contain_text("make ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu-")
    expect(told.get_by_role("link", name="log")).to_have_attribute(
        "href", "./cells/powerpc/gcc-14/defconfig/KVM%3Dy%2CMODULES%3Dn%2CVFIO%3Dn/build.log"
    )


def test_the_links_of_a_story_lead_to_the_files_beside_the_page(reader: Reader) -> None:
    page = reader.open(f"#{FAILING}")
    for name in ("log", "config"):
        link = page.locator(STORY).get_by_role("link", name=name, exact=True)
        path = link.evaluate("link => decodeURIComponent(new URL(link.href).pathname)")
        assert Path(path).is_file()


def test_the_log_is_folded_with_the_error_in_view(reader: Reader) -> None:
    page = reader.open(f"#{FAILING}")
    log = page.locator(".log-of-cell")
    expect(log.locator("summary")).to_have_text("The log, lines 139 to 178 of 301, the message in line 151")
    expect(log.locator("pre")).to_have_count(0)
    log.locator("summary").click()
    expect(log.locator("mark")).to_contain_text("weak declaration")
    expect(log.locator("mark")).to_be_in_viewport()


def test_a_single_file_has_the_whole_log(open_file: OpenReader, single_file: Path) -> None:
    page = open_file(single_file).open(f"#{FAILING}")
    log = page.locator(".log-of-cell")
    log.locator("summary").click()
    expect(log.locator("pre > *")).to_have_count(301)
    expect(log.locator("mark")).to_be_in_viewport()


def test_what_differs_from_the_nearest_cell_that_passed(reader: Reader) -> None:
    page = reader.open(f"#{FAILING}")
    differs = page.locator(f"{STORY} details", has_text=".config: 1 symbol differs")
    differs.locator("summary").click()
    expect(differs.locator("tbody tr")).to_have_text(["KVMyn"])
    differs.get_by_role("button").click()
    expect(page.locator(f"{STORY} article h2")).to_have_text([FAILING, PASSING])


def test_two_cells_side_by_side(reader: Reader) -> None:
    page = reader.open(f"#{FAILING}")
    page.get_by_role("button", name="Compare with another cell").click()
    other = FAILING.replace("gcc-14", "clang-19")
    sign(page, other).click()
    expect(page.locator(f"{STORY} article h2")).to_have_text([FAILING, other])
    expect(page.locator(STORY)).to_contain_text("They differ in toolchain.")
    page.get_by_role("button", name="Leave the second cell").click()
    expect(page.locator(f"{STORY} article h2")).to_have_text([FAILING])


def test_commands_are_copied(reader: Reader) -> None:
    reader.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = reader.open(f"#{FAILING}")
    page.get_by_role("button", name="Copy the make line").click()
    expect(page.locator("#status")).to_have_text("Copied.")
    assert "make ARCH=powerpc" in str(page.evaluate("navigator.clipboard.readText()"))


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"arch": "powerpc"}, 36),
        ({"toolchain": "clang-19"}, 72),
        ({"state": "warn"}, 13),
        ({"CONFIG_KVM": "m"}, 48),
        ({"arch": "s390", "state": "pass"}, 12),
    ],
)
def test_filters_leave_what_fits_and_stand_in_the_address(
    reader: Reader, fields: dict[str, str], count: int
) -> None:
    page = reader.open()
    for name, value in fields.items():
        page.locator(f"select[name={name}]").select_option(value)
        assert f"{name}={value}" in page.url
    expect(page.locator("#cell-count")).to_have_text(f"{count} of 144 cells")
    expect(page.locator(".grid td a:not(.off)")).to_have_count(count)
    page.reload()
    expect(page.locator("#cell-count")).to_have_text(f"{count} of 144 cells")
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#cell-count")).to_have_text("144 cells")


def test_the_text_filter_finds_ids_reasons_and_messages(reader: Reader) -> None:
    page = reader.open()
    for text, count in (("weak DECLARATION", 1), ("s390/clang", 18), ("has no m on arm64", 12)):
        page.get_by_label("Text").fill(text)
        expect(page.locator("#cell-count")).to_have_text(f"{count} of 144 cells")
    page.get_by_label("Text").fill("unused variable")
    expect(page.locator("#F2")).to_be_visible()
    expect(page.locator("#F1")).to_be_hidden()


def test_the_text_filter_finds_lines_of_config_files(open_file: OpenReader, tmp_path: Path) -> None:
    kept = keep(the_story(), tmp_path)
    extra = {FAILING: "CONFIG_KVM_VFIO=y\n", PASSING: "# CONFIG_KVM_VFIO is not set\n"}
    cells = []
    for cell in kept.run.cells:
        text = (kept.load_config(cell) if cell.config_sha256 else "") + extra.get(cell.id, "")
        digest = hashlib.sha256(text.encode()).hexdigest()
        (tmp_path / "configs" / digest).write_text(text)
        cells.append(cell.model_copy(update={"config_sha256": digest if cell.config_sha256 else None}))
    file = write_page(StoredRun(kept.run.model_copy(update={"cells": tuple(cells)}), tmp_path))
    page = open_file(file).open()
    expect(page.locator("#filters .note")).to_contain_text("lines of .config files")
    expect(page.locator("#filters .note")).not_to_contain_text("left out")
    found = {
        "config_kvm_vfio=y": [FAILING],
        "CONFIG_KVM_VFIO is not set": [PASSING],
        "kvm_vfio": [PASSING, FAILING],
    }
    for text, names in found.items():
        page.get_by_label("Text").fill(text)
        expect(list_of(page)).to_have_count(len(names))
        assert ids(list_of(page)) == names
    page.get_by_label("Text").fill("CONFIG_KVM=m")  # asked for by cells that have no .config, too
    expect(page.locator("#cell-count")).to_have_text("48 of 144 cells")


def test_the_page_says_what_the_text_filter_does_not_search(open_file: OpenReader, tmp_path: Path) -> None:
    kept = keep(the_story(), tmp_path)
    for file in sorted((tmp_path / "configs").iterdir())[:3]:
        file.unlink()
    page = open_file(write_page(kept)).open()
    expect(page.locator("#filters .note")).to_contain_text("3 files left out")


def test_a_count_is_a_filter(reader: Reader) -> None:
    page = reader.open()
    button = page.get_by_role("button", name="2 fail")
    button.click()
    expect(page.locator("#cell-count")).to_have_text("2 of 144 cells")
    expect(button).to_have_attribute("aria-pressed", "true")
    button.click()
    expect(page.locator("#cell-count")).to_have_text("144 cells")


def test_a_chosen_finding_filters_the_list_of_cells(reader: Reader) -> None:
    page = reader.open("#?finding=F1")
    expect(list_of(page)).to_have_count(2)
    assert ids(list_of(page)) == [FAILING, FAILING.replace("gcc-14", "clang-19")]
    list_of(page).first.get_by_role("button").click()
    expect(page.locator(f"{STORY} h2")).to_have_text(FAILING)


def test_a_link_brings_all_of_it_back_and_the_way_back_leads_back(reader: Reader) -> None:
    page = reader.open()
    page.locator("#F1 > summary").click()
    page.locator("select[name=arch]").select_option("powerpc")
    sign(page, FAILING).click()
    address = page.url
    page.go_back()
    expect(page.locator(STORY)).to_be_hidden()
    page.go_back()
    expect(page.locator("select[name=arch]")).to_have_value("")
    page.goto("about:blank")
    page.goto(address)
    expect(page.locator(f"{STORY} h2")).to_have_text(FAILING)
    expect(page.locator(LIT)).to_have_count(2)
    expect(page.locator("select[name=arch]")).to_have_value("powerpc")


@pytest.mark.parametrize("fragment", ["#?cell=nosuch&finding=F99&arch=vax", "#%E0%A4", "#nothing", "#?%%%"])
def test_an_address_that_names_nothing_shows_the_page(reader: Reader, fragment: str) -> None:
    page = reader.open(fragment)
    expect(page.locator(STORY)).to_be_hidden()
    expect(page.locator(LIT)).to_have_count(0)


def test_by_keyboard_alone(reader: Reader) -> None:
    page = reader.open()
    page.locator("#F1 > summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator(LIT)).to_have_count(2)
    page.get_by_role("button", name="See its cells in the grid").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(f"{STORY} h2")).to_have_text(FAILING.replace("gcc-14", "clang-19"))
    assert page.evaluate("document.activeElement.id") == "story"
    page.keyboard.press("Escape")
    expect(page.locator(STORY)).to_be_hidden()
    expect(page.locator(".grid a:focus")).to_have_count(1)


def test_the_grid_is_one_stop_and_the_arrows_move_in_it(reader: Reader) -> None:
    page = reader.open()
    expect(page.locator(".grid a[tabindex='0']")).to_have_count(1)
    page.locator(".grid a[tabindex='0']").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    expect(page.locator(".grid a:focus")).to_have_attribute(
        "title", "arm64/gcc-14/defconfig/KVM=n,MODULES=n,VFIO=m: unreachable"
    )
    page.keyboard.press("End")
    expect(page.locator(".grid a:focus")).to_have_attribute(
        "title", "x86/clang-19/defconfig/KVM=y,MODULES=y,VFIO=y: pass"
    )


def test_arrows_move_in_the_list_of_cells(reader: Reader) -> None:
    page = reader.open()
    list_of(page).first.get_by_role("button").focus()
    for _ in range(60):
        page.keyboard.press("ArrowDown")
    expect(page.locator("#cell-list button:focus")).to_have_attribute("data-index", "60")
    expect(page.locator("#cell-list button:focus")).to_be_in_viewport()


def test_a_remembered_cell_shows_no_time_of_another_runs_build(open_file: OpenReader, tmp_path: Path) -> None:
    run = the_story()
    remembered = {"evidence": Evidence.REMEMBERED, "evidence_from": f"first-run/{PASSING}"}
    cells = [c.model_copy(update=remembered if c.id == PASSING else {}) for c in run.cells]
    file = write_page(keep(run.model_copy(update={"cells": tuple(cells)}), tmp_path))
    page = open_file(file).open()
    for name, time in {FAILING: "9.4 s", PASSING: ""}.items():
        row = list_of(page).filter(has=page.get_by_role("button", name=name, exact=True))
        expect(row.locator("td.number")).to_have_text(time)


def test_faults_are_apart_and_folded(reader: Reader) -> None:
    page = reader.open()
    faults = page.locator("#faults")
    expect(faults.locator("> summary")).to_have_text("Faults of the machine: 1 cell could not be tried")
    expect(faults.get_by_role("heading", name=STOPPED)).to_be_hidden()
    faults.locator("> summary").click()
    expect(faults.get_by_role("heading", name=STOPPED)).to_be_visible()


def test_hostile_text_stays_text(open_file: OpenReader, hostile_file: Path) -> None:
    page = open_file(hostile_file).open()
    page.locator(".finding > summary").first.click()
    page.locator("#cell-list tbody button").first.click()
    page.locator(".log-of-cell summary").click()
    expect(page.locator(f"{STORY} .log mark")).to_contain_text(HOSTILE)
    expect(page.locator(STORY)).to_contain_text(HOSTILE)
    expect(page.locator("img")).to_have_count(0)
    expect(page.locator("body script")).to_have_count(2)


def test_without_javascript_it_shows_everything(open_file: OpenReader, story_file: Path) -> None:
    page = open_file(story_file, script=False).open()
    expect(page.locator("noscript article, article")).to_have_count(3)
    expect(page.get_by_role("heading", name="All cells")).to_be_visible()
    expect(page.locator("#cells + .wide tbody tr")).to_have_count(144)
    expect(page.locator("#filters")).to_be_hidden()
    page.locator("#F1 > summary").click()
    expect(page.locator("#F1 .message").first).to_be_visible()


@pytest.mark.parametrize(
    ("scheme", "width", "fragment"),
    [
        ("light", 1440, ""),
        ("dark", 420, ""),
        ("dark", 1440, f"#?finding=F1&cell={quote(FAILING)}"),
        ("light", 420, f"#?finding=F2&cell={quote(FAILING)}&beside={quote(PASSING)}"),
    ],
)
def test_axe_finds_nothing(
    open_file: OpenReader, story_file: Path, scheme: Literal["light", "dark"], width: int, fragment: str
) -> None:
    page = open_file(story_file, scheme=scheme, width=width).open(fragment)
    page.evaluate("for (const place of document.querySelectorAll('details')) place.open = true")
    assert find_violations(page) == []


def test_a_narrow_window_needs_no_scrolling_sideways(open_file: OpenReader, story_file: Path) -> None:
    page = open_file(story_file, width=360).open("#?finding=F1")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    parts = page.locator(".finding > summary > span").all()
    edges = [part.evaluate("part => part.getBoundingClientRect().right") for part in parts]
    assert max(edges) <= 360  # what does not fit would be cut off


def test_in_print_all_rows_are_there_and_no_controls(reader: Reader) -> None:
    page = reader.open()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(list_of(page)).to_have_count(144)
    expect(page.locator("#filters")).to_be_hidden()
