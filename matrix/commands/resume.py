"""Go on with a run where it stopped: finished cells stay, the rest is built as if nothing had happened.

What would make it another run is refused with what differs: another kmatrix, profile, plan, source, patch,
image or base. The tree is the one that was built, out of the cache: editing its origin meanwhile changes
nothing, unless the origin is named once more.
"""

import hashlib
import stat
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matrix.builder.cell_record import create_blank_cell
from matrix.builder.finished_cells import FinishedCells
from matrix.builder.run_context import Session
from matrix.catalog.load import parse_recorded_profile
from matrix.catalog.types import Profile
from matrix.commands.compare import BaselineOptions
from matrix.commands.kept_verdicts import find_verdict_of_side
from matrix.commands.restore import check_restorable, list_changes, restore_session
from matrix.commands.run import RunBegin, limit_caches, record_run
from matrix.commands.session import (
    LOCAL_ENVIRONMENT,
    Environment,
    build_host_record,
    build_tool_record,
    fetch_source,
)
from matrix.commands.settings import GivenSettings
from matrix.engine.protocol import Engine
from matrix.errors import RequestError
from matrix.findings.stored_run import StoredRun
from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.foreign_trees import remove_tree, walk_tree
from matrix.fs import remove_durably
from matrix.plan import Request, compute_plan_digest, plan_requests
from matrix.record.events import EventSink, ProgressNote
from matrix.record.journal import JOURNAL_FILE, open_journal, withdraw_cells
from matrix.record.profile_keys import FREE_KEYS, describe_difference, list_differing_keys
from matrix.record.run_directory import (
    REQUEST_FILE,
    RunDirectory,
    find_run_directory,
    list_half_made_files,
    list_unnamed_files,
    read_configure_sizes,
)
from matrix.record.run_model import Cell, Pause, Run, SourceRecord, Tool
from matrix.shell_words import format_command
from matrix.source.kernel_tree import SourceTree
from matrix.user_files import expand_user_path, stat_user_path

ORIGIN_KEYS = frozenset({"source", "patch"})
"""Keys of a profile that, named once more, are looked at anew."""


@dataclass(frozen=True)
class Resumption:
    """A run that is to go on. ``profile`` is its own, with what may differ as it was said now.

    ``names_origin``: source and patches were named again, so that they have to be what they were.
    ``verdict``: the file of the verdict that rests on it, which is none any more when it goes on.
    """

    stored: RunDirectory
    profile: Profile
    names_origin: bool
    verdict: Path | None = None

    @property
    def run(self) -> Run:
        return self.stored.run


def find_resumption(
    spec: str, given: GivenSettings, runs: Path, command: Sequence[str] = ()
) -> Resumption | None:
    """The run that ``--resume`` names, and how it is to go on; None where it names none.

    RequestError where there is no such run, or where it cannot go on as it is asked to. ``command`` is what
    was typed. The variables of this shell may be those of any run: of them only what may differ counts.
    """
    if not spec:
        return None
    stored = RunDirectory.load(_find_stopped_run(spec, runs, command))
    run, given = stored.run, given.leave_variables_out(but=FREE_KEYS)
    check_restorable(run, "there is nothing to go on with", stored.name)
    check_tool(run.tool, run.id)
    recorded = parse_recorded_profile(run.profile, f"the profile of {run.id}")
    asked = resolve_asked(run.profile, run.id, given)
    check_same_request(recorded, asked, run.id)
    named = given.profile is not None or bool(given.keys & ORIGIN_KEYS)
    return Resumption(stored, _relax_profile(stored, recorded, asked), named)


def _find_stopped_run(spec: str, runs: Path, command: Sequence[str]) -> Path:
    for directory in (expand_user_path(spec), runs / spec):
        if stat_user_path(directory / REQUEST_FILE, f"the run {spec}"):
            raise RequestError(
                f"{spec} is a verdict, not a run", f"{format_command('./inv', 'patch', '--resume', spec)}"
            )
    directory = find_run_directory(spec, runs, command)
    verdict = find_verdict_of_side(directory)
    if verdict is not None:
        name = verdict.name if verdict.parent == runs.resolve() else str(verdict)
        raise RequestError(
            f"{spec} is a side of a verdict, which rests on all of its runs",
            f"{format_command('./inv', 'patch', '--resume', name)} goes on with it",
        )
    return directory


