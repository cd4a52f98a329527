"""The miniature tree behaves like a kernel tree, in kmatrix's own images and containers on each engine."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from matrix.engine import images
from matrix.engine.protocol import Engine
from tests import minitree
from tests.engines import ON_DOCKER_ALONE, open_engine
from tests.minitree import TREE, TRIPLETS, Bench, Made, focus, patched, reaches, requests

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("each_engine")]

BLUEPRINTS = {
    "gcc-14": images.ImageRecipe("gcc-14", "gcc", 14),
    "clang-19": images.ImageRecipe("clang-19", "clang", 19),
}
MESSAGES = {
    "gcc-14": "weak declaration of 'vfio_file_iommu_group' being applied to a already existing, static",
    "clang-19": "attribute declaration must precede definition [-Werror,-Wignored-attributes]",
}
BROKEN = {"KVM": "y", "MODULES": "n", "VFIO": "n"}
MakeBench = Callable[..., Bench]


@pytest.fixture(scope="module")
def engine(each_engine: str) -> Engine:
    return open_engine(each_engine)


@pytest.fixture(scope="module")
def bench(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeBench]:
    """``bench(arch, toolchain, tree)``: a fresh build directory with the toolchain's image."""
    refs: dict[str, str] = {}

    def make(arch: str = "powerpc", toolchain: str = "gcc-14", tree: Path = TREE) -> Bench:
        if toolchain not in refs:
            refs[toolchain] = images.ensure_toolchain_image(
                engine, BLUEPRINTS[toolchain], lambda _: None, install=True
            )
        variables = ("LLVM=1",) if toolchain == "clang-19" else (f"CROSS_COMPILE={TRIPLETS[arch]}-",)
        return Bench(engine, refs[toolchain], arch, variables, tmp_path_factory.mktemp("build"), tree)

    yield make
    assert not [name for name in engine.list_containers() if minitree.RUN in name]


def built(bench: Bench, **symbols: str) -> Made:
    """The focus of one cell, configured as asked."""
    configured = bench.configure(**symbols)
    assert configured.exit == 0, configured.text
    return bench.run("-k", "-j2", "--output-sync=target", *focus(bench.arch))


@pytest.mark.parametrize("toolchain", BLUEPRINTS)
@pytest.mark.parametrize("arch", TRIPLETS)
def test_the_whole_tree_builds_on_every_arch_with_both_compilers(
    bench: MakeBench, arch: str, toolchain: str
) -> None:
    lane = bench(arch, toolchain)
    assert lane.configure(KVM="y", VFIO="m", VFIO_PCI="m").exit == 0
    made = lane.run("-k", "-j2", "--output-sync=target", "vmlinux", "modules")
    assert made.exit == 0, made.text
    assert "warning" not in made.text
    assert (lane.build / "vmlinux").exists()
    assert (lane.build / "drivers/vfio/vfio.ko").exists()
    assert ("CONFIG_CC_IS_CLANG=y" in lane.config) == (toolchain == "clang-19")
    assert ("CONFIG_CC_IS_GCC=y" in lane.config) == (toolchain == "gcc-14")


@ON_DOCKER_ALONE
@pytest.mark.parametrize("toolchain", BLUEPRINTS)
def test_the_regression_fails_in_its_corner_only(bench: MakeBench, toolchain: str, tmp_path: Path) -> None:
    lane = bench("powerpc", toolchain, patched(tmp_path / "broken", minitree.REGRESSION))
    failures, reachable = [], 0
    for request in requests():
        assert lane.configure(**request).exit == 0
        if not reaches("powerpc", lane.config, **request):
            continue
        reachable += 1
        made = lane.run("-k", "-j2", "--output-sync=target", *focus("powerpc"))
        if made.exit:
            failures.append(request)
            assert MESSAGES[toolchain] in made.text
    assert reachable == 13
    assert failures == [BROKEN]


@ON_DOCKER_ALONE
@pytest.mark.parametrize("toolchain", BLUEPRINTS)
@pytest.mark.parametrize("arch", ["arm64", "s390", "x86"])
def test_the_regression_breaks_no_other_arch(
    bench: MakeBench, arch: str, toolchain: str, tmp_path: Path
) -> None:
    lane = bench(arch, toolchain, patched(tmp_path / "broken", minitree.REGRESSION))
    made = built(lane, **BROKEN)
    assert made.exit == 0, made.text
    assert "virt/kvm/vfio.o" in made.compiled


