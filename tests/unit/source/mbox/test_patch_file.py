import pytest

from matrix.errors import RequestError
from matrix.source.apply import refuse_conflicts, refuse_linked_paths
from matrix.source.manifest import Manifest, ManifestEntry
from matrix.source.mbox.patch_file import PatchFile, find_touched_paths, parse_patch_file
from tests.fakes.small_tree import EDIT


def git(old: str, new: str, *lines: str) -> bytes:
    return "\n".join([f"diff --git {old} {new}", *lines, ""]).encode()


def test_a_plain_diff_names_its_file_without_its_timestamp() -> None:
    assert find_touched_paths(
        b"--- a/x.c\t2024-01-01 00:00\n+++ b/x.c\t2024-01-02\n@@ -1 +1 @@\n-a\n+b\n"
    ) == {"x.c"}


def test_the_first_component_may_have_any_name() -> None:
    assert find_touched_paths(b"--- linux.orig/d/x.c\n+++ linux/d/x.c\n@@ -1 +1 @@\n-a\n+b\n") == {"d/x.c"}


def test_new_and_deleted_files_name_themselves_only() -> None:
    assert find_touched_paths(b"--- /dev/null\n+++ b/new.c\n@@ -0,0 +1 @@\n+b\n") == {"new.c"}
    assert find_touched_paths(b"--- a/gone.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n") == {"gone.c"}


@pytest.mark.parametrize(
    ("patch", "paths"),
    [
        (git("a/x", "b/x", "old mode 100644", "new mode 100755"), {"x"}),
        (git("a/x", "b/y", "similarity index 100%", "rename from x", "rename to y"), {"x", "y"}),
        (git("a/d/x", "b/d/y", "copy from d/x", "copy to d/y"), {"d/x", "d/y"}),
        (git("a/a b", "b/a b", "new file mode 100644"), {"a b"}),
        (git(r'"a/\303\244"', r'"b/\303\244"', "deleted file mode 100644"), {"ä"}),
        (git(r'"a/q\"t\tx"', r'"b/q\"t\tx"', "deleted file mode 100644"), {'q"t\tx'}),
    ],
)
def test_git_s_headers_without_hunks_name_their_files(patch: bytes, paths: set[str]) -> None:
    assert find_touched_paths(patch) == paths


def test_lines_of_a_hunk_are_never_headers() -> None:
    hunk = b"@@ -1,4 +1,4 @@\n \x0c\n \x0c\n x\n--- a/evil\n+++ b/evil\n\\ No newline at end of file\n"
    assert find_touched_paths(b"--- a/x\n+++ b/x\n" + hunk + b"--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n") == {
        "x",
        "y",
    }


def test_a_message_s_own_dashes_are_no_header() -> None:
    assert find_touched_paths(b"Fix it.\n---\n--- see /etc/passwd\nand a/b\n") == set()


def test_windows_line_ends_do_not_hide_the_names() -> None:
    assert find_touched_paths(EDIT.replace("\n", "\r\n").encode()) == {"virt/kvm/vfio.c"}


def test_a_patch_has_the_paths_that_it_touches_in_order() -> None:
    content = EDIT.replace("vfio.c", "z.c") + EDIT
    patch = parse_patch_file("fix.patch", "0", content.encode())
    assert patch == PatchFile("fix.patch", "0", content.encode(), ("virt/kvm/vfio.c", "virt/kvm/z.c"), None)


@pytest.mark.parametrize("content", [b"", b"From: somebody\n\nHello.\n", b"@@ -1 +1 @@\n-a\n+b\n"])
def test_a_patch_without_a_diff_is_refused(content: bytes) -> None:
    with pytest.raises(RequestError, match="the patch x holds no diff"):
        parse_patch_file("x", "0", content)


@pytest.mark.parametrize(
    "patch",
    [
        b"--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-a\n+b\n",
        b"--- a/../../x\n+++ b/../../x\n@@ -1 +1 @@\n-a\n+b\n",
        b"--- /dev/null\n+++ b/x/../../y\n@@ -0,0 +1 @@\n+b\n",
        b"--- a/.git/config\n+++ b/.git/config\n@@ -1 +1 @@\n-a\n+b\n",
        git("a//etc/x", "b//etc/x", "deleted file mode 100644"),
        git("a/x", "b/y", "rename from ../x", "rename to y"),
        git("a/x", "b/y", "rename from x", "rename to /tmp/y"),
        git(r'"a/\056\056/x"', r'"b/\056\056/x"', "deleted file mode 100644"),
    ],
)
def test_a_patch_that_reaches_out_of_the_tree_is_refused(patch: bytes) -> None:
    with pytest.raises(RequestError, match="no path inside a tree"):
        parse_patch_file("x", "0", patch)


def tree_of(**kinds: str) -> Manifest:
    return Manifest(
        {path: ManifestEntry("link" if kind == "link" else "file", "0") for path, kind in kinds.items()}
    )


def test_a_path_through_a_link_of_the_tree_is_refused() -> None:
    patch = PatchFile("x.patch", "0", b"", ("link/sub/x.c",))
    with pytest.raises(RequestError, match="link is a link"):
        refuse_linked_paths(tree_of(link="link"), [patch])


@pytest.mark.parametrize("made", ["a/b", "a", "a/b/c"])
def test_a_file_that_collides_with_one_of_the_tree_is_refused(made: str) -> None:
    with pytest.raises(RequestError, match="collides with a/b"):
        refuse_conflicts({"a/b"}, {made})


def test_a_file_beside_those_of_the_tree_is_none_of_their_business() -> None:
    refuse_conflicts({"a/b", "ab"}, {"a/bc", "a/c/d", "abc"})
