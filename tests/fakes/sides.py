"""Sides of a verdict made by hand: runs with the lists of objects and the configurations that they kept."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.stored_run import StoredRun
from matrix.kconfig.config import Config
from matrix.record.run_model import Cell, Run
from matrix.record.states import PROVEN_STATES, State
from tests.fakes.runs import STORY, a_cell, a_run

OBJECT = "arch/powerpc/kvm/vfio.o"
OTHER_OBJECT = "drivers/vfio/main.o"
OTHER = Diagnostic(severity="error", tool="gcc", file="kernel/fork.c", line=3, message="'other' undeclared")

NOWHERE = Path("/nowhere")
Objects = Mapping[str, Iterable[str]]
Values = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class KeptRun(StoredRun):
    """A stored run whose lists of objects and configurations are in no directory."""

    objects_of: Callable[[Cell], frozenset[str]]
    config_of: Callable[[Cell], Config | None]

    def load_objects(self, cell: Cell) -> frozenset[str]:
        return self.objects_of(cell)

    def find_config(self, cell: Cell) -> Config | None:
        return self.config_of(cell)


def a_side(run: Run, objects: Objects | None = None, configs: Values | None = None) -> StoredRun:
    """A run as a side. ``objects`` and ``configs`` are by cell: a built cell has both of our objects where
    nothing else is said, and a configuration is what was requested."""
    resolved = {name: Config(values) for name, values in (configs or {}).items()}
    cells = tuple(_resolved(cell, resolved.get(cell.id)) for cell in run.cells)
    return KeptRun(
        run.model_copy(update={"cells": cells}),
        NOWHERE / run.id,
        _lists(objects or {}),
        lambda cell: resolved.get(cell.id, Config(cell.request)),
    )


def _resolved(cell: Cell, config: Config | None) -> Cell:
    digest = hashlib.sha256(str(config).encode()).hexdigest()
    return cell if config is None else cell.model_copy(update={"config_sha256": digest})


def _lists(known: Objects) -> Callable[[Cell], frozenset[str]]:
    def objects(cell: Cell) -> frozenset[str]:
        usual = (OBJECT, OTHER_OBJECT) if cell.state in PROVEN_STATES else ()
        return frozenset(known.get(cell.id, usual))

    return objects


def turned(run: Run, *changed: Cell, diagnostics: Iterable[Diagnostic] = (), **fields: Any) -> Run:
    """The run with these cells in place of those that were asked for alike, and of another id."""
    cells = {cell.id: cell for cell in run.cells} | {cell.id: cell for cell in changed}
    known = run.diagnostics | {one.key: one for one in diagnostics}
    update = {"id": "after", "cells": tuple(cells.values()), "diagnostics": known}
    return run.model_copy(update=update | fields)


def mended(run: Run, *, arch: str = "powerpc") -> Run:
    """The story with its failing cells passing."""
    return turned(run, *(a_cell(arch, tool, STORY) for tool in ("gcc-14", "clang-19")))


def alone(state: State, *diagnostics: Diagnostic, **fields: Any) -> Run:
    """A run of one cell."""
    return a_run([a_cell(state=state, diagnostics=diagnostics, **fields)], diagnostics)


def two(one: Run, other: Run) -> tuple[StoredRun, StoredRun]:
    return a_side(one), a_side(other)


def newer(run: Run, arch: str = "powerpc", **fields: str) -> Run:
    """The run with another compiler in gcc-14: 14.3.0, or as ``fields`` say."""
    record = run.toolchains["gcc-14"]
    compiler = record.compilers[arch].model_copy(update=fields or {"version": "gcc 14.3.0"})
    other = record.model_copy(update={"compilers": record.compilers | {arch: compiler}})
    return run.model_copy(update={"toolchains": run.toolchains | {"gcc-14": other}})
