"""Strangers' archives and patches, opened by the real engine in kmatrix's own base image."""

import hashlib
import io
import os
import re
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout
from matrix.engine import images
from matrix.engine.connect import choose_container_user, connect_engine
from matrix.engine.protocol import Engine, Mount
from matrix.errors import RejectedPatchError, RequestError
from matrix.source import archive as archive_module
from matrix.source.cache import SourceCache
from matrix.source.fetch import fetch_tree
from matrix.source.kernel_tree import SourceTree
from matrix.source.manifest import compare_manifests
from matrix.source.mbox.patch_file import PatchFile, parse_patch_file
from matrix.source.mbox.series import PatchSeries, read_series
from matrix.source.sandbox import Sandbox
from matrix.source.snapshot import hash_tree, list_files
from tests.fakes.damage import LOST, PATCH, PATCHED, REPAIRED, SOURCE
from tests.fakes.small_tree import EDIT, FILES, small_tree

pytestmark = pytest.mark.engine


def a_patch(name: str, content: bytes) -> PatchFile:
    return parse_patch_file(name, hashlib.sha256(content).hexdigest(), content)


@dataclass
class Desk:
    """A user with an engine, a cache, and a place for files."""

    engine: Engine
    image: str
    place: Path
    notes: list[str] = field(default_factory=list)

    @property
    def cache(self) -> SourceCache:
        return SourceCache(CacheLayout(self.place / "cache"))

    def obtain(self, spec: str | Path, *patches: str, refresh: bool = False) -> SourceTree:
        return fetch_tree(
            str(spec),
            cache=self.cache,
            engine=self.engine,
            image=self.image,
            user=choose_container_user(rootless=self.engine.query_info().rootless),
            note=self.notes.append,
            patches=[a_patch(f"{number}.patch", text.encode()) for number, text in enumerate(patches)],
            refresh=refresh,
        )

    def apply_series(self, series: PatchSeries) -> SourceTree:
        """The tree with the patches of a series, as they were read from a file."""
        return fetch_tree(
            str(self.place / "tree"),
            cache=self.cache,
            engine=self.engine,
            image=self.image,
            user=choose_container_user(rootless=self.engine.query_info().rootless),
            note=self.notes.append,
            patches=series.patches,
        )

    def tree(self) -> Path:
        return small_tree(self.place / "tree")

    def refused(self, spec: str | Path, *patches: str) -> str:
        """The message of a request that must be refused, and leave nothing but what was there."""
        before = self.kept()
        with pytest.raises(RequestError) as caught:
            self.obtain(spec, *patches)
        assert [name for name in self.kept() if name not in before and name.startswith("tmp-")] == []
        return str(caught.value)

    def kept(self) -> set[str]:
        return {path.name for path in self.cache.layout.sources.glob("*")}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return connect_engine()


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    return images.ensure_base_image(engine, lambda _: None)


@pytest.fixture
def desk(engine: Engine, image: str, tmp_path: Path) -> Desk:
    return Desk(engine, image, tmp_path)


def content(tree: SourceTree) -> str:
    """The digest of what lies there, whatever the cache believes."""
    return hash_tree(tree.path, list_files(tree.path)).digest


def add(archive: tarfile.TarFile, name: str, text: str = "", **attributes: object) -> None:
    """A member with any attributes that a hostile author likes."""
    member = tarfile.TarInfo(name)
    member.size = len(text)
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    archive.addfile(member, io.BytesIO(text.encode()))


def packed(desk: Desk, more: Callable[[tarfile.TarFile], None] = lambda _: None) -> Path:
    """A tarball of the small tree under one top directory, and whatever ``more`` adds."""
    tarball = desk.place / "linux.tar"
    with tarfile.open(tarball, "w") as archive:
        archive.add(desk.tree(), "linux-6.12")
        more(archive)
    return tarball


@pytest.mark.parametrize("program", ["cat", "gzip", "xz", "bzip2", "zstd"])
def test_a_tarball_of_any_kind_is_the_same_tree_as_the_directory_that_was_packed(
    desk: Desk, program: str
) -> None:
    bench = Sandbox(
        desk.engine, desk.image, choose_container_user(rootless=desk.engine.query_info().rootless)
    )
    out = bench.create_directory(desk.place / "out")
    mounts = [Mount(packed(desk), "/in.tar"), Mount(out, "/out", read_only=False)]
    assert bench.run('"$1" </in.tar >/out/linux.tar.any', program, mounts=mounts).exit == 0
    unpacked, plain = desk.obtain(out / "linux.tar.any"), desk.obtain(desk.place / "tree")
    assert (unpacked.digest, unpacked.version) == (plain.digest, "6.12.48-rc1")
    assert content(unpacked) == unpacked.digest


