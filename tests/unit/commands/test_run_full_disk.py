"""A disk that is full at any moment of a run is a fault of the machine, in words, and no bug of kmatrix."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout
from matrix.commands.session import Environment
from matrix.errors import MachineError
from matrix.record.states import State
from matrix.source.cache import SourceCache
from tests.unit.commands.resume_desk import ResumedDesk
from tests.unit.commands.run_desk import Desk

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
# Pages of 4 KiB: a run of two cells on the small tree takes some 150 in its cache, most of them for what
# is remembered, and a dozen in its record.
FREE_PAGES = [0, 1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 28, 32, 40, 50, 60, 70, 80, 100, 140, 200]


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", place], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(disk: Path, free_pages: int) -> None:
    status = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes((status.f_bfree - free_pages) * status.f_frsize))


def run_on(desk: Desk) -> str:
    """What a run came to: the states of its cells, or the words of an error of the machine."""
    try:
        done = desk.run(select=["MODULES=n", "!VFIO=m"], retries=["0"])
    except MachineError as error:
        return f"{error}; {error.hint}"
    return " ".join(sorted({cell.state for cell in done.cells}))


@pytest.mark.parametrize("what", ["cache", "runs"])
def test_a_disk_that_is_full_at_any_moment_is_said(tmp_path: Path, what: str) -> None:
    came_to = []
    for pages in FREE_PAGES:
        place = tmp_path / str(pages)
        place.mkdir()
        with small_disk(tmp_path / f"disk-{pages}") as disk:
            desk = ResumedDesk(place)
            cache, runs = (disk, place) if what == "cache" else (place, disk)
            desk.world = Environment(desk.engine, SourceCache(CacheLayout(cache / "cache")), runs / "runs")
            fill(disk, pages)
            came_to.append(run_on(desk))
            # With room again it goes on to what it would have come to.
            (disk / "ballast").unlink()
            if (desk.world.runs / "latest").exists():
                assert {cell.state for cell in desk.resume().cells} == {State.EMPTY, State.PASS}
    assert came_to[-1] == "empty pass"
    for words in came_to:
        assert re.search(r"^(empty )?(infra|pass)|(full|no space).*; .*(sweep|--out|KMATRIX_CACHE)", words)
