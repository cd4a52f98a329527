"""Directories that nobody makes by accident: each is refused with a sentence, at once, or taken."""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from matrix.cache_layout import CacheLayout
from matrix.engine.protocol import Engine
from matrix.errors import RequestError
from matrix.foreign_trees import remove_tree
from matrix.source import snapshot
from matrix.source.cache import SourceCache
from matrix.source.fetch import fetch_tree
from matrix.source.kernel_tree import SourceTree, find_missing_paths
from matrix.source.snapshot import copy_tree, hash_tree, list_files
from tests.fakes.small_tree import small_tree

pytestmark = pytest.mark.timeout(20)


def fetch(tree: Path, place: Path) -> SourceTree:
    return fetch_tree(
        str(tree),
        cache=SourceCache(CacheLayout(place / "cache")),
        engine=cast("Engine", object()),
        image="base",
        user="0:0",
        note=lambda _: None,
    )


def replace(tree: Path, name: str, make: Callable[[Path], None]) -> None:
    (tree / name).unlink()
    make(tree / name)


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def nest(tree: Path, depth: int) -> None:
    here = os.open(tree, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def make_sparse(tree: Path) -> None:
    with (tree / "huge").open("wb") as file:
        file.truncate(2**40)


def make_sparse_files(tree: Path) -> None:
    for number in range(20):
        with (tree / f"huge{number}").open("wb") as file:
            file.truncate(4 * 2**30)


def make_long_path(tree: Path) -> None:
    folder = tree
    for _ in range(9):
        folder /= "x" * 250
        folder.mkdir()
    (folder / "x").touch()


def make_socket(tree: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(tree)
        try:
            listener.bind("odd")
        finally:
            os.chdir(before)


def make_device(tree: Path) -> None:
    if os.geteuid():
        pytest.skip("only root makes devices")
    os.mknod(tree / "odd", 0o020644, os.makedev(1, 5))


def make_links(tree: Path) -> None:
    for number in range(snapshot.MAX_TREE_LINKS + 1):
        (tree / f"l{number}").symlink_to("x")


def make_names(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def fill(tree: Path) -> None:
        for number in range(300):
            make(tree / f"n{number}")

    return fill


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe for a Makefile": (lambda tree: replace(tree, "Makefile", os.mkfifo), "not a kernel tree"),
    "endless Makefile": (lambda tree: replace(tree, "Makefile", link_to("/dev/zero")), "not a kernel tree"),
    "linked Makefile": (lambda tree: replace(tree, "Makefile", link_to("/etc/passwd")), "not a kernel tree"),
    "directory for a Makefile": (lambda tree: replace(tree, "Makefile", Path.mkdir), "not a kernel tree"),
    "Makefile that leads to itself": (
        lambda tree: replace(tree, "Makefile", link_to("Makefile")),
        "not a kernel tree",
    ),
    "pipe for a Kconfig": (lambda tree: replace(tree, "Kconfig", os.mkfifo), "not a kernel tree"),
    "endless Kconfig": (lambda tree: replace(tree, "Kconfig", link_to("/dev/zero")), "not a kernel tree"),
    "pipe": (lambda tree: os.mkfifo(tree / "odd"), "odd is neither"),
    "pipe with escapes": (lambda tree: os.mkfifo(tree / "\x1b[31modd"), "^odd is neither"),
    "pipe that is no UTF-8": (lambda tree: os.mkfifo(os.fsencode(tree) + b"/\xff"), "^\ufffd is neither"),
    "socket": (make_socket, "odd is neither"),
    "device": (make_device, "odd is neither"),
    "sparse terabyte": (make_sparse, "more than 64 GiB; its largest file is huge"),
    "sparse files": (make_sparse_files, "more than 64 GiB; its largest file is huge"),
    "65 nested directories": (lambda tree: nest(tree, 65), "d is more than 64 directories deep"),
    "1500 nested directories": (lambda tree: nest(tree, 1500), "d is more than 64 directories deep"),
    "long path": (make_long_path, "path of more than 2000 bytes"),
    "many links": (make_links, "more than 20000 links"),
    "pipe for a .config": (lambda tree: os.mkfifo(tree / ".config"), "leftovers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_odd_tree_is_refused_with_a_sentence(tmp_path: Path, name: str) -> None:
    make, words = REFUSED[name]
    make(tree := small_tree(tmp_path / "tree"))
    with pytest.raises(RequestError, match=words) as caught:
        fetch(tree, tmp_path)
    assert caught.value.hint
    assert str(caught.value).isprintable()
    remove_tree(tree)


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, link_to("x")])
def test_more_names_than_a_kernel_has_are_refused_while_they_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(snapshot, "MAX_TREE_NAMES", 250)
    make_names(make)(tree := small_tree(tmp_path / "tree"))
    with pytest.raises(RequestError, match="more than 250 files and directories"):
        fetch(tree, tmp_path)


@pytest.mark.parametrize("place", ["/proc", "/proc/self", "/dev", "/sys", "/"])
def test_a_directory_of_the_kernel_s_own_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(RequestError, match="not a kernel tree"):
        fetch(Path(place), tmp_path)


def make_link_chain(tree: Path) -> None:
    for number in range(3000):
        (tree / f"l{number}").symlink_to(f"l{number + 1}")


def make_odd_names(tree: Path) -> None:
    for name in (b"\xff\xfe", b"-rf", b"new\nline", b"\x1b[31m", b" ", b"*", b"$(x)", b"x" * 255):
        Path(os.fsdecode(os.fsencode(tree) + b"/" + name)).write_text("x")


def make_git_directory_with_pipe(tree: Path) -> None:
    (tree / ".git").mkdir()
    os.mkfifo(tree / ".git/HEAD")


TAKEN: dict[str, Callable[[Path], object]] = {
    "link to itself": lambda tree: link_to("loop")(tree / "loop"),
    "links in a circle": lambda tree: (link_to("b")(tree / "a"), link_to("a")(tree / "b")),
    "chain of 3000 links": make_link_chain,
    "dangling .config": lambda tree: link_to("/nowhere")(tree / ".config"),
    "link up": lambda tree: link_to("..")(tree / "virt/up"),
    "odd names": make_odd_names,
    "64 directories": lambda tree: nest(tree, 64),
    "git file that leads nowhere": lambda tree: (tree / ".git").write_text("gitdir: /nowhere\n"),
    "pipe for a git file": lambda tree: os.mkfifo(tree / ".git"),
    "git directory with a pipe": make_git_directory_with_pipe,
    "file with a hole": lambda tree: os.truncate(tree / "Kconfig", 2**20),
}


@pytest.mark.parametrize("name", TAKEN)
def test_an_odd_tree_that_make_can_read_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    TAKEN[name](tree := small_tree(tmp_path / "tree"))
    taken = fetch(tree, tmp_path)
    assert taken.git is None
    assert hash_tree(taken.path, list_files(taken.path)) == hash_tree(tree, list_files(tree))


def test_a_version_brings_no_escapes(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree", Makefile="VERSION = 6\nPATCHLEVEL = 1\nEXTRAVERSION = \x1b[31m-x\n")
    assert fetch(tree, tmp_path).version == "6.1-x"


def test_the_command_that_cleans_a_tree_can_be_pasted(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree", **{"arch/$(touch x)/include/generated/x": ""})
    with pytest.raises(RequestError) as caught:
        fetch(tree, tmp_path)
    assert "ARCH='$(touch x)' mrproper" in caught.value.hint


def swap_for_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def swap_for_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def swap_for_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def swap_parent_for_file(path: Path) -> None:
    remove_tree(path.parent)
    path.parent.write_text("x")


def swap_parent_for_nothing(path: Path) -> None:
    remove_tree(path.parent)


@pytest.mark.parametrize(
    "read", [hash_tree, lambda root, files: copy_tree(root, files, root.parent / "copy")]
)
@pytest.mark.parametrize(
    ("swap", "words"),
    [
        (Path.unlink, "went away"),
        (swap_for_pipe, "went away"),
        (swap_for_link, "cannot be read: Too many levels"),
        (swap_for_directory, "went away"),
        (swap_parent_for_file, "went away"),
        (swap_parent_for_nothing, "went away"),
    ],
)
def test_a_file_that_becomes_something_else_while_the_tree_is_read_is_named(
    tmp_path: Path,
    read: Callable[[Path, list[snapshot.FileStat]], object],
    swap: Callable[[Path], None],
    words: str,
) -> None:
    tree = small_tree(tmp_path / "tree")
    files = list_files(tree)
    swap(tree / "virt/kvm/vfio.c")
    with pytest.raises(RequestError, match=words) as caught:
        read(tree, files)
    assert "virt/kvm" in str(caught.value)


def test_a_directory_that_goes_away_while_names_are_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = small_tree(tmp_path / "tree")
    real = os.scandir

    def scan(path: str) -> object:
        if path.endswith("/virt"):
            remove_tree(tree / "virt")
        return real(path)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(RequestError, match=r"virt went away"):
        list_files(tree)


def test_a_file_that_grows_while_it_is_read_has_an_end(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    files = list_files(tree)
    os.truncate(tree / "Kconfig", 2**40)
    with pytest.raises(RequestError, match="Kconfig grows while it is read"):
        hash_tree(tree, files)


@pytest.mark.parametrize(
    "path", ["x" * 300 + "/", "virt/" + "x" * 300 + ".o", "a/" * 3000, "loop/x.o", "out/hostname", "pipe/x.o"]
)
def test_a_focus_that_no_file_system_can_hold_is_a_missing_one(tmp_path: Path, path: str) -> None:
    tree = small_tree(tmp_path / "tree")
    (tree / "loop").symlink_to("loop")
    (tree / "out").symlink_to("/etc")
    (tree / "pipe").mkdir()
    os.mkfifo(tree / "pipe/Makefile")
    assert [missing for missing, _ in find_missing_paths(tree, [path])] == [path]


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that another user can work in."""
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    place.chmod(0o755)
    yield place
    remove_tree(place)


@pytest.mark.parametrize(
    "name", ["virt", "virt/kvm/vfio.c", "Makefile", "Kconfig", "scripts", ".", "include/linux"]
)
def test_what_its_owner_may_not_read_is_named(open_place: Path, name: str) -> None:
    if os.geteuid():
        pytest.skip("only root can become another user, and come back")
    tree = small_tree(open_place / "tree")
    for path in (open_place, tree, *tree.rglob("*")):
        os.chown(path, 59990, 59990, follow_symlinks=False)
    (tree / name).chmod(0)
    os.seteuid(59990)
    try:
        with pytest.raises(RequestError, match=r"cannot be read|is not a kernel tree"):
            fetch(tree, open_place)
    finally:
        os.seteuid(0)
