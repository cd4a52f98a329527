"""Which source files a cell was made of: command files as kbuild writes them, in a lane of many cells."""

import os
import time
from pathlib import Path

import pytest

from matrix.builder.kbuild_deps import CommandFileReader
from matrix.builder.lane_dir import LaneDirectory
from matrix.source.kernel_tree import SourceTree
from tests.fakes.small_tree import small_tree
from tests.unit.builder.test_kbuild_objects import thin
from tests.unit.test_foreign_trees import make_odd_names, make_pipes_and_sockets, nest

VFIO, GROUP = "drivers/vfio/vfio_main.o", "drivers/vfio/group.o"


class Bench:
    """A lane's directory with what kbuild left in it."""

    def __init__(self, place: Path) -> None:
        tree = SourceTree("test", small_tree(place / "tree"), "6.12", "0" * 64)
        self.lane = LaneDirectory(place / "lane", "0:0", tree)
        self.sources = CommandFileReader(self.lane)
        self.lane.build.mkdir(parents=True)

    def put(self, name: str, text: str | bytes = "") -> Path:
        path = self.lane.build / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def compiled(self, name: str, source: str, *deps: str, listed: bool = True) -> None:
        """An object (or assembly) and its command file. A configuration's list names it, unless not."""
        words = "".join(f"  {word} \\\n    $(wildcard include/config/SMP) \\\n" for word in deps)
        folder, _, file = name.rpartition("/")
        self.put(
            f"{folder}/.{file}.cmd",
            f"savedcmd_{name} := gcc -Wp,-MMD,{folder}/.{file}.d -I/src/include -I./include -c -o {name} "
            f"{source}\n\nsource_{name} := {source}\n\ndeps_{name} := \\\n{words}\n{name}: $(deps_{name})\n",
        )
        if listed:
            self.lane.listed_objects.add(name)

    def of(self, *objects: str) -> frozenset[str]:
        return self.sources.find_cell_sources(frozenset(objects)).all


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_cell_is_made_of_its_objects_sources_and_of_what_they_include(bench: Bench) -> None:
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c", "/src/include/linux/vfio.h")
    assert bench.of(VFIO) == {"drivers/vfio/vfio_main.c", "include/linux/vfio.h"}


def test_paths_are_plain(bench: Bench) -> None:
    bench.compiled("virt/kvm/vfio.o", "/src/arch/powerpc/kvm/../../../virt/kvm/vfio.c")
    assert bench.of("virt/kvm/vfio.o") == {"virt/kvm/vfio.c"}


def test_a_file_that_is_reached_through_a_link_counts_by_both_its_names(bench: Bench) -> None:
    # In this tree scripts/include leads to include; a link outside of scripts and tools is a source too.
    (bench.lane.tree.path / "linked").symlink_to("include/linux")
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c", "/src/scripts/include/linux/vfio.h")
    assert bench.of(VFIO) == {"drivers/vfio/vfio_main.c", "include/linux/vfio.h"}
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c", "/src/linked/vfio.h")
    assert bench.of(VFIO) == {"drivers/vfio/vfio_main.c", "linked/vfio.h", "include/linux/vfio.h"}


def test_what_is_no_source_of_the_tree_is_left_out(bench: Bench) -> None:
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c", "/usr/include/stdio.h", "/src/scripts/a.h")
    assert bench.of(VFIO) == {"drivers/vfio/vfio_main.c"}


def test_with_an_object_that_has_no_command_file_nothing_is_known(bench: Bench) -> None:
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c")
    assert bench.of(VFIO, "drivers/vfio/shipped.o") == frozenset()


# A lane of many configurations


def test_an_object_of_another_configuration_does_not_count(bench: Bench) -> None:
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c")
    bench.compiled(GROUP, "/src/drivers/vfio/group.c", "/src/include/linux/group.h")
    assert bench.of(VFIO) == {"drivers/vfio/vfio_main.c"}
    assert "include/linux/group.h" in bench.of(VFIO, GROUP)


def test_an_object_that_no_configuration_listed_counts_for_every_one(bench: Bench) -> None:
    # The vdso, host tools, and whatever a cell that failed had made.
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c")
    bench.compiled("arch/x86/entry/vdso/vclock.o", "/src/arch/x86/entry/vdso/vclock.c", listed=False)
    assert bench.of(VFIO) == {"drivers/vfio/vfio_main.c", "arch/x86/entry/vdso/vclock.c"}
    assert bench.of() == {"arch/x86/entry/vdso/vclock.c"}


