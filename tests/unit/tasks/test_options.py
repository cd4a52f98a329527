"""Tasks, options and values that are not known, and places that are in use: refused before any work."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.tasks.command_line import Said, refused


@pytest.mark.parametrize("words", [("nosuch",), ("--nosuch",), ("run", "--nosuch"), ("run", "extra")])
def test_an_unknown_task_or_option_is_named(words: tuple[str, ...], capsys: Said) -> None:
    assert words[-1] in refused(capsys, 1, *words)


@pytest.mark.parametrize(
    ("option", "value", "near"),
    [
        ("--arch", "arm46", "arm64"),
        ("--toolchain", "gcc-41", "gcc-14"),
        ("--stage", "vmlinuz", "'focus', 'vmlinux' or 'modules'"),
        ("--profile", "kvm-vifo", "kvm-vfio"),
    ],
)
@pytest.mark.parametrize("task", ["run", "plan", "setup"])
def test_an_unknown_value_is_named_with_the_nearest_valid(
    task: str, option: str, value: str, near: str, capsys: Said
) -> None:
    said = refused(capsys, 1, task, option, value)
    assert option in said or option == "--profile"
    assert value in said
    assert near in said


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--jobs", "abc", "a whole number"),
        ("--jobs", "0", "greater than or equal to 1"),
        ("--lanes", "-1", "greater than or equal to 1"),
        ("--memory", "lots", "a size such as 4G"),
        ("--timeout", "soon", "a duration such as 30m"),
        ("--deadline", "", "a duration such as 30m"),
        ("--make", "W", "VAR=VALUE"),
        ("--make", "=1", "VAR=VALUE"),
        ("--make", "ARCH=x", "ARCH is kmatrix's own"),
        ("--make", "O=/tmp", "O is kmatrix's own"),
        ("--make", "A B=1", "the name of a make variable"),
        ("--select", "nosuch/*", "matches no request"),
        ("--select", "NOSUCH=y", "no axis NOSUCH"),
        ("--select", "!*", "leaves no request"),
        ("--arch", ",", "empty axis"),
        ("--arch", "x86,x86", "twice"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_what_was_expected(
    option: str, value: str, expected: str, capsys: Said, tmp_path: Path
) -> None:
    said = refused(capsys, 1, "run", f"{option}={value}", "--out", str(tmp_path / "out"))
    assert option in said
    assert expected in said
    assert not (tmp_path / "out").exists()


def test_a_wrong_variable_is_called_by_its_name(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMATRIX_JOBS", "many")
    assert "KMATRIX_JOBS: expected a whole number" in refused(capsys, 1, "run")


def test_an_option_wins_over_a_variable(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMATRIX_STAGE", "nonsense")
    assert "no container engine" in refused(capsys, 2, "run", "--stage", "vmlinux")


def test_an_option_without_its_value_is_named(capsys: Said) -> None:
    assert "out" in refused(capsys, 1, "run", "--out")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rnu",), "there is no task 'rnu' (nearest: 'run')\n  ./inv --list shows the tasks"),
        (("run", "rport"), "there is no task 'rport' (nearest: 'report')\n  ./inv --list shows the tasks"),
        (("--help", "rnu"), "there is no task 'rnu' (nearest: 'run')\n  ./inv --list shows the tasks"),
        (
            ("run", "--arhc", "x86"),
            "run has no option '--arhc' (nearest: '--arch')\n  ./inv run --help shows its options",
        ),
        (
            ("--arch", "x86", "run"),
            "there is no option '--arch' before a task\n  an option stands after its task: ./inv TASK --help",
        ),
    ],
)
def test_an_unknown_word_is_told_with_the_nearest_and_where_to_look(
    words: tuple[str, ...], message: str, capsys: Said
) -> None:
    assert refused(capsys, 1, *words) == f"kmatrix: {message}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"arch = [", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (b"", "arch"),
        (b"arch = ['x86']\ntoolchain = ['gcc-14']\nfocus = ['a/']\nshiny = 1", "shiny"),
        (b"arch = 'x86'\ntoolchain = ['gcc-14']\nfocus = ['a/']", "arch: expected a list"),
        (b"arch = [1]\ntoolchain = ['gcc-14']\nfocus = ['a/']", "arch"),
    ],
    ids=["broken", "no-text", "empty", "unknown-key", "no-list", "no-word"],
)
def test_a_broken_profile_is_refused_by_its_file(
    text: bytes, told: str, capsys: Said, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_bytes(text)
    said = refused(capsys, 1, "run", "--profile", "mine.toml", "--out", "out")
    assert "mine.toml" in said
    assert told in said
    assert not (tmp_path / "out").exists()


def _directory(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _nothing(path: Path) -> None:
    """Leave it missing."""


@pytest.mark.parametrize("make", [_directory, _loop, _nothing])
def test_a_profile_that_cannot_be_read_is_refused(
    make: Callable[[Path], None], capsys: Said, tmp_path: Path
) -> None:
    make(tmp_path / "mine.toml")
    assert "mine.toml: cannot be read: " in refused(capsys, 1, "plan", "--profile", "./mine.toml")


def test_an_out_in_use_is_refused_and_left_as_it_was(capsys: Said, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert "in use" in refused(capsys, 1, "run", "--out", "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_an_out_that_is_a_file_is_refused_and_left_as_it_was(capsys: Said, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    assert "--out" in refused(capsys, 1, "run", "--out", "out")
    assert (tmp_path / "out").read_text() == "mine"
