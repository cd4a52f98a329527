"""Verdicts on runs made by hand: the story before, and after this or that patch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import BaseRecord, Cell, DiagnosticRef, PatchRecord, Run, StageRecord
from matrix.record.states import PROVEN_STATES, Evidence, State
from matrix.verdict.comparison import compare_runs
from matrix.verdict.verdict_model import Mailbox, PatchMail, Verdict, VerdictPatch
from reports.changes import RunChanges
from tests.fakes.runs import the_story
from tests.fakes.sides import OBJECT, OTHER_OBJECT, a_side, turned

PATCH = PatchRecord(name="0001-kvm-vfio.patch", sha256="d" * 64)
MAIL = PatchMail(
    message_id="0-v1-08396538817d+13c5-vfio_kvm_kconfig_jgg@example.com",
    subject="[PATCH rc] kvm: Prevent compiling virt/kvm/vfio.c unless VFIO is selected",
    sender=Mailbox(name="Jason Gunthorpe", address="jgg@example.com"),
    to=(
        Mailbox(address="kvm@lists.example.org"),
        Mailbox(name="Michael Ellerman", address="mpe@example.org"),
    ),
    cc=(Mailbox(name="Paolo Bonzini", address="pbonzini@example.org"),),
    date="Wed, 20 Sep 2023 15:18:06 -0300",
    quote=(
        "It happens because the arch forces KVM_VFIO without knowing if VFIO is",
        "even enabled.",
    ),
)
TOLD_PATCH = VerdictPatch(name=PATCH.name, subject=MAIL.subject, sha256=PATCH.sha256, mail=MAIL)
TARGETS = {"arm64": "defconfig", "powerpc": "ppc64le_defconfig", "s390": "defconfig", "x86": "defconfig"}


@dataclass(frozen=True)
class Case:
    """A verdict and both of its sides, as a report is given them."""

    verdict: Verdict
    before: StoredRun
    after: StoredRun

    @property
    def given(self) -> tuple[Verdict, StoredRun, StoredRun]:
        return self.verdict, self.before, self.after

    @property
    def changes(self) -> RunChanges:
        return RunChanges.from_verdict(*self.given)

    def having(self, **fields: Any) -> "Case":
        """The same with these fields of the verdict."""
        return Case(self.verdict.model_copy(update=fields), self.before, self.after)


def a_case(before: StoredRun, after: StoredRun, **fields: Any) -> Case:
    """The verdict on two sides, about one patch that came in a mail."""
    asked = {name: fields.pop(name) for name in ("fixes", "touched", "steps") if name in fields}
    verdict = compare_runs(before, after, **asked).model_copy(update={"patches": (TOLD_PATCH,)} | fields)
    return Case(verdict, before, after)


def kept_in(side: StoredRun, directory: Path) -> StoredRun:
    """The same run, below another directory."""
    return replace(side, directory=directory / side.run.id)


def broken_story() -> Run:
    """The story, with what its recipe needs."""
    run = the_story(bases={"defconfig": BaseRecord(targets=TARGETS)})
    cells = (cell.model_copy(update={"fragment": cell.request}) for cell in run.cells)
    return run.model_copy(update={"cells": tuple(cells)})


def patched(
    run: Run, *changed: Cell, far: Iterable[str] = (), diagnostics: Iterable[Diagnostic] = (), **fields: Any
) -> Run:
    """A run with the patch, in which all passes that was built, but for the cells that are given.

    ``far`` are cells that the patch does not reach.
    """
    source = run.source.model_copy(update={"digest": "7e57" * 16, "patches": (*run.source.patches, PATCH)})
    passing = (_passing(cell, cell.id in set(far)) for cell in run.cells)
    cells = {cell.id: cell for cell in passing} | {cell.id: cell for cell in changed}
    update: dict[str, Any] = {"id": "20250601-130000-kvm-vfio", "source": source}
    return turned(run, *cells.values(), diagnostics=diagnostics, **(update | fields))


def _passing(cell: Cell, far: bool) -> Cell:
    if cell.state not in PROVEN_STATES:
        return cell
    stages = _stages(cell, State.PASS)
    update: dict[str, Any] = {"state": State.PASS, "diagnostics": (), "stages": stages}
    if far:
        update |= {"evidence": Evidence.UNAFFECTED, "reason": "what changed went into no object here"}
    return cell.model_copy(update=update)


def kconfig_fix() -> Case:
    """The fix in Kconfig: with VFIO=n nothing is built of it any more, and all else is as it was."""
    run = broken_story()
    off = [cell.id for cell in run.cells if cell.request["VFIO"] == "n" and cell.request["KVM"] != "n"]
    far = {cell.id for cell in run.cells if cell.request["VFIO"] != "n"}
    before, after = ({c: {"KVM_VFIO": value} for c in off} for value in "yn")
    gone = dict.fromkeys(off, (OTHER_OBJECT,))
    return a_case(a_side(run, configs=before), a_side(patched(run, far=far), gone, after))


def header_fix() -> Case:
    """The fix in a header: the object is compiled everywhere, without the error."""
    run = broken_story()
    return a_case(a_side(run), a_side(patched(run)))


def turning(run: Run, where: Mapping[str, str], state: State, *said: Diagnostic, **fields: Any) -> list[Cell]:
    """The cells of a run that can be built where these fields and symbols have these values, otherwise."""
    refs = tuple(DiagnosticRef(key=one.key, object=OBJECT, stage="focus") for one in said)
    return [
        cell.model_copy(update={"state": state, "diagnostics": refs, "stages": _stages(cell, state)} | fields)
        for cell in run.cells
        if cell.state in PROVEN_STATES and where.items() <= _values(cell).items()
    ]


def _values(cell: Cell) -> dict[str, str]:
    return {"arch": cell.arch, "toolchain": cell.toolchain, **cell.request}


def _stages(cell: Cell, state: State) -> tuple[StageRecord, ...]:
    """Those of a cell, the last of them in this state."""
    end = cell.stages[-1].model_copy(update={"state": state, "exit": 2 if state is State.FAIL else 0})
    return (*(stage.model_copy(update={"state": State.PASS}) for stage in cell.stages[:-1]), end)
