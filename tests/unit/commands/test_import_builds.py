"""Builds of others as a run: its cells, its axes, what explain, report, compare and repro make of it."""

import json
from pathlib import Path

import pytest
from rich.console import Console

import tasks
from matrix.commands.import_builds import ImportResult, import_builds, parse_import_request
from matrix.commands.repro import render_reproducer, select_repro_target
from matrix.commands.restore import restore_session
from matrix.commands.session import Environment
from matrix.errors import RequestError
from matrix.findings.stored_run import StoredRun
from matrix.record.states import Evidence, State
from matrix.verdict.comparison import compare_runs
from reports import PROSE_FORMATS, show_run
from reports.kcidb import render_run_kcidb
from reports.kcidb_objects import NO_ORIGIN
from tests.fakes.foreign_builds import (
    CLANG,
    FAILED,
    MADE,
    ROBOT_MAIL,
    TUXMAKE,
    WARNING,
    config_text,
    keep_build,
    keep_plain_build,
)
from tests.fakes.foreign_words import LIVE
from tests.fakes.kcidb_daemon import check_submission
from tests.minitree import TREE

SILENT = [TUXMAKE / name for name in "123"]
VERBOSE = [TUXMAKE / "verbose" / name for name in "123"]
Said = pytest.CaptureFixture[str]


def load(runs: Path, *directories: Path, symbols: str = "", tree: str = "") -> ImportResult:
    request = parse_import_request([str(path) for path in directories], symbols, tree, "")
    return import_builds(request, ["./inv", "import"], Environment(runs=runs))


def states(stored: StoredRun) -> dict[str, State]:
    return {cell.id: cell.state for cell in stored.run.cells}


@pytest.mark.parametrize("builds", [SILENT, VERBOSE])
def test_three_builds_of_tuxmake_are_the_story(tmp_path: Path, builds: list[Path]) -> None:
    result = load(tmp_path, *builds)
    assert states(result.stored) == {
        "powerpc/gcc-14/imported/MODULES=n,VFIO=n": State.FAIL,
        "powerpc/gcc-14/imported/MODULES=y,VFIO=n": State.PASS,
        "powerpc/gcc-14/imported/MODULES=n,VFIO=y": State.PASS,
    }
    (finding,) = result.stored.findings.findings
    assert finding.condition == ({"MODULES": ("n",), "VFIO": ("n",)},)
    assert finding.objects == ("virt/kvm/vfio.o",)
    assert all(proof.has_finding is False for proof in finding.proof)
    assert result.stored.run.followers == {
        "MODULES": ("MODULE_UNLOAD",),
        "VFIO": ("VFIO_GROUP", "VFIO_IOMMU_SPAPR_TCE"),
    }


def test_what_no_axis_shows_is_counted(tmp_path: Path) -> None:
    points = (
        {"A": "n", "B": "n"},
        {"A": "y", "B": "n"},
        {"A": "n", "B": "y"},
        {"A": "y", "B": "y", "C": "y"},
    )
    builds = [keep_plain_build(tmp_path / str(number), **point) for number, point in enumerate(points)]
    notes = load(tmp_path / "runs", *builds).notes
    assert any(note.startswith("1 more symbol differs in other ways than any axis") for note in notes)
    assert not any("in other ways" in note for note in load(tmp_path / "runs", *SILENT).notes)


def test_named_symbols_are_the_axes(tmp_path: Path) -> None:
    stored = load(tmp_path, *SILENT, symbols="KVM, MODULES,VFIO").stored
    assert stored.run.axes["KVM"] == ("y",)
    assert stored.findings.findings[0].context["KVM"] == "y"
    assert not stored.run.followers


def test_a_tree_says_what_can_be_set(tmp_path: Path) -> None:
    # Without it nothing tells VFIO_GROUP, which is on wherever VFIO is, from a symbol with a prompt.
    builds = [keep_plain_build(tmp_path / name, VFIO_PCI=value) for name, value in (("a", "y"), ("b", "-"))]
    told = load(tmp_path / "runs", *builds).notes
    assert any("VFIO_PCI may only follow from others" in note for note in told)
    told = load(tmp_path / "runs", *builds, tree=str(TREE)).notes
    assert not any("may only follow" in note for note in told)


def test_a_cell_has_what_its_directory_has(tmp_path: Path) -> None:
    stored = load(tmp_path, *VERBOSE).stored
    cell = stored.run.cells[0]
    assert cell.evidence is Evidence.IMPORTED
    assert cell.make_variables == {"ARCH": "powerpc", "CROSS_COMPILE": "powerpc64le-linux-gnu-"}
    (stage,) = cell.stages
    assert (stage.name, stage.command.split()[-2:]) == ("focus", ["arch/powerpc/kvm/", "drivers/vfio/"])
    assert stored.load_config(cell) == (VERBOSE[0] / "config").read_text()
    assert stored.read_log(cell) == (VERBOSE[0] / "build.log").read_text()
    assert "arch/powerpc/kvm/powerpc.o" in stored.made_objects[cell.id]
    assert "virt/kvm/vfio.o" not in stored.made_objects[cell.id]


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    silence = "build 1: what was made without an error is not known, and nothing is absent"
    assert any(silence in note for note in load(tmp_path, *SILENT).notes)
    assert not any("what was made without an error" in note for note in load(tmp_path, *VERBOSE).notes)
    newer = keep_build(tmp_path / "x", {"build.log": MADE, "config": config_text(version="6.13.0", VFIO="y")})
    notes = load(tmp_path / "runs", VERBOSE[0], newer).notes
    assert any("different sources" in note and "6.12.0-mini, 6.13.0" in note for note in notes)


