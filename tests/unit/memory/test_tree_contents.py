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
    "Documentation/index.rst": ManifestEntry("file", "text"),
}
DIGESTS: dict[str, Callable[[TreeContents], str]] = {
    "sources": lambda tree: tree.sources_digest,
    "rest": lambda tree: tree.rest_digest,
    "names": lambda tree: tree.names_digest,
    "tools": lambda tree: tree.tools_digest,
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
        ("virt/kvm/Kconfig", {"rest"}),
        ("Documentation/index.rst", set()),
    ],
)
def test_an_edit_changes_the_digests_of_its_group(path: str, expected: set[str]) -> None:
    before, after = describe(FILES), describe({**FILES, path: ManifestEntry("file", "edited")})
    assert {name for name in DIGESTS if before[name] != after[name]} == expected


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
