"""Nothing but a regular file below its directory comes through the door."""

import os
from pathlib import Path

import pytest

from matrix.foreign_files import ForeignDirectory, ForeignFileError


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/file").write_bytes(b"caf\xe9")
    assert ForeignDirectory(tmp_path).read_bytes("sub/file") == b"caf\xe9"
    assert ForeignDirectory(tmp_path).read_text("./sub/file") == "caf\ufffd"


@pytest.mark.parametrize("name", ["missing", "no/such/folder", "file/below"])
def test_what_is_missing_is_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    assert ForeignDirectory(tmp_path).read_bytes(name) is None
    assert ForeignDirectory(tmp_path).stat_file(name) is None
    ForeignDirectory(tmp_path).remove_file(name)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../outside", "sub/../../outside", "a\0b"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ForeignFileError, match="no name of a file"):
        ForeignDirectory(tmp_path).read_bytes(name)


def make_outside(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(outside / "secret")
    (root / "folder").symlink_to(outside)
    (root / "loop").symlink_to("loop")
    return root


@pytest.mark.parametrize("name", ["link", "folder/secret", "loop"])
def test_no_link_is_followed(tmp_path: Path, name: str) -> None:
    root = make_outside(tmp_path)
    with pytest.raises(ForeignFileError):
        ForeignDirectory(root).read_bytes(name)
    assert ForeignDirectory(root).stat_file(name) is None


def test_removing_behind_a_link_removes_nothing_there(tmp_path: Path) -> None:
    root = make_outside(tmp_path)
    ForeignDirectory(root).remove_file("folder/secret")
    ForeignDirectory(root).remove_file("link")
    assert (tmp_path / "outside/secret").read_text() == "secret"
    assert not (root / "link").is_symlink()


def test_a_pipe_or_a_directory_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(ForeignFileError):
            ForeignDirectory(tmp_path).read_bytes(name)
        assert ForeignDirectory(tmp_path).stat_file(name) is None


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert ForeignDirectory(tmp_path).read_bytes("file", limit=5) == b"12345"
    with pytest.raises(ForeignFileError, match="more than 4 bytes"):
        ForeignDirectory(tmp_path).read_bytes("file", limit=4)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    root = make_outside(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("link", "folder/secret", "missing/x", "loop"):
        ForeignDirectory(root).stat_file(name)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
