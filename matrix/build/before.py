"""A run on the tree before a change, and what can be taken over from it without building."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from matrix.build.row import Log, Outcome
from matrix.build.unaffected import Given, given_before, unaffected
from matrix.errors import MachineError
from matrix.record.load import objects_of, sources_of
from matrix.record.model import Cell, Run
from matrix.record.outcome import Evidence
from matrix.source.cache import Cache
from matrix.source.manifest import Difference, difference
from matrix.source.tree import Tree

Fields = tuple[str, str, str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Before:
    """A run, its directory, and what differs between its tree and the one that is built now."""

    run: Run
    directory: Path
    change: Difference

    def outcome(self, cell: Cell, given: Given, log: Log) -> Outcome | None:
        """The cell with all that was found in it before, where nothing that changed reaches it.

        Its log is copied. None when make has to be asked: `matrix.build.unaffected` has the rules.
        """
        row = self._rows.get(_fields(cell))
        if row is None or row.evidence is None or given_before(self.run, row) != given:
            return None
        sources = sources_of(self.directory, row)
        reason = unaffected(row.state, self.change, sources)
        if reason is None:
            return None
        update = {name: getattr(row, name) for name in ("state", "stages", "diagnostics")}
        update |= {"evidence": Evidence.UNAFFECTED, "evidence_from": self._origin(row), "reason": reason}
        update |= {"log": self._copied(row, log)}
        said = {ref.key: self.run.diagnostics[ref.key] for ref in row.diagnostics}
        objects = objects_of(self.directory, row)
        return Outcome(cell.model_copy(update=update), said, objects, sources or frozenset())

    @cached_property
    def _rows(self) -> dict[Fields, Cell]:
        return {_fields(cell): cell for cell in self.run.cells}

    def _origin(self, row: Cell) -> str:
        """Where it was built: a run that took it over itself says where from."""
        if row.evidence is Evidence.UNAFFECTED and row.evidence_from:
            return row.evidence_from
        return f"{self.run.id}/{row.id}"

    def _copied(self, row: Cell, log: Log) -> str | None:
        kept = self.directory / str(row.log)
        if row.log is None or not kept.is_file():
            return None
        log.write(kept.read_text("utf-8", "replace").removesuffix("\n").split("\n"))
        return log.name


def before_of(run: Run, directory: Path, tree: Tree, cache: Cache) -> Before | None:
    """What a run can say about ``tree``; None when the tree that it was made on is not in the cache."""
    try:
        change = difference(cache.manifest(run.source.digest), cache.manifest(tree.digest))
    except MachineError:
        return None
    return Before(run, directory, change)


def _fields(cell: Cell) -> Fields:
    return cell.arch, cell.toolchain, cell.base, tuple(sorted(cell.request.items()))
