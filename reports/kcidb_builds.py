"""A run as KCIDB has it: the checkout of its source, and a build for each cell.

KCIDB keeps the first value that it gets of a property, whatever is submitted later. So what a run that goes
on would change is left out until then.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from matrix.errors import RequestError
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell, PatchRecord, Run, SourceRecord
from matrix.record.states import UNFINISHED_STATES, State, StateKind
from reports.kcidb_objects import (
    KcidbObject,
    KcidbOrigin,
    build_object,
    format_moment,
    identify_run,
    join_excerpt,
    keep_number,
)
from reports.limits import KCIDB_EXCERPTS
from reports.log_excerpt import excerpt_log

_STATUSES = {
    StateKind.COMPLETE: "PASS",
    StateKind.REFUSED: "FAIL",
    StateKind.EMPTY: "SKIP",
    StateKind.UNREACHABLE: "SKIP",
    StateKind.STOPPED: "ERROR",
    StateKind.OPEN: None,
}
"""A state's kind → the status. Only a tree that was refused is FAIL."""
_COMMIT = re.compile("[0-9a-f]{40}")
_SHA256 = re.compile("[0-9a-f]{64}")
_ARCHITECTURE = re.compile("[a-z0-9_]+")
# The kernel has one arch where KCIDB's submitters have two.
_X86_ARCHITECTURES = {"CONFIG_X86_64=y": "x86_64", "CONFIG_X86_32=y": "i386"}


@dataclass(frozen=True)
class BuildLister:
    """Makes the checkout and the builds of a run."""

    stored: StoredRun
    origin: KcidbOrigin

    @property
    def checkout_id(self) -> str:
        """Of one run: several may have the same source, and each has a checkout of its own."""
        return self.origin.create_id("checkout", *identify_run(self.stored.run))

    def create_build_id(self, cell: str) -> str:
        """The id of a cell's build."""
        return self.origin.create_id("build", *identify_run(self.stored.run), cell)

    def build_checkout(self, message_id: str = "", left_out: int = 0) -> KcidbObject:
        """The checkout. ``message_id``: the mail that its patches came in; ``left_out``: incidents that are
        not submitted. Of what others built neither the patches are known nor the time."""
        run, is_final = self.stored.run, not _can_go_on(self.stored.run)
        times = (None, None) if run.is_imported else (run.started, run.finished if is_final else None)
        return build_object(
            {
                "id": self.checkout_id,
                "origin": self.origin.name,
                "tree_name": self.origin.tree or None,
                "git_repository_url": self.origin.repository or None,
                "git_repository_branch": self.origin.branch or None,
                **_describe_commit(run.source),
                "patchset_hash": None if run.is_imported else compute_patchset_hash(run.source),
                "message_id": message_id if "@" in message_id else None,
                "comment": _describe_source(run.source),
                "start_time": format_moment(times[0]),
                "origin_builds_finish_time": format_moment(times[1]),
                "valid": True,
                "misc": self._collect_run_facts(left_out) if is_final else None,
            }
        )

    def _collect_run_facts(self, left_out: int) -> KcidbObject:
        run = self.stored.run
        return {
            "kmatrix": {
                "version": run.tool.version,
                "run": run.id,
                "profile": str(run.profile.get("profile", "")) or None,
                "source_sha256": run.source.digest or None,
                "patches": [patch.name for patch in run.source.patches],
                "incidents_left_out": left_out or None,
            }
        }

    def list_builds(self) -> list[KcidbObject]:
        """A build for each cell: of what Kconfig does not allow, too, as SKIP with the reason."""
        excerpts = self._list_excerpt_cells()
        return [
            self._build_cell(cell, cell.id in excerpts) if cell.is_finished else self._build_open_cell(cell)
            for cell in self.stored.cells_by_id.values()
        ]

    def _list_excerpt_cells(self) -> set[str]:
        finished = (cell for cell in self.stored.run.cells if cell.is_finished)
        told = [cell.id for cell in finished if not cell.state.row.is_quiet and cell.log]
        failed = {cell.id for cell in self.stored.run.cells if cell.state is State.FAIL}
        return set(sorted(told, key=lambda name: name not in failed)[:KCIDB_EXCERPTS])

    def _build_open_cell(self, cell: Cell) -> KcidbObject:
        """Of a cell that a run which goes on tries again, what stays."""
        return build_object(
            {
                "id": self.create_build_id(cell.id),
                "checkout_id": self.checkout_id,
                "origin": self.origin.name,
                "config_name": "+".join(
                    [cell.base, *(f"{name}={value}" for name, value in cell.request.items())]
                ),
            }
        )

    def _build_cell(self, cell: Cell, has_excerpt: bool) -> KcidbObject:
        run, stage = self.stored.run, cell.deciding_stage
        config = f"configs/{cell.config_sha256}" if cell.config_sha256 else None
        return build_object(
            {
                **self._build_open_cell(cell),
                "comment": _describe_result(run, cell),
                "start_time": format_moment(_find_start(run, cell)),
                "duration": None if cell.is_reused or not cell.stages else keep_number(cell.seconds),
                "architecture": _name_architecture(self.stored, cell),
                "command": stage.command if stage else None,
                "compiler": _name_compiler(run, cell),
                "config_url": self.origin.locate_file(config),
                "log_url": self.origin.locate_file(cell.log),
                "log_excerpt": self._excerpt_log(cell) if has_excerpt else None,
                "status": choose_status(cell.state),
                "misc": {"kmatrix": _collect_facts(run, cell)},
            }
        )

    def _excerpt_log(self, cell: Cell) -> str | None:
        log, known = self.stored.read_log(cell), self.stored.run.diagnostics
        if not log:
            return None
        refs = sorted(cell.diagnostics, key=lambda ref: known[ref.key].severity != "error")
        return join_excerpt(excerpt_log(log, (known[ref.key] for ref in refs)).lines)