def test_the_file_that_was_read_of_several_is_said(tmp_path: Path) -> None:
    files = {"a.log": MADE, "b.log": FAILED, "config": config_text(VFIO="y")}
    notes = load(tmp_path / "runs", keep_build(tmp_path / "x", files)).notes
    assert "build x: a.log was read, and not b.log" in notes
    assert not any("was read" in note for note in load(tmp_path / "runs", *SILENT).notes)


def test_builds_by_several_compilers_for_several_arches(tmp_path: Path) -> None:
    builds = [
        keep_build(tmp_path / f"{arch}-{number}", {"build.log": log, ".config": config_text(arch, compiler)})
        for number, (arch, compiler, log) in enumerate(
            [
                ("powerpc", CLANG, FAILED),
                ("powerpc", "gcc (GCC) 9.2.1 20190827 (Red Hat 9.2.1-1)", MADE),
                ("x86_64", CLANG, MADE),
                ("riscv", CLANG, MADE),
            ]
        )
    ]
    stored = load(tmp_path / "runs", *builds).stored
    assert list(states(stored)) == [
        "powerpc/clang-19/imported",
        "powerpc/gcc-9/imported",
        "x86/clang-19/imported",
        "riscv/clang-19/imported",
    ]
    assert stored.findings.findings[0].condition == ({"arch": ("powerpc",), "toolchain": ("clang-19",)},)
    assert stored.run.toolchains["gcc-9"].compilers["powerpc"].version.startswith("gcc (GCC) 9.2.1")


def test_what_the_robot_sends_is_a_cell(tmp_path: Path) -> None:
    mail = keep_build(tmp_path / "mail", {"mail.eml": ROBOT_MAIL, "config.gz": config_text(VFIO="y")})
    other = keep_plain_build(tmp_path / "own", VFIO="n")
    stored = load(tmp_path / "runs", mail, other).stored
    assert [cell.state for cell in stored.run.cells] == [State.FAIL, State.PASS]
    assert stored.findings.findings[0].condition == ({"VFIO": ("y",)},)


def test_warnings_of_an_unknown_end_are_there_and_nothing_is_absent(tmp_path: Path) -> None:
    cut = keep_plain_build(tmp_path / "cut", WARNING, VFIO="y")
    whole = keep_plain_build(tmp_path / "whole", VFIO="n")
    third = keep_plain_build(tmp_path / "third", "  CC      fs/a.o\n", VFIO="m")
    stored = load(tmp_path / "runs", cut, whole, third).stored
    assert [cell.state for cell in stored.run.cells] == [State.UNKNOWN, State.PASS, State.UNKNOWN]
    (finding,) = stored.findings.findings
    assert finding.cells == (stored.run.cells[0].id,)
    assert [where.cells for where in finding.scope.absent] == [1]
    assert [where.because for where in finding.scope.unknown] == [{"unknown": 1}]


def test_two_builds_with_the_same_values_are_two_cells(tmp_path: Path) -> None:
    names = ("a/out", "b/out", "c")
    builds = [keep_plain_build(tmp_path / name, FAILED, VFIO="n", NET="y") for name in names]
    builds.append(keep_plain_build(tmp_path / "d", VFIO="y", NET="y"))
    builds.append(keep_plain_build(tmp_path / "e", VFIO="n", NET="n"))
    result = load(tmp_path / "runs", *builds)
    assert [cell.request for cell in result.stored.run.cells] == [
        {"NET": "y", "VFIO": "n", "build": "out#1"},
        {"NET": "y", "VFIO": "n", "build": "out#2"},
        {"NET": "y", "VFIO": "n", "build": "c"},
        {"NET": "y", "VFIO": "y"},
        {"NET": "n", "VFIO": "n"},
    ]
    assert any("out, out, c have the same values on all axes" in note for note in result.notes)
    # What a directory is called tells nothing of the tree.
    (finding,) = result.stored.findings.findings
    assert finding.condition == ({"NET": ("y",), "VFIO": ("n",)},)


def test_of_twins_that_came_out_otherwise_only_the_directory_tells(tmp_path: Path) -> None:
    builds = [
        keep_plain_build(tmp_path / name, log, VFIO=value)
        for name, log, value in (("a", FAILED, "n"), ("b", MADE, "n"), ("c", MADE, "y"))
    ]
    assert load(tmp_path / "runs", *builds).stored.findings.findings[0].condition == ({"build": ("a",)},)


