"""Lanes for the tests of this folder, in a cache of their own."""

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from matrix.builder.lane_dir import LaneDirectory, open_lane, open_lane_copy
from matrix.source.kernel_tree import SourceTree
from tests.unit.builder.lane_places import ME, Open, Trees


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(tmp_path / "cache")


@pytest.fixture
def lane(trees: Trees) -> Open:
    def opened(tree: SourceTree) -> AbstractContextManager[LaneDirectory]:
        return open_lane("x86-gcc-14-0123", tree, trees.cache, ME)

    return opened


@pytest.fixture
def copy(trees: Trees) -> Open:
    def opened(tree: SourceTree) -> AbstractContextManager[LaneDirectory]:
        return open_lane_copy("x86-gcc-14-0123", tree, trees.cache, ME)

    return opened