def choose_status(state: State) -> str | None:
    """The status of a build in this state; None where nothing shows how it ended, and where a run that goes
    on tries it again: KCIDB would keep MISS for ever.

    ERROR is for a build that a limit ended: of the tree it says nothing.
    """
    return None if state in UNFINISHED_STATES else _STATUSES[state.row.kind]


def _can_go_on(run: Run) -> bool:
    """Whether it was stopped, or has cells that would be tried again."""
    return run.finished is None or run.interrupted or not all(cell.is_finished for cell in run.cells)


def compute_patchset_hash(source: SourceRecord) -> str | None:
    """The hash over the patches' hashes, as KCIDB defines it: that of ``sha256sum``'s first column. Empty
    without patches, None where the patches are not all known."""
    if not source.patches:
        return None if source.git and source.git.dirty else ""
    if not all(map(_has_digest, source.patches)) or (source.git and source.git.dirty):
        return None
    lines = "".join(f"{patch.sha256}\n" for patch in source.patches)
    return hashlib.sha256(lines.encode()).hexdigest()


def _has_digest(patch: PatchRecord) -> bool:
    return bool(_SHA256.fullmatch(patch.sha256))


def _describe_commit(source: SourceRecord) -> KcidbObject:
    """Nothing of a tree with changes that no commit has: what was built is not that commit."""
    if source.git is None or source.git.dirty:
        return {}
    is_hash = _COMMIT.fullmatch(source.git.commit)
    return {
        "git_commit_hash": source.git.commit if is_hash else None,
        "git_commit_name": source.git.describe or None,
    }


def _describe_source(source: SourceRecord) -> str:
    """The source in a line, without the place where it lies on this machine."""
    parts = [f"Linux {source.version}"]
    parts += [source.spec] if source.spec.startswith("debian:") else []
    parts += [source.package] if source.package else []
    if source.git and source.git.dirty:
        parts.append(f"{source.git.describe} with changes that are not committed")
    if source.patches:
        parts.append("patched with " + ", ".join(patch.name for patch in source.patches))
    return ", ".join(parts)


def _describe_result(run: Run, cell: Cell) -> str:
    """What became of it, and where it was built, if not here."""
    reason = cell.reason or cell.state.row.reason
    parts = [f"{cell.state}: {reason}" if reason else str(cell.state)]
    if cell.is_reused and cell.evidence_from:
        parts.append(f"{cell.evidence}: built as {run.locate_origin(cell)}")
    return "; ".join(parts)


def _collect_facts(run: Run, cell: Cell) -> KcidbObject:
    return {
        "cell": cell.id,
        "state": cell.state,
        "reason": cell.reason,
        "evidence": cell.evidence,
        "built_by": run.locate_origin(cell) if cell.is_reused else None,
        "arch": cell.arch,
        "toolchain": cell.toolchain,
        "base": cell.base,
        "symbols": cell.request,
        "resolves_to": cell.resolves_to,
        "config_sha256": cell.config_sha256,
        "attempts": len(cell.attempts) or None,
    }


def _find_start(run: Run, cell: Cell) -> datetime | None:
    """When its build began, where that is known to the day's time: pauses are not in a cell's clock."""
    if cell.at_work is None or run.pauses or cell.is_reused:
        return None
    try:
        return run.started + timedelta(seconds=cell.at_work[0])
    except (OverflowError, ValueError):
        return None


def _name_compiler(run: Run, cell: Cell) -> str | None:
    """Name and version as it prints them; the toolchain's name where that is not known."""
    toolchain = run.toolchains.get(cell.toolchain)
    compiler = toolchain.compilers.get(cell.arch) if toolchain else None
    return (compiler.version if compiler else "") or cell.toolchain or None


def _name_architecture(stored: StoredRun, cell: Cell) -> str | None:
    """The arch as in ``ARCH=``; of x86, which of the two its .config is for, where it is kept."""
    if cell.arch == "x86":
        lines = set(_read_config_lines(stored, cell))
        return next((name for line, name in _X86_ARCHITECTURES.items() if line in lines), cell.arch)
    return cell.arch if _ARCHITECTURE.fullmatch(cell.arch) else None


def _read_config_lines(stored: StoredRun, cell: Cell) -> Iterator[str]:
    try:
        yield from stored.load_config(cell).splitlines()
    except RequestError:
        return  # it was not kept, or is damaged
