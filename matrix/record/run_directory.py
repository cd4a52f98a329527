"""A run as it is kept on disk: its record, and the files beside it."""

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Self

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import RequestError, format_nearest
from matrix.foreign_files import FOREIGN_FILE_LIMIT, ForeignDirectory, ForeignFileError
from matrix.foreign_trees import walk_tree
from matrix.fs import list_temporary_files
from matrix.kconfig.config import Config
from matrix.record.journal import JOURNAL_FILE, RUN_FILE
from matrix.record.run_model import SCHEMA_VERSION, Cell, Run
from matrix.record.states import State
from matrix.shell_words import format_command
from matrix.user_files import expand_user_path, stat_user_path

_INNER_RUNS_SHOWN = 6
# Enough for the last lines that a report shows; a log may have hundreds of megabytes.
_TAIL_BYTES = 256 * 1024
RECORD_LIMIT = 512 * 2**20
"""Bytes of run.json or cells.jsonl: a cell with its diagnostics has some thousand."""
_RERUN = "./inv run makes another"
_DIGEST = re.compile("[0-9a-f]{64}")
_WRITTEN_NAMES = (RUN_FILE, "findings.json", "report.*", "verdict.*", "mail*")
"""What is written into a run's directory as a whole: its record, findings and reports, and a verdict's."""
REQUEST_FILE = "request.json"
"""What a verdict was asked for, in the directory of its runs."""
RUN_FOLDERS = frozenset({"cells", "configs", "objects", "sources"})
"""What a run's directory has directories of."""
_RECORD_NAMES = frozenset({RUN_FILE, JOURNAL_FILE, REQUEST_FILE, "findings.json", "verdict.json"})


def holds_run(directory: Path) -> bool:
    """Whether a run was begun in this directory."""
    return ForeignDirectory(directory).stat_file(RUN_FILE) is not None


def is_record_file(path: Path, out: Path | None = None) -> bool:
    """Whether this is, or will be, part of a run's or a verdict's record. ``out`` is the directory of a run
    that is yet to be made."""
    files = ForeignDirectory(path.parent)
    is_kept = path.parent == out or any(files.stat_file(name) for name in (RUN_FILE, REQUEST_FILE))
    return path.name in _RECORD_NAMES and is_kept


def load_run(directory: Path) -> Run:
    """The run in this directory.

    A run that was killed has its cells in the journal only: they are taken from there. RequestError when
    there is no run, or when this version cannot read it.
    """
    text = _read_file(directory, RUN_FILE, RECORD_LIMIT)
    if text is None:
        raise RequestError(f"{directory} holds no run: it has no {RUN_FILE}", "./inv run makes one")
    try:
        schema = json.loads(text).get("schema")
        if schema != SCHEMA_VERSION:
            raise RequestError(
                f"{directory / RUN_FILE} has schema {schema}; this kmatrix reads schema {SCHEMA_VERSION}",
                "the kmatrix that made it reads it",
            )
        run = Run.model_validate_json(text)
    except (ValueError, AttributeError, RecursionError) as error:
        raise RequestError(f"{directory / RUN_FILE} is damaged: {error}", _RERUN) from error
    run = run if run.finished else _complete_from_journal(directory, run)
    _check_references(run, directory / RUN_FILE)
    return run


def _check_references(run: Run, file: Path) -> None:
    """RequestError where a cell names what the record does not have."""
    for cell in run.cells:
        if any(ref.key not in run.diagnostics for ref in cell.diagnostics):
            message = f"{file} is damaged: {cell.id!r} names a diagnostic that it does not have"
            raise RequestError(message, _RERUN)


def _complete_from_journal(directory: Path, run: Run) -> Run:
    cells = {cell.id: cell for cell in run.cells}
    diagnostics = dict(run.diagnostics)
    for entry in _read_journal(directory):
        # Only another result replaces a result: what was begun once more may have been stopped again.
        known = cells.get(entry.cell.id)
        is_result = entry.cell.state is not State.NOT_RUN
        if known is None or known.state is State.NOT_RUN or is_result or entry.is_withdrawn:
            cells[entry.cell.id] = entry.cell
            diagnostics |= entry.diagnostics
    return run.model_copy(update={"cells": tuple(cells.values()), "diagnostics": diagnostics})


class _JournalEntry(NamedTuple):
    """A line of the journal, as `Journal` writes it. ``log_size`` is there where the cell is only planned,
    ``is_withdrawn`` where a result that it had counts no more."""

    cell: Cell
    diagnostics: dict[str, Diagnostic]
    log_size: int | None
    is_withdrawn: bool


