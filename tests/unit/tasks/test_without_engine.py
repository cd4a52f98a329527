"""Tasks on a machine without an engine: what they say, and what they do all the same."""

import re
from pathlib import Path

import pytest

from matrix.tasks import this_machine
from tests.unit.tasks.command_line import Said, kmatrix, refused


@pytest.mark.parametrize("task", ["run", "plan", "images", "source"])
def test_without_an_engine_it_says_what_to_type_and_writes_nothing(
    task: str, capsys: Said, tmp_path: Path
) -> None:
    options = ["--out", "out"] if task in {"run", "plan"} else []
    said = refused(capsys, 2, task, *options)
    assert "no container engine answers" in said
    assert "./inv setup" in said
    assert list(tmp_path.iterdir()) == []


def test_setup_does_not_install_what_docker_host_contradicts(capsys: Said) -> None:
    assert "unset DOCKER_HOST" in refused(capsys, 2, "setup")


def test_doctor_without_an_engine_tells_its_findings_on_stdout(capsys: Said) -> None:
    assert kmatrix("doctor") == 2
    out, err = capsys.readouterr()
    assert "BAD engine" in out
    assert "./inv setup" in out
    assert err == ""


def test_sweep_without_an_engine_still_shows_what_lies_in_the_cache(capsys: Said, tmp_path: Path) -> None:
    (tmp_path / "cache" / "lanes" / "old").mkdir(parents=True)
    (tmp_path / "cache" / "lanes" / "old" / "build").mkdir()
    assert kmatrix("sweep") == 0
    shown = capsys.readouterr().out
    assert re.search(r"^lanes +4\.0 KiB  1 of them\n(.*\n)*lane .* old\n", shown)
    assert (tmp_path / "cache" / "lanes" / "old").is_dir()


@pytest.mark.parametrize(
    ("words", "size"),
    [
        ((), "10G"),
        (("--profile", "own.toml"), "50G"),
        (("--profile", "own.toml", "--cache-size", "1G"), "1G"),
    ],
)
def test_sweep_hears_the_size_of_a_profile(
    capsys: Said, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], size: str
) -> None:
    axes = 'focus = ["virt/kvm/"]\narch = ["x86"]\ntoolchain = ["gcc-14"]\n[symbols]\nKVM = ["y"]\n'
    Path("own.toml").write_text(f'cache-size = "50G"\n{axes}')
    heard: list[object] = []

    def look(**options: object) -> list[object]:
        heard.append(options["cache_size"])
        return []

    monkeypatch.setattr(this_machine, "sweep_leftovers", look)
    assert kmatrix("sweep", *words) == 0
    assert heard == [size]
    assert "Nothing to sweep" in capsys.readouterr().out


@pytest.mark.parametrize(
    "nonsense",
    [
        "nonsense",
        "ssh://there",
        "unix://",
        "tcp://[::1",
        "tcp://localhost:port",
        "tcp://localhost:99999",
        "tcp://",
    ],
)
@pytest.mark.parametrize("task", ["run", "images"])
def test_a_docker_host_of_nonsense_is_told(
    task: str, nonsense: str, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", nonsense)
    assert "DOCKER_HOST" in refused(capsys, 2, task)
