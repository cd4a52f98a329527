from pathlib import Path

import pytest

from matrix.errors import RequestError
from matrix.source.spec import DirectorySpec, PackageSpec, RevisionSpec, TarballSpec, parse_source_spec


def test_a_debian_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_source_spec("debian:linux-source-6.12") == PackageSpec("linux-source-6.12")
    assert parse_source_spec("debian:linux-source-6.12=6.12.48-1") == PackageSpec(
        "linux-source-6.12", "6.12.48-1"
    )


@pytest.mark.parametrize(
    "name", ["", "bash", "linux-source-", "linux-source-6.12; true", "--help", "linux-source-6.12="]
)
def test_what_is_no_source_package_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="no package"):
        parse_source_spec(f"debian:{name}")


def test_directories_files_and_revisions_are_told_apart(tmp_path: Path) -> None:
    tree, tarball = tmp_path / "linux", tmp_path / "linux.tar.xz"
    tree.mkdir()
    tarball.touch()
    assert parse_source_spec(str(tree)) == DirectorySpec(tree)
    assert parse_source_spec(str(tarball)) == TarballSpec(tarball)
    assert parse_source_spec(f"{tree}@v6.12") == RevisionSpec(tree, "v6.12")
    assert parse_source_spec(f"{tree}@HEAD@{{1}}") == RevisionSpec(tree, "HEAD@{1}")


def test_a_directory_whose_name_has_an_at_is_that_directory(tmp_path: Path) -> None:
    (tmp_path / "linux").mkdir()
    (tmp_path / "linux@work").mkdir()
    assert parse_source_spec(f"{tmp_path}/linux@work") == DirectorySpec(tmp_path / "linux@work")
    assert parse_source_spec(f"{tmp_path}/linux@work@v1") == RevisionSpec(tmp_path / "linux", "work@v1")


@pytest.mark.parametrize("spec", ["", "@", "@v6.12", "nowhere", "nowhere@v6.12", ".@"])
def test_what_is_nowhere_is_refused_with_the_forms_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match="no source") as caught:
        parse_source_spec(spec)
    assert "DIR@REV" in caught.value.hint