def reopen_run(directory: Path, asked: Profile, verdict: Path | None = None) -> Resumption:
    """The run in this directory as it is to go on, with what may differ as it is in ``asked``. The file of a
    ``verdict`` that rests on it is removed when it does.

    RequestError where it cannot go on.
    """
    stored = RunDirectory.load(directory)
    recorded = parse_recorded_profile(stored.run.profile, f"the profile of {stored.run.id}")
    return Resumption(stored, _relax_profile(stored, recorded, asked), names_origin=False, verdict=verdict)


def _relax_profile(stored: RunDirectory, recorded: Profile, asked: Profile) -> Profile:
    """The recorded profile, with what may differ as it was said now. RequestError where its plan is not that
    of the run."""
    if compute_plan_digest(plan_requests(recorded)) != stored.run.plan_sha256:
        raise build_refusal(stored.run.id, "its profile makes another plan now")
    return take_free_keys(recorded, asked)


def take_free_keys(recorded: Profile, asked: Profile) -> Profile:
    """A profile with the keys of another on which no result depends."""
    names = [key.replace("-", "_") for key in FREE_KEYS]
    return recorded.model_copy(update={name: getattr(asked, name) for name in names})


def check_tool(recorded: Tool, name: str, task: str = "run") -> None:
    """RequestError where what is called ``name`` was made by another kmatrix than this one."""
    current = build_tool_record()
    if recorded != current:
        was, now = (f"{tool.version} {tool.commit or ''}".strip() for tool in (recorded, current))
        raise build_refusal(name, f"kmatrix is {now}, and was {was}", task)


def resolve_asked(recorded: Mapping[str, Any], name: str, given: GivenSettings) -> Profile:
    """The profile that was asked for now: the one that was named, or the recorded one of what is called
    ``name``, with what was said."""
    if given.profile is not None:
        return given.build_profile()
    return parse_recorded_profile(recorded, f"the profile of {name}", given.layers)


def check_same_request(recorded: Profile, asked: Profile, name: str, task: str = "run") -> None:
    """RequestError, with what differs, where two profiles ask for something else."""
    was, now = (profile.model_dump(mode="json", by_alias=True) for profile in (recorded, asked))
    differing = list_differing_keys(was, now)
    if differing:
        words = (describe_difference(key, was.get(key), now.get(key)) for key in differing)
        raise build_refusal(name, "; ".join(words), task)


def build_refusal(name: str, difference: str, task: str = "run") -> RequestError:
    """Why what is called ``name`` cannot go on, and the task that makes another."""
    return RequestError(
        f"{name} cannot be resumed: {difference}",
        f"./inv {task}, without --resume, makes another, and finds what is remembered of this one",
    )


def resume_run(
    resumption: Resumption,
    emit: EventSink,
    environment: Environment = LOCAL_ENVIRONMENT,
    *,
    baseline: BaselineOptions | None = None,
) -> StoredRun:
    """Build the cells of a run that have no result, and write its record anew. ``baseline`` is what it will
    be held against, where that is another than it has on record.

    RequestError where another process writes it, or where what it was made of is not there any more as it
    was.
    """
    directory = resumption.stored.directory
    check_own_files(directory)
    last_written = _find_last_write(directory)
    with closing(open_journal(directory)) as file:
        # As it is now that nobody else writes it.
        found = RunDirectory.load(directory)
        for path in list_half_made_files(directory):
            remove_tree(path)
        requests = _select_own_requests(plan_requests(resumption.profile), found.run)
        kept = _select_whole_cells(found)
        if found.run.finished and not found.run.interrupted and len(kept) == len(requests):
            emit(ProgressNote(f"Every cell of {found.run.id} has its result: nothing is left to build."))
            return StoredRun(found.run, directory)
        names_origin = resumption.names_origin
        registry = resumption.profile.images
        with restore_unchanged(
            found.run, emit, environment, names_origin=names_origin, registry=registry
        ) as restored:
            session = replace(restored, profile=resumption.profile)
            _check_same_engine(session, found.run)
            remove_containers(session.engine, {found.unique_name})
            record = _build_record(found.run, requests, kept, last_written)
            if baseline is not None:
                record = record.model_copy(update=baseline.recorded_names)
            withdraw_cells(file, _list_dropped_cells(found.run, record))
            begun = RunDirectory(record, directory)
            cells = FinishedCells(begun, read_configure_sizes(directory))
            begin = RunBegin(file, cells)
            if resumption.verdict is not None:
                remove_durably(resumption.verdict)
            with record_run(session, requests, begun, emit, begin=begin) as context:
                environment.work_on_lanes(context)
            stored = StoredRun(context.journal.snapshot_run(), directory)
        if not stored.run.interrupted and all(cell.is_finished for cell in stored.run.cells):
            for path in list_unnamed_files(stored):
                remove_tree(path)
    limit_caches(resumption.profile, emit, environment)
    return stored


