"""The lines that patches change, where they are after the whole series."""

import difflib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.source.mbox.patch_lines import LineRanges, find_changed_lines

ONE = """\
diff --git a/a.c b/a.c
--- a/a.c
+++ b/a.c
@@ -1,3 +1,4 @@
 one
+new
 two
-three
+THREE
@@ -9 +10,0 @@
-nine
"""


def found(*patches: str) -> list[LineRanges]:
    return find_changed_lines([patch.encode() for patch in patches])


def test_added_lines_are_told_as_ranges() -> None:
    assert found(ONE) == [{"a.c": ((2, 2), (4, 4))}]


def test_a_patch_that_only_takes_away_has_none() -> None:
    assert found("--- a/x\n+++ b/x\n@@ -1,2 +1 @@\n-a\n b\n") == [{}]


def test_a_new_file_is_all_of_it_and_a_removed_one_nothing() -> None:
    new = "--- /dev/null\n+++ b/d/new.h\n@@ -0,0 +1,2 @@\n+a\n+b\n"
    gone = "--- a/d/old.h\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"
    assert found(new) == [{"d/new.h": ((1, 2),)}]
    assert found(gone) == [{}]


def test_a_later_patch_moves_the_lines_of_an_earlier_one() -> None:
    above = "--- a/a.c\n+++ b/a.c\n@@ -0,0 +1,2 @@\n+x\n+y\n"
    assert found(ONE, above) == [{"a.c": ((4, 4), (6, 6))}, {"a.c": ((1, 2),)}]


def test_lines_that_a_later_patch_takes_away_are_in_neither() -> None:
    away = "--- a/a.c\n+++ b/a.c\n@@ -1,3 +1,2 @@\n one\n-new\n two\n"
    assert found(ONE, away) == [{"a.c": ((3, 3),)}, {}]


def test_what_looks_like_a_header_in_a_hunk_is_a_line() -> None:
    patch = "--- a/a.c\n+++ b/a.c\n@@ -1,2 +1,2 @@\n--- a/b.c\n+++ b/b.c\n x\n"
    assert found(patch) == [{"a.c": ((1, 1),)}]


@pytest.mark.parametrize(
    "patch",
    [
        "",
        "@@ -1 +1 @@\n+x\n",
        "+++ b/a\n@@ -1,9 +1,99999999 @@\n+x\n",
        "+++ \n@@",
        "+++ b/a\n@@ -" + "9" * 5000,
    ],
)
def test_what_is_damaged_ends_in_no_error(patch: str) -> None:
    assert len(found(patch)) == 1


LINES = st.lists(st.sampled_from("abc"), max_size=12)


@settings(deadline=None, max_examples=200)
@given(LINES, st.lists(st.tuples(st.data(), st.integers(0, 3)), min_size=1, max_size=4))
def test_each_line_is_found_where_the_last_patch_leaves_it(start: list[str], steps: list) -> None:  # type: ignore[type-arg]
    """A file is edited at random; every line remembers who wrote it."""
    versions = [[f"{line}0.{place}" for place, line in enumerate(start)]]
    patches = []
    for number, (data, context) in enumerate(steps, 1):
        lines = list(versions[-1])
        for edit in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(lines)))
            if data.draw(st.booleans()):
                lines.insert(place, f"new{number}.{edit}.{place}")
            elif place < len(lines):
                del lines[place]
        diff = difflib.unified_diff(versions[-1], lines, "a/f", "b/f", lineterm="", n=context)
        patches.append("\n".join([*diff, ""]))
        versions.append(lines)
    for number, told in enumerate(found(*patches), 1):
        places = {line for first, last in told.get("f", ()) for line in range(first, last + 1)}
        wanted = {place for place, line in enumerate(versions[-1], 1) if line.startswith(f"new{number}.")}
        assert places == wanted