def test_a_tarball_that_was_seen_is_not_opened_again_under_another_name(desk: Desk) -> None:
    first = desk.obtain(tarball := packed(desk))
    again = desk.obtain(tarball.rename(desk.place / "other.tar"))
    assert again.path == first.path
    assert len(desk.notes) == 1


def test_a_tarball_without_a_top_directory_keeps_its_mtimes(desk: Desk) -> None:
    tarball = desk.place / "flat.tar"
    os.utime(desk.tree() / "Kconfig", (1_000_000_000, 1_000_000_000))
    with tarfile.open(tarball, "w") as archive:
        archive.add(desk.place / "tree", ".")
    assert (desk.obtain(tarball).path / "Kconfig").stat().st_mtime == 1_000_000_000


def test_an_archive_s_modes_do_not_keep_anybody_from_reading_or_removing_it(desk: Desk) -> None:
    def more(archive: tarfile.TarFile) -> None:
        add(archive, "linux-6.12/closed", type=tarfile.DIRTYPE, mode=0o500)
        add(archive, "linux-6.12/closed/secret", "x", mode=0)
        add(archive, "linux-6.12/closed/root", "x", mode=0o4755)

    tree = desk.obtain(packed(desk, more))
    modes = [(tree.path / "closed" / name).stat().st_mode & 0o7777 for name in ("", "secret", "root")]
    assert modes == [0o755, 0o644, 0o755]
    desk.cache.remove(tree.digest)
    assert desk.cache.list_trees() == []


def escape(archive: tarfile.TarFile) -> None:
    add(archive, "linux-6.12/../../../evil", "x")


def link_out(archive: tarfile.TarFile) -> None:
    add(archive, "linux-6.12/out", type=tarfile.SYMTYPE, linkname="/etc")


def write_through(archive: tarfile.TarFile) -> None:
    link_out(archive)
    add(archive, "linux-6.12/out/evil", "x")


def pipe(archive: tarfile.TarFile) -> None:
    add(archive, "linux-6.12/pipe", type=tarfile.FIFOTYPE)


def device(archive: tarfile.TarFile) -> None:
    add(archive, "linux-6.12/device", type=tarfile.CHRTYPE, devmajor=1, devminor=3)


def built(archive: tarfile.TarFile) -> None:
    add(archive, "linux-6.12/include/generated/autoconf.h", "x")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (escape, "cannot be unpacked"),
        (link_out, "link out of the tree: out"),
        (write_through, "cannot be unpacked"),
        (pipe, "pipe is neither"),
        (device, "cannot be unpacked"),
        (built, "leftovers"),
    ],
)
def test_a_hostile_or_dirty_archive_is_refused_and_leaves_nothing(
    desk: Desk, more: Callable[[tarfile.TarFile], None], why: str
) -> None:
    assert why in desk.refused(packed(desk, more))
    assert desk.cache.list_trees() == []
    assert not list(desk.place.rglob("evil"))


def overwrite_twice(archive: tarfile.TarFile) -> None:
    """The same name as a link that leads out, and then as a file behind it."""
    link_out(archive)
    add(archive, "linux-6.12/out", "x")
    link_out(archive)


def hard_link_out(archive: tarfile.TarFile) -> None:
    add(archive, "linux-6.12/hard", type=tarfile.LNKTYPE, linkname="/etc/passwd")


def hard_link_up(archive: tarfile.TarFile) -> None:
    add(archive, "linux-6.12/hard", type=tarfile.LNKTYPE, linkname="linux-6.12/../../../etc/passwd")


def absolute(archive: tarfile.TarFile) -> None:
    add(archive, "/linux-6.12/evil", "x")


def escapes(archive: tarfile.TarFile) -> None:
    add(archive, "linux-6.12/\x1b[31mred", type=tarfile.FIFOTYPE)


def escapes_from_tar(archive: tarfile.TarFile) -> None:
    add(archive, "linux-6.12/\x1b[31m/../../../red", "x")


