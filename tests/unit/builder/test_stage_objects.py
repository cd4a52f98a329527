"""The objects of a stage with a failure: what its log, kbuild's lists and a dry run say together."""

from pathlib import Path

import pytest

from matrix.builder.dry_run import DryRun
from matrix.builder.lane_dir import LaneDirectory
from matrix.builder.lane_objects import LaneObjects, MadeDirectory
from matrix.builder.stage_objects import StageObjects, read_failing_objects
from matrix.diagnostics.diagnostic import BuildLog, Diagnostic, FailedTarget, Occurrence
from matrix.diagnostics.log_parser import parse_build_log
from matrix.memory.layers import Memory
from matrix.memory.object_setting import InputReader
from matrix.memory.objects import ObjectMemory
from matrix.memory.tree_contents import TreeContents
from matrix.source.kernel_tree import SourceTree
from matrix.source.manifest import Manifest
from tests.fakes.kernel import thin_archive

A, B, DETOUR, PREPARED = "a/a.o", "a/b.o", "virt/kvm/vfio.o", "scripts/mod/empty.o"
OTHER = Occurrence(Diagnostic(severity="error", tool="ld", message="no"), "c.o")
DRY = DryRun(
    {
        "a/built-in.a": frozenset({A, B, DETOUR}),
        "a/modules.order": frozenset({"a/m.o"}),
    }
)


@pytest.fixture
def lane(tmp_path: Path) -> LaneObjects:
    for name in (A, B, DETOUR, PREPARED, "a/m.o", "a/m1.o", "a/m2.o"):
        path = tmp_path / "build" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("object")
    (tmp_path / "build/a/m.mod").write_text("a/m1.o a/m2.o\n")
    tree = SourceTree("t", tmp_path, "6.12", "0")
    reader = InputReader(TreeContents(Manifest({}), tmp_path))
    memory = ObjectMemory(Memory(None, (), "run"), "scope")
    return LaneObjects(LaneDirectory(tmp_path, "0:0", tree), memory, reader)


def read(lane: LaneObjects, log: BuildLog, dry_run: DryRun = DRY, target: str = "a/") -> StageObjects:
    directory = MadeDirectory(lane.list_entries(), lane.lane.mark_busy())
    return read_failing_objects(lane, [target], log, dry_run, directory)


def log_of(
    *failed: str, compiled: tuple[str, ...] = (), errors: tuple[Occurrence, ...] = (OTHER,)
) -> BuildLog:
    targets = tuple(FailedTarget(name, name, errors[0] if errors else None) for name in failed)
    return BuildLog(errors, targets, frozenset(compiled))


def test_a_failed_target_is_unproven_where_no_error_names_it(lane: LaneObjects) -> None:
    found = read(lane, log_of(A, compiled=(A, B)))
    assert A not in found.proven
    assert A in found.unproven
    assert {B, DETOUR} <= found.proven
    assert A in found.own


def test_a_failed_target_is_recorded_where_an_error_names_it(lane: LaneObjects) -> None:
    named = Occurrence(OTHER.diagnostic, A)
    found = read(lane, log_of(A, compiled=(A,), errors=(named,)))
    assert A in found.proven
    assert found.unproven == frozenset()


@pytest.mark.parametrize("part", ["a/m1.o", "a/m.o"])
def test_a_module_of_which_a_part_failed_was_not_made(lane: LaneObjects, part: str) -> None:
    assert "a/m.o" in read(lane, log_of(A)).proven
    found = read(lane, log_of(A, part))
    assert not {"a/m.o", "a/m.ko", part} & found.proven
    assert "a/m2.o" in found.proven


@pytest.mark.parametrize("failed", ["vmlinux", "vmlinux.o", "a/built-in.a", "a/m.ko"])
def test_what_is_made_of_a_failed_one_is_never_proven(lane: LaneObjects, failed: str) -> None:
    for name in ("vmlinux", "vmlinux.o", "a/built-in.a", "a/m.ko"):
        assert name not in read(lane, log_of(A, failed)).proven


def test_what_make_prepares_for_any_target_was_made_and_is_none_of_the_stage(lane: LaneObjects) -> None:
    found = read(lane, log_of(A, compiled=(A, DETOUR, PREPARED)))
    assert PREPARED in found.proven
    assert PREPARED not in found.own
    assert DETOUR in found.own


def test_without_a_dry_run_what_the_log_shows_elsewhere_was_made_all_the_same(lane: LaneObjects) -> None:
    found = read(lane, log_of(A, compiled=(A, B, DETOUR, PREPARED)), DryRun())
    assert {B, DETOUR, PREPARED} <= found.proven
    assert found.own == {A, B}


def test_a_complete_list_beside_a_failure_counts(lane: LaneObjects) -> None:
    (lane.lane.build / "a/built-in.a").write_bytes(thin_archive(["b.o"]))
    found = read(lane, log_of("x/x.o"), DryRun())
    assert found.proven == {B}


DETOURS = [
    "arch/powerpc/kvm/../../../virt/kvm/vfio.o",
    "drivers/../virt/kvm/vfio.o",
    "/build/virt/kvm/vfio.o",
    "./virt/kvm/vfio.o",
]


@pytest.mark.parametrize("path", DETOURS)
@pytest.mark.parametrize("step", ["CC     ", "CC [M] ", "AS     "])
def test_every_detour_is_the_file_it_leads_to(lane: LaneObjects, path: str, step: str) -> None:
    log = parse_build_log(
        [f"  {step} {path}", "  CC      a/a.o", "make[4]: *** [scripts/Makefile.build:1: a/a.o] Error 1"],
        failed=True,
    )
    assert DETOUR in read(lane, log, DryRun()).proven
    assert A not in read(lane, log, DryRun()).proven - {item.object for item in log.occurrences}


@pytest.mark.parametrize("path", DETOURS)
def test_a_failed_detour_was_not_made(lane: LaneObjects, path: str) -> None:
    log = parse_build_log(
        [f"  CC      {path}", f"make[4]: *** [scripts/Makefile.build:1: {path}] Error 1"], failed=True
    )
    found = read(lane, log)
    assert DETOUR not in found.proven - {item.object for item in log.occurrences}


VDSO = "arch/powerpc/kernel/vdso/note-64.o"


def test_what_is_prepared_for_any_configuration_is_not_recorded(lane: LaneObjects) -> None:
    found = read(lane, log_of(A, compiled=(A, B, DETOUR, PREPARED, VDSO)), DryRun())
    assert {B, DETOUR} <= found.collect_recorded()
    assert not {PREPARED, VDSO} & found.collect_recorded()


def test_unless_it_was_refused(lane: LaneObjects) -> None:
    named = Occurrence(OTHER.diagnostic, VDSO)
    found = read(lane, log_of(VDSO, compiled=(VDSO,), errors=(named,)), DryRun())
    assert VDSO in found.collect_recorded()
