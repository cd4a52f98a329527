"""Files are whole, locks exclude, and a full disk is an error of its own."""

import errno
import gzip
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.errors import DiskFullError
from matrix.fs import (
    lock_path,
    read_gzip_json,
    record_use,
    replace_file,
    sync_directory,
    try_lock_path,
    write_atomically,
    write_gzip_json,
)


def list_names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_whole_file_replaces_the_old_one_and_can_be_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in ("old and longer", "näw"):
        write_atomically(path, content)
        assert path.read_text("utf-8") == content
    write_atomically(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list_names(tmp_path) == ["file"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_write_that_finds_no_space_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fails(_: int) -> None:
        raise OSError(number, "full")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(DiskFullError) as caught:
        write_atomically(path, "new")
    assert caught.value.exit_code == 2
    assert str(path) in str(caught.value)
    assert caught.value.hint
    assert path.read_text() == "old"
    assert list_names(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken disk"), KeyboardInterrupt()])
def test_a_write_that_fails_otherwise_leaves_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fails(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(type(error)):
        write_atomically(tmp_path / "file", "new")
    assert list_names(tmp_path) == []


def test_only_a_file_that_must_survive_a_crash_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    replace_file(tmp_path / "file", "new")
    assert synced == []
    kinds: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda number: kinds.append(stat.S_ISDIR(os.fstat(number).st_mode)))
    replace_file(tmp_path / "file", "newer", sync=True)
    # The content before the name, and the name before anybody rests on it.
    assert kinds == [False, True]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_syncs_no_directory_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, "not here")

    monkeypatch.setattr(os, "fsync", refuse)
    sync_directory(tmp_path)


def test_a_disk_that_breaks_under_a_directory_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(_: int) -> None:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(os, "fsync", break_down)
    with pytest.raises(OSError, match="broken disk"):
        sync_directory(tmp_path)


def test_json_comes_back_as_it_was_written_and_equal_values_are_equal_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_gzip_json(tmp_path / name, {"näw": [1, None]})
    assert read_gzip_json(tmp_path / "one") == {"näw": [1, None]}
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", b"\x1f\x8b\x08\x00", gzip.compress(b"{", mtime=0)[:-3], gzip.compress(b"{", mtime=0)],
)
def test_damaged_json_is_a_value_error_and_missing_json_an_os_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError):  # noqa: PT011 - any of its kinds
        read_gzip_json(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        read_gzip_json(tmp_path / "missing")


def test_a_use_that_cannot_be_recorded_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.utime(tmp_path / "file", (1, 1))
    record_use(tmp_path / "file")
    assert (tmp_path / "file").stat().st_mtime > 1
    record_use(tmp_path / "missing")


def make_file(path: Path) -> None:
    path.touch()


@pytest.mark.parametrize("make", [make_file, Path.mkdir], ids=["file", "directory"])
def test_a_lock_excludes_and_shared_ones_do_not(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "lock"
    make(path)
    with lock_path(path), try_lock_path(path) as exclusive, try_lock_path(path, shared=True) as shared:
        assert (exclusive, shared) == (False, False)
    with (
        lock_path(path, shared=True),
        try_lock_path(path) as exclusive,
        try_lock_path(path, shared=True) as shared,
    ):
        assert (exclusive, shared) == (False, True)
    with try_lock_path(path) as exclusive:
        assert exclusive


def test_a_lock_file_is_made_unless_it_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), try_lock_path(tmp_path / "lock", create=False):
        pytest.fail("there is nothing to lock")
    with lock_path(tmp_path / "lock"):
        assert list_names(tmp_path) == ["lock"]


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    script = """if True:
        import os, pathlib, sys
        from matrix.fs import lock_path
        with lock_path(pathlib.Path(sys.argv[1])):
            os._exit(0)
    """
    command = [sys.executable, "-c", script, str(tmp_path / "lock")]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    with try_lock_path(tmp_path / "lock") as free:
        assert free
