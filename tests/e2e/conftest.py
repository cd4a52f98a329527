"""What end-to-end tests share: kmatrix run as a user runs it, in a place of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout
from matrix.commands.run import run_matrix
from matrix.commands.session import Environment
from matrix.commands.settings import resolve_profile
from matrix.engine.connect import connect_engine
from matrix.engine.step import list_containers_of
from matrix.record.events import EventSink, ProgressEvent
from matrix.record.run_model import Cell, Run
from matrix.source.cache import SourceCache
from tests.minitree import patched

MINIATURE = """
stage = "focus"
focus = ["arch/{srcarch}/kvm/", "drivers/vfio/"]
arch = ["powerpc"]
toolchain = ["gcc-14", "clang-19"]
base = ["defconfig"]

[symbols]
KVM = ["n", "m", "y"]
MODULES = ["n", "y"]
VFIO = ["n", "m", "y"]
"""


class Kmatrix:
    """One user's kmatrix: its cache, its runs, its profile, and a miniature tree of its own."""

    def __init__(self, place: Path, profile: str = MINIATURE) -> None:
        self.place = place
        self.world = Environment(connect_engine(), SourceCache(CacheLayout(place / "cache")), place / "runs")
        self.profile = place / "story.toml"
        self.profile.write_text(profile)
        self.tree = str(patched(place / "tree"))
        self.events: list[ProgressEvent] = []
        self.on_event: EventSink = self.events.append
        self.directory = place

    def _tell(self, event: ProgressEvent) -> None:
        # Looked up at each event: a test may listen differently while the run goes on.
        self.on_event(event)

    def run(self, **options: list[str]) -> Run:
        """A run with these options (underscores for hyphens), each a list of words."""
        given = {name.replace("_", "-"): words for name, words in options.items()}
        settled = resolve_profile({"profile": [str(self.profile)], **given}, {})
        self.stored = run_matrix(settled, self._tell, ["test"], self.world)
        self.directory = self.stored.directory
        return self.stored.run


@pytest.fixture
def kmatrix(tmp_path: Path) -> Iterator[Kmatrix]:
    made = Kmatrix(tmp_path)
    yield made
    assert not list_containers_of(connect_engine(), made.place / "cache")


def by_state(run: Run) -> dict[str, list[str]]:
    """State → ids, in plan order."""
    found: dict[str, list[str]] = {}
    for cell in run.cells:
        found.setdefault(cell.state.value, []).append(cell.id)
    return found


def one(run: Run, matches: Callable[[Cell], bool]) -> Cell:
    """The only cell that matches."""
    (cell,) = filter(matches, run.cells)
    return cell