@pytest.mark.parametrize("toolchain", BLUEPRINTS)
def test_without_the_patch_the_corner_builds(bench: MakeBench, toolchain: str) -> None:
    made = built(bench("powerpc", toolchain), **BROKEN)
    assert made.exit == 0, made.text
    assert "virt/kvm/vfio.o" in made.compiled


@ON_DOCKER_ALONE
@pytest.mark.parametrize("toolchain", BLUEPRINTS)
def test_an_older_mtime_hides_the_regression_and_a_fresh_one_shows_it(
    bench: MakeBench, toolchain: str, tmp_path: Path
) -> None:
    tree = patched(tmp_path / "tree")
    lane = bench("powerpc", toolchain, tree)
    assert built(lane, **BROKEN).exit == 0
    header = tree / "include/linux/vfio.h"
    header.write_text(
        (patched(tmp_path / "broken", minitree.REGRESSION) / "include/linux/vfio.h").read_text()
    )
    long_ago = time.time() - 86400
    os.utime(header, (long_ago, long_ago))
    hidden = lane.run("-k", *focus("powerpc"))
    assert (hidden.exit, hidden.compiled) == (0, frozenset())
    header.touch()
    shown = lane.run("-k", *focus("powerpc"))
    assert shown.exit == 2
    assert MESSAGES[toolchain] in shown.text


def test_what_is_up_to_date_is_left_alone(bench: MakeBench) -> None:
    lane = bench("arm64")
    assert built(lane, KVM="y", VFIO="y").compiled
    assert built(lane, KVM="y", VFIO="y").steps == ()


def test_a_flipped_symbol_remakes_what_mentions_it_and_nothing_else(bench: MakeBench) -> None:
    lane = bench("arm64")
    built(lane, KVM="y", VFIO="y")
    off = built(lane, KVM="y", VFIO="n")
    assert off.compiled == {"virt/kvm/vfio.o"}
    on = built(lane, KVM="y", VFIO="m")
    assert on.compiled == {
        "virt/kvm/vfio.o",
        "drivers/vfio/vfio_main.o",
        "drivers/vfio/group.o",
        "drivers/vfio/pci/vfio_pci.o",
    }
    assert "LD [M] drivers/vfio/vfio.o" in on.steps


def test_another_command_remakes_its_objects(bench: MakeBench) -> None:
    lane = bench("arm64")
    first = built(lane, KVM="y", VFIO="y")
    again = lane.run("KCFLAGS=-g", *focus("arm64"))
    assert again.compiled >= {name for name in first.compiled if name.startswith(("virt/", "drivers/"))}


def test_a_header_remakes_its_objects(bench: MakeBench, tmp_path: Path) -> None:
    tree = patched(tmp_path / "tree")
    lane = bench("arm64", tree=tree)
    built(lane, KVM="y", VFIO="y")
    (tree / "drivers/vfio/vfio.h").touch()
    again = lane.run(*focus("arm64"))
    assert again.compiled == {"drivers/vfio/vfio_main.o", "drivers/vfio/group.o"}


def test_a_deleted_list_is_made_again_without_compiling(bench: MakeBench) -> None:
    lane = bench("powerpc")
    built(lane, KVM="m", VFIO="m")
    for name in ("built-in.a", "modules.order"):
        (lane.build / "arch/powerpc/kvm" / name).unlink()
    again = lane.run(*focus("powerpc"))
    assert again.compiled == frozenset()
    assert (lane.build / "arch/powerpc/kvm/built-in.a").exists()
    assert (lane.build / "arch/powerpc/kvm/modules.order").exists()


def test_a_directory_without_a_configuration_leaves_its_old_lists(bench: MakeBench) -> None:
    lane = bench("arm64")
    built(lane, KVM="y", VFIO="y")
    off = built(lane, KVM="y", VFIO="n")
    assert off.exit == 0
    assert "Nothing to be done for 'drivers/vfio/'." in off.text
    assert (lane.build / "drivers/vfio/built-in.a").exists()


