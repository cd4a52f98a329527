"""Pages of runs in a real Chromium, as a reader opens them from disk. Debian has it as a package."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell, DiagnosticRef, Run
from matrix.record.states import State
from matrix.verdict.baseline import compare_with_baseline
from matrix.verdict.comparison import compare_runs
from reports import NO_OPTIONS, ReportOptions, find_format
from tests.fakes.runs import GCC_ERROR, WARNING, a_cell, the_story

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FAILING = "powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n"
PASSING = "powerpc/gcc-14/defconfig/KVM=n,MODULES=n,VFIO=n"
STOPPED = "s390/gcc-14/defconfig/KVM=y,MODULES=y,VFIO=y"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine: on Debian, apt-get install chromium")
    # Its sandbox wants a user of its own, which root is not.
    words = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=words)
        yield started
        started.close()


def story() -> Run:
    """The story, with warnings of one lane and a cell that ran out of time, two lanes built at a time."""
    run = the_story()
    lanes: dict[tuple[str, str], int] = {}
    busy = [20.0, 20.0]
    warned = (DiagnosticRef(key=WARNING.key, object="drivers/vfio/group.o", stage="focus"),)

    def take_time(cell: Cell) -> Cell:
        if not cell.stages:
            return cell
        lane = lanes.setdefault((cell.arch, cell.toolchain), len(lanes))
        began = busy[lane % 2]
        busy[lane % 2] += 12 + 7 * len(cell.id) * lane % 20
        return cell.model_copy(update={"at_work": (began, busy[lane % 2])})

    def change(cell: Cell) -> Cell:
        if cell.id == STOPPED:
            return cell.model_copy(update={"state": State.TIMEOUT})
        if (cell.arch, cell.toolchain, cell.state) == ("s390", "clang-19", State.PASS):
            return cell.model_copy(update={"state": State.WARN, "diagnostics": warned})
        return cell

    known = {**run.diagnostics, WARNING.key: WARNING}
    return run.model_copy(
        update={"cells": tuple(map(take_time, map(change, run.cells))), "diagnostics": known}
    )


def keep(run: Run, directory: Path) -> StoredRun:
    """The run with the files that a reader's story of a cell is made of."""
    kept = []
    for cell in run.cells:
        if cell.log:
            log = directory / cell.log
            log.parent.mkdir(parents=True, exist_ok=True)
            said = f"{GCC_ERROR.message}: error {HOSTILE}\n" if cell.state is State.FAIL else "quiet\n"
            log.write_text("  CC      lib/x.o\n" * 150 + said + "  CC      lib/y.o\n" * 150)
        config = "".join(f"CONFIG_{name}={value}\n" for name, value in cell.request.items()).encode()
        digest = hashlib.sha256(config).hexdigest() if cell.config_sha256 else None
        if digest:
            (directory / "configs").mkdir(exist_ok=True)
            (directory / "configs" / digest).write_bytes(config)
        kept.append(cell.model_copy(update={"config_sha256": digest}))
    return StoredRun(run.model_copy(update={"cells": tuple(kept)}), directory)