def _read_journal(directory: Path) -> Iterator[_JournalEntry]:
    """The lines of a run's journal that are whole. A power failure can leave anything at the end."""
    for line in (_read_file(directory, JOURNAL_FILE, RECORD_LIMIT) or "").split("\n"):
        try:
            entry = json.loads(line)
            cell = Cell.model_validate(entry["cell"])
            shown = {key: Diagnostic.model_validate(item) for key, item in entry["diagnostics"].items()}
            size = int(entry["log_size"]) if "log_size" in entry else None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        yield _JournalEntry(cell, shown, size, entry.get("withdrawn") is True)


def read_configure_sizes(directory: Path) -> dict[str, int]:
    """Of each cell that was planned, by its id: the bytes at the begin of its log that are of its configure
    step."""
    entries = _read_journal(directory)
    return {entry.cell.id: entry.log_size for entry in entries if entry.log_size is not None}


def list_half_made_files(directory: Path) -> list[Path]:
    """What processes that were killed left half-written in a run's directory. Whoever asks has its lock, or
    another is at work on them."""
    folders = (directory / name for name in ("configs", "objects", "sources"))
    return [
        *chain.from_iterable(list_temporary_files(directory, name) for name in _WRITTEN_NAMES),
        *chain.from_iterable(map(list_temporary_files, folders)),
    ]


def list_unnamed_files(stored: "RunDirectory") -> list[Path]:
    """The files named by digest that no cell and no base of a run names: of an attempt that a fault ended."""
    run = stored.run
    bases = {base.config_sha256 for base in run.bases.values()}
    named = {
        "configs": bases | {cell.config_sha256 for cell in run.cells},
        "objects": {cell.objects_sha256 for cell in run.cells},
        "sources": {cell.sources_sha256 for cell in run.cells},
    }
    return [
        path
        for folder, digests in named.items()
        for path in _list_files_by_digest(stored.directory / folder)
        if path.name not in digests
    ]


def _list_files_by_digest(folder: Path) -> Iterator[Path]:
    try:
        yield from (folder / entry.path for entry in walk_tree(folder) if _DIGEST.fullmatch(entry.path))
    except FileNotFoundError:
        return  # a run keeps some lists only


def _read_file(directory: Path, name: str, limit: int = FOREIGN_FILE_LIMIT) -> str | None:
    """A file of a run, which may be somebody else's; None where it is missing. RequestError where it is no
    file that can be read."""
    try:
        return ForeignDirectory(directory).read_text(name, limit)
    except ForeignFileError as error:
        raise RequestError(f"the run in {directory} cannot be read: {error}", _RERUN) from error