def test_a_librarys_objects_count_though_only_another_configuration_lists_them(bench: Bench) -> None:
    # With MODULES=y lib.a goes into vmlinux.a; with MODULES=n it is linked beside it, on no list.
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c")
    bench.compiled("lib/argv_split.o", "/src/lib/argv_split.c")
    assert bench.of(VFIO) == {"drivers/vfio/vfio_main.c"}
    bench.put("lib/lib.a", thin(["argv_split.o"]))
    assert bench.of(VFIO) == {"drivers/vfio/vfio_main.c", "lib/argv_split.c"}


# Generated files


def test_a_generated_headers_sources_count(bench: Bench) -> None:
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c", "include/generated/asm-offsets.h")
    offsets = "arch/x86/kernel/asm-offsets.s"
    bench.compiled(offsets, "/src/arch/x86/kernel/asm-offsets.c", "/src/include/linux/kvm.h", listed=False)
    bench.put("include/generated/asm-offsets.h", "/* DO NOT MODIFY. */\n")
    assert {"arch/x86/kernel/asm-offsets.c", "include/linux/kvm.h"} < bench.of(VFIO)


def test_what_a_generators_command_names_counts(bench: Bench) -> None:
    bench.compiled("arch/x86/kernel/cpu/capflags.o", "arch/x86/kernel/cpu/capflags.c")
    command = 'sh /src/arch/x86/mkcapflags.sh $@ "/src/arch/x86/kernel/cpu/../../include/asm/cpufeatures.h"'
    bench.put("arch/x86/kernel/cpu/.capflags.c.cmd", f"savedcmd_capflags.c := {command}\n")
    assert bench.of("arch/x86/kernel/cpu/capflags.o") == {"arch/x86/include/asm/cpufeatures.h"}


def test_a_check_that_runs_with_every_build_counts(bench: Bench) -> None:
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c")
    bench.put(
        ".missing-syscalls.d", "-: /src/include/linux/kconfig.h \\\n /src/arch/x86/include/asm/unistd.h\n"
    )
    assert {"include/linux/kconfig.h", "arch/x86/include/asm/unistd.h"} < bench.of(VFIO)


def test_a_wrapper_is_made_of_what_it_includes(bench: Bench) -> None:
    name = "arch/x86/include/generated/asm/rwonce.h"
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c", name, "/src/include/asm-generic/rwonce.h")
    bench.put(name, "#include <asm-generic/rwonce.h>\n")
    assert bench.of(VFIO) == {"drivers/vfio/vfio_main.c", "include/asm-generic/rwonce.h"}


@pytest.mark.parametrize(
    "name",
    [
        "include/generated/bounds.h",
        "include/generated/timeconst.h",
        "include/generated/uapi/linux/version.h",
        "arch/s390/include/generated/uapi/asm/unistd_64.h",
        "arch/s390/include/generated/asm/facility-defs.h",
        "scripts/dtc/dtc-parser.tab.h",
        "crypto/asymmetric_keys/x509.asn1.h",
        "drivers/vfio/vfio.mod.c",
    ],
)
def test_a_generated_file_of_which_is_known_what_goes_in_hides_nothing(bench: Bench, name: str) -> None:
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c", name)
    bench.put(name, "#define X 1\n")
    assert bench.of(VFIO) == {"drivers/vfio/vfio_main.c"}


def test_a_header_counts_that_a_script_makes_a_source_of_without_a_word(bench: Bench) -> None:
    bench.compiled("lib/oid_registry.o", "/src/lib/oid_registry.c", "lib/oid_registry_data.c")
    assert bench.of("lib/oid_registry.o") == {"lib/oid_registry.c", "include/linux/oid_registry.h"}


@pytest.mark.parametrize("content", ["int table[];\n", "#include <asm-generic/x.h>\nint more;\n", None])
def test_with_a_generated_file_that_nobody_can_tell_of_nothing_is_known(
    bench: Bench, content: str | None
) -> None:
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c")
    bench.compiled("lib/odd.o", "/src/lib/odd.c", "lib/odd_data.c")
    if content:
        bench.put("lib/odd_data.c", content)
    assert bench.of(VFIO, "lib/odd.o") == frozenset()
    assert bench.of(VFIO) == {"drivers/vfio/vfio_main.c"}


