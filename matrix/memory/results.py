"""Results of cells, found again by all that they depend on, by any run of any tree.

A cell's outcome follows from its .config, its image, what make was asked for, how kmatrix judges what came of
it, and the tree: the content of each source that went into it, the content of everything else that can reach
a build, and the names of all files. Of Kconfig that is what acts otherwise than through .config; where make
said something of Kconfig files, it is all of them. The sources are not known before the cell is built. So a
result is kept under all the rest together with the list of its sources, and the digest of their contents: to
find one again, the present contents of each list that is known there are looked up.

Only what was proven is kept: see `ResultMemory.keep`.
"""

import gzip
import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.diagnostics.parser_digest import compute_parser_digest
from matrix.memory.layers import Memory
from matrix.memory.same_objects import CellParts
from matrix.memory.store import Entry
from matrix.memory.tree_contents import ABSENT, TreeContents
from matrix.record.run_model import DiagnosticRef, Record, StageRecord
from matrix.record.states import ANSWERED_STATES, STOPPED_STATES, Evidence, State

RECIPE = 8
"""How kmatrix makes a step and judges it. Raised whenever the same tree, .config, image and make line may
come out otherwise: with another environment or option of make, other objects counted as a stage's, another
reading of how a make ended. How the output of tools is read need not be counted: its code is a part of what a
result is kept under."""

_ALL_SOURCES = "all"
"""In place of a list of sources: all of the tree's, as it is not known which."""


@dataclass(frozen=True)
class CellInputs:
    """What a cell's result depends on, beside the tree.

    ``commands`` are those of its stages, without their -jN: targets and make variables. ``targets`` are what
    each stage is judged by: make is asked for the whole directory of an object.
    """

    image: str
    config_sha256: str
    commands: tuple[str, ...]
    targets: tuple[tuple[str, ...], ...]


class KeptResult(Record):
    """What the stages of a cell showed, beside its configure step. ``run`` and ``cell``: whose result it was
    first, built or put together of objects on record.

    ``evidence`` and ``evidence_from`` are that cell's own: the run that built it may be resumed and lack it.
    ``parts`` is what it was made of object by object, where that is known. ``sources`` are the .c, .h and .S
    files that went into it; none where they are not known. They are kept apart, as many cells have the same.
    """

    schema_: Literal[1] = 1
    run: str
    cell: str
    state: State
    stages: tuple[StageRecord, ...]
    refs: tuple[DiagnosticRef, ...]
    diagnostics: dict[str, Diagnostic]
    objects: frozenset[str]
    reason: str | None
    log: str
    parts: CellParts | None = None
    sources: frozenset[str] = frozenset()
    evidence: Evidence = Evidence.BUILT
    evidence_from: str | None = None


class FoundResult(NamedTuple):
    """A result that is remembered, where, and whether this very run built it."""

    kept: KeptResult
    entry: Entry
    is_own: bool


class _ResultValue(BaseModel):
    """The JSON of a result's entry: its digest, and what is asked of it without the whole. ``origin`` is the
    run and cell that it is from, as in ``RUN/CELL``. ``kconfig``: the digest of the Kconfig files, where its
    diagnostics are of these."""

    content: str
    origin: str
    has_parts: bool
    kconfig: str | None = None


