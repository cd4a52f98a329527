"""Which files of a directory are a build's, and what is refused."""

import gzip
import os
from pathlib import Path

import pytest

from matrix.errors import MachineError, RequestError
from matrix.foreign_builds import build_directory
from matrix.foreign_builds.build_directory import read_build_directory
from matrix.foreign_files import ForeignFileError
from tests.fakes.foreign_builds import MADE, ROBOT_MAIL, TUXMAKE, config_text, keep_build

CONFIG = config_text(VFIO="y")


@pytest.mark.parametrize(
    ("log", "config"),
    [
        ("build.log", "config"),
        ("build.log", ".config"),
        ("build.log.gz", ".config"),
        ("build.log", "kernel.config"),
        ("build.log", "config.gz"),
        ("build.txt", ".config.gz"),
        ("make.log", "dotconfig"),
        ("make.log.gz", "my.config"),
        ("kernel-build.log", "defconfig"),
        ("log", "config-6.12.1-amd64"),
        ("vfio.log", "config-x86_64-randconfig-001-20240101"),
        ("mail.eml", "config"),
        ("202309170123.mbox", "powerpc-randconfig-r004-20230917"),
        ("report.txt", "x86_64-allmodconfig"),
        ("output.txt", "config-powerpc-randconfig-r004.gz"),
    ],
)
def test_files_are_known_by_their_names(tmp_path: Path, log: str, config: str) -> None:
    build = keep_build(tmp_path / "one", {log: MADE, config: CONFIG, "vmlinux": b"\x7fELF"})
    files = read_build_directory(build)
    assert (files.name, files.log_name) == ("one", log)
    assert files.read_log() == MADE
    assert files.config.value_of("VFIO") == "y"


@pytest.mark.parametrize("others", [["build-debug.log"], ["build_kimage.log", "build_kimage_stderr.log"]])
def test_the_log_of_the_whole_build_is_taken(tmp_path: Path, others: list[str]) -> None:
    known = {"build.log": MADE, ".config": CONFIG, "fragment.config": "CONFIG_X=y\n"}
    files = read_build_directory(keep_build(tmp_path, known | dict.fromkeys(others, "x")))
    assert files.log_name == "build.log"
    assert "X" not in files.config


@pytest.mark.parametrize(
    ("others", "logs", "configs"),
    [
        (["b.log", "a-longer.log"], ("b.log", "a-longer.log"), ()),
        (["a.log.gz", "output.txt"], (), ()),
        (["config"], (), (".config",)),
        (["b.log.gz", "config.gz"], ("b.log.gz",), ("config.gz",)),
    ],
)
def test_files_that_could_be_the_log_as_well_are_named(
    tmp_path: Path, others: list[str], logs: tuple[str, ...], configs: tuple[str, ...]
) -> None:
    known = {"a.log": MADE, ".config": CONFIG} | dict.fromkeys(others, CONFIG)
    files = read_build_directory(keep_build(tmp_path / "one", known))
    assert files.rivals == {"a.log": logs, "config" if "config" in others else ".config": configs}


def test_what_tuxmake_leaves() -> None:
    files = read_build_directory(TUXMAKE / "1")
    assert (files.name, files.log_name, list(files.notes)) == ("1", "build.log", ["metadata.json"])
    assert files.config.value_of("KVM_BOOK3S_64") == "y"


def test_what_the_robot_sends(tmp_path: Path) -> None:
    build = {"mail": ROBOT_MAIL, "config.gz": CONFIG, "reproduce": "COMPILER=gcc-12.1.0 make.cross"}
    files = read_build_directory(keep_build(tmp_path, build))
    assert (files.log_name, list(files.notes)) == ("mail", ["reproduce"])


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, r"it has no log \(build.log.*\) and no .config \(config.*\); it has no file at all"),
        ({"build.log": MADE}, r"it has no .config \(config, .config.*\); it has 'build.log'$"),
        ({"config": CONFIG}, r"it has no log \(build.log, make.log.*\); it has 'config'$"),
        ({"config": CONFIG, "README.md": "x"}, "it has no log"),
        ({"build.log": MADE, "config": "int main;\n"}, "'config': line 1 is no line of a .config"),
        ({"build.log": MADE, "config": "# nothing\n"}, "'config' sets no symbol"),
        ({f"{number}.c": "" for number in range(9)}, "'5.c' and 3 more"),
    ],
)
def test_a_directory_that_is_no_build_is_refused(tmp_path: Path, files: dict[str, str], says: str) -> None:
    with pytest.raises(RequestError, match=says) as error:
        read_build_directory(keep_build(tmp_path / "one", dict(files)))
    assert str(error.value).startswith(f"{tmp_path / 'one'} is no build: ")
    assert error.value.hint


@pytest.mark.parametrize("path", ["nosuch", "file", "file/below"])
def test_what_is_no_directory_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RequestError, match="is no build: it cannot be read"):
        read_build_directory(tmp_path / path)


def test_a_directory_of_a_build_may_be_reached_by_a_link(tmp_path: Path) -> None:
    keep_build(tmp_path / "one", {"build.log": MADE, "config": CONFIG})
    (tmp_path / "link").symlink_to("one")
    assert read_build_directory(tmp_path / "link").name == "one"


@pytest.mark.parametrize("name", ["build.log", "config", "metadata.json"])
def test_no_file_of_it_is_followed_or_waited_for(tmp_path: Path, name: str) -> None:
    keep_build(tmp_path, {"build.log": MADE, "config": CONFIG})
    for make in (
        lambda path: path.symlink_to("/etc/passwd"),
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
    ):
        (tmp_path / name).unlink(missing_ok=True)
        make(tmp_path / name)
        with pytest.raises(ForeignFileError, match=f"{name}.*(is a link|no regular file)"):
            read_build_directory(tmp_path).read_log()


def test_a_directory_is_no_file_of_it(tmp_path: Path) -> None:
    (tmp_path / "build.log").mkdir()
    with pytest.raises(RequestError, match="it has no log"):
        read_build_directory(keep_build(tmp_path, {"config": CONFIG}))


@pytest.mark.parametrize("content", [b"\x1f\x8bxx", gzip.compress(CONFIG.encode(), mtime=0)[:-9]])
def test_a_damaged_archive_is_an_error(tmp_path: Path, content: bytes) -> None:
    build = keep_build(tmp_path, {"build.log": MADE})
    (build / "config.gz").write_bytes(content)
    with pytest.raises(ForeignFileError, match=r"'config.gz' is damaged"):
        read_build_directory(build)


def test_nothing_is_unpacked_beyond_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_directory, "LOG_LIMIT", 100_000)
    build = keep_build(tmp_path, {"build.log.gz": "\n" * 100_001, "config": CONFIG})
    with pytest.raises(MachineError, match="more than 100000 bytes unpacked"):
        read_build_directory(build).read_log()
    (build / "build.log.gz").unlink()
    (build / "build.log").write_text("\n" * 100_001)
    with pytest.raises(MachineError, match="more than 100000 bytes"):
        read_build_directory(build).read_log()


def test_a_directory_of_endless_names_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_directory, "_MAX_NAMES", 10)
    with pytest.raises(RequestError, match="it has more than 10 files"):
        read_build_directory(keep_build(tmp_path, {f"{number}": "" for number in range(11)}))
