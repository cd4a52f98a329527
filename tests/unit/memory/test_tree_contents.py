"""What of a tree can reach a build, in groups; and a file's content by the name that a compiler gives it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.memory.tree_contents import ABSENT, TreeContents
from matrix.source.manifest import Manifest, ManifestEntry

FILES = {
    "virt/kvm/vfio.c": ManifestEntry("file", "c"),
    "include/linux/vfio.h": ManifestEntry("file", "h"),
    "arch/x86/kernel/vmlinux.lds.S": ManifestEntry("file", "lds"),
    "arch/x86/tools/gen.c": ManifestEntry("file", "gen"),
    "scripts/basic/fixdep.c": ManifestEntry("file", "fixdep"),
    "Makefile": ManifestEntry("file", "make"),
    "virt/kvm/Kconfig": ManifestEntry("file", "kconfig"),
    "scripts/Kconfig.include": ManifestEntry("file", "macros"),
    "Documentation/index.rst": ManifestEntry("file", "text"),
}
KCONFIG = """\
config VFIO
	tristate "VFIO"
	depends on IOMMU
	help
		Drivers in user space.

config VFIO_BASE
	hex "Base"
	default 0x10

config CC_IS_ODD
	def_bool $(success,$(CC) --version | \\
		grep odd)
"""
MORE_KCONFIG: dict[str, tuple[str, str]] = {
    "another type of a number": ("\thex ", "\tint "),
    "another number's type": ('tristate "VFIO"', "hex"),
    "a macro": ("depends on IOMMU", "depends on $(success,touch drivers/vfio.o)"),
    "a macro's second line": ("grep odd", "grep even"),
    "a number's name": ("config VFIO_BASE", "config VFIO_START"),
    "a variable, which a macro elsewhere may use": ("config VFIO\n", "command := touch x.o\nconfig VFIO\n"),
    "a file that is sourced": ("config VFIO\n", 'source "lib/Kconfig"\nconfig VFIO\n'),
}
DIGESTS: dict[str, Callable[[TreeContents], str]] = {
    "sources": lambda tree: tree.sources_digest,
    "rest": lambda tree: tree.rest_digest,
    "names": lambda tree: tree.names_digest,
    "tools": lambda tree: tree.tools_digest,
    "kconfig": lambda tree: tree.kconfig_digest,
}


def describe(files: dict[str, ManifestEntry]) -> dict[str, str]:
    tree = TreeContents(Manifest(files), Path("/nowhere"))
    return {name: digest(tree) for name, digest in DIGESTS.items()}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("virt/kvm/vfio.c", {"sources"}),
        ("include/linux/vfio.h", {"sources"}),
        ("arch/x86/kernel/vmlinux.lds.S", {"rest"}),
        ("arch/x86/tools/gen.c", {"rest", "tools"}),
        ("scripts/basic/fixdep.c", {"rest", "tools"}),
        ("Makefile", {"rest"}),
        ("virt/kvm/Kconfig", {"rest", "kconfig"}),
        ("scripts/Kconfig.include", {"rest", "tools"}),
        ("Documentation/index.rst", set()),
    ],
)
def test_an_edit_changes_the_digests_of_its_group(path: str, expected: set[str]) -> None:
    before, after = describe(FILES), describe({**FILES, path: ManifestEntry("file", "edited")})
    assert {name for name in DIGESTS if before[name] != after[name]} == expected


def list_changes_by_kconfig(place: Path, text: str) -> set[str]:
    """The digests that another text of a Kconfig file changes."""
    path, digests = "virt/kvm/Kconfig", []
    (place / path).parent.mkdir(parents=True)
    for content in (KCONFIG, text):
        (place / path).write_text(content)
        tree = TreeContents(Manifest({**FILES, path: ManifestEntry("file", content)}), place)
        digests.append({name: digest(tree) for name, digest in DIGESTS.items()})
    return {name for name in DIGESTS if digests[0][name] != digests[1][name]}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("depends on IOMMU", "depends on IOMMU && PCI"),
        ('tristate "VFIO"', 'bool "VFIO"'),
        ("in user space", "for programs"),
        ("default 0x10", "default 0x20\n\trange 0 0x100"),
        ("config VFIO\n", "config OTHER\n\tint\n\tdefault 1\n\nconfig VFIO\n"),
        ("\tdepends on IOMMU\n", "\tdepends on IOMMU\n\tselect PCI if $X\n"),
    ],
)
def test_kconfig_that_acts_through_config_alone_is_no_part_of_the_rest(
    old: str, new: str, tmp_path: Path
) -> None:
    assert list_changes_by_kconfig(tmp_path, KCONFIG.replace(old, new)) == {"kconfig"}


@pytest.mark.parametrize(("old", "new"), MORE_KCONFIG.values(), ids=MORE_KCONFIG)
def test_what_else_kconfig_can_bring_about_is(old: str, new: str, tmp_path: Path) -> None:
    assert list_changes_by_kconfig(tmp_path, KCONFIG.replace(old, new)) == {"rest", "kconfig"}


def test_a_kconfig_file_that_cannot_be_read_counts_whole(tmp_path: Path) -> None:
    (tmp_path / "virt/kvm/Kconfig").mkdir(parents=True)
    trees = [
        TreeContents(Manifest({"virt/kvm/Kconfig": ManifestEntry("link", text)}), tmp_path) for text in "ab"
    ]
    assert trees[0].rest_digest != trees[1].rest_digest


def test_the_order_of_a_manifest_changes_nothing() -> None:
    """A patched tree's has what the patch touched, or did not touch, in another place."""
    assert describe(dict(reversed(FILES.items()))) == describe(FILES)


def test_a_new_name_is_seen_unless_it_is_documentation() -> None:
    added = describe({**FILES, "arch/x86/include/asm/vfio.h": ManifestEntry("file", "h")})
    assert added["names"] != describe(FILES)["names"]
    text = describe({**FILES, "Documentation/more.rst": ManifestEntry("file", "text")})
    assert text == describe(FILES)


def test_a_content_is_found_through_dots_and_links(tmp_path: Path) -> None:
    (tmp_path / "include/linux").mkdir(parents=True)
    (tmp_path / "include/short").symlink_to("linux")
    files = {**FILES, "include/short": ManifestEntry("link", "to linux")}
    tree = TreeContents(Manifest(files), tmp_path)
    assert tree.find_content("arch/x86/kvm/../../../virt/kvm/vfio.c") == "c"
    assert tree.find_content("include/short/vfio.h") == "h"
    assert tree.find_content("include/short/../linux/vfio.h") == "h"
    assert tree.find_content("include/linux/gone.h") == ABSENT
    assert tree.find_content("../outside.h") == ABSENT


def test_the_order_in_which_files_were_found_does_not_count() -> None:
    assert describe(dict(reversed(FILES.items()))) == describe(FILES)
