"""The verdicts that are kept in a folder of runs: which are at work, which were stopped, which ask for the
same."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from matrix.commands.kept_runs import (
    describe_stopped_run,
    is_run_stopped,
    list_dead_runs,
    list_run_directories,
)
from matrix.commands.patch_request import (
    PATCHES_DIRECTORY,
    VerdictRequest,
    load_request,
)
from matrix.errors import MachineError, RequestError
from matrix.foreign_files import ForeignDirectory
from matrix.fs import try_lock_path
from matrix.record.journal import RUN_FILE
from matrix.record.profile_keys import list_differing_keys
from matrix.record.run_directory import REQUEST_FILE, load_run
from matrix.record.run_model import Run
from matrix.shell_words import format_command
from matrix.user_files import expand_user_path, stat_user_path

VERDICT_FILE = "verdict.json"


@contextmanager
def hold_verdict(directory: Path) -> Iterator[None]:
    """While the ``with`` block runs nobody else works on the verdict in this directory, which has the folder
    of its patches. RequestError where somebody does, or where that folder is gone."""
    with ExitStack() as stack:
        try:
            is_free = stack.enter_context(try_lock_path(_locate_lock(directory)))
        except OSError as error:
            raise RequestError(
                f"the verdict in {directory} cannot be held: {error.strerror}", "./inv patch makes another"
            ) from error
        if not is_free:
            raise RequestError(
                f"another kmatrix is at work on the verdict in {directory}", "wait until it ends, or stop it"
            )
        yield


def is_verdict_held(directory: Path) -> bool:
    """Whether a process works on the verdict in this directory now."""
    try:
        # Shared, as others may look at the same time.
        with try_lock_path(_locate_lock(directory), shared=True, create=False) as is_free:
            return not is_free
    except OSError:
        return False


def _locate_lock(directory: Path) -> Path:
    # A file, as NFS locks no directory; and there before it is known that the request can be built.
    return directory / PATCHES_DIRECTORY / ".lock"


def find_verdict_directory(spec: str, runs: Path) -> Path:
    """The directory of a verdict that may go on: a path, its name under ``runs``, or ``latest``.

    RequestError where there is none.
    """
    if spec == "latest":
        newest = next(_list_verdicts(runs), None)
        if newest is None:
            raise RequestError(f"there is no verdict in {runs}", "./inv patch makes one")
        return newest
    candidates = (expand_user_path(spec).absolute(), runs / spec)
    for directory in candidates:
        if stat_user_path(directory / REQUEST_FILE, f"the verdict {spec}"):
            return directory
    if any(stat_user_path(directory / RUN_FILE, f"the verdict {spec}") for directory in candidates):
        hint = f"{format_command('./inv', 'run', '--resume', spec)} goes on with it"
        raise RequestError(f"{spec} is a run, not a verdict", hint)
    raise RequestError(
        f"there is no verdict {spec!r} that can go on: it was not begun, or an older kmatrix began it",
        "./inv patch makes another",
    )


def _list_verdicts(runs: Path) -> Iterator[Path]:
    """The directories of the verdicts in a folder, the newest first."""
    return (path for path in list_run_directories(runs) if ForeignDirectory(path).stat_file(REQUEST_FILE))


def find_unfinished_verdict(request: VerdictRequest, runs: Path) -> Path | None:
    """The newest verdict in a folder that was asked for the same, where it was stopped; None where it was
    not, or is at work."""
    for directory in _list_verdicts(runs):
        kept = _load_or_none(directory)
        if kept is not None and _asks_the_same(kept, request):
            is_stopped = not is_verdict_whole(directory, kept)
            return directory if is_stopped and not is_verdict_held(directory) else None
    return None


def describe_stopped_work(runs: Path) -> Iterator[str]:
    """The verdicts and runs in a folder that were stopped, with what goes on with each: verdicts that were
    not written, runs whose process was killed."""
    verdicts = [path for path in _list_verdicts(runs) if _is_unwritten(path)]
    yield from map(describe_stopped_verdict, verdicts)
    for stored in list_dead_runs(runs):
        # A side of a verdict goes on with that only.
        if find_verdict_of_side(stored.directory) is None:
            yield describe_stopped_run(stored)


def find_verdict_of_side(directory: Path) -> Path | None:
    """The directory of the verdict that the run in this directory is a side of; None for other runs."""
    kept = _load_or_none(directory.parent)
    return directory.parent if kept is not None and directory.name in kept.run_names else None


def suggest_resumption(directory: Path) -> str | None:
    """The command that goes on with the run or the verdict in this directory, where it was stopped; None
    where it was not, or is at work."""
    verdict = find_verdict_of_side(directory) or directory
    kept = _load_or_none(verdict)
    if kept is None:
        task, is_stopped = "run", is_run_stopped(directory)
    else:
        task, is_stopped = "patch", not is_verdict_whole(verdict, kept) and not is_verdict_held(verdict)
    return format_command("./inv", task, "--resume", str(verdict)) if is_stopped else None


def _is_unwritten(directory: Path) -> bool:
    kept = _load_or_none(directory)
    return kept is not None and not _has_verdict(directory, kept) and not is_verdict_held(directory)


def is_verdict_whole(directory: Path, request: VerdictRequest) -> bool:
    """Whether a verdict was written, and every cell of its runs has its result."""
    return _has_verdict(directory, request) and all(
        run is not None and not run.interrupted and all(cell.is_finished for cell in run.cells)
        for run in _load_runs(directory, request)
    )


def _has_verdict(directory: Path, request: VerdictRequest) -> bool:
    file = locate_verdict_file(directory, request)
    return ForeignDirectory(file.parent).stat_file(file.name) is not None


def locate_verdict_file(directory: Path, request: VerdictRequest) -> Path:
    """Where the verdict in a directory is written, as soon as its runs are built."""
    return directory / request.run_names[-1] / VERDICT_FILE


def _load_runs(directory: Path, request: VerdictRequest) -> Iterator[Run | None]:
    for name in request.run_names:
        try:
            yield load_run(directory / name)
        except (RequestError, MachineError):
            yield None


def describe_stopped_verdict(directory: Path) -> str:
    """How far a verdict came that was stopped, and what goes on with it."""
    request = _load_or_none(directory)
    runs = list(_load_runs(directory, request)) if request else []
    begun = [run for run in runs if run is not None]
    done = sum(cell.is_finished for run in begun for cell in run.cells)
    total = sum(len(run.cells) for run in begun) // max(1, len(begun)) * len(runs)
    how_far = f"{done} of {total} cells finished" if total else "no cell finished"
    command = format_command("./inv", "patch", "--resume", directory.name)
    return f"{directory.name} was stopped, with {how_far}; to go on: {command}"


def _load_or_none(directory: Path) -> VerdictRequest | None:
    try:
        return load_request(directory)
    except RequestError:
        return None


def _asks_the_same(kept: VerdictRequest, request: VerdictRequest) -> bool:
    digests = [[patch.sha256 for patch in one.patches] for one in (kept, request)]
    return (
        (kept.tool, kept.source.digest, kept.images) == (request.tool, request.source.digest, request.images)
        and digests[0] == digests[1]
        and (kept.fixes, kept.each_patch) == (request.fixes, request.each_patch)
        and not set(list_differing_keys(kept.profile, request.profile)) - {"out"}
    )
