"""Runs made by hand, for whatever tells about them."""

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from matrix.diagnostics.diagnostic import Diagnostic, Site
from matrix.plan import Request
from matrix.record.run_model import (
    Cell,
    Compiler,
    DiagnosticRef,
    Host,
    PatchRecord,
    Run,
    SourceRecord,
    StageRecord,
    Tool,
    ToolchainRecord,
)
from matrix.record.states import State

STORY = {"KVM": "y", "MODULES": "n", "VFIO": "n"}
STARTED = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)
PREFIXES = {
    "arm64": "aarch64-linux-gnu-",
    "powerpc": "powerpc64le-linux-gnu-",
    "s390": "s390x-linux-gnu-",
    "x86": "x86_64-linux-gnu-",
}
STUB = Site(
    file="include/linux/vfio.h",
    line=294,
    symbol="vfio_file_iommu_group",
    code="static inline struct iommu_group *vfio_file_iommu_group(struct file *file)",
)
GCC_ERROR = Diagnostic(
    severity="error",
    tool="gcc",
    file="include/linux/vfio.h",
    line=294,
    column=35,
    message=(
        "weak declaration of 'vfio_file_iommu_group' being applied to a already existing, static definition"
    ),
    function="kvm_vfio_file_iommu_group",
    symbols=("vfio_file_iommu_group",),
    included_from=("virt/kvm/vfio.c:17",),
    excerpt=(
        "  294 | static inline struct iommu_group *vfio_file_iommu_group(struct file *file)",
        "      |                                   ^~~~~~~~~~~~~~~~~~~~~",
    ),
    sites=(STUB,),
)
CLANG_ERROR = Diagnostic(
    severity="error",
    tool="clang",
    file="virt/kvm/vfio.c",
    line=89,
    column=7,
    message="attribute declaration must precede definition",
    flag="ignored-attributes",
    promoted=True,
    notes=("include/linux/vfio.h:294: previous definition is here",),
    excerpt=("   89 |         fn = symbol_get(vfio_file_iommu_group);", "      |              ^"),
    sites=(
        Site(
            file="virt/kvm/vfio.c",
            line=89,
            symbol="symbol_get",
            code="fn = symbol_get(vfio_file_iommu_group);",
        ),
        STUB,
    ),
)
WARNING = Diagnostic(
    severity="warning",
    tool="gcc",
    file="drivers/vfio/group.c",
    line=12,
    column=9,
    message="unused variable 'x'",
    flag="unused-variable",
)


def a_cell(
    arch: str = "powerpc",
    toolchain: str = "gcc-14",
    symbols: Mapping[str, str] | None = None,
    *,
    base: str = "defconfig",
    state: State = State.PASS,
    diagnostics: Iterable[Diagnostic] = (),
    **fields: Any,
) -> Cell:
    """A cell; a built one has stages and a log. ``fields`` override anything."""
    request = Request.from_symbols(arch, toolchain, base, STORY if symbols is None else symbols)
    cell_id = request.id  # made anew at every reading, and some runs have tens of thousands of cells
    built = state not in {State.UNREACHABLE, State.NOT_RUN}
    refs = tuple(
        DiagnosticRef(key=d.key, object="arch/powerpc/kvm/vfio.o", stage="focus") for d in diagnostics
    )
    known: dict[str, Any] = {
        "id": cell_id,
        "config_sha256": hashlib.sha256(cell_id.encode()).hexdigest() if built else None,
        "make": f"ARCH={arch} CROSS_COMPILE={PREFIXES.get(arch, '')}",
        "stages": _stages(arch, state) if built else (),
        "diagnostics": refs,
        "log": f"cells/{cell_id}/build.log" if built else None,
    }
    return Cell(
        arch=arch,
        toolchain=toolchain,
        base=base,
        request=request.symbol_values,
        state=state,
        **(known | fields),
    )


def _stages(arch: str, state: State) -> tuple[StageRecord, ...]:
    make = f"make -C /src O=/build -k -j2 ARCH={arch} CROSS_COMPILE={PREFIXES.get(arch, '')}"
    configure = StageRecord(
        name="configure", state=State.PASS, command=f"{make} olddefconfig", exit=0, seconds=2.5
    )
    return (
        configure,
        StageRecord(
            name="focus",
            state=state,
            command=f"{make} arch/{arch}/kvm/ drivers/vfio/",
            exit=2 if state is State.FAIL else 0,
            seconds=6.9,
            objects=41,
            compiled=12,
        ),
    )