def loop(archive: tarfile.TarFile) -> None:
    add(archive, "linux-6.12/loop", type=tarfile.SYMTYPE, linkname="loop")


def many(archive: tarfile.TarFile) -> None:
    for number in range(3000):
        add(archive, f"linux-6.12/n{number}")


def nested(archive: tarfile.TarFile) -> None:
    add(archive, "linux-6.12/" + "d/" * 1500, type=tarfile.DIRTYPE)


def long_name(archive: tarfile.TarFile) -> None:
    add(archive, "linux-6.12/" + "n" * 300, "x")


def claimed_size(archive: tarfile.TarFile) -> None:
    """A header that claims a terabyte of which nothing follows."""
    member = tarfile.TarInfo("linux-6.12/huge")
    member.size = 2**40
    archive.fileobj.write(member.tobuf(tarfile.GNU_FORMAT))
    archive.offset += 512


def sparse(archive: tarfile.TarFile) -> None:
    """GNU's sparse format 1.0: one block of data in a terabyte."""
    facts = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "linux-6.12/huge"}
    add_pax(
        archive, facts | {"GNU.sparse.realsize": str(2**40)}, f"1\n{2**40 - 1}\n1\n".ljust(512, "\0") + "x"
    )


def pax_path_out(archive: tarfile.TarFile) -> None:
    add_pax(archive, {"path": "linux-6.12/../../../evil"}, "x")


def pax_link_out(archive: tarfile.TarFile) -> None:
    member = tarfile.TarInfo("linux-6.12/out")
    member.type, member.linkname = tarfile.SYMTYPE, "x"
    member.pax_headers = {"linkpath": "/etc/passwd"}
    archive.addfile(member)


def pax_size(archive: tarfile.TarFile) -> None:
    add_pax(archive, {"size": str(2**62)}, "x")


def pax_junk(archive: tarfile.TarFile) -> None:
    add_pax(archive, {"mtime": "x" * 1000, "comment": "\x1b[31m"}, "x")


def add_pax(archive: tarfile.TarFile, headers: dict[str, str], text: str) -> None:
    member = tarfile.TarInfo("linux-6.12/pax")
    member.size, member.pax_headers = len(text), headers
    archive.addfile(member, io.BytesIO(text.encode()))


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (overwrite_twice, "link out of the tree: out"),
        (hard_link_out, "cannot be unpacked"),
        (hard_link_up, "cannot be unpacked"),
        (escapes, "red is neither"),
        (escapes_from_tar, "cannot be unpacked"),
        (loop, "link out of the tree: loop"),
        (many, "holds more than 2000 files"),
        (nested, "more than 64 directories deep"),
        (long_name, "cannot be unpacked: .*File name too long"),
        (claimed_size, "holds more than 64 GiB"),
        (sparse, "holds more than 64 GiB"),
        (pax_path_out, "cannot be unpacked"),
        (pax_link_out, "link out of the tree: out"),
        (pax_size, "holds more than 64 GiB"),
        (pax_junk, "cannot be unpacked: Malformed extended header"),
    ],
)
def test_an_archive_made_to_do_harm_is_refused_in_one_printable_line(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, more: Callable[[tarfile.TarFile], None], why: str
) -> None:
    monkeypatch.setattr(archive_module, "MAX_TREE_NAMES", 2000)
    message = desk.refused(packed(desk, more))
    assert re.search(why, message)
    assert message.isprintable()
    assert not list(desk.place.rglob("evil"))


@pytest.mark.parametrize("more", [absolute])
def test_what_tar_makes_harmless_itself_is_taken(desk: Desk, more: Callable[[tarfile.TarFile], None]) -> None:
    tree = desk.obtain(packed(desk, more))
    assert content(tree) == tree.digest
    assert not list(desk.place.glob("evil"))


@pytest.mark.timeout(60)
def test_a_bomb_is_stopped_while_it_is_unpacked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MAX_TREE_BYTES", 2**30)
    tarball = desk.place / "bomb.tar.gz"
    with tarfile.open(tarball, "w:gz", compresslevel=1) as archive:
        archive.add(desk.tree(), "linux-6.12")
        for number in range(20):
            member = tarfile.TarInfo(f"linux-6.12/{number}")
            member.size = 2**26
            archive.addfile(member, io.BytesIO(bytes(2**26)))
    assert "holds more than 1 GiB" in desk.refused(tarball)


