"""The runs that are kept in a folder: which are at work, which were killed, which ask for the same."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from pydantic_core import to_json

from matrix.errors import MachineError, RequestError
from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.fs import try_lock_path
from matrix.record.journal import JOURNAL_FILE, RUN_FILE
from matrix.record.profile_keys import list_differing_keys
from matrix.record.run_directory import RunDirectory
from matrix.record.run_model import Run
from matrix.record.states import State
from matrix.shell_words import format_command

_MAX_LOOKED_AT = 200
"""The newest runs among which one of the same request is looked for."""
_HEAD_BYTES = 256 * 1024
"""What comes before the cells in a record, as a rule. With a hundred thousand cells it has many megabytes."""
_NO_END = re.compile(rb'^ "finished": null,$', re.MULTILINE)


def list_run_directories(runs: Path) -> list[Path]:
    """What is kept in a folder, the newest first: runs, and verdicts, which hold some. Not the link
    ``latest``."""
    try:
        paths = [path for path in runs.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:
        return []
    return sorted(paths, reverse=True)


def list_dead_runs(runs: Path) -> Iterator[RunDirectory]:
    """The runs in a folder whose process was killed, the newest first, also those in a verdict."""
    for directory in list_run_directories(runs):
        for path in (directory, *list_run_directories(directory)):
            stored = _load_dead_run(path)
            if stored is not None:
                yield stored


def is_run_held(directory: Path) -> bool:
    """Whether a process writes the run in this directory now."""
    try:
        # Shared, as others may look at the same time.
        with try_lock_path(directory / JOURNAL_FILE, shared=True, create=False) as is_free:
            return not is_free
    except OSError:
        return False


def is_run_stopped(directory: Path) -> bool:
    """Whether the run in this directory was stopped before its end, and no process writes it now."""
    stored = _load_or_none(directory)
    return (
        stored is not None
        and (stored.run.finished is None or _is_stopped(stored.run))
        and not is_run_held(directory)
    )


def find_unfinished_run(request: Run, runs: Path) -> RunDirectory | None:
    """The newest run in a folder that asked for the same of the same tree, with the same images and kmatrix,
    where it was stopped before all of its cells had a result; None where it was not, or is at work."""
    for directory in islice(list_run_directories(runs), _MAX_LOOKED_AT):
        if f'"plan_sha256": "{request.plan_sha256}"'.encode() in _read_head(directory):
            stored = _load_or_none(directory)
            if stored is not None and _asks_the_same(stored.run, request):
                is_stopped = _is_stopped(stored.run)
                return stored if is_stopped and not is_run_held(directory) else None
    return None


def find_runs_of(profile: Mapping[str, object], runs: Path, commit: str = "") -> Iterator[RunDirectory]:
    """The whole runs in a folder that asked for the same as this recorded profile, the newest first:
    of this commit of its repository, or of any."""
    needed = f'"commit": "{commit}"'.encode() if commit else b'"spec": ' + to_json(profile["source"])
    for directory in list_run_directories(runs):
        # Few are what is looked for, and to read a whole record takes long.
        stored = _load_or_none(directory) if needed in _read_head(directory) else None
        if stored is None or stored.run.shard or list_differing_keys(profile, stored.run.profile):
            continue
        git = stored.run.source.git
        if not commit or (git is not None and git.commit == commit):
            yield stored


def describe_stopped_run(stored: RunDirectory) -> str:
    """How far a run came that was stopped, and what goes on with it."""
    cells = stored.run.cells
    done = sum(cell.is_finished for cell in cells)
    command = format_command("./inv", "run", "--resume", stored.name)
    return f"{stored.name} was stopped, with {done} of {len(cells)} cells finished; to go on: {command}"


def _load_dead_run(directory: Path) -> RunDirectory | None:
    if not _NO_END.search(_read_head(directory)) or is_run_held(directory):
        return None
    return _load_or_none(directory)


def _read_head(directory: Path) -> bytes:
    """The begin of a run's record; nothing where there is none that can be read."""
    try:
        with ForeignDirectory(directory).open_file(RUN_FILE) as file:
            return b"" if file is None else file.read(_HEAD_BYTES)
    except ForeignFileError:
        return b""


def _load_or_none(directory: Path) -> RunDirectory | None:
    try:
        return RunDirectory.load(directory)
    except (RequestError, MachineError):
        return None


def _is_stopped(run: Run) -> bool:
    """Whether a run has cells without a result, and not because it was to end with the first failure."""
    has_ended = run.profile.get("fail-fast") and any(cell.state is State.FAIL for cell in run.cells)
    return not has_ended and not all(cell.is_finished for cell in run.cells)


def _asks_the_same(recorded: Run, request: Run) -> bool:
    images = [{name: chain.image_id for name, chain in run.toolchains.items()} for run in (recorded, request)]
    return (
        recorded.plan_sha256 == request.plan_sha256
        and recorded.shard == request.shard
        and recorded.tool == request.tool
        and recorded.source.digest == request.source.digest
        and recorded.bases == request.bases
        and images[0] == images[1]
        and not set(list_differing_keys(recorded.profile, request.profile)) - {"out"}
    )
