"""Which objects belong to a configuration: kbuild's lists, read from bytes of our own and of real ar."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.builder import kbuild_objects
from matrix.builder.kbuild_objects import (
    find_made_since,
    list_module_files,
    parse_archive_members,
    read_listed_objects,
    remove_object_lists,
)
from matrix.foreign_files import ForeignFileError

# A busy machine may take its time; each example makes its own directory below one tmp_path.
steady = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
real_ar = pytest.mark.skipif(shutil.which("ar") is None, reason="no binutils here")


def header(name: str, size: int) -> bytes:
    """The 60 bytes before a member: name, time, owner, group, mode, size, and the end mark."""
    return f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{size:<10}".encode() + b"`\n"


def thin(names: Iterable[str], *, symbols: bytes = b"") -> bytes:
    """A thin archive as GNU ar and llvm-ar write it: symbol table, name table, headers without contents."""
    table, members = b"", b""
    for name in names:
        members += header(f"/{len(table)}", 3)
        table += f"{name}/\n".encode()
    table += b"\n" * (len(table) % 2)
    index = header("/", len(symbols)) + symbols + b"\n" * (len(symbols) % 2) if symbols else b""
    return b"!<thin>\n" + index + (header("//", len(table)) + table if table else b"") + members


def put(build: Path, name: str, content: str | bytes = "") -> Path:
    path = build / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# A directory's own list


def test_the_objects_of_a_directory_are_the_members_of_its_thin_archive(tmp_path: Path) -> None:
    put(tmp_path, "drivers/vfio/built-in.a", thin(["vfio_main.o", "pci/vfio_pci_core.o"]))
    expected = {"drivers/vfio/vfio_main.o", "drivers/vfio/pci/vfio_pci_core.o"}
    assert read_listed_objects(tmp_path, ["drivers/vfio/"]) == expected
    assert read_listed_objects(tmp_path, ["drivers/vfio"]) == expected


def test_a_member_that_is_reached_through_a_parent_directory_has_its_plain_name(tmp_path: Path) -> None:
    # arch/powerpc/kvm/Makefile builds ../../../virt/kvm/vfio.o.
    put(tmp_path, "arch/powerpc/kvm/built-in.a", thin(["../../../virt/kvm/vfio.o", "powerpc.o"]))
    assert read_listed_objects(tmp_path, ["arch/powerpc/kvm/"]) == {
        "virt/kvm/vfio.o",
        "arch/powerpc/kvm/powerpc.o",
    }


@pytest.mark.parametrize("names", [["a.o"], ["ab.o"], ["a.o", "b.o"], ["a.o", "bc.o", "d" * 40 + ".o"]])
def test_a_name_table_may_be_padded(tmp_path: Path, names: list[str]) -> None:
    put(tmp_path, "d/built-in.a", thin(names))
    assert read_listed_objects(tmp_path, ["d/"]) == {f"d/{name}" for name in names}


@pytest.mark.parametrize("symbols", [b"\0\0\0\1\0\0\0\x52f\0", b"\0\0\0\1\0\0\0\x52fo\0"])
def test_a_symbol_table_before_the_name_table_is_passed_over(tmp_path: Path, symbols: bytes) -> None:
    put(tmp_path, "d/built-in.a", thin(["a.o", "b.o"], symbols=symbols))
    assert read_listed_objects(tmp_path, ["d/"]) == {"d/a.o", "d/b.o"}


@pytest.mark.parametrize(
    "content",
    [b"", b"!<thin>\n", b"!<arch>\n", b"!<thin>\n//", b"not an archive at all, but long enough to be"],
)
def test_an_archive_without_members_lists_nothing(tmp_path: Path, content: bytes) -> None:
    put(tmp_path, "d/built-in.a", content)
    assert read_listed_objects(tmp_path, ["d/"]) == frozenset()


def test_a_directory_that_kbuild_did_not_visit_lists_nothing(tmp_path: Path) -> None:
    put(tmp_path, "d/left_over.o")
    assert read_listed_objects(tmp_path, ["d/", "never/there/"]) == frozenset()


def test_an_object_that_lies_there_but_is_not_listed_does_not_belong(tmp_path: Path) -> None:
    put(tmp_path, "d/built-in.a", thin(["a.o"]))
    put(tmp_path, "d/a.o")
    put(tmp_path, "d/of_another_configuration.o")
    assert read_listed_objects(tmp_path, ["d/"]) == {"d/a.o"}


def test_the_same_object_of_two_targets_counts_once(tmp_path: Path) -> None:
    put(tmp_path, "d/built-in.a", thin(["e/a.o"]))
    put(tmp_path, "d/e/built-in.a", thin(["a.o"]))
    assert read_listed_objects(tmp_path, ["d/", "d/e/"]) == {"d/e/a.o"}


letters = st.text("abcdefghijklmnopqrstuvwxyz_-0123456789", min_size=1, max_size=30)
paths = st.lists(letters, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".o")


@steady
@given(names=st.lists(paths, unique=True, max_size=20), symbols=st.binary(max_size=9))
def test_whatever_is_put_into_a_thin_archive_is_listed(
    tmp_path: Path, names: list[str], symbols: bytes
) -> None:
    put(tmp_path, "d/built-in.a", thin(names, symbols=symbols))
    assert read_listed_objects(tmp_path, ["d/"]) == {f"d/{name}" for name in names}


# Archives of the real tool, made as kbuild makes them


def ar(build: Path, archive: str, *members: str, flags: str = "cDPrST") -> None:
    subprocess.run(["ar", flags, archive, *members], cwd=build, check=True, capture_output=True)


@real_ar
def test_real_archives_within_archives_list_every_object(tmp_path: Path) -> None:
    for name in ("d/a.o", "d/sub/b.o", "d/sub/a_name_of_more_than_sixteen_letters.o", "e.o"):
        put(tmp_path, name, "x\n")
    ar(tmp_path, "d/sub/built-in.a", "d/sub/b.o", "d/sub/a_name_of_more_than_sixteen_letters.o")
    ar(tmp_path, "d/built-in.a", "d/a.o", "d/sub/built-in.a", "d/../e.o")
    ar(tmp_path, "built-in.a", "d/built-in.a")
    ar(tmp_path, "vmlinux.a", "built-in.a")
    inner = {"d/sub/b.o", "d/sub/a_name_of_more_than_sixteen_letters.o"}
    assert read_listed_objects(tmp_path, ["d/sub/"]) == inner
    assert (
        read_listed_objects(tmp_path, ["d/"])
        == read_listed_objects(tmp_path, ["vmlinux"])
        == inner | {"d/a.o", "e.o"}
    )


@real_ar
def test_a_real_archive_without_members_lists_nothing(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    ar(tmp_path, "d/built-in.a")
    assert read_listed_objects(tmp_path, ["d/"]) == frozenset()


@real_ar
def test_a_real_archive_has_the_layout_that_these_tests_make_by_hand(tmp_path: Path) -> None:
    for name in ("a.o", "sub/bc.o"):
        put(tmp_path, name, "xx\n")
    ar(tmp_path, "built-in.a", "a.o", "sub/bc.o")
    real, ours = (tmp_path / "built-in.a").read_bytes(), thin(["a.o", "sub/bc.o"])
    assert len(real) == len(ours)
    assert real[:10] == ours[:10] == b"!<thin>\n//"
    assert real[68:84] == ours[68:84] == b"a.o/\nsub/bc.o/\n\n"


# Objects, modules, the whole kernel


def test_an_object_as_a_target_is_itself_where_its_directory_lists_it(tmp_path: Path) -> None:
    put(tmp_path, "drivers/vfio/group.o")
    put(tmp_path, "drivers/vfio/stale.o")
    put(tmp_path, "drivers/vfio/built-in.a", thin(["group.o", "container.o"]))
    assert read_listed_objects(tmp_path, ["drivers/vfio/group.o", "drivers/vfio/stale.o"]) == {
        "drivers/vfio/group.o"
    }


def test_modpost_blames_the_module_and_not_its_parts(tmp_path: Path) -> None:
    put(tmp_path, "drivers/vfio/modules.order", "drivers/vfio/vfio.o\n")
    assert list_module_files(tmp_path, ["drivers/vfio/"]) == {"drivers/vfio/vfio.o", "drivers/vfio/vfio.ko"}


@pytest.mark.parametrize("ending", [".o", ".ko"], ids=["6.12", "6.1"])
def test_a_module_lists_the_objects_that_its_mod_file_names(tmp_path: Path, ending: str) -> None:
    put(
        tmp_path,
        "drivers/vfio/modules.order",
        f"drivers/vfio/vfio{ending}\ndrivers/vfio/pci/vfio-pci{ending}\n",
    )
    put(tmp_path, "drivers/vfio/vfio.mod", "drivers/vfio/vfio_main.o\ndrivers/vfio/group.o\n")
    put(tmp_path, "drivers/vfio/pci/vfio-pci.mod", "drivers/vfio/pci/vfio_pci.o\n")
    assert read_listed_objects(tmp_path, ["drivers/vfio/"]) == {
        "drivers/vfio/vfio_main.o",
        "drivers/vfio/group.o",
        "drivers/vfio/pci/vfio_pci.o",
    }


def test_a_mod_file_may_name_all_objects_on_one_line(tmp_path: Path) -> None:
    # As kbuild did before 5.19, with the module's undefined symbols on the second line.
    put(tmp_path, "d/modules.order", "d/m.ko\n")
    put(tmp_path, "d/m.mod", "d/a.o d/b.o\nprintk mutex_lock\n")
    assert read_listed_objects(tmp_path, ["d/"]) == {"d/a.o", "d/b.o"}


def test_a_modules_objects_have_their_plain_names(tmp_path: Path) -> None:
    put(tmp_path, "arch/powerpc/kvm/modules.order", "arch/powerpc/kvm/kvm.o\n")
    put(tmp_path, "arch/powerpc/kvm/kvm.mod", "arch/powerpc/kvm/../../../virt/kvm/vfio.o\n")
    assert read_listed_objects(tmp_path, ["arch/powerpc/kvm/"]) == {"virt/kvm/vfio.o"}


def test_a_module_without_a_mod_file_is_its_own_object(tmp_path: Path) -> None:
    put(tmp_path, "d/modules.order", "d/m.o\nd/n.ko\n")
    assert read_listed_objects(tmp_path, ["d/"]) == {"d/m.o", "d/n.o"}


def test_what_is_built_in_and_what_is_modular_both_belong(tmp_path: Path) -> None:
    put(tmp_path, "d/built-in.a", thin(["a.o"]))
    put(tmp_path, "d/modules.order", "d/m.o\n")
    assert read_listed_objects(tmp_path, ["d/"]) == {"d/a.o", "d/m.o"}


def test_vmlinux_is_what_is_built_in_and_modules_what_is_modular(tmp_path: Path) -> None:
    put(tmp_path, "vmlinux.a", thin(["init/main.o", "d/a.o"]))
    put(tmp_path, "modules.order", "d/m.o\n")
    assert read_listed_objects(tmp_path, ["vmlinux"]) == {"init/main.o", "d/a.o"}
    assert read_listed_objects(tmp_path, ["modules"]) == {"d/m.o"}
    assert read_listed_objects(tmp_path, ["vmlinux", "modules"]) == {"init/main.o", "d/a.o", "d/m.o"}


def test_without_vmlinux_a_the_top_built_in_a_lists_the_kernel(tmp_path: Path) -> None:
    put(tmp_path, "built-in.a", thin(["init/main.o"]))
    assert read_listed_objects(tmp_path, ["vmlinux"]) == {"init/main.o"}


# Forgetting


@pytest.mark.parametrize("target", ["d/", "d"])
def test_lists_that_another_configuration_left_do_not_count(tmp_path: Path, target: str) -> None:
    put(tmp_path, "d/built-in.a", thin(["a.o"]))
    put(tmp_path, "d/modules.order", "d/m.o\n")
    remove_object_lists(tmp_path, [target])
    assert read_listed_objects(tmp_path, [target]) == frozenset()


@pytest.mark.parametrize("target", ["vmlinux", "modules"])
def test_the_whole_kernels_lists_are_forgotten_too(tmp_path: Path, target: str) -> None:
    put(tmp_path, "vmlinux.a", thin(["init/main.o"]))
    put(tmp_path, "built-in.a", thin(["init/main.o"]))
    put(tmp_path, "modules.order", "d/m.o\n")
    remove_object_lists(tmp_path, [target])
    assert read_listed_objects(tmp_path, [target]) == frozenset()


def test_an_object_that_was_asked_for_is_forgotten_with_its_directorys_lists(tmp_path: Path) -> None:
    put(tmp_path, "drivers/vfio/built-in.a", thin(["group.o"]))
    remove_object_lists(tmp_path, ["drivers/vfio/group.o"])
    assert read_listed_objects(tmp_path, ["drivers/vfio/group.o"]) == frozenset()


def test_forgetting_keeps_objects_and_other_directories_lists(tmp_path: Path) -> None:
    put(tmp_path, "d/a.o")
    put(tmp_path, "d/.a.o.cmd")
    put(tmp_path, "e/built-in.a", thin(["b.o"]))
    put(tmp_path, "d/built-in.a", thin(["a.o"]))
    remove_object_lists(tmp_path, ["d/"])
    assert (tmp_path / "d/a.o").exists()
    assert (tmp_path / "d/.a.o.cmd").exists()
    assert read_listed_objects(tmp_path, ["e/"]) == {"e/b.o"}


def test_there_may_be_nothing_to_forget(tmp_path: Path) -> None:
    remove_object_lists(tmp_path, ["d/", "virt/kvm/vfio.o", "vmlinux", "modules"])


# What was compiled now


def test_made_since_names_what_is_at_least_as_new_as_the_moment(tmp_path: Path) -> None:
    moment = 1_700_000_000_000_000_000
    for name, offset in (("old.o", -1), ("same.o", 0), ("new.o", 1)):
        os.utime(put(tmp_path, name), ns=(moment, moment + offset))
    candidates = ["old.o", "same.o", "new.o", "absent.o"]
    assert find_made_since(tmp_path, candidates, moment) == {"same.o", "new.o"}


def test_lists_behind_a_link_that_leads_out_are_left_alone(tmp_path: Path) -> None:
    put(tmp_path, "elsewhere/built-in.a", thin([]))
    (tmp_path / "build").mkdir()
    (tmp_path / "build/drivers").symlink_to(tmp_path / "elsewhere")
    remove_object_lists(tmp_path / "build", ["drivers/"])
    assert (tmp_path / "elsewhere/built-in.a").exists()


# Lists that no kbuild made


def sized(size: str) -> bytes:
    """An archive whose only header claims this size."""
    return b"!<thin>\n" + header("/0", 0)[:48] + f"{size:<10}".encode()[:10] + b"`\n" + b"x.o/\n"


@pytest.mark.parametrize("size", ["-60", "-1", "+5", "", "1_0", "0x10", "９", "1e3", "junk", " 5"])
def test_an_archive_with_a_size_that_is_none_ends_at_once(tmp_path: Path, size: str) -> None:
    put(tmp_path, "d/built-in.a", sized(size))
    with pytest.raises(ForeignFileError, match=r"d/built-in\.a' is damaged: the header at byte 8 "):
        read_listed_objects(tmp_path, ["d/"])


@pytest.mark.parametrize("size", ["9999999999", "1", "0"])
def test_an_archive_that_ends_too_early_lists_what_is_there(tmp_path: Path, size: str) -> None:
    put(tmp_path, "d/built-in.a", b"!<thin>\n" + header("//", int(size)) + b"x.o/\n")
    assert read_listed_objects(tmp_path, ["d/"]) == ({"d/x.o"} if int(size) > 4 else set())


@pytest.mark.parametrize("end", [0, 7, 8, 20, 67, 68, 70, 74])
def test_a_truncated_archive_is_no_endless_one(tmp_path: Path, end: int) -> None:
    put(tmp_path, "d/built-in.a", thin(["x.o", "y.o"])[:end])
    assert read_listed_objects(tmp_path, ["d/"]) <= {"d/x.o", "d/y.o"}


@given(content=st.binary(max_size=400))
@steady
def test_no_archive_of_any_bytes_is_more_than_damaged(content: bytes) -> None:
    with suppress(ForeignFileError):
        assert all(
            not name.startswith(("/", "..")) for name in parse_archive_members(b"!<thin>\n" + content, "d/a")
        )
        list(parse_archive_members(b"!<thin>\n" + header("//", 300) + content, "d/a"))


@pytest.mark.parametrize("name", ["/etc/passwd.o", "../../../etc/x.o", "../../out.o", "a\0b.o"])
def test_what_a_list_places_outside_is_no_object(tmp_path: Path, name: str) -> None:
    put(tmp_path, "d/built-in.a", thin([name, "own.o"]))
    put(tmp_path, "d/modules.order", f"{name}\nd/m.o\n\n")
    put(tmp_path, "d/m.mod", f"{name}\nd/part.o\n")
    assert read_listed_objects(tmp_path, ["d/"]) == {"d/own.o", "d/part.o"}


def test_more_names_than_a_kernel_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kbuild_objects.MAX_LISTED_OBJECTS > 2 * 35_000
    monkeypatch.setattr(kbuild_objects, "MAX_LISTED_OBJECTS", 100)
    put(tmp_path, "d/built-in.a", thin(f"{number}.o" for number in range(100)))
    assert len(read_listed_objects(tmp_path, ["d/"])) == 100
    put(tmp_path, "d/built-in.a", thin(["same.o"] * 101))
    with pytest.raises(ForeignFileError, match="name more than 100 objects"):
        read_listed_objects(tmp_path, ["d/"])


def test_lists_that_are_read_over_and_over_are_bounded_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kbuild_objects, "MAX_LIST_BYTES", 5000)
    put(tmp_path, "d/modules.order", "".join(f"d/m{number}.o\n" for number in range(20)))
    put(tmp_path, "d/m0.mod", "x " * 500)
    for number in range(1, 20):
        os.link(tmp_path / "d/m0.mod", tmp_path / f"d/m{number}.mod")
    with pytest.raises(ForeignFileError, match="more than"):
        read_listed_objects(tmp_path, ["d/"])


@pytest.mark.parametrize("name", ["built-in.a", "modules.order", "m.mod"])
@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "endless"])
def test_a_list_that_is_no_file_is_refused_at_once(tmp_path: Path, name: str, kind: str) -> None:
    put(tmp_path, "secret", "secret/x.o\n")
    put(tmp_path, "b/d/modules.order", "d/m.o\n")
    path = tmp_path / "b/d" / name
    path.unlink(missing_ok=True)
    make: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to(tmp_path / "secret"),
        "pipe": lambda: os.mkfifo(path),
        "directory": path.mkdir,
        "endless": lambda: path.symlink_to("/dev/zero"),
    }
    make[kind]()
    with pytest.raises(ForeignFileError, match=name):
        read_listed_objects(tmp_path / "b", ["d/"])


def test_an_object_behind_a_link_or_with_an_absurd_name_was_not_made(tmp_path: Path) -> None:
    put(tmp_path, "out/x.o")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/way").symlink_to(tmp_path / "out")
    (tmp_path / "b/y.o").symlink_to(tmp_path / "out/x.o")
    names = ["way/x.o", "y.o", "../out/x.o", "a\0b", "n" * 300, "/".join("d" * 5000), ""]
    assert find_made_since(tmp_path / "b", names, 0) == frozenset()
