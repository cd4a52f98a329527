"""A tree with patches reads what the trees below it remember, and writes for itself alone."""

from pathlib import Path

import pytest

from matrix.memory.layers import Memory, name_layers
from matrix.memory.store import Entry
from matrix.source.kernel_tree import AppliedPatch

ONE, TWO = AppliedPatch("one.patch", "1" * 64), AppliedPatch("two.patch", "2" * 64)
FOUND = Entry("result", "scope", "name", "key", "1", "run-1")


def open_memory(folder: Path, *patches: AppliedPatch, run: str = "run-2", fresh: bool = False) -> Memory:
    return Memory(folder, patches, run, fresh)


def test_each_patch_has_a_layer_above_those_before_it() -> None:
    assert name_layers(()) == ("base",)
    assert name_layers((ONE, TWO))[1:] == name_layers((ONE,))
    assert name_layers((ONE, TWO))[0] not in name_layers((TWO, ONE))


@pytest.mark.parametrize(
    ("wrote", "reads", "expected"),
    [
        ((), (), True),
        ((), (ONE,), True),
        ((ONE,), (), False),
        ((ONE,), (TWO,), False),
        ((ONE,), (ONE, TWO), True),
        ((TWO,), (ONE, TWO), False),
    ],
)
def test_a_layer_is_read_by_trees_that_have_its_patches_first(
    tmp_path: Path, wrote: tuple[AppliedPatch, ...], reads: tuple[AppliedPatch, ...], expected: bool
) -> None:
    writer = open_memory(tmp_path, *wrote)
    digest = writer.put_content(b"an object")
    writer.put_entries([FOUND])
    reader = open_memory(tmp_path, *reads)
    assert (reader.find_entry("result", "scope", "name", "key") == FOUND) is expected
    assert (reader.find_entries("result", "scope") == [FOUND]) is expected
    assert (reader.get_content(digest) == b"an object") is expected


def test_a_fresh_run_knows_only_what_it_wrote_itself(tmp_path: Path) -> None:
    open_memory(tmp_path).put_entries([FOUND])
    assert open_memory(tmp_path, fresh=True).find_entries("result", "scope") == []
    assert open_memory(tmp_path, run="run-1", fresh=True).find_entries("result", "scope") == [FOUND]


def test_without_a_folder_nothing_is_remembered() -> None:
    memory = Memory(None, (), "run")
    memory.put_entries([FOUND])
    assert memory.find_entries("result", "scope") == []
    assert memory.get_content(memory.put_content(b"an object")) is None
