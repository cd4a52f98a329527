"""A tree that means harm: what its makefiles print and leave in the build directory."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.builder.lane_dir import LaneDirectory
from matrix.record.run_directory import load_run
from matrix.record.states import State
from tests.fakes.kernel import Job
from tests.unit.commands.run_desk import ERROR, VFIO, WARNING, Desk, always, states


def test_an_object_that_a_log_places_elsewhere_is_not_removed_there(desk: Desk) -> None:
    victim = desk.place / "victim.o"
    victim.touch()
    warning = WARNING.replace("drivers/vfio/vfio.c", "way/victim.c")
    claims = (f"  CC      {victim}", warning, "  CC      way/victim.o", warning, f"  CC      {VFIO}", ERROR)
    desk.says(VFIO, always(*claims))

    def a_way_out(job: Job) -> None:
        if not (job.host("/build") / "way").is_symlink():
            (job.host("/build") / "way").symlink_to(desk.place)

    desk.kernel.before = a_way_out
    done = desk.run(select=["MODULES=n,VFIO=y"])
    assert states(done) == ["fail"]
    assert any(ref.object == "way/victim.o" for ref in done.cells[0].diagnostics)
    assert victim.exists()


def test_a_config_that_is_a_link_to_elsewhere_is_not_read(desk: Desk) -> None:
    secret = desk.place / "secret"
    secret.write_text("CONFIG_SECRET=y\n")

    def link(job: Job) -> int:
        (job.host("/build") / ".config").unlink(missing_ok=True)
        (job.host("/build") / ".config").symlink_to(secret)
        return 0

    desk.kernel.before = link
    done = desk.run(select=["MODULES=n,VFIO=y"])
    assert done.cells[0].config_sha256 is None
    assert not any("SECRET" in path.read_text() for path in desk.directory.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        (Path.exists, "left no .config"),
        (lambda path: path.symlink_to("/etc/passwd"), "'.config' is a link"),
        (lambda path: path.symlink_to("/dev/zero"), "'.config' is a link"),
        (os.mkfifo, "'.config' is no regular file"),
        (lambda path: path.mkdir(), "'.config' is a directory"),
        (lambda path: path.write_bytes(b"\0\n"), "line 1 is no line of a .config"),
        (lambda path: path.write_bytes(b"\n" * (16 * 2**20 + 1)), "'.config' has more than"),
    ],
)
def test_without_the_config_that_conf_reports_nothing_has_passed(
    desk: Desk, left: Callable[[Path], object], reason: str
) -> None:
    def spoil(job: Job) -> int | None:
        path = job.host("/build") / ".config"
        if job.targets != ("olddefconfig",) or not job.cell.endswith("MODULES=n,VFIO=y"):
            return None
        path.unlink()
        left(path)
        return 0

    desk.kernel.before = spoil
    done = desk.run(select=["MODULES=n", "!VFIO=m"], retries=["0"])
    assert states(done) == ["empty", "infra"]
    assert reason in str(done.cells[1].reason)
    assert done.cells[1].config_sha256 is None


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), RecursionError("too deep"), ValueError("odd")]
)
def test_an_error_of_a_cells_files_is_that_cells_infra(
    desk: Desk, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(lane: LaneDirectory, text: str) -> None:
        if "CONFIG_VFIO=y" in text:
            raise error
        real(lane, text)

    real = LaneDirectory.put_config
    monkeypatch.setattr(LaneDirectory, "put_config", refuse)
    done = desk.run(select=["MODULES=n", "!VFIO=m"], retries=["0"])
    assert states(done) == ["empty", "infra"]
    assert type(error).__name__ in str(done.cells[1].reason)
    assert (desk.build_directory().parent / "busy").exists()


def test_a_bug_is_in_the_record_before_it_ends_the_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(LaneDirectory, "put_config", stumble)
    with pytest.raises(TypeError, match="a bug"):
        desk.run(select=["MODULES=n,VFIO=y"])
    (directory,) = {path.resolve() for path in (desk.place / "runs").iterdir()}
    (cell,) = load_run(directory).cells
    assert (cell.state, cell.reason) == (State.INFRA, "kmatrix failed: TypeError: a bug")