def a_run(cells: Iterable[Cell] = (), diagnostics: Iterable[Diagnostic] = (), **fields: Any) -> Run:
    """A finished run of these cells; ``diagnostics`` are those that the cells refer to."""
    rows = tuple(cells)
    known: dict[str, Any] = {
        "id": "20250601-120000-kvm-vfio",
        "tool": Tool(version="0.1"),
        "command": "./inv run",
        "host": Host(
            system="Debian GNU/Linux 12",
            cpus=2,
            memory=8 * 2**30,
            engine="Docker 20.10.24",
            isolation="no network",
        ),
        "started": STARTED,
        "finished": STARTED + timedelta(minutes=21, seconds=7),
        "profile": {"name": "kvm-vfio"},
        "axes": axes_of(rows),
        "plan_sha256": "0" * 64,
        "source": SourceRecord(spec="debian:linux-source-6.12", version="6.12.48", digest="4f1c" * 16),
        "toolchains": {
            name: _toolchain(name, rows) for name in dict.fromkeys(cell.toolchain for cell in rows)
        },
        "diagnostics": {one.key: one for one in diagnostics},
        "cells": rows,
    }
    return Run(**(known | fields))


def axes_of(cells: Iterable[Cell]) -> dict[str, tuple[str, ...]]:
    """Each axis with the values that occur, symbols in the order n, m, y, others."""
    rows = list(cells)
    axes: dict[str, tuple[str, ...]] = {
        field: tuple(dict.fromkeys(getattr(cell, field) for cell in rows))
        for field in ("arch", "toolchain", "base")
    }
    for symbol in sorted({symbol for cell in rows for symbol in cell.request}):
        values = {cell.request[symbol] for cell in rows if symbol in cell.request}
        axes[symbol] = tuple(sorted(values, key=lambda value: ("nmy".find(value) % 4, value)))
    return axes


def _toolchain(name: str, cells: Iterable[Cell]) -> ToolchainRecord:
    arches = dict.fromkeys(cell.arch for cell in cells)
    ld = "GNU ld (GNU Binutils for Debian) 2.44"
    compilers = {
        arch: Compiler(version=f"{PREFIXES.get(arch, '')}gcc-14 (Debian 14.2.0-19) 14.2.0", binutils=ld)
        if name.startswith("gcc")
        else Compiler(version="Debian clang version 19.1.7 (3)", binutils="Debian LLD 19.1.7")
        for arch in arches
    }
    return ToolchainRecord(image=f"kmatrix/{name}:1", image_id="sha256:" + "a" * 64, compilers=compilers)


def the_story(arches: Iterable[str] = ("arm64", "powerpc", "s390", "x86"), **fields: Any) -> Run:
    """The default profile on the broken tree: only powerpc with KVM=y, MODULES=n, VFIO=n fails."""
    values = itertools.product(arches, ("gcc-14", "clang-19"), "nmy", "ny", "nmy")
    cells = [_story_cell(arch, tool, {"KVM": k, "MODULES": m, "VFIO": v}) for arch, tool, k, m, v in values]
    patch = PatchRecord(name="0001-vfio-static-stub.patch", sha256="b" * 64)
    source = SourceRecord(
        spec="debian:linux-source-6.12", version="6.12.48", digest="4f1c" * 16, patches=(patch,)
    )
    return a_run(cells, (GCC_ERROR, CLANG_ERROR), **({"source": source} | fields))


def _story_cell(arch: str, toolchain: str, symbols: dict[str, str]) -> Cell:
    if reason := _unreachable(arch, symbols):
        made = symbols | {"KVM": "y"} if reason.startswith("KVM") else symbols | {"VFIO": "y"}
        target = Request.from_symbols(arch, toolchain, "defconfig", made).id
        return a_cell(arch, toolchain, symbols, state=State.UNREACHABLE, reason=reason, resolves_to=target)
    if arch == "powerpc" and symbols == STORY:
        error = GCC_ERROR if toolchain == "gcc-14" else CLANG_ERROR
        return a_cell(arch, toolchain, symbols, state=State.FAIL, diagnostics=[error])
    return a_cell(arch, toolchain, symbols)


def _unreachable(arch: str, symbols: dict[str, str]) -> str:
    if symbols["KVM"] == "m" and arch == "arm64":
        return "KVM has no m on arm64"
    if symbols["MODULES"] == "n" and "m" in (symbols["KVM"], symbols["VFIO"]):
        symbol = "KVM" if symbols["KVM"] == "m" else "VFIO"
        return f"{symbol}=m: MODULES=n makes it y"
    return ""
