"""Whatever a build left is measured, inspected and removed, and nothing outside is touched."""

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.errors import MachineError
from matrix.foreign_files import ForeignFileError
from matrix.foreign_trees import inspect_tree, measure_tree, remove_tree, walk_tree

NEXT_YEAR = 10**18 * 4


def nest(root: Path, depth: int, name: str = "d") -> None:
    """So many directories below each other, also where the path is too long for any call."""
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)


def make_pipes_and_sockets(root: Path) -> None:
    os.mkfifo(root / "pipe")
    # Not bound: the path of a bound socket may have 107 bytes at most.
    os.mknod(root / "socket", stat.S_IFSOCK | 0o600)


def make_odd_names(root: Path) -> None:
    for name in (b"-rf", b"--", b"new\nline", b"caf\xe9", b"\x1b[31m", b"*", b"  ", b"...", b"x" * 255):
        (root / os.fsdecode(name)).touch()
        (root / os.fsdecode(name[:-1] + b"D")).mkdir()


def make_locked(root: Path) -> None:
    (root / "locked/below").mkdir(parents=True)
    (root / "locked/below/file").touch()
    (root / "locked/below").chmod(0)
    (root / "locked").chmod(0)
    (root / "unsearchable").mkdir()
    (root / "unsearchable/file").touch()
    (root / "unsearchable").chmod(0o444)


def make_links(root: Path) -> None:
    outside = root.parent / "outside"
    (root / "folder").symlink_to(outside)
    (root / "file").symlink_to(outside / "kept")
    (root / "loop").symlink_to("loop")
    (root / "up").symlink_to("..")
    (root / "nowhere").symlink_to("/no/such/thing")
    os.link(outside / "kept", root / "hard")


def make_many(root: Path) -> None:
    for number in range(3000):
        (root / str(number)).touch()


HOSTILE: dict[str, Callable[[Path], None]] = {
    "1,500 deep": lambda root: nest(root, 1500),
    "5,000 deep": lambda root: nest(root, 5000),
    "a path of 382,500 bytes": lambda root: nest(root, 1500, "x" * 255),
    "pipes": make_pipes_and_sockets,
    "odd names": make_odd_names,
    "locked": make_locked,
    "links": make_links,
    "many files": make_many,
    "a setuid file": lambda root: (root / "su").touch(0o4755),
    "a sparse terabyte": lambda root: os.truncate(os.open(root / "big", os.O_CREAT | os.O_WRONLY), 2**40),
    "nothing": lambda _: None,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/kept").write_text("kept")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_whatever_is_in_it_is_measured_and_removed(root: Path, make: Callable[[Path], None]) -> None:
    make(root)
    assert measure_tree(root) < 2**30
    remove_tree(root)
    assert not root.exists()
    assert (root.parent / "outside/kept").read_text() == "kept"
    assert stat.S_IMODE((root.parent / "outside").stat().st_mode) & 0o700 == 0o700


def test_few_descriptors_are_enough_for_any_depth(root: Path) -> None:
    nest(root, 1500)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 20, limits[1]))
    try:
        remove_tree(root)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert not root.exists()
    assert len(list(Path("/proc/self/fd").iterdir())) <= open_now


AS_NOBODY = """
import os, sys
os.chown(sys.argv[1], 65534, 65534)
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tests.unit.test_foreign_trees import make_locked
from matrix.foreign_trees import measure_tree, remove_tree
os.setgid(65534)
os.setuid(65534)
root = Path(sys.argv[1])
make_locked(root / "tree")
(root / "tree").chmod(0)
measure_tree(root / "tree")
remove_tree(root / "tree")
print(sorted(os.listdir(root)))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_its_owner_removes_what_was_locked_without_being_root() -> None:
    # Below /tmp: pytest's own directories are closed to other users.
    place = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    (place / "tree").mkdir()
    os.chown(place / "tree", 65534, 65534)
    checkout = str(Path(__file__).parents[2])
    ended = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(place), checkout], capture_output=True, text=True, check=False
    )
    remove_tree(place)
    assert (ended.stdout, ended.returncode) == ("[]\n", 0), ended.stderr


def test_a_file_or_a_link_is_removed_and_not_what_it_leads_to(root: Path) -> None:
    make_links(root)
    for name in ("folder", "file", "hard", "loop"):
        remove_tree(root / name)
        assert not os.path.lexists(root / name)
    assert (root.parent / "outside/kept").exists()
    remove_tree(root / "missing")
    remove_tree(root / "missing/below")


def test_what_cannot_be_removed_is_said_and_all_else_goes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "stuck", "z"):
        (root / "sub" / name).mkdir(parents=True)
    real = os.rmdir

    def refuse(path: str | Path, *, dir_fd: int | None = None) -> None:
        if str(path) == "stuck":
            raise PermissionError(1, "Operation not permitted")
        real(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", refuse)
    with pytest.raises(MachineError, match="root/sub/stuck cannot be removed: Operation not permitted"):
        remove_tree(root)
    assert [path.name for path in (root / "sub").iterdir()] == ["stuck"]


def test_a_walk_yields_a_directory_after_what_is_in_it(root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/file").touch()
    assert [entry.path for entry in walk_tree(root)] == ["a/b/file", "a/b", "a"]


def test_a_directory_that_is_moved_meanwhile_ends_the_walk(root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/file").touch()
    walk = walk_tree(root)
    assert next(walk).name == "file"
    (root / "a/b").rename(root.parent / "outside/b")
    with pytest.raises(MachineError, match="was moved"):
        next(walk)


def test_an_inspection_finds_the_newest_and_takes_setuid_bits(root: Path) -> None:
    (root / "sub").mkdir()
    for name, mode in (("su", 0o4755), ("sg", 0o2711), ("plain", 0o640)):
        (root / "sub" / name).touch()
        (root / "sub" / name).chmod(mode)
    (root / "link").symlink_to(root.parent / "outside/kept")
    (root.parent / "outside/kept").chmod(0o4755)
    os.utime(root / "sub/plain", ns=(NEXT_YEAR, NEXT_YEAR))
    facts = inspect_tree(root)
    assert (facts.names, facts.newest_time, facts.newest_path) == (5, NEXT_YEAR, "sub/plain")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (root / "sub").iterdir()}
    assert modes == {"su": 0o755, "sg": 0o711, "plain": 0o640}
    assert stat.S_IMODE((root.parent / "outside/kept").stat().st_mode) == 0o4755


def test_an_inspection_refuses_what_no_build_leaves(root: Path) -> None:
    nest(root, 65)
    with pytest.raises(ForeignFileError, match="more than 64 directories deep"):
        inspect_tree(root)
    remove_tree(root)
    root.mkdir()
    make_many(root)
    with pytest.raises(ForeignFileError, match="more than 2999 files"):
        inspect_tree(root, max_names=2999)
    assert inspect_tree(root, max_names=3000).names == 3000
    with pytest.raises(ForeignFileError, match="cannot be read"):
        inspect_tree(root / "missing")
