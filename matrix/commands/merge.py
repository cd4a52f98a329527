"""The runs of shards, from wherever they were built, made one run: its record, and the files of its cells."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from matrix.builder.cell_record import create_blank_cell
from matrix.catalog.load import parse_recorded_profile
from matrix.catalog.types import Profile
from matrix.commands.compare import BaselineOptions, parse_baseline_options
from matrix.commands.kept_runs import is_run_held
from matrix.commands.session import RUNS_DIRECTORY
from matrix.errors import RequestError
from matrix.findings.stored_run import StoredRun
from matrix.foreign_files import ForeignDirectory
from matrix.foreign_trees import remove_tree, walk_tree
from matrix.fs import create_private_directory, replace_file, translate_disk_full
from matrix.plan import Request, compute_plan_digest, plan_requests
from matrix.record.journal import (
    Journal,
    check_directory_unused,
    claim_run_directory,
    create_run_directory,
    generate_run_id,
    link_latest_run,
)
from matrix.record.run_directory import RECORD_LIMIT, RunDirectory, find_run_directory
from matrix.shards.shard_merge import check_shards, merge_records
from matrix.shell_words import format_command
from matrix.user_files import expand_user_path

_SOURCES = "sources"
_FOLDERS = ("configs", "objects", _SOURCES)
_CELLS = "cells"


@dataclass(frozen=True)
class MergeRequest:
    """The shards that are to be one run, in the directory ``out`` if one is named. ``requests`` is the whole
    plan; ``baseline`` is what the run is held against."""

    shards: tuple[RunDirectory, ...]
    profile: Profile
    requests: tuple[Request, ...]
    out: Path | None = None
    baseline: BaselineOptions | None = None


def parse_merge_request(
    names: Sequence[str],
    out: str,
    baseline: str,
    known: str,
    runs: Path = RUNS_DIRECTORY,
    command: Sequence[str] = (),
) -> MergeRequest:
    """What these options ask for. RequestError, before anything is written, where the runs are no shards of
    one run, or something is at work on one of them."""
    if not names:
        raise RequestError("merge needs 'dir'", "name the run of each shard: ./inv merge RUN RUN")
    if not all(names):
        raise RequestError("dir is empty", "leave it out, or give it a value")
    directory = expand_user_path(out).absolute() if out else None
    if directory is not None:
        check_directory_unused(directory)
    shards = tuple(RunDirectory.load(find_run_directory(name, runs, command)) for name in names)
    _check_named_once(names, shards)
    check_shards({name: stored.run for name, stored in zip(names, shards, strict=True)})
    for name, stored in zip(names, shards, strict=True):
        if is_run_held(stored.directory):
            raise RequestError(f"{name} is being built", "wait until it ends, or stop it")
    first = shards[0].run
    profile = parse_recorded_profile(first.profile, f"the profile of {names[0]}")
    requests = plan_requests(profile)
    if compute_plan_digest(requests) != first.plan_sha256:
        raise RequestError(
            f"the profile of {names[0]} makes another plan now",
            "the kmatrix that made the shards merges them",
        )
    options = parse_baseline_options(baseline, known, runs, profile, command)
    return MergeRequest(shards, profile, requests, directory, options)


def _check_named_once(names: Sequence[str], shards: Sequence[RunDirectory]) -> None:
    seen: dict[Path, str] = {}
    for name, stored in zip(names, shards, strict=True):
        if stored.directory in seen:
            raise RequestError(
                f"{seen[stored.directory]} and {name} are the same run", "name one run of each shard"
            )
        seen[stored.directory] = name


def merge_shards(request: MergeRequest, argv: Sequence[str] = (), runs: Path = RUNS_DIRECTORY) -> StoredRun:
    """Write the run that the shards make together. All in it comes from them: nothing is built or looked up.

    RequestError where a file of a shard is not what it was. ForeignFileError where one cannot be read.
    """
    started = min(stored.run.started for stored in request.shards)
    name = generate_run_id(request.profile.name, started)
    directory = request.out or create_run_directory(runs, name)
    claim_run_directory(directory)
    held, first = request.baseline, request.shards[0].run
    facts = {
        "id": directory.name if request.out is None else name,
        "command": format_command(*argv),
        "baseline": str(held.baseline.directory) if held and held.baseline else "",
        "known": str(held.known_file or "") if held else "",
        "profile": {**first.profile, "out": str(request.out) if request.out else None},
    }
    cells = [create_blank_cell(each) for each in request.requests]
    merged = merge_records([stored.run for stored in request.shards], cells, facts)
    with ExitStack() as on_error:
        on_error.callback(remove_tree, directory)
        for stored in request.shards:
            _copy_files(stored, directory)
        # Last: where it is, the files are.
        with Journal(directory, merged) as journal:
            stored_run = StoredRun(journal.snapshot_run(), directory)
        on_error.pop_all()
    if request.out is None:
        link_latest_run(directory)
    return stored_run


def _copy_files(stored: RunDirectory, directory: Path) -> None:
    """Copy what the cells of a shard name, and what lies in their own directories."""
    files = ForeignDirectory(stored.directory)
    for name in _list_named_files(stored):
        content = files.read_bytes(name, RECORD_LIMIT)
        if content is None and name.startswith(f"{_SOURCES}/"):
            continue  # a run keeps some of these lists only
        if content is None or hashlib.sha256(content).hexdigest() != Path(name).name:
            raise _build_loss(
                stored, name, "is not there" if content is None else "is not what its name says"
            )
        _write_copy(directory / name, content)
    for name in dict.fromkeys(cell.log for cell in stored.run.cells if cell.log):
        if not files.read_bytes(name, RECORD_LIMIT):
            raise _build_loss(stored, name, "is not there, or empty")
    for name in _list_cell_files(stored):
        _write_copy(directory / name, files.read_bytes(name, RECORD_LIMIT) or b"")


def _build_loss(stored: RunDirectory, name: str, loss: str) -> RequestError:
    """What its cells rest on is lost: after a power cut, or on the way from another machine."""
    return RequestError(
        f"{stored.directory / name} is damaged: it {loss}",
        f"{format_command('./inv', 'run', '--resume', stored.name)} builds its cells again, where the shard "
        "was built",
    )


def _list_named_files(stored: RunDirectory) -> Iterator[str]:
    """The files that are named by their digests."""
    bases = (("configs", base.config_sha256) for base in stored.run.bases.values())
    named = [
        *bases,
        *(
            pair
            for cell in stored.run.cells
            for pair in zip(
                _FOLDERS, (cell.config_sha256, cell.objects_sha256, cell.sources_sha256), strict=True
            )
        ),
    ]
    yield from dict.fromkeys(f"{folder}/{digest}" for folder, digest in named if digest)


def _list_cell_files(stored: RunDirectory) -> Iterator[str]:
    """The regular files in the directories of its own cells."""
    try:
        for entry in walk_tree(stored.directory / _CELLS):
            if entry.is_file and entry.folder in stored.cells_by_id:
                yield f"{_CELLS}/{entry.path}"
    except FileNotFoundError:
        return  # of a shard without a cell to build


def _write_copy(path: Path, content: bytes) -> None:
    with translate_disk_full(path):
        if not path.exists():
            create_private_directory(path.parent)
            replace_file(path, content)
