"""Go on with a run where it stopped: finished cells stay, the rest is built as if nothing had happened.

What would make it another run is refused with what differs: another kmatrix, profile, plan, source, patch,
image or base. The tree is the one that was built, out of the cache: editing its origin meanwhile changes
nothing, unless the origin is named once more.
"""

import hashlib
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from matrix.builder.cell_record import create_blank_cell
from matrix.builder.finished_cells import FinishedCells
from matrix.builder.lane_worker import run_lanes
from matrix.builder.run_context import Session
from matrix.catalog.load import parse_recorded_profile
from matrix.catalog.types import Profile
from matrix.commands.kept_runs import FREE_KEYS, list_differing_keys
from matrix.commands.restore import check_restorable, list_changes, restore_session
from matrix.commands.run import limit_caches, record_run
from matrix.commands.session import LOCAL_ENVIRONMENT, Environment, build_tool_record, fetch_source
from matrix.commands.settings import GivenSettings
from matrix.engine.protocol import Engine
from matrix.errors import RequestError
from matrix.findings.stored_run import StoredRun
from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.foreign_trees import remove_tree, walk_tree
from matrix.plan import Request, compute_plan_digest, plan_requests
from matrix.record.events import EventSink, ProgressNote
from matrix.record.journal import JOURNAL_FILE, open_journal
from matrix.record.run_directory import (
    RunDirectory,
    find_run_directory,
    list_half_made_files,
    read_configure_sizes,
)
from matrix.record.run_model import Cell, Pause, Run, Tool

_ORIGIN_KEYS = frozenset({"source", "patch"})


@dataclass(frozen=True)
class Resumption:
    """A run that is to go on. ``profile`` is its own, with what may differ as it was said now.

    ``names_origin``: source and patches were named again, so that they have to be what they were.
    """

    stored: RunDirectory
    profile: Profile
    names_origin: bool

    @property
    def run(self) -> Run:
        return self.stored.run


def find_resumption(
    spec: str, given: GivenSettings, runs: Path, command: Sequence[str] = ()
) -> Resumption | None:
    """The run that ``--resume`` names, and how it is to go on; None where it names none.

    RequestError where there is no such run, or where it cannot go on as it is asked to. ``command`` is what
    was typed.
    """
    if not spec:
        return None
    stored = RunDirectory.load(find_run_directory(spec, runs, command))
    run = stored.run
    check_restorable(run, "there is nothing to go on with", stored.name)
    _check_tool(run.tool, build_tool_record(), stored)
    recorded = parse_recorded_profile(run.profile, f"the profile of {run.id}")
    asked = _resolve_asked(run, given)
    _check_profile(recorded, asked, stored)
    if compute_plan_digest(plan_requests(recorded)) != run.plan_sha256:
        raise _refuse(stored, "its profile makes another plan now")
    names = [key.replace("-", "_") for key in FREE_KEYS]
    free = {name: getattr(asked, name) for name in names}
    named = given.profile is not None or bool(given.keys & _ORIGIN_KEYS)
    return Resumption(stored, recorded.model_copy(update=free), named)


def _check_tool(recorded: Tool, current: Tool, stored: RunDirectory) -> None:
    if recorded != current:
        was, now = (f"{tool.version} {tool.commit or ''}".strip() for tool in (recorded, current))
        raise _refuse(stored, f"kmatrix is {now}, and was {was}")


def _resolve_asked(run: Run, given: GivenSettings) -> Profile:
    """The profile that was asked for now: the one that was named, or the run's own, with what was said."""
    if given.profile is not None:
        return given.build_profile()
    return parse_recorded_profile(run.profile, f"the profile of {run.id}", given.layers)


def _check_profile(recorded: Profile, asked: Profile, stored: RunDirectory) -> None:
    was, now = (profile.model_dump(mode="json", by_alias=True) for profile in (recorded, asked))
    differing = list_differing_keys(was, now)
    if differing:
        words = (f"{key} is {_format(now[key])}, and was {_format(was[key])}" for key in differing)
        raise _refuse(stored, "; ".join(words))