def test_a_generated_source_is_looked_after_as_a_generated_header_is(bench: Bench) -> None:
    bench.compiled("lib/tables.o", "lib/tables.c", "/src/include/linux/tables.h")
    assert bench.of("lib/tables.o") == frozenset()
    bench.put("lib/.tables.c.cmd", "savedcmd_lib/tables.c := lib/mktables > lib/tables.c\n")
    bench.compiled("lib/mktables", "/src/lib/mktables.c", listed=False)
    assert bench.of("lib/tables.o") == {"lib/mktables.c", "include/linux/tables.h"}


def test_the_build_system_of_tools_names_its_sources_in_its_own_way(bench: Bench) -> None:
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c")
    bench.compiled("tools/objtool/check.o", "check.c", "../lib/str.h", "/src/include/linux/a.h", listed=False)
    assert bench.of(VFIO) == {"drivers/vfio/vfio_main.c", "include/linux/a.h"}


# Reading again


def test_a_command_file_is_read_again_when_it_was_written_again(bench: Bench) -> None:
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c", "/src/include/linux/old.h")
    assert "include/linux/old.h" in bench.of(VFIO)
    time.sleep(0.01)
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c", "/src/include/linux/new.h")
    assert bench.of(VFIO) == {"drivers/vfio/vfio_main.c", "include/linux/new.h"}


def test_a_command_file_is_read_once_while_it_stays_as_it_is(bench: Bench) -> None:
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c")
    path = bench.lane.build / "drivers/vfio/.vfio_main.o.cmd"
    first = bench.of(VFIO)
    times = path.stat()
    path.write_text("nonsense")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert bench.of(VFIO) == first


# A directory in which no kbuild was at work


def spoil(bench: Bench, name: str, kind: str) -> None:
    path = bench.lane.build / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "huge":
        path.touch()
        os.truncate(path, 2**40)
    else:
        path.symlink_to({"link": "/etc/passwd", "endless": "/dev/zero", "loop": path.name}[kind])


@pytest.mark.parametrize("kind", ["link", "endless", "loop", "pipe", "huge"])
@pytest.mark.parametrize("name", ["drivers/vfio/.vfio_main.o.cmd", "lib.a"])
def test_with_a_file_that_is_none_of_kbuilds_nothing_is_known(bench: Bench, name: str, kind: str) -> None:
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c")
    spoil(bench, name, kind)
    assert bench.of(VFIO) == frozenset()


def test_a_generated_file_that_is_a_link_is_not_read(bench: Bench) -> None:
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c", "include/generated/own.h")
    (bench.lane.build / "include/generated").mkdir(parents=True)
    (bench.lane.build.parent / "wrapper").write_text("#include <asm-generic/types.h>\n")
    (bench.lane.build / "include/generated/own.h").symlink_to(bench.lane.build.parent / "wrapper")
    assert bench.of(VFIO) == frozenset()


@pytest.mark.parametrize("depth", [65, 300])
def test_a_tree_that_is_too_deep_is_not_searched(bench: Bench, depth: int) -> None:
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c")
    nest(bench.lane.build, depth)
    assert bench.of(VFIO) == frozenset()


@pytest.mark.parametrize("word", ["/src/../../etc/x.c", "/src/../x.h", "/src/a\0b.c", "/src/caf\udce9.c"])
def test_what_a_command_file_places_outside_is_no_source(bench: Bench, word: str) -> None:
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c")
    path = bench.lane.build / "drivers/vfio/.vfio_main.o.cmd"
    path.write_text(f"{path.read_text()}\n    {word} \\\n", "utf-8", "surrogateescape")
    found = bench.of(VFIO)
    assert {name for name in found if "\ufffd" not in name} == {"drivers/vfio/vfio_main.c"}
    assert not any(name.startswith(("/", "..")) or "\0" in name for name in found)


def test_odd_names_and_pipes_beside_them_hide_nothing(bench: Bench) -> None:
    bench.compiled(VFIO, "/src/drivers/vfio/vfio_main.c")
    make_odd_names(bench.lane.build)
    make_pipes_and_sockets(bench.lane.build)
    assert bench.of(VFIO) == {"drivers/vfio/vfio_main.c"}
