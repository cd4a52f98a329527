"""What damaged patches are read as, without applying them."""

import re

import pytest

from matrix.source.mbox.patch_file import parse_patch_file
from matrix.source.mbox.repair import describe_damage, expose_diff, list_repairs
from tests.fakes.damage import LOST, PATCH, REPAIRED


@pytest.mark.parametrize("name", REPAIRED)
def test_one_of_the_readings_of_a_damaged_patch_is_the_patch(name: str) -> None:
    damage, words = REPAIRED[name]
    damaged = damage(PATCH).encode()
    exposed = expose_diff(damaged)
    content = exposed.content if exposed else damaged
    readings = {repair.content: repair.words for repair in list_repairs(content)}
    readings.setdefault(content, exposed.words if exposed else "")
    whole = [text for text in readings if _normalize(text) == _normalize(PATCH.encode())]
    assert whole
    assert any(words in f"{exposed.words if exposed else ''} {readings[text]}" for text in whole)


def _normalize(content: bytes) -> bytes:
    """Without what git ignores: function names behind a header, and the space of a blank line of context."""
    content = re.sub(rb"(?m)^(@@ .* @@).*$", rb"\1", content)
    return re.sub(rb"(?m)^ $", b"", content)


@pytest.mark.parametrize("name", LOST)
def test_damage_that_nothing_mends_is_described(name: str) -> None:
    damage, words = LOST[name]
    assert re.search(words, describe_damage(damage(PATCH).encode()))


def test_a_whole_patch_has_no_damage_and_no_other_reading() -> None:
    assert describe_damage(PATCH.encode()) == ""
    assert expose_diff(PATCH.encode()) is None
    assert list_repairs(PATCH.encode()) == ()


def test_the_files_behind_a_hunk_that_lost_its_end_are_known() -> None:
    second = PATCH.replace("long.c", "other.c")
    damaged = PATCH.removesuffix(" \n") + second
    assert parse_patch_file("x", "", damaged.encode()).paths == ("virt/kvm/long.c", "virt/kvm/other.c")


JUNK = ["@@ -1,9999999 +1,9999999 @@\n", "@@ -1 +1 @@", "\n" * 9, "-- \n", "@@ -1,3 +1,3 @@\nx\n"]


def test_a_line_of_context_that_lost_its_first_space_gets_it_back() -> None:
    whole = "--- a/x/y\n+++ b/x/y\n@@ -1,2 +1,2 @@\n \tint x;\n-a\n+b\n"
    [repair] = list_repairs(whole.replace(" \t", "\t").encode())
    assert (repair.content.decode(), repair.words) == (whole, "1 first spaces of a line restored")


@pytest.mark.parametrize("text", JUNK)
def test_junk_is_read_to_its_end(text: str) -> None:
    list_repairs(text.encode())
    describe_damage(text.encode())


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "line", [" ", ">", "\t", "> ", "@@ -1,9 +1,9 @@\n", "&lt;", "=3D", "x\n", "--- a/x\n"]
)
def test_a_large_patch_is_read_in_linear_time(line: str) -> None:
    content = PATCH.encode() + line.encode() * 300_000
    expose_diff(content)
    list_repairs(content)
    describe_damage(content)