def _format(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{name}={item}" for name, item in value.items()) or "nothing"
    return "not set" if value is None else str(value)


def _refuse(stored: RunDirectory, difference: str) -> RequestError:
    return RequestError(
        f"{stored.run.id} cannot be resumed: {difference}",
        "./inv run, without --resume, makes another run, and finds what is remembered of this one",
    )


def resume_run(
    resumption: Resumption, emit: EventSink, environment: Environment = LOCAL_ENVIRONMENT
) -> StoredRun:
    """Build the cells of a run that have no result, and write its record anew.

    RequestError where another process writes it, or where what it was made of is not there any more as it
    was.
    """
    directory = resumption.stored.directory
    _check_own_files(directory)
    last_written = _find_last_write(directory)
    with closing(open_journal(directory)) as file:
        # As it is now that nobody else writes it.
        found = RunDirectory.load(directory)
        requests = plan_requests(resumption.profile)
        kept = _select_whole_cells(found)
        if found.run.finished and not found.run.interrupted and len(kept) == len(requests):
            emit(ProgressNote(f"Every cell of {found.run.id} has its result: nothing is left to build."))
            return StoredRun(found.run, directory)
        with _restore_unchanged(resumption, emit, environment) as session:
            _remove_containers(session.engine, found.unique_name)
            for path in list_half_made_files(directory):
                remove_tree(path)
            record = _build_record(found.run, requests, kept, last_written)
            begun = RunDirectory(record, directory)
            cells = FinishedCells(begun, read_configure_sizes(directory))
            with record_run(session, requests, begun, emit, file=file, finished=cells) as context:
                run_lanes(context)
            stored = StoredRun(context.journal.snapshot_run(), directory)
    limit_caches(resumption.profile, emit, environment)
    return stored


def _check_own_files(directory: Path) -> None:
    """RequestError where something in a run's directory is a link: kmatrix makes none there, and a run that
    comes from somebody else must not lead what is written elsewhere."""
    for entry in walk_tree(directory):
        if entry.status is not None and stat.S_ISLNK(entry.status.st_mode):
            raise RequestError(
                f"the run in {directory} cannot be resumed: {entry.path} is a link",
                "./inv run makes another",
            )


def _select_whole_cells(found: RunDirectory) -> dict[str, Cell]:
    """The finished cells, by id, of which all is there that they name: where the machine broke down, a file
    may be missing or empty."""
    named = _NamedFiles(ForeignDirectory(found.directory), {})
    return {cell.id: cell for cell in found.run.cells if cell.is_finished and named.are_whole(cell)}


@dataclass(frozen=True)
class _NamedFiles:
    """The files of a run that are named by their digests, each read once."""

    files: ForeignDirectory
    known: dict[str, bool]

    def are_whole(self, cell: Cell) -> bool:
        """Whether those of a cell have the contents that their names say."""
        digests = (cell.config_sha256, cell.objects_sha256, cell.sources_sha256)
        named = zip(("configs", "objects", "sources"), digests, strict=True)
        return all(self._is_whole(folder, digest) for folder, digest in named if digest)

    def _is_whole(self, folder: str, digest: str) -> bool:
        name = f"{folder}/{digest}"
        if name not in self.known:
            try:
                content = self.files.read_bytes(name)
            except ForeignFileError:
                content = None
            self.known[name] = content is not None and hashlib.sha256(content).hexdigest() == digest
        return self.known[name]


@contextmanager
def _restore_unchanged(
    resumption: Resumption, emit: EventSink, environment: Environment
) -> Iterator[Session]:
    """The session that the run was made in. RequestError where anything in it has become another."""
    run = resumption.stored.run
    with restore_session(run, None, emit, environment) as session:
        changed = [f"{what} has changed" for what in list_changes(session, run)]
        if resumption.names_origin:
            changed += _list_origin_changes(session, run, emit)
        if changed:
            raise _refuse(resumption.stored, "; ".join(changed))
        yield replace(session, profile=resumption.profile)


def _list_origin_changes(session: Session, run: Run, emit: EventSink) -> Iterator[str]:
    """What source and patches are now, where that is not what was built."""
    tree = fetch_source(session.profile, session.engine, session.cache, session.user, emit)
    was = {patch.name: patch.sha256 for patch in run.source.patches}
    now = {patch.name: patch.sha256 for patch in tree.patches}
    yield from (f"the patch {name} has changed" for name in was | now if was.get(name) != now.get(name))
    if tree.digest != run.source.digest:
        yield f"the source is sha256 {tree.digest[:12]}, and was {run.source.digest[:12]}"


def _remove_containers(engine: Engine, owner: str) -> None:
    """Remove what the process that was killed left at work for the run."""
    for name, label in engine.list_containers().items():
        if label == owner:
            engine.remove_container(name)


def _find_last_write(directory: Path) -> datetime:
    """When the last line of a run's journal was written; long ago where there is none."""
    status = ForeignDirectory(directory).stat_file(JOURNAL_FILE)
    return datetime.fromtimestamp(status.st_mtime if status else 0.0, UTC)


def _build_record(
    run: Run, requests: Sequence[Request], kept: Mapping[str, Cell], last_written: datetime
) -> Run:
    """The run as it goes on: those cells keep their results, and nothing is known of the others."""
    shown = {ref.key for cell in kept.values() for ref in cell.diagnostics}
    stopped = run.finished or max(run.started, last_written)
    pause = Pause(stopped=stopped, resumed=datetime.now(UTC))
    return run.model_copy(
        update={
            "finished": None,
            "interrupted": False,
            "pauses": (*run.pauses, pause),
            "providers": {},
            "diagnostics": {key: item for key, item in run.diagnostics.items() if key in shown},
            "cells": tuple(kept.get(request.id) or create_blank_cell(request) for request in requests),
        }
    )