def test_the_lists_name_what_kbuilds_name(bench: MakeBench) -> None:
    lane = bench("powerpc")
    assert built(lane, KVM="m", VFIO="m").exit == 0
    kvm = lane.build / "arch/powerpc/kvm"
    assert (kvm / "modules.order").read_text() == "arch/powerpc/kvm/kvm.o\narch/powerpc/kvm/kvm-hv.o\n"
    assert (kvm / "kvm.mod").read_text().splitlines() == [
        "arch/powerpc/kvm/../../../virt/kvm/kvm_main.o",
        "arch/powerpc/kvm/../../../virt/kvm/eventfd.o",
        "arch/powerpc/kvm/../../../virt/kvm/vfio.o",
        "arch/powerpc/kvm/powerpc.o",
    ]
    archive = (kvm / "built-in.a").read_bytes()
    assert archive.startswith(b"!<thin>\n")
    assert b"book3s_64_entry.o/" in archive
    command = (lane.build / "virt/kvm/.vfio.o.cmd").read_text()
    name = "arch/powerpc/kvm/../../../virt/kvm/vfio.o"
    assert command.startswith(f"savedcmd_{name} := powerpc64le-linux-gnu-gcc ")
    assert f"source_{name} := /src/arch/powerpc/kvm/../../../virt/kvm/vfio.c\n" in command
    assert "    $(wildcard include/config/SPAPR_TCE_IOMMU) \\\n" in command
    assert "    /src/include/linux/vfio.h \\\n" in command
    assert "    include/generated/bounds.h \\\n" in command
    assert "autoconf.h" not in command


def test_the_archive_of_a_directory_holds_what_lies_below_it(bench: MakeBench) -> None:
    lane = bench("arm64")
    assert built(lane, KVM="y", VFIO="y", VFIO_PCI="y").exit == 0
    assert b"pci/vfio_pci.o/" in (lane.build / "drivers/vfio/built-in.a").read_bytes()


@pytest.mark.parametrize("toolchain", BLUEPRINTS)
def test_a_warning_is_no_failure(bench: MakeBench, toolchain: str, tmp_path: Path) -> None:
    lane = bench("s390", toolchain, patched(tmp_path / "tree", minitree.WARNING))
    made = built(lane, KVM="n", VFIO="y")
    assert made.exit == 0
    assert "warning: unused variable 'attempts' [-Wunused-variable]" in made.text


def test_a_kconfig_that_is_wrong_configures_nothing(bench: MakeBench, tmp_path: Path) -> None:
    lane = bench("s390", tree=patched(tmp_path / "tree", minitree.KCONFIG))
    made = lane.configure()
    assert made.exit == 2
    assert 'drivers/vfio/Kconfig:9: unknown statement "boool"' in made.text
    assert not (lane.build / ".config").exists()


@pytest.mark.parametrize(
    ("toolchain", "message"), [("gcc-14", "undefined reference"), ("clang-19", "undefined symbol")]
)
def test_the_linker_misses_a_symbol(bench: MakeBench, toolchain: str, message: str, tmp_path: Path) -> None:
    lane = bench("x86", toolchain, patched(tmp_path / "tree", minitree.LINK))
    assert built(lane, VFIO="y", VFIO_PCI="y").exit == 0
    made = lane.run("-k", "vmlinux")
    assert made.exit == 2
    assert message in made.text


def test_modpost_misses_a_symbol(bench: MakeBench, tmp_path: Path) -> None:
    lane = bench("x86", tree=patched(tmp_path / "tree", minitree.LINK))
    assert lane.configure(VFIO="y", VFIO_PCI="m").exit == 0
    made = lane.run("-k", "vmlinux", "modules")
    assert made.exit == 2
    assert 'ERROR: modpost: "vfio_pci_reset" [drivers/vfio/pci/vfio_pci.ko] undefined!' in made.text


def test_a_select_over_an_unmet_dependency_is_said(bench: MakeBench) -> None:
    made = bench("x86").configure(RATCHET="y")
    assert made.exit == 0
    assert "WARNING: unmet direct dependencies detected for COG" in made.lines


def test_single_objects_are_made(bench: MakeBench) -> None:
    lane = bench("arm64")
    assert lane.configure(VFIO="m").exit == 0
    made = lane.run("drivers/vfio/group.o", "drivers/base/device.o")
    assert made.exit == 0, made.text
    assert "CC [M] drivers/vfio/group.o" in made.steps
    assert "CC drivers/base/device.o" in made.steps


def test_an_object_that_cannot_be_is_refused(bench: MakeBench) -> None:
    lane = bench("arm64")
    assert lane.configure(VFIO="m").exit == 0
    made = lane.run("-k", "drivers/vfio/nosuch.o", "drivers/base/")
    assert made.exit == 2
    assert "No rule to make target 'drivers/vfio/nosuch.o'" in made.text
    assert "drivers/base/device.o" in made.compiled


def test_modules_without_modules_make_nothing(bench: MakeBench) -> None:
    lane = bench("arm64")
    assert lane.configure(MODULES="n").exit == 0
    made = lane.run("modules")
    assert (made.exit, made.compiled) == (0, frozenset())


def test_a_build_without_configuration_is_refused(bench: MakeBench) -> None:
    made = bench("arm64").run("drivers/vfio/")
    assert made.exit == 2
    assert "There is no /build/.config" in made.text
