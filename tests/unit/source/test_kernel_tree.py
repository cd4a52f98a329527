from pathlib import Path

import pytest

from matrix.errors import RequestError
from matrix.source.kernel_tree import (
    find_missing_paths,
    read_kernel_version,
    refuse_build_leftovers,
    require_kernel_version,
)
from tests.fakes.small_tree import small_tree


def test_the_version_is_what_the_makefile_says(tmp_path: Path) -> None:
    assert read_kernel_version(small_tree(tmp_path)) == "6.12.48-rc1"


def test_a_version_may_lack_its_last_parts(tmp_path: Path) -> None:
    makefile = "# SPDX\nVERSION = 7\nPATCHLEVEL = 0\nSUBLEVEL =\nEXTRAVERSION =\n"
    assert read_kernel_version(small_tree(tmp_path, Makefile=makefile)) == "7.0"


@pytest.mark.parametrize("lacks", ["Makefile", "Kconfig"])
def test_a_directory_without_the_marks_of_a_kernel_is_refused(tmp_path: Path, lacks: str) -> None:
    (small_tree(tmp_path) / lacks).unlink()
    with pytest.raises(RequestError, match="there is not a kernel tree"):
        require_kernel_version(tmp_path, "there")


def test_a_makefile_without_a_version_is_no_kernel_s(tmp_path: Path) -> None:
    assert read_kernel_version(small_tree(tmp_path, Makefile="all:\n\ttrue\n")) is None


def test_a_makefile_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    (tree / "Makefile").rename(tmp_path / "elsewhere")
    (tree / "Makefile").symlink_to(tmp_path / "elsewhere")
    assert read_kernel_version(tree) is None


def test_a_clean_tree_has_no_leftovers(tmp_path: Path) -> None:
    refuse_build_leftovers(small_tree(tmp_path), "there")


@pytest.mark.parametrize(
    ("leftover", "content", "command"),
    [
        (".config", "#\n# Linux/arm64 6.12.0 Kernel Configuration\n", "ARCH=arm64 mrproper"),
        (".config", "", "mrproper"),
        ("include/config/auto.conf", "", "mrproper"),
        ("include/generated/autoconf.h", "", "mrproper"),
        ("arch/powerpc/include/generated/x.h", "", "ARCH=powerpc mrproper"),
    ],
)
def test_leftovers_are_refused_with_the_command_that_cleans_them(
    tmp_path: Path, leftover: str, content: str, command: str
) -> None:
    small_tree(tmp_path, **{leftover: content})
    with pytest.raises(RequestError, match="leftovers") as caught:
        refuse_build_leftovers(tmp_path, "there")
    assert f"make -C {tmp_path} {command}" in caught.value.hint


@pytest.mark.parametrize(
    "path",
    [
        "virt/kvm/",
        "virt/kvm",
        "virt/kvm/vfio.o",
        "virt/kvm/vfio.i",
        "virt/kvm/kvm.o",
        "Kconfig",
        "scripts/include/",
    ],
)
def test_a_path_that_can_be_made_is_not_missing(tmp_path: Path, path: str) -> None:
    assert find_missing_paths(small_tree(tmp_path), [path]) == []


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("virt/kvn/", "virt/kvm/"),
        ("vrit/kvm/", "virt/kvm/"),
        ("vrit/kvm/vfio.o", "virt/kvm/vfio.o"),
        ("vrit/kvn/zzzzzz.o", "virt/kvm/"),
        ("virt/kvm/vifo.o", "virt/kvm/vfio.o"),
        ("virt/kvm/vfio.c/", "virt/kvm/vfio.c"),
        ("virt/kvm/zzzzzzzz", None),
        ("../virt", None),
        ("/etc", None),
        ("", None),
    ],
)
def test_a_missing_path_comes_with_the_nearest_that_is_there(
    tmp_path: Path, path: str, nearest: str | None
) -> None:
    assert find_missing_paths(small_tree(tmp_path), [path]) == [(path, nearest)]


def test_a_path_that_a_link_leads_out_of_the_tree_is_missing(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    (tree / "out").symlink_to("/")
    assert [path for path, _ in find_missing_paths(tree, ["out/etc/"])] == ["out/etc/"]