class Reader:
    """A page that is open, and what it did that no page of kmatrix may do."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self.file = file
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))

    def open(self, fragment: str = "") -> Page:
        self.page.goto("about:blank")
        self.page.goto(f"{self.file.as_uri()}{fragment}")
        return self.page

    def check(self) -> None:
        """Nothing was complained of, and nothing was asked for but the page itself."""
        assert self.complaints == []
        assert {url.partition("#")[0] for url in self.requests} <= {self.file.as_uri(), "about:blank"}


OpenReader = Callable[..., Reader]


@pytest.fixture
def open_file(browser: Browser) -> Iterator[OpenReader]:
    """Opens a file in a window of its own; at the end, none may have done what no page may do."""
    readers = []

    def open_page(
        file: Path, *, scheme: Literal["light", "dark"] = "light", width: int = 1440, script: bool = True
    ) -> Reader:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
        )
        reader = Reader(context.new_page(), file)
        readers.append(reader)
        return reader

    yield open_page
    for reader in readers:
        reader.check()
        reader.page.context.close()


def find_violations(page: Page) -> list[str]:
    """What axe-core has against a page: each rule, and the first elements that break it."""
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    return [f"{rule['id']}: {[node['html'] for node in rule['nodes'][:3]]}" for rule in found]


def write_page(stored: StoredRun, options: ReportOptions = NO_OPTIONS) -> Path:
    file = stored.directory / "report.html"
    file.write_text(find_format("html").render_run(stored, options))
    return file


def write_verdict_page(before: StoredRun, after: StoredRun) -> Path:
    file = after.directory / "verdict.html"
    verdict = compare_runs(before, after)
    file.write_text(find_format("html").render_verdict(verdict, before, after, NO_OPTIONS))
    return file


@pytest.fixture(scope="session")
def story_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(keep(story(), tmp_path_factory.mktemp("story")))


@pytest.fixture(scope="session")
def single_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(keep(story(), tmp_path_factory.mktemp("single")), ReportOptions(single_file=True))


@pytest.fixture(scope="session")
def hostile_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which every text is one that a browser would obey."""
    odd = GCC_ERROR.model_copy(
        update={
            "message": HOSTILE,
            "file": HOSTILE,
            "tool": HOSTILE,
            "excerpt": (HOSTILE,),
            "notes": (HOSTILE,),
        }
    )
    cells = [
        a_cell(symbols={"A": value}, state=State.FAIL, diagnostics=[odd], reason=HOSTILE)
        for value in ("<b>", "y")
    ]
    run = the_story().model_copy(update={"cells": tuple(cells), "diagnostics": {odd.key: odd}})
    return write_page(keep(run, tmp_path_factory.mktemp("hostile")))


GONE = "x86/gcc-14/defconfig/KVM=n,MODULES=n,VFIO=n"
ADDED = "x86/gcc-14/defconfig/KVM=n,MODULES=n,VFIO=x"
BROKEN = "arm64/gcc-14/defconfig/KVM=y,MODULES=y,VFIO=y"
UNTOUCHED = "arm64/gcc-14/defconfig/KVM=n,MODULES=y,VFIO=y"
OTHER_ERROR = GCC_ERROR.model_copy(
    update={"message": "'kvm_new' undeclared", "symbols": ("kvm_new",), "file": "virt/kvm/new.c", "sites": ()}
)
BEFORE = "20250531-090000-kvm-vfio"


def later_story() -> Run:
    """The story after some work: gcc's failing cell is mended, another fails, one has other findings, and one
    is planned in place of another."""
    run = story()
    refs = {
        error: (DiagnosticRef(key=error.key, object="virt/kvm/new.o", stage="focus"),)
        for error in (OTHER_ERROR, WARNING)
    }
    stages = {state: a_cell(state=state).stages for state in (State.PASS, State.FAIL)}
    updates: dict[str, dict[str, object]] = {
        FAILING: {"state": State.PASS, "diagnostics": (), "stages": stages[State.PASS]},
        FAILING.replace("gcc-14", "clang-19"): {"diagnostics": refs[OTHER_ERROR]},
        BROKEN: {"state": State.FAIL, "diagnostics": refs[OTHER_ERROR], "stages": stages[State.FAIL]},
        GONE: {"id": ADDED, "request": {"KVM": "n", "MODULES": "n", "VFIO": "x"}},
    }
    cells = [cell.model_copy(update=updates.get(cell.id, {})) for cell in run.cells]
    known = {**run.diagnostics, OTHER_ERROR.key: OTHER_ERROR}
    return run.model_copy(update={"cells": tuple(cells), "diagnostics": known})


def write_both_runs(directory: Path) -> tuple[StoredRun, StoredRun]:
    """Both runs, each in its directory with a page of its own."""
    run = story().model_copy(update={"id": BEFORE})
    sides = keep(run, directory / "before"), keep(later_story(), directory / "after")
    for side in sides:
        write_page(side)
    return sides


@pytest.fixture(scope="session")
def baseline_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with its baseline."""
    before, after = write_both_runs(tmp_path_factory.mktemp("baseline"))
    return write_page(after, ReportOptions(regression=compare_with_baseline(before, after)))


@pytest.fixture(scope="session")
def verdict_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a verdict on the same two runs."""
    return write_verdict_page(*write_both_runs(tmp_path_factory.mktemp("verdict")))


@pytest.fixture
def reader(open_file: OpenReader, story_file: Path) -> Reader:
    return open_file(story_file)
