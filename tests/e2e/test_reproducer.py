"""The reproducer's script with a real engine: on the miniature tree, alone, and given to git bisect."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.engine.connect import choose_container_user, connect_engine
from matrix.engine.protocol import LABEL, ContainerSpec, Mount
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Run
from tests.e2e.conftest import Kmatrix
from tests.engines import ON_DOCKER_ALONE, link_programs
from tests.fakes.history import CULPRIT, History
from tests.fakes.scripts import script_of
from tests.minitree import KCONFIG, REGRESSION, patched

pytestmark = pytest.mark.engine
GONE, THERE, SKIP, MACHINE = 0, 1, 125, 200


@pytest.fixture(scope="module")
def kmatrix(tmp_path_factory: pytest.TempPathFactory, each_engine: str) -> Kmatrix:
    return Kmatrix(tmp_path_factory.mktemp(f"reproducer-{each_engine}"))


@pytest.fixture(scope="module")
def broken(kmatrix: Kmatrix) -> Run:
    return kmatrix.run(source=[kmatrix.tree], patch=[str(REGRESSION)], select=["KVM=y,VFIO=?"])


@pytest.fixture
def script(kmatrix: Kmatrix, broken: Run, tmp_path: Path) -> Iterator[Path]:
    """The reproducer of the only finding, in its first cell."""
    yield write(kmatrix, broken, tmp_path / "repro.sh")
    asked = ["docker", "ps", "--all", "--quiet", "--filter", "name=kmatrix-repro"]
    assert subprocess.run(asked, capture_output=True, check=True).stdout == b"", "no container is left"


def write(kmatrix: Kmatrix, run: Run, path: Path, toolchain: str = "gcc-14") -> Path:
    stored = StoredRun(run, kmatrix.directory)
    (found,) = stored.findings.findings
    cell = next(cell for cell in stored.list_affected_cells(found) if cell.toolchain == toolchain)
    path.write_text(script_of(stored, cell, found))
    return path


def ask(script: Path, tree: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["sh", str(script), *words], cwd=tree, capture_output=True, text=True, check=False)


@pytest.fixture
def only_engine(each_engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The engine that is found: the only one whose program is on PATH, and no service is named."""
    monkeypatch.setenv("PATH", link_programs(tmp_path / "programs", each_engine))
    if each_engine == "podman":
        monkeypatch.delenv("DOCKER_HOST")
    return each_engine


@pytest.mark.parametrize("toolchain", ["gcc-14", "clang-19"])
def test_it_is_there_in_the_broken_tree_and_gone_in_the_good_one(
    kmatrix: Kmatrix, broken: Run, tmp_path: Path, toolchain: str, only_engine: str
) -> None:
    mine = write(kmatrix, broken, tmp_path / "repro.sh", toolchain)
    there = ask(mine, patched(tmp_path / "broken", REGRESSION))
    assert there.returncode == THERE, there.stderr
    assert ": error: " in there.stderr
    assert f" with {only_engine}\n" in there.stderr
    gone = ask(mine, patched(tmp_path / "good"))
    assert gone.returncode == GONE, gone.stderr


def test_a_tree_whose_kconfig_is_broken_answers_nothing(script: Path, tmp_path: Path) -> None:
    ended = ask(script, patched(tmp_path / "tree", KCONFIG))
    assert ended.returncode == SKIP
    assert "boool" in ended.stderr


@pytest.mark.parametrize(
    ("hook", "words", "told"),
    [
        (
            "$(if $(shell python3 -c 'bytearray(2**30)' && echo y),,$(error no))",
            ("--memory", "128m"),
            "memory",
        ),
        ("$(shell sleep 600)", ("--timeout", "6"), "gave up after 6 seconds"),
    ],
)
def test_a_build_that_needs_too_much_memory_or_time_is_the_machines_fault(
    script: Path, tmp_path: Path, hook: str, words: tuple[str, ...], told: str
) -> None:
    tree = patched(tmp_path / "tree")
    rules = tree / "arch/powerpc/kvm/Makefile"
    rules.write_text(f"HOOK := {hook}\n{rules.read_text()}")
    ended = ask(script, tree, *words)
    assert (ended.returncode, told in ended.stderr) == (MACHINE, True), ended.stderr


def test_the_tree_is_only_read_and_a_kept_directory_is_used_again(script: Path, tmp_path: Path) -> None:
    tree = patched(tmp_path / "tree", REGRESSION)
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*")}
    for _ in range(2):
        assert ask(script, tree, "--build", str(tmp_path / "build")).returncode == THERE
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*")} == before
    assert (tmp_path / "build/.config").exists()


def test_on_the_host_the_hosts_own_compiler_is_used(script: Path, broken: Run, tmp_path: Path) -> None:
    """The host is the toolchain's image here, in which no engine is installed."""
    lines: list[str] = []
    (tmp_path / "given").mkdir()
    shutil.copy(script, tmp_path / "given")
    container = ContainerSpec(
        name="kmatrix-repro-host",
        image=broken.toolchains["gcc-14"].image_id,
        command=("sh", "-c", 'exec sh "$@" 2>&1', "sh", "/given/repro.sh", "--host", "--tree", "/tree"),
        user=choose_container_user(),
        mounts=(Mount(patched(tmp_path / "tree", REGRESSION), "/tree"), Mount(tmp_path / "given", "/given")),
        labels={LABEL: "repro-host"},
    )
    ended = connect_engine().run_container(container, lines.append, threading.Event())
    assert ended.exit == THERE, lines
    assert any("powerpc64le-linux-gnu-gcc of this machine" in line for line in lines)


def test_an_image_that_is_not_there_is_built(kmatrix: Kmatrix, broken: Run, tmp_path: Path) -> None:
    gcc = broken.toolchains["gcc-14"]
    base, mine = "kmatrix/repro-base:test", "kmatrix/repro-test:test"
    recipe = ("FROM kmatrix/repro-root:test\nRUN true\n", f"FROM {base}\nRUN true\n")
    chain = gcc.model_copy(
        update={
            "image": mine,
            "image_id": f"sha256:{0:064}",
            "root": "kmatrix/repro-root:test",
            "recipe": recipe,
        }
    )
    run = broken.model_copy(update={"toolchains": {**broken.toolchains, "gcc-14": chain}})
    made = write(kmatrix, run, tmp_path / "repro.sh")
    try:
        ended = ask(made, patched(tmp_path / "tree", REGRESSION), "--root", gcc.image)
        assert ended.returncode == THERE, ended.stderr
        assert {base, mine} <= connect_engine().list_images().keys(), "sweep knows them"
    finally:
        for image in (mine, base, "kmatrix/repro-root:test"):
            connect_engine().remove_image(image)


@ON_DOCKER_ALONE
def test_git_bisect_finds_the_commit_among_some_that_answer_nothing(script: Path, tmp_path: Path) -> None:
    history = History(patched(tmp_path / "tree"), REGRESSION)
    codes = {}
    for subject in history.commits:
        history.checkout(subject)
        codes[subject] = ask(script, history.tree).returncode
    assert list(codes.values()) == [GONE, GONE, SKIP, GONE, SKIP, GONE, THERE, THERE, THERE]
    said = history.bisect("sh", str(script))
    assert f"{history.commits[CULPRIT]} is the first bad commit" in said
    skipped = history.commits["Another breakage"]
    assert f"git bisect skip {skipped}" in history.git("bisect", "log")
