"""Whatever was edited, configured, patched and killed before: each run says what an empty directory would.

`KMATRIX_SEQUENCES=FIRST:COUNT` tries other seeds, or more of them.
"""

import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.fakes.sequences import (
    FAKE,
    Action,
    Ask,
    Build,
    Chooser,
    Edit,
    Judge,
    find_fault,
    shrink_sequence,
)

_FIRST, _COUNT = map(int, os.environ.get("KMATRIX_SEQUENCES", "1:10").split(":"))
_GROUP = 25
_MODULES, _BUILT_IN = ("MODULES", ("y",)), ("VFIO", ("y",))

FOUND: Mapping[str, Sequence[Action]] = {
    "a warning beside an object of the focus, in a configuration without it": (
        Edit("drivers/vfio/blob.S", 1),
        Ask((_MODULES, ("NET", ("y", "n")), _BUILT_IN), focus=("drivers/vfio/group.o", "virt/kvm/")),
        Build(),
    ),
    "a source beside an object of the focus is edited": (
        Ask((_MODULES, ("NET", ("m",)), _BUILT_IN), focus=("drivers/vfio/group.o", "virt/kvm/")),
        Build(),
        Edit("drivers/vfio/blob.S", 1),
        Build(),
    ),
    "the modules of an earlier configuration while vmlinux is made": (
        Edit("drivers/vfio/blob.S", 1),
        Ask((_MODULES, ("NET", ("m", "n")), ("VFIO", ("n",))), stage="modules"),
        Build(),
    ),
    "a container is killed in a later stage, by a fault of the engine": (
        Ask(
            (("MODULES", ("y", "n")), ("NET", ("y",)), ("VFIO", ("y", "n")), ("GROUP", ("n",))),
            stage="vmlinux",
        ),
        Build(),
        Build(kill=2, ending="engine"),
    ),
    "a makefile names an object that has no source, beside one on record with a warning": (
        Edit("drivers/vfio/vfio_main.c", 2),
        Ask((_MODULES, ("NET", ("n",)), _BUILT_IN)),
        Build(),
        Edit("drivers/vfio/Makefile", 6),
        Build(),
    ),
    "a directory fails, above one that stands as it is, with a warning": (
        Edit("include/linux/kvm.h", 2),
        Edit("drivers/vfio/table.tbl", 7),
        Ask((_MODULES, ("NET", ("n",)), _BUILT_IN, ("GROUP", ("n", "y"))), fixed=(("PCI", "y"),)),
        Build(),
    ),
}
"""What was wrong once."""


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(tmp_path_factory.mktemp("fresh"))


@pytest.mark.parametrize("actions", FOUND.values(), ids=FOUND)
def test_what_was_wrong_once_is_right(actions: Sequence[Action], tmp_path: Path, judge: Judge) -> None:
    assert find_fault(actions, tmp_path / "kmatrix", judge) == ""


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("first", range(_FIRST, _FIRST + _COUNT, _GROUP))
def test_each_run_says_what_an_empty_directory_would(first: int, tmp_path: Path, judge: Judge) -> None:
    place = tmp_path / "kmatrix"
    for seed in range(first, min(first + _GROUP, _FIRST + _COUNT)):
        actions = Chooser(FAKE, random.Random(seed)).choose_sequence()
        if find_fault(actions, place, judge):
            least = shrink_sequence(actions, lambda some: bool(find_fault(some, place, judge)))
            steps = "\n".join(f"    {action!r}," for action in least)
            pytest.fail(f"seed {seed}: {find_fault(least, place, judge)}\n[\n{steps}\n]", pytrace=False)