def _select_own_requests(requests: Sequence[Request], run: Run) -> list[Request]:
    """Those that the run builds: of a shard its share."""
    own = {cell.id for cell in run.cells}
    return [request for request in requests if run.shard is None or request.id in own]


def _check_same_engine(session: Session, run: Run) -> None:
    """RequestError in another engine, of whatever version: a run has one on record, and what was killed may
    still be at work there."""
    was, now = run.host.engine, build_host_record(session.engine_info).engine
    if was.partition(" ")[0] != now.partition(" ")[0]:
        raise build_refusal(run.id, describe_difference("the engine", was, now))


def check_own_files(directory: Path) -> None:
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
    """The files that the cells of a run name. Those named by their digests are each read once."""

    files: ForeignDirectory
    known: dict[str, bool]

    def are_whole(self, cell: Cell) -> bool:
        """Whether those of a cell have the contents that their names say, and its log has any."""
        status = self.files.stat_file(cell.log) if cell.log else None
        if cell.log and not (status and status.st_size):
            return False
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
def restore_unchanged(
    run: Run,
    emit: EventSink,
    environment: Environment,
    *,
    names_origin: bool = False,
    registry: str | None = None,
) -> Iterator[Session]:
    """The session that a run was made in. RequestError where anything in it has become another.

    With ``names_origin`` its source and patches are looked at anew. ``registry`` takes the place of its own.
    """
    with restore_session(run, None, emit, environment, registry) as session:
        changed = [f"{what} has changed" for what in list_changes(session, run)]
        if names_origin:
            tree = fetch_source(session.profile, session.engine, session.cache, session.user, emit)
            changed += list_source_changes(tree, run.source)
        if changed:
            raise build_refusal(run.id, "; ".join(changed))
        yield session


def list_source_changes(tree: SourceTree, recorded: SourceRecord) -> Iterator[str]:
    """What source and patches are now, where that is not what was built."""
    now = {patch.name: patch.sha256 for patch in tree.patches}
    yield from (f"{patch} has changed" for patch in list_patch_changes(now, recorded))
    if tree.digest != recorded.digest:
        yield f"the source is sha256 {tree.digest[:12]}, and was {recorded.digest[:12]}"


def list_patch_changes(now: Mapping[str, str], recorded: SourceRecord) -> Iterator[str]:
    """The patches, name → digest, that are not those on record, or are there on one side only."""
    was = {patch.name: patch.sha256 for patch in recorded.patches}
    yield from (f"the patch {name}" for name in {**was, **now} if was.get(name) != now.get(name))


def remove_containers(engine: Engine, owners: Set[str]) -> None:
    """Remove what a process that was killed left at work for these runs."""
    for name, label in engine.list_containers().items():
        if label in owners:
            engine.remove_container(name)


def _list_dropped_cells(was: Run, record: Run) -> Iterator[Cell]:
    """The cells that are built again though they had a result, as the record has them now."""
    finished = {cell.id for cell in was.cells if cell.is_finished}
    return (cell for cell in record.cells if cell.id in finished and not cell.is_finished)


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
            # A worker that was left out may be at work again.
            "unused_workers": {},
            "diagnostics": {key: item for key, item in run.diagnostics.items() if key in shown},
            "cells": tuple(kept.get(request.id) or create_blank_cell(request) for request in requests),
        }
    )
