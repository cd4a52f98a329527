"""What was prepared for a configuration before is put back, and what is compiled is as after any prepare."""

from pathlib import Path

import pytest

from matrix.memory.prepared import PreparedMemory
from tests.fakes.kbuild import AUTO_CONF, BOUNDS, TreeKernel, _Make
from tests.fakes.sequences import FAKE, Ask, Edit, Kmatrix
from tests.unit.commands.run_desk import states

MAIN, BOUND, TABLE, HEADER = (
    "drivers/vfio/vfio_main.c",
    "kernel/bounds.c",
    "drivers/vfio/table.tbl",
    "include/linux/kvm.h",
)
OTHER, WARNS, BY_NET, WITHOUT_NET = 1, 2, 6, 14
"""Variants of a source; of the last two, NET decides what they say, and whether they say an error."""
VFIO = "drivers/vfio/"
FLIPS = Ask((("MODULES", ("y",)), ("NET", ("y", "n")), ("VFIO", ("y",))), fixed=(("GROUP", "y"),))


class Story:
    """Runs of two configurations in one lane, with edits between them."""

    def __init__(self, place: Path) -> None:
        self.kmatrix = Kmatrix(place, FAKE)
        self.kmatrix.ask = FLIPS
        assert isinstance(self.kmatrix.machine, TreeKernel)
        self.machine = self.kmatrix.machine

    def edit(self, file: str, variant: int) -> None:
        self.kmatrix.edit(Edit(file, variant))

    def run(self) -> list[str]:
        """Run; what make was asked for, make by make."""
        self.machine.jobs.clear()
        self.stored = self.kmatrix.run(())
        assert self.machine.stale == [], "make let stand what it had to compile"
        return [" ".join(job.targets) for job in self.machine.jobs if not job.configures]

    def has_asked_conf(self) -> list[bool]:
        """Cell by cell, whether make ran conf in the last run."""
        logs = ((self.stored.directory / str(cell.log)).read_text() for cell in self.stored.run.cells)
        return [AUTO_CONF in log for log in logs]

    @property
    def build(self) -> Path:
        (path,) = self.kmatrix.place.glob("cache/lanes/*/build")
        return path


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path / "kmatrix")


@pytest.mark.parametrize("bound", [0, BY_NET])
def test_one_make_is_enough_where_all_that_is_prepared_is_known(story: Story, bound: int) -> None:
    story.edit(BOUND, bound)
    assert story.run() == [VFIO, "prepare", VFIO]
    assert story.has_asked_conf() == [True, True]
    for variant in (OTHER, WARNS):
        story.edit(MAIN, variant)
        assert story.run() == [VFIO, VFIO]
        assert story.has_asked_conf() == [False, False]
    assert states(story.stored.run) == ["warn", "warn"]


def test_a_patched_tree_takes_what_was_prepared_for_its_base(story: Story) -> None:
    story.run()
    story.machine.jobs.clear()
    story.stored = story.kmatrix.run([Edit(MAIN, WARNS)])
    assert states(story.stored.run) == ["warn", "warn"]
    assert story.has_asked_conf() == [False, False]


@pytest.mark.parametrize("variant", [OTHER, BY_NET])
def test_a_source_of_a_prepared_header_has_the_headers_prepared(story: Story, variant: int) -> None:
    """What conf wrote still holds."""
    story.run()
    story.edit(BOUND, variant)
    assert story.run() == ["prepare", VFIO] * 2
    assert story.has_asked_conf() == [False, False]
    story.edit(MAIN, OTHER)
    assert story.run() == [VFIO, VFIO]


@pytest.mark.parametrize("file", ["Kconfig", "Makefile"])
def test_what_reaches_everything_has_all_prepared(story: Story, file: str) -> None:
    story.run()
    story.edit(file, OTHER)
    story.edit(MAIN, OTHER)
    assert story.run() == ["prepare", VFIO] * 2
    assert story.has_asked_conf() == [True, True]


def test_what_no_list_describes_is_made_anew_where_a_symbol_has_another_value(story: Story) -> None:
    """The object of a generated source is never on record: only the marks of conf's tell make of it."""
    story.edit(TABLE, BY_NET)
    story.run()
    story.edit(MAIN, OTHER)
    assert story.run() == [VFIO, VFIO]


def test_of_a_cell_that_failed_conf_is_not_asked_again(story: Story) -> None:
    story.edit(MAIN, WITHOUT_NET)
    story.run()
    assert states(story.stored.run) == ["pass", "fail"]
    story.edit(HEADER, OTHER)
    assert "prepare" in story.run()
    assert states(story.stored.run) == ["pass", "fail"]
    assert story.has_asked_conf() == [False, False]


def test_a_header_that_is_on_record_with_a_wrong_content_costs_a_compilation(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    story.edit(BOUND, BY_NET)
    story.run()
    load = PreparedMemory.load
    wrong = {BOUNDS: b"#define BOUND of another\n"}
    monkeypatch.setattr(PreparedMemory, "load", lambda *given: {**(load(*given) or {}), **wrong})
    story.edit(MAIN, OTHER)
    assert VFIO in story.run()
    assert states(story.stored.run) == ["pass", "pass"]


@pytest.mark.parametrize(
    "words", ["Kconfig:1: warning: a default that is no good", "cc1: warning: an option"]
)
def test_what_conf_has_to_print_each_time_keeps_it_at_work(
    story: Story, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    synchronize = _Make._sync_config

    def warn(make: _Make) -> None:
        if make._is_older(AUTO_CONF, [".config"]):
            make.say(words)
        synchronize(make)

    monkeypatch.setattr(_Make, "_sync_config", warn)
    for variant in (0, OTHER, 3):
        story.edit(MAIN, variant)
        story.run()
        assert states(story.stored.run) == ["warn", "warn"]


def test_a_kernel_that_marks_symbols_elsewhere_is_left_to_conf(story: Story) -> None:
    story.run()
    for path in (story.build / "include/config").iterdir():
        if path.name.isupper():
            path.unlink()
    story.edit(MAIN, OTHER)
    assert story.run()[0] == "prepare"


@pytest.mark.parametrize("kind", ["link", "folder", "garbage"])
def test_what_no_conf_writes_is_left_to_make(story: Story, kind: str, tmp_path: Path) -> None:
    story.run()
    path, elsewhere = story.build / "include/generated/autoconf.h", tmp_path / "elsewhere"
    elsewhere.write_text("mine\n")
    path.unlink()
    if kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "folder":
        path.mkdir()
    else:
        (story.build / AUTO_CONF).write_text("no line of a .config\n")
    story.machine.before = lambda job: None if job.configures else 0
    story.edit(MAIN, OTHER)
    story.machine.jobs.clear()
    story.kmatrix.run(())
    assert elsewhere.read_text() == "mine\n"
    assert (story.machine.jobs[0].targets == ("prepare",)) == (kind != "link"), "a link is replaced"
