"""Where a log's tree and build directory were, what make was asked for, and how it ended."""

import pytest

from matrix.foreign_builds.foreign_log import ForeignLog, read_foreign_log
from tests.fakes.foreign_builds import FAILED, GCC, MADE, ROBOT_MAIL, TUXMAKE


def read(text: str, source: str | None = None) -> ForeignLog:
    return read_foreign_log(text, source)


def read_tuxmake(name: str) -> ForeignLog:
    return read((TUXMAKE / name / "build.log").read_text())


@pytest.mark.parametrize("name", ["1", "verbose/1"])
def test_a_log_of_tuxmake(name: str) -> None:
    log = read_tuxmake(name)
    assert (log.source_root, log.build_root, log.succeeded, log.is_whole) == ("/src", "/build", False, True)
    assert log.make_variables == {"ARCH": "powerpc", "CROSS_COMPILE": "powerpc64le-linux-gnu-"}
    assert log.make_targets == ("arch/powerpc/kvm/", "drivers/vfio/")
    assert log.facts.compiler == GCC


def test_a_silent_log_shows_no_end() -> None:
    assert read_tuxmake("2").succeeded is None
    assert read_tuxmake("verbose/2").succeeded is True


@pytest.mark.parametrize(
    ("text", "roots"),
    [
        (FAILED, ("/home/u/linux", "/home/u/out")),
        # In the tree itself, where make's lines and the tools' are relative.
        ("make: Entering directory '/w/linux'\ndrivers/a.c:7:9: error: x\n", ("/w/linux", "/w/linux")),
        ("/w/linux/drivers/a.c:7:9: error: x\nfs/b.c:1: warning: y\n", ("/w/linux", "/w/linux")),
        (
            "In file included from /w/linux/include/linux/a.h:7,\n                 from /w/linux/fs/b.c:1:\n",
            ("/w/linux",) * 2,
        ),
        ("make O=/w/out -j8\n/w/linux/fs/b.c:1:1: error: y\n", ("/w/linux", "/w/out")),
        ("make[2]: *** [/w/linux/scripts/Makefile.build:229: fs/b.o] Error 1\n", ("/w/linux", "/w/linux")),
        ("gmake[1]: Entering directory `/w/out'\n", ("/w/out", "/w/out")),
        # A makefile of a directory: its target is named from the tree's root.
        ("make[2]: *** [/w/linux/rust/Makefile:372: rust/bindings/b.rs] Error 101\n", ("/w/linux",) * 2),
        ("make[1]: *** [/w/kernel/Makefile:1167: vmlinux] Error 1\n", ("/w/kernel",) * 2),
        ("make: *** [/w/linux/arch/x86/boot/Makefile:96: bzImage] Error 1\n", ("/w/linux",) * 2),
        # A file that a step calls by its name below the build directory.
        (
            "  DTC [C] arch/arm64/boot/dts/a.dtb\n/w/out/arch/arm64/boot/dts/a.dtb: i2c@1: no\n",
            ("/src", "/w/out"),
        ),
        # Nothing shows them: it may be one of kmatrix's own.
        ("", ("/src", "/build")),
    ],
)
def test_the_roots_are_where_the_log_has_them(text: str, roots: tuple[str, str]) -> None:
    log = read(text)
    assert (log.source_root, log.build_root) == roots


def test_the_makers_own_word_for_the_tree_comes_first() -> None:
    assert read(FAILED, "/tmp/kci/linux").source_root == "/tmp/kci/linux"


@pytest.mark.parametrize(
    ("text", "succeeded", "is_whole"),
    [
        (MADE, True, True),
        (FAILED, False, True),
        (FAILED.rsplit("make: ", 1)[0], False, False),
        (MADE.replace("Leaving directory '/home/u/out'", "Leaving directory '/home/u/other'"), None, False),
        (MADE + "  CC      fs/inode.o\n", None, False),
        (MADE.replace("make[1]: Leaving directory '/home/u/out'\n", ""), None, False),
        ("  CC      fs/inode.o\nKernel: arch/x86/boot/bzImage is ready  (#1)\n", True, True),
        ("make[1]: *** [Makefile:7: x] Interrupt\nmake: *** [Makefile:9: y] Interrupt\n", None, True),
        (MADE + "real    2m7.1s\nFinished: SUCCESS\n", True, True),
        (MADE + "make -j8 O=/home/u/out modules\n", None, False),
        ("Kernel: arch/x86/boot/bzImage is ready  (#1)\n  CC [M]  fs/a.o\n", None, False),
        ("make[1]: *** Waiting for unfinished jobs....\n", None, False),
        ("make[1]: [Makefile:7: x] Error 1 (ignored)\n", None, False),
        ("make: *** No rule to make target 'fooconfig'.  Stop.\n", False, True),
        ("make sure that *** is read\n", None, False),
        ("", None, False),
    ],
)
def test_how_make_ended(text: str, succeeded: bool | None, is_whole: bool) -> None:
    log = read(text)
    assert (log.succeeded, log.is_whole) == (succeeded, is_whole)


def test_a_signal_is_told_from_an_error() -> None:
    assert read("make: *** [Makefile:9: y] Terminated\n").was_stopped
    assert not read(FAILED).was_stopped


def test_only_commands_that_build_are_make_commands() -> None:
    text = (
        "make ARCH=arm64 defconfig\nmake sure that it works\n$ make -s ARCH=arm64 LLVM=1 O=b modules\nmake 'x"
    )
    log = read(text)
    assert (log.make_variables, log.make_targets) == ({"ARCH": "arm64", "LLVM": "1"}, ("modules",))


def test_what_the_robot_quotes_has_no_marks() -> None:
    log = read(ROBOT_MAIL)
    assert log.lines[1:4] == (
        "drivers/vfio/group.c: In function 'open':",
        "drivers/vfio/group.c:7:9: error: 'x' undeclared (first use in this function)",
        "    7 |         return x;",
    )
    assert not any("vim" in line or "0-DAY" in line for line in log.lines)
    assert (log.facts.arch, log.facts.compiler, log.succeeded) == ("powerpc", GCC, None)


def test_a_million_lines_are_read_in_seconds() -> None:
    text = "  CC [M]  drivers/net/ethernet/vendor/driver.o\n" * 300_000
    assert read(text + "make: *** [Makefile:9: y] Error 2\n").succeeded is False
