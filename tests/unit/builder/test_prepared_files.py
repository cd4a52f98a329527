"""conf's files of a configuration are put back as conf would write them, and only where it did write them."""

from pathlib import Path

import pytest

from matrix.builder.prepared_files import PreparedFiles
from matrix.kconfig.config import Config
from matrix.memory.layers import Memory
from matrix.memory.prepared import PreparedMemory
from tests.fakes.object_tree import ObjectTree

AUTO_CONF, AUTO_HEADER = "include/config/auto.conf", "include/generated/autoconf.h"
BEFORE = Config({"VFIO": "y", "NET": "m", "OFF": "n", "NAME": '"a \\"b\\""'})
AFTER = Config({"VFIO": "y", "PCI": "y", "NAME": '"c"'})
PLAIN = {
    "before": 'CONFIG_VFIO=y\nCONFIG_NET=m\nCONFIG_NAME=a "b"\n',
    "after": "CONFIG_PCI=y\nCONFIG_VFIO=y\nCONFIG_NAME=c\n",
}
QUOTED = {
    "before": 'CONFIG_VFIO=y\nCONFIG_NET=m\nCONFIG_NAME="a \\"b\\""\n',
    "after": 'CONFIG_PCI=y\nCONFIG_VFIO=y\nCONFIG_NAME="c"\n',
}
SOURCE = "drivers/vfio/vfio.c"


class Lane:
    """A lane's directory, and what is on record of it."""

    def __init__(self, place: Path) -> None:
        self.tree = ObjectTree(place)
        objects = self.tree.open()
        memory = PreparedMemory(Memory(place / "memory", (), "run"), objects.reader.tree, "scope")
        self.files = PreparedFiles(objects.lane, memory)

    def configure(self, auto_conf: str, *, header: str = "#define X\n") -> None:
        """Leave what conf leaves."""
        self.tree.write(AUTO_CONF, f"# a comment\n{auto_conf}")
        self.tree.write(AUTO_HEADER, header)

    def list_marks(self) -> set[str]:
        """The marks that are there, which are removed."""
        marks = [path for path in (self.tree.build / "include/config").iterdir() if path.name.isupper()]
        for path in marks:
            path.unlink()
        return {path.name for path in marks}


@pytest.fixture
def lane(tmp_path: Path) -> Lane:
    return Lane(tmp_path)


@pytest.mark.parametrize("texts", [PLAIN, QUOTED])
def test_each_symbol_with_another_value_is_marked(lane: Lane, texts: dict[str, str]) -> None:
    lane.configure(texts["after"], header="#define AFTER\n")
    lane.files.keep("after", AFTER, {SOURCE})
    lane.configure(texts["before"])
    lane.tree.write("include/config/VFIO", "")
    assert lane.files.put_back("after")
    assert lane.list_marks() == {"VFIO", "NET", "PCI", "NAME"}, "of VFIO it is the earlier one"
    assert (lane.tree.build / AUTO_CONF).read_text() == f"# a comment\n{texts['after']}"
    assert (lane.tree.build / AUTO_HEADER).read_text() == "#define AFTER\n"


def test_the_file_that_make_looks_at_is_the_last(lane: Lane) -> None:
    lane.configure(PLAIN["after"])
    lane.files.keep("after", AFTER, {SOURCE})
    lane.configure(PLAIN["before"])
    lane.tree.write("include/config/VFIO", "")
    lane.files.put_back("after")
    times = [
        (lane.tree.build / name).stat().st_mtime_ns for name in ("include/config/PCI", AUTO_HEADER, AUTO_CONF)
    ]
    assert times == sorted(times)


WRONG = {
    "another value": PLAIN["after"].replace("VFIO=y", "VFIO=m"),
    "a symbol more": f"{PLAIN['after']}CONFIG_NET=y\n",
    "a symbol less": PLAIN["after"].replace("CONFIG_VFIO=y\n", ""),
    "no file": "",
    "garbage": 'CONFIG_NAME="\n\0',
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_what_conf_cannot_have_written_for_a_configuration_is_not_kept(lane: Lane, text: str) -> None:
    lane.configure(text)
    lane.files.keep("after", AFTER, {SOURCE})
    lane.configure(PLAIN["before"])
    lane.tree.write("include/config/VFIO", "")
    assert not lane.files.put_back("after")
    assert lane.list_marks() == {"VFIO"}


HEADERS = {
    "one more": {"include/generated/more.h": "more\n"},
    "another one that make does not compare": {"include/generated/offsets.h": "other\n"},
}


@pytest.mark.parametrize("files", HEADERS.values(), ids=HEADERS)
def test_headers_that_are_not_compared_at_each_make_are_not_written(
    lane: Lane, files: dict[str, str]
) -> None:
    lane.configure(PLAIN["after"])
    lane.files.keep("after", AFTER, {SOURCE})
    lane.configure(PLAIN["before"])
    lane.tree.write("include/config/VFIO", "")
    for name, text in files.items():
        lane.tree.write(name, text)
    assert not lane.files.put_back("after"), "the headers are to be prepared"
    assert {name: (lane.tree.build / name).read_text() for name in files} == files
    assert lane.list_marks() == {"VFIO", "NET", "PCI", "NAME"}, "conf need not be asked"


def test_headers_that_follow_from_unknown_sources_are_to_be_prepared(lane: Lane) -> None:
    lane.configure(PLAIN["after"])
    lane.files.keep("after", AFTER, None)
    lane.tree.write("include/config/VFIO", "")
    assert not lane.files.put_back("after")
    lane.files.keep("after", AFTER, {SOURCE})
    assert lane.files.put_back("after")


def test_damaged_contents_are_kept_anew(lane: Lane) -> None:
    lane.configure(PLAIN["after"])
    lane.files.keep("after", AFTER, {SOURCE})
    lane.tree.write("include/config/VFIO", "")
    for path in (lane.tree.place / "memory").rglob("contents/??/*"):
        path.write_bytes(b"")
    lane = Lane(lane.tree.place)
    assert not lane.files.put_back("after")
    lane.files.keep("after", AFTER, {SOURCE})
    assert lane.files.put_back("after")