@pytest.mark.parametrize("text", ["", "no tarball at all\n" * 100])
def test_a_file_that_is_no_tarball_is_refused(desk: Desk, text: str) -> None:
    (desk.place / "x.tar.xz").write_text(text)
    assert "x.tar.xz" in desk.refused(desk.place / "x.tar.xz")


def test_a_revision_is_exported_as_committed_and_not_twice(desk: Desk) -> None:
    root = desk.tree()
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgSign=false")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "x"), ("tag", "v6.12")):
        subprocess.run(["git", "-C", str(root), *identity, *command], check=True)
    committed = desk.obtain(root).digest
    (root / "Kconfig").write_text("edited")
    tree, again = desk.obtain(f"{root}@HEAD"), desk.obtain(f"{root}@v6.12")
    assert tree.digest == committed
    assert tree.git is not None
    assert (len(tree.git.commit), tree.git.dirty, again.path) == (40, False, tree.path)
    assert len(desk.notes) == 2


def test_a_patched_tree_differs_in_the_patched_file_and_the_base_stays_as_it_was(desk: Desk) -> None:
    base = desk.obtain(desk.tree())
    tree = desk.obtain(desk.place / "tree", EDIT)
    assert (tree.path / "virt/kvm/vfio.c").read_text() == FILES["virt/kvm/vfio.c"].replace("second", "2nd")
    assert (content(tree), content(base)) == (tree.digest, base.digest)
    change = compare_manifests(desk.cache.load_manifest(base.digest), desk.cache.load_manifest(tree.digest))
    assert change.paths == ("virt/kvm/vfio.c",)
    assert [patch.name for patch in tree.patches] == ["0.patch"]
    assert (tree.path / "Kconfig").samefile(base.path / "Kconfig")


def test_the_user_s_own_tree_is_never_patched(desk: Desk) -> None:
    desk.obtain(desk.tree(), EDIT)
    assert (desk.place / "tree/virt/kvm/vfio.c").read_text() == FILES["virt/kvm/vfio.c"]


def test_the_same_patches_on_the_same_tree_are_applied_once(desk: Desk) -> None:
    first = desk.obtain(desk.tree(), EDIT)
    desk.image = "kmatrix/no-such-image"
    assert desk.obtain(desk.place / "tree", EDIT) == first


SECOND = EDIT.replace("int second", "int 2nd").replace("+int 2nd", "+int zwei")
SHUFFLE = """\
diff --git a/virt/kvm/vfio.c b/virt/kvm/moved.c
similarity index 100%
rename from virt/kvm/vfio.c
rename to virt/kvm/moved.c
diff --git a/Kconfig b/Kconfig
deleted file mode 100644
--- a/Kconfig
+++ /dev/null
@@ -1 +0,0 @@
-mainmenu "small"
diff --git a/Kconfig/new b/Kconfig/new
new file mode 100755
--- /dev/null
+++ b/Kconfig/new
@@ -0,0 +1 @@
+x
"""
RENAME = SHUFFLE[: SHUFFLE.index("diff --git a/Kconfig b")]


def test_patches_are_applied_in_their_order(desk: Desk) -> None:
    tree = desk.obtain(desk.tree(), EDIT, SECOND, RENAME)
    assert "int zwei;" in (tree.path / "virt/kvm/moved.c").read_text()
    assert not (tree.path / "virt/kvm/vfio.c").exists()


def test_the_one_of_several_that_does_not_apply_is_known_and_all_before_it_do(desk: Desk) -> None:
    patches = [EDIT, SECOND, EDIT, RENAME]
    with pytest.raises(RejectedPatchError, match=r"2\.patch does not apply") as caught:
        desk.obtain(desk.tree(), *patches)
    assert caught.value.patch_index == 2
    assert len(desk.obtain(desk.place / "tree", *patches[: caught.value.patch_index]).patches) == 2


def test_a_patch_that_ruins_the_kernel_tree_is_refused(desk: Desk) -> None:
    assert "patched, is not a kernel tree" in desk.refused(desk.tree(), SHUFFLE)


def test_a_patch_that_does_not_apply_is_refused_with_its_rejected_hunk(desk: Desk) -> None:
    message = desk.refused(desk.tree(), EDIT.replace("int second", "int other"))
    assert "0.patch does not apply" in message
    assert "-int other;" in message


