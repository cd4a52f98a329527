"""A small run, and how tests of the record write it."""

import errno
from datetime import UTC, datetime
from pathlib import Path

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.record.journal import Journal
from matrix.record.run_model import Cell, Host, Run, SourceRecord, Tool
from matrix.record.states import State

STARTED = datetime(2026, 11, 22, 9, 30, 15, tzinfo=UTC)
BROKEN = Diagnostic(
    severity="error",
    tool="gcc",
    file="include/linux/vfio.h",
    line=294,
    message="weak declaration of ‘vfio_file_iommu_group’",
    symbols=("vfio_file_iommu_group",),
    included_from=("virt/kvm/vfio.c:17",),
)


def a_row(name: str, state: State = State.NOT_RUN, **fields: object) -> Cell:
    return Cell.model_validate(
        {
            "id": f"x86/gcc-14/defconfig/A={name}",
            "arch": "x86",
            "toolchain": "gcc-14",
            "base": "defconfig",
            "request": {"A": name},
            "state": state,
            **fields,
        }
    )


def a_run() -> Run:
    return Run(
        id="20261122-093015-story",
        tool=Tool(version="0.1"),
        command="./inv run",
        host=Host(system="Debian", cpus=2, memory=2**33, engine="Docker", isolation="none"),
        started=STARTED,
        profile={"name": "story", "arch": ["x86"]},
        axes={"arch": ("x86",), "A": ("n", "m", "y")},
        plan_sha256="0" * 64,
        source=SourceRecord(spec="linux", version="6.12", digest="1" * 64),
        toolchains={},
        cells=tuple(a_row(name) for name in "nmy"),
    )


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def killed(directory: Path, *finished: Cell) -> None:
    """A run that finished these cells and then lost its process: nothing is closed."""
    journal = Journal(directory, a_run())
    for cell in finished:
        journal.record_finished_cell(cell, {BROKEN.key: BROKEN} if cell.diagnostics else {})
    with journal:
        pass  # only the file: a process that dies lets go of it, too