def test_imported_runs_of_other_axes_say_how_to_share_them(tmp_path: Path) -> None:
    before = load(tmp_path / "a", *SILENT).stored
    after = load(tmp_path / "b", *SILENT, symbols="KVM,VFIO").stored
    with pytest.raises(RequestError, match="no cell in common") as refused:
        compare_runs(before, after)
    assert "--symbols" in (refused.value.hint or "")


def test_two_runs_of_imported_builds_compare(tmp_path: Path) -> None:
    before, after = load(tmp_path / "1", *SILENT).stored, load(tmp_path / "2", *VERBOSE).stored
    verdict = compare_runs(before, after)
    assert {str(cell.transition) for cell in verdict.cells} == {"still-failing", "unchanged"}


@pytest.mark.parametrize("name", PROSE_FORMATS)
def test_every_format_tells_of_it(tmp_path: Path, name: str, capsys: Said) -> None:
    cut = keep_plain_build(tmp_path / "cut", WARNING, version="6.12.0-mini", VFIO="m")
    stored = load(tmp_path / "runs", *SILENT, cut).stored
    show_run(stored, name, Console(width=100))
    text = capsys.readouterr().out
    for words in ("6.12.0-mini", "built by others", "1 of unknown end", "MODULES=n"):
        assert words in text
    for words in ("0 CPU", "sha256", "not known: builds"):
        assert words not in text.replace("of sha256", "")


def test_kcidb_is_told_of_it_what_is_known(tmp_path: Path) -> None:
    cut = keep_plain_build(tmp_path / "cut", WARNING, version="6.12.0-mini", VFIO="m")
    stored = load(tmp_path / "runs", *SILENT, cut).stored
    document = json.loads(render_run_kcidb(stored, NO_ORIGIN))
    check_submission(document)
    assert [build.get("status") for build in document["builds"]] == ["FAIL", "PASS", "PASS", None]
    assert not {"patchset_hash", "start_time", "origin_builds_finish_time"} & document["checkouts"][0].keys()
    assert len([item for item in document["incidents"] if item["present"]]) == 2


def test_what_needs_an_image_or_a_source_says_so(tmp_path: Path) -> None:
    stored = load(tmp_path, *SILENT).stored
    target = select_repro_target(stored, "F1", "", "")
    with pytest.raises(RequestError, match=r"was built by others: .* no script can be made") as error:
        render_reproducer(stored, target, [])
    assert f"./inv explain --run {stored.name} shows what to type" in error.value.hint
    with (
        pytest.raises(RequestError, match="nothing can be run"),
        restore_session(stored.run, "gcc-14", print),
    ):
        pass


@pytest.mark.parametrize("word", [*LIVE, "\x1b[31mred", "a\u202eb", "x" * 5000, "../../etc", "$(reboot)"])
def test_foreign_words_stay_words(tmp_path: Path, word: str) -> None:
    data: dict[str, object] = {
        "build": {"target_arch": word, "toolchain": word},
        "compiler": {"version_full": word},
        "git": {"git_describe": word},
    }
    log = f"make CC={word} V=1 fs/\n{FAILED}{word}\n"
    build = keep_build(tmp_path / "one", {"build.log": log, "config": "CONFIG_X=y\n", "metadata.json": data})
    stored = load(tmp_path / "runs", build).stored
    (cell,) = stored.run.cells
    assert cell.arch.isidentifier()
    assert "\x1b" not in stored.run.model_dump_json()
    assert StoredRun.load(stored.directory).run.cells == stored.run.cells
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {stored.directory.name, "latest"}


@pytest.mark.parametrize(
    ("symbols", "says"),
    [
        ("KVN", r"--symbols KVN: no .config of these builds has it \(nearest: 'KVM'\)"),
        ("CONFIG_KVM", "has the prefix CONFIG_"),
        (",", "--symbols names no symbol"),
        ("A-B", "is not the name of a Kconfig symbol"),
    ],
)
def test_symbols_that_will_not_do_are_refused(tmp_path: Path, symbols: str, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        load(tmp_path / "runs", *SILENT, symbols=symbols)
    assert not (tmp_path / "runs").exists()


def test_one_directory_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(SILENT[0])
    with pytest.raises(RequestError, match="is named twice"):
        load(tmp_path / "runs", SILENT[0], tmp_path / "link")


def test_the_task_shows_the_run_and_how_it_came_about(
    tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(TUXMAKE)
    with pytest.raises(SystemExit) as end:
        tasks.program.run(["kmatrix", "import", "1", "--out", str(tmp_path / "run"), "2", "3"])
    assert end.value.code == 100
    out = capsys.readouterr().out
    for words in ("1 of 3 cells failed, 1 finding", "axes: MODULES, VFIO", "VFIO stands for 2 more"):
        assert words in out
    assert (tmp_path / "run" / "report.html").is_file()
    tasks.program.run(["kmatrix", "explain", "--run", str(tmp_path / "run")])
    out = capsys.readouterr().out
    assert "or else     MODULES: 1 more symbol differs just where it does" in out
    assert "cp" in out
    assert "inv repro" not in out