@dataclass
class ResultMemory:
    """The results that a run of one tree can find, and those that it adds. Lanes may use it at once."""

    memory: Memory
    tree: TreeContents
    _keys: dict[str, str | None] = field(default_factory=dict, repr=False)

    def find(self, inputs: CellInputs) -> FoundResult | None:
        """The result for these inputs and this tree, whole; None where there is none."""
        for entry, value in self._find_entries(inputs):
            kept = self._load(entry, value)
            if kept:
                self.memory.record_use([entry])
                return FoundResult(kept, entry, entry.run == self.memory.run)
        return None

    def find_origin(self, inputs: CellInputs) -> str | None:
        """The run and cell that `find` would give a result of, as in ``RUN/CELL``; that is no use of it, and
        it is not read."""
        return next((value.origin for _, value in self._find_entries(inputs)), None)

    def _find_entries(self, inputs: CellInputs) -> Iterator[tuple[Entry, _ResultValue]]:
        scope = self._compute_scope(inputs)
        for name in sorted(self.memory.list_names("result", scope)):
            key = self._find_key(name)
            entry = self.memory.find_entry("result", scope, name, key) if key else None
            value = self._read_value(entry) if entry else None
            if entry and value:
                yield entry, value

    def find_on_other_sources(self, inputs: CellInputs) -> Iterator[FoundResult]:
        """The results for these inputs on trees that differ from this one in contents of sources alone, the
        one that was used last first; those of which the parts are known."""
        for entry in self.memory.find_entries("result", self._compute_scope(inputs)):
            value = self._read_value(entry)
            kept = self._load(entry, value) if value and value.has_parts else None
            if kept is not None:
                yield FoundResult(kept, entry, entry.run == self.memory.run)

    def find_last(self, inputs: CellInputs) -> KeptResult | None:
        """The result for these inputs, of this tree or of one that differs from it in contents of sources
        alone, that was used last. That is no use of it."""
        for entry in self.memory.find_entries("result", self._compute_scope(inputs)):
            value = self._read_value(entry)
            kept = self._load(entry, value) if value else None
            if kept is not None:
                return kept
        return None

    def keep(self, inputs: CellInputs, result: KeptResult) -> None:
        """Remember a whole result, if it was proven.

        That is one of `pass`, `warn` and `empty`, kept under the contents of its sources, or of all sources
        where its own are not known. And a `fail` of which each error was printed by a tool that did not break
        itself, with a file of this tree and a line in it; errors that only sum up warnings need none. What a
        cell that failed would have read is not known, so it is kept under the contents of all sources.
        """
        if not self._is_proven(result):
            return
        sources = result.sources if result.state is not State.FAIL else frozenset[str]()
        contents = [self.memory.put_content(_pack(result))]
        name = _ALL_SOURCES
        if sources:
            name = self.memory.put_content("\n".join(sorted(sources)).encode())
            contents.append(name)
        key = self._find_key(name)
        if key is not None:
            entry = Entry(
                kind="result",
                scope=self._compute_scope(inputs),
                name=name,
                key=key,
                value=_ResultValue(
                    content=contents[0],
                    origin=f"{result.run}/{result.cell}",
                    has_parts=result.parts is not None,
                    kconfig=self.tree.kconfig_digest if _speaks_of_kconfig(result) else None,
                ).model_dump_json(),
                run=self.memory.run,
                contents=tuple(contents),
            )
            self.memory.put_entries([entry])

    def _is_proven(self, result: KeptResult) -> bool:
        states = {stage.state for stage in result.stages}
        if result.state not in ANSWERED_STATES or states & (STOPPED_STATES | {State.CANCELLED}):
            return False
        return result.state is not State.FAIL or _have_places(
            [result.diagnostics[ref.key] for ref in result.refs], self.tree
        )

    def _compute_scope(self, inputs: CellInputs) -> str:
        parts = [
            [RECIPE, compute_parser_digest(), self.tree.rest_digest, self.tree.names_digest],
            [inputs.image, inputs.config_sha256, inputs.commands, inputs.targets],
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _find_key(self, name: str) -> str | None:
        """The digest of the present contents of a list of sources; None where the list is gone."""
        if name == _ALL_SOURCES:
            return self.tree.sources_digest
        if self._keys.get(name) is None:
            sources = self._load_sources(name)
            self._keys[name] = self.tree.digest_contents(sources) if sources else None
        return self._keys[name]

    def _load_sources(self, name: str) -> list[str]:
        content = self.memory.get_content(name)
        return content.decode().split("\n") if content else []

    def _read_value(self, entry: Entry) -> _ResultValue | None:
        """What an entry says; None where it is of other Kconfig files, or of another version."""
        try:
            value = _ResultValue.model_validate_json(entry.value)
        except ValidationError:
            return None
        return value if value.kconfig in (None, self.tree.kconfig_digest) else None

    def _load(self, entry: Entry, value: _ResultValue) -> KeptResult | None:
        content = self.memory.get_content(value.content)
        kept = _unpack(content) if content else None
        if kept is None or entry.name == _ALL_SOURCES:
            return kept
        return kept.model_copy(update={"sources": frozenset(self._load_sources(entry.name))})


def _speaks_of_kconfig(result: KeptResult) -> bool:
    return any(diagnostic.tool == "kconfig" for diagnostic in result.diagnostics.values())


def _have_places(diagnostics: Collection[Diagnostic], tree: TreeContents) -> bool:
    errors = [item for item in diagnostics if item.severity == "error" and not item.summary]
    return bool(errors) and all(_has_place(error, tree) for error in errors)


def _has_place(error: Diagnostic, tree: TreeContents) -> bool:
    if error.internal or error.file is None or error.line is None:
        return False
    return tree.find_content(error.file) != ABSENT


def _pack(result: KeptResult) -> bytes:
    text = result.model_dump_json(exclude={"sources"})
    return gzip.compress(text.encode(), compresslevel=1, mtime=0)


def _unpack(content: bytes) -> KeptResult | None:
    """The result; None where another version of kmatrix wrote it."""
    try:
        return KeptResult.model_validate_json(gzip.decompress(content))
    except (OSError, EOFError, ValidationError):
        return None