def test_a_patch_that_is_there_already_is_called_that(desk: Desk) -> None:
    with pytest.raises(RejectedPatchError, match="already") as caught:
        desk.obtain(desk.tree(), EDIT, EDIT)
    assert caught.value.patch_index == 1


def test_a_damaged_patch_is_taken_as_the_patch_that_it_was(desk: Desk) -> None:
    desk.tree()
    (desk.place / "tree/virt/kvm/long.c").write_text(SOURCE)
    whole = desk.obtain(desk.place / "tree", PATCH)
    assert (whole.path / "virt/kvm/long.c").read_text() == PATCHED
    for number, (damage, words) in enumerate(REPAIRED.values()):
        file = desk.place / f"{number}.patch"
        file.write_bytes(damage(PATCH).encode())
        series = read_series(str(file))
        desk.notes.clear()
        tree = desk.apply_series(series)
        assert tree.digest == whole.digest, words
        assert words in " ".join((*series.notes, *desk.notes))


def test_a_patch_that_was_repaired_says_so_from_the_cache_as_well(desk: Desk) -> None:
    desk.tree()
    (desk.place / "tree/virt/kvm/long.c").write_text(SOURCE)
    damaged = PATCH.removesuffix(" \n")
    for _ in range(2):
        desk.notes.clear()
        desk.obtain(desk.place / "tree", damaged)
        assert "The patch 0.patch was damaged on its way, and is repaired: 1 blank" in desk.notes[-1]


@pytest.mark.parametrize("name", LOST)
def test_damage_that_nothing_mends_is_named_and_nobody_is_told_to_rebase(desk: Desk, name: str) -> None:
    damage, words = LOST[name]
    desk.tree()
    (desk.place / "tree/virt/kvm/long.c").write_text(SOURCE)
    with pytest.raises(RejectedPatchError, match=r"0\.patch was damaged on its way") as caught:
        desk.obtain(desk.place / "tree", damage(PATCH))
    assert re.search(words, str(caught.value))
    assert "ebase" not in caught.value.hint


def test_of_a_series_only_the_damaged_patch_is_repaired(desk: Desk) -> None:
    tree = desk.obtain(desk.tree(), EDIT, SECOND.replace("\n", "\r\n"), RENAME)
    assert "int zwei;" in (tree.path / "virt/kvm/moved.c").read_text()
    assert [note for note in desk.notes if "repaired" in note] == [
        "The patch 1.patch was damaged on its way, and is repaired: its line ends were CRLF."
    ]


def test_a_reading_of_a_damaged_patch_leads_out_of_the_tree_as_little_as_the_patch(desk: Desk) -> None:
    hidden = EDIT.replace("virt/kvm/vfio.c", "virt&#47;..&gt;/x")
    assert "does not apply" in desk.refused(desk.tree(), hidden)


def new_file(path: str, text: str, mode: str = "100644") -> str:
    return (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n"
        f"+{text}\n\\ No newline at end of file\n"
    )


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        (new_file("evil", "/etc", "120000"), "link out of the tree"),
        (new_file("a/evil", "../scripts/include/../../..", "120000"), "link out of the tree"),
        (new_file("dir", "virt", "120000") + new_file("dir/x", "x"), "symbolic link"),
        (new_file("scripts/include/x", "x"), "is a link"),
        (new_file("Makefile/x", "x"), "collides with Makefile"),
        (new_file("virt", "x"), "collides with virt/"),
        (new_file("Kconfig", "x"), "already exists"),
    ],
)
def test_a_hostile_patch_is_refused_and_touches_nothing(desk: Desk, patch: str, why: str) -> None:
    base = desk.obtain(desk.tree())
    assert why in desk.refused(desk.place / "tree", patch)
    assert content(base) == base.digest
    assert [entry.digest for entry in desk.cache.list_trees()] == [base.digest]


def test_a_debian_package_that_does_not_exist_is_refused_with_those_that_do(desk: Desk) -> None:
    with pytest.raises(RequestError, match=r"no package linux-source-0\.1") as caught:
        desk.obtain("debian:linux-source-0.1")
    assert "debian:linux-source-6.12" in caught.value.hint


def test_a_package_s_version_that_does_not_exist_is_refused_with_those_that_do(desk: Desk) -> None:
    with pytest.raises(RequestError, match="no package") as caught:
        desk.obtain("debian:linux-source-6.12=0.1-1")
    assert "debian:linux-source-6.12=6.12." in caught.value.hint