@dataclass(frozen=True)
class RunDirectory:
    """A run with the directory that it is kept in. Its files are read when they are needed."""

    run: Run
    directory: Path

    @classmethod
    def load(cls, directory: Path) -> Self:
        """The run in this directory. RequestError as `load_run` has it."""
        return cls(load_run(directory), directory)

    @cached_property
    def cells_by_id(self) -> dict[str, Cell]:
        return {cell.id: cell for cell in self.run.cells}

    @property
    def name(self) -> str:
        """What ``--run`` takes: the run's id where its directory is called so, else the directory."""
        return self.run.id if self.directory.name == self.run.id else str(self.directory)

    @property
    def unique_name(self) -> str:
        """A name that no other run has, and that this one keeps when it is resumed.

        Its containers and what it remembers are named so. Runs in different folders, or of different users,
        may have the same id.
        """
        facts = f"{self.run.id} {self.run.started.isoformat()} {self.directory.stat().st_ino}"
        return f"{self.run.id}-{hashlib.sha256(facts.encode()).hexdigest()[:6]}"

    def find_cell(self, name: str) -> Cell:
        """The cell of this id. RequestError, with the nearest one, when the run has none."""
        if name not in self.cells_by_id:
            raise RequestError(
                f"the run {self.run.id} has no cell {name!r}{format_nearest(name, self.cells_by_id)}",
                "its report names the cells",
            )
        return self.cells_by_id[name]

    def find_file(self, name: str) -> Path | None:
        """A recorded file of the run, or None when it is missing, is a link, or its name leads out of the
        run."""
        is_file = ForeignDirectory(self.directory).stat_file(name) is not None
        return self.directory / name if is_file else None

    def load_objects(self, cell: Cell) -> frozenset[str]:
        """The objects known to belong to a cell's stages, relative to the build directory; none where the
        run kept no list."""
        if cell.objects_sha256 is None:
            return frozenset()
        return frozenset((_read_file(self.directory, f"objects/{cell.objects_sha256}") or "").splitlines())

    def load_sources(self, cell: Cell) -> frozenset[str] | None:
        """The source files that a cell was made of, relative to the tree; None where no list is kept."""
        text = _read_file(self.directory, f"sources/{cell.sources_sha256}")
        return None if text is None else frozenset(text.splitlines())

    def load_config(self, cell: Cell) -> str:
        """The text of a cell's ``.config``.

        RequestError when it has none (the message has the cell's reason), or when the file is damaged.
        """
        if cell.config_sha256 is None:
            log = self.directory / cell.log if cell.log else None
            why = f"its log says why: {log}" if log else "the run's report may say why"
            raise RequestError(f"{cell.id} has no configuration: {cell.reason or cell.state}", why)
        name = f"configs/{cell.config_sha256}"
        try:
            content = ForeignDirectory(self.directory).read_bytes(name)
        except ForeignFileError as error:
            raise RequestError(f"the run in {self.directory} cannot be read: {error}", _RERUN) from error
        if content is None:
            raise RequestError(f"{self.directory / name} cannot be read: it is missing", _RERUN)
        if hashlib.sha256(content).hexdigest() != cell.config_sha256:
            raise RequestError(f"{self.directory / name} is damaged: it is not what its name says", _RERUN)
        return content.decode("utf-8", "replace")

    def find_config(self, cell: Cell) -> Config | None:
        """A cell's ``.config`` as a value; None where it is not kept, or cannot be read."""
        try:
            return Config.parse(self.load_config(cell))
        except RequestError:
            return None

    def read_log_tail(self, cell: Cell, lines: int) -> tuple[str, ...]:
        """The last lines of a cell's log, as the tools wrote them; none when there is no log."""
        try:
            tail = ForeignDirectory(self.directory).read_tail(cell.log, _TAIL_BYTES) if cell.log else None
        except ForeignFileError:
            tail = None
        if tail is None:
            return ()
        return tuple(tail.decode(errors="replace").rstrip("\n").split("\n")[-lines:])

    def read_log(self, cell: Cell) -> str | None:
        """A cell's whole log; None when there is none, or none that can be read."""
        try:
            return ForeignDirectory(self.directory).read_text(cell.log) if cell.log else None
        except ForeignFileError:
            return None


def find_run_directory(spec: str, runs: Path, command: Sequence[str] = ()) -> Path:
    """The directory of a run: a path, or the name of one under ``runs`` (``latest`` among them).

    RequestError where there is none. A directory that holds runs itself, such as a verdict's, is refused with
    their names, each in ``command``, the words that were typed.
    """
    candidates = (expand_user_path(spec), runs / spec) if spec else ()
    for candidate in candidates:
        if stat_user_path(candidate / RUN_FILE, f"the run {spec}"):
            return candidate.resolve()
    for candidate in candidates:
        if names := _list_inner_runs(candidate):
            raise _build_ambiguity_error(spec, names, command)
    raise RequestError(f"there is no run {spec!r} (looked in {runs})", "./inv run makes one")


def _list_inner_runs(directory: Path) -> list[str]:
    """The names of the runs in a directory; of a verdict's the one before, then those after."""
    try:
        names = [path.parent.name for path in directory.glob(f"*/{RUN_FILE}") if not path.parent.is_symlink()]
    except OSError:
        return []
    return sorted(names, key=lambda name: (name != "before", len(name), name))


def _build_ambiguity_error(spec: str, names: Sequence[str], command: Sequence[str]) -> RequestError:
    shown = names[:_INNER_RUNS_SHOWN]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    paths = [posixpath.join(spec, name) for name in shown]
    typed = [
        format_command(
            *(word.removesuffix(spec) + path if _names_run(word, spec) else word for word in command)
        )
        for path in paths
    ]
    return RequestError(
        f"{spec} is no run, but holds {len(names)}: {', '.join(shown)}{more}",
        "\n  ".join(["name one:", *(typed if any(_names_run(word, spec) for word in command) else paths)]),
    )


def _names_run(word: str, spec: str) -> bool:
    """Whether a word of the command line is the run's name, or an option with it: ``--run=NAME``."""
    return word == spec or (word.startswith("--") and word.partition("=")[2] == spec)
