"""The focus on an arch, and what a patch adds to it."""

from pathlib import Path

import pytest

from matrix.builder.run_context import resolve_focus
from matrix.catalog.load import load_catalog, load_profile
from matrix.commands.focus import find_focus_additions

CATALOG = load_catalog()
PROFILE = load_profile("kvm-vfio").model_copy(update={"arch": ("powerpc", "x86")})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for directory in ("drivers/net", "drivers/vfio/pci", "arch/powerpc/mm", "arch/arm64/mm", "scripts"):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "Makefile").touch()
    (tmp_path / "virt/kvm").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("touched", "added"),
    [
        (["drivers/net/loopback.c"], ("drivers/net/loopback.o",)),
        (["drivers/net/Kconfig"], ("drivers/net/",)),
        (["drivers/net/Makefile", "drivers/net/loopback.c"], ("drivers/net/", "drivers/net/loopback.o")),
        (["arch/powerpc/mm/mem.c"], ("arch/powerpc/mm/mem.o",)),
        (["drivers/vfio/pci/vfio_pci.c", "arch/powerpc/kvm/powerpc.c"], ()),
        (["arch/arm64/mm/mmu.c"], ()),
        (["virt/kvm/vfio.c", "include/linux/vfio.h", "Documentation/x.c", "scripts/sign.c", "Makefile"], ()),
    ],
)
def test_objects_of_sources_and_directories_of_rules_are_added_once(
    tree: Path, touched: list[str], added: tuple[str, ...]
) -> None:
    assert find_focus_additions(PROFILE, CATALOG, [tree], touched) == added


def test_what_is_another_archs_is_not_asked_for() -> None:
    focused = PROFILE.model_copy(update={"focus": ("arch/powerpc/mm/mem.o", "drivers/net/")})
    assert resolve_focus(focused, CATALOG, "powerpc") == ("arch/powerpc/mm/mem.o", "drivers/net/")
    assert resolve_focus(focused, CATALOG, "x86") == ("drivers/net/",)
