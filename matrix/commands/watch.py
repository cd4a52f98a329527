"""Look at a branch again and again: its newest commit is built once, and held against the last good run.

What was built is told by the runs themselves: there is no other state that could disagree with them.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from matrix.catalog.load import load_catalog
from matrix.commands.compare import BaselineOptions, parse_baseline_options
from matrix.commands.host_command import run_host_command
from matrix.commands.kept_runs import find_runs_of, is_run_held
from matrix.commands.restore import check_restorable, list_base_changes
from matrix.commands.resume import check_tool, list_patch_changes, reopen_run, resume_run
from matrix.commands.run import run_matrix
from matrix.commands.session import LOCAL_ENVIRONMENT, Environment, choose_safe_user
from matrix.commands.watch_news import find_good_run, is_told
from matrix.commands.watch_request import WatchRequest
from matrix.engine.images import ensure_base_image
from matrix.error_report import run_telling_errors
from matrix.errors import MachineError, RequestError
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.record.events import EventSink, ProgressNote
from matrix.record.run_directory import RunDirectory, holds_run
from matrix.record.run_model import Run
from matrix.record.states import State
from matrix.shell_words import format_command
from matrix.source.git import GitCommit, resolve_commit
from matrix.source.mbox.series import read_series
from matrix.source.sandbox import Sandbox

_FETCH_SECONDS = 1800.0
_MAX_RESUMED = 3
"""How often a run goes on that faults of the machine left incomplete, before it is taken as it is."""


@dataclass(frozen=True)
class Look:
    """What a look at the branch came to: the run of its newest commit, and what that is held against.

    ``is_new``: this look built it, or some of it. Without a run there was nothing to do.
    """

    stored: StoredRun | None = None
    baseline: BaselineOptions | None = None
    is_new: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether the run is over: nothing goes on with it."""
        return self.stored is not None and not _is_to_go_on(self.stored.run)


NOTHING_TO_DO = Look()


def look_at_branch(
    request: WatchRequest,
    command: Sequence[str],
    emit: EventSink,
    environment: Environment = LOCAL_ENVIRONMENT,
) -> Look:
    """Build the newest commit of the branch, unless it was built; go on with its run where that was stopped.

    KmatrixError where it could not be looked at, or not be built.
    """
    if request.remote:
        fetch_remote(request)
    commit = _resolve_newest_commit(request, emit, environment)
    found_runs = [*find_runs_of(request.record, environment.runs, commit.id)]
    shown = f"{request.source.revision} is at {commit.describe}"
    if any(is_run_held(found.directory) for found in found_runs):
        emit(ProgressNote(f"{shown}, which is being built already."))
        return NOTHING_TO_DO
    runs, reason = _select_current_runs(request, found_runs)
    if runs and _is_to_go_on(runs[0].run):
        baseline = _choose_baseline(request, runs[0].run, command, environment)
        resumed = _resume_or_give_up(runs[0], request, baseline, emit, environment)
        if resumed is not None:
            return Look(resumed, baseline, is_new=True)
        reason = "which is built again"
    elif runs:
        emit(ProgressNote(f"{shown}, which was built: {runs[0].name}"))
        return _find_untold_run(runs[0], request, command, environment)
    emit(ProgressNote(f"{shown}, {reason}."))
    baseline = _choose_baseline(request, None, command, environment)
    stored = run_matrix(request.profile, emit, command, environment, baseline=baseline)
    return Look(stored, baseline, is_new=True)


def fetch_remote(request: WatchRequest) -> None:
    """Let git fetch on this machine, as its user does: with the repository's own settings, so that it must be
    the user's own, and without asking. MachineError where it fails."""
    command = ["git", "-C", str(request.source.path), "fetch", "--quiet", "--end-of-options", request.remote]
    asks_nothing = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    ended = run_host_command(command, _FETCH_SECONDS, environment=asks_nothing)
    if ended.exit:
        raise MachineError(
            f"{request.source.path} could not be brought up to date: {ended.describe()}",
            f"see {format_command('git', '-C', str(request.source.path), 'fetch', request.remote)}",
        )


def _resolve_newest_commit(request: WatchRequest, emit: EventSink, environment: Environment) -> GitCommit:
    engine, cache = environment.find_engine(), environment.open_cache()
    registry = request.profile.images
    user = choose_safe_user(engine, engine.query_info(), emit, registry)
    image = ensure_base_image(engine, emit, registry=registry)
    sandbox = Sandbox(engine, image, user, cache=cache.layout.root)
    return resolve_commit(request.source.path, request.source.revision, sandbox)


def _is_to_go_on(run: Run) -> bool:
    """Whether a run was killed or interrupted, or has cells that a fault of the machine ended, which may work
    now. What its own deadline or its first failure left out stays out."""
    if run.finished is None or run.interrupted:
        return True
    return len(run.pauses) < _MAX_RESUMED and any(cell.state is State.INFRA for cell in run.cells)


def _select_current_runs(
    request: WatchRequest, found: Sequence[RunDirectory]
) -> tuple[list[RunDirectory], str]:
    """Those runs of a commit whose patches and bases have the same contents now; why it is built if none is
    gone on with."""
    edits = [(run, _list_edited_files(request, run.run)) for run in found]
    reason = "which is new"
    if edits and edits[0][1]:
        newest, edited = edits[0]
        reason = f"which is built again: since {newest.name}, {' and '.join(edited)} changed"
    return [run for run, edited in edits if not edited], reason


def _list_edited_files(request: WatchRequest, run: Run) -> list[str]:
    """The patches and bases that have the same names as in a run, and other contents. RequestError where one
    cannot be read."""
    profile = request.profile
    series = (read_series(spec).patches for spec in profile.patch)
    patches = {patch.name: patch.sha256 for patch in chain.from_iterable(series)}
    bases = list_base_changes(load_catalog().with_profile(profile), profile.arch, run)
    return [*list_patch_changes(patches, run.source), *bases]


def _resume_or_give_up(
    stopped: RunDirectory,
    request: WatchRequest,
    baseline: BaselineOptions | None,
    emit: EventSink,
    environment: Environment,
) -> StoredRun | None:
    """The run, gone on with; None where it cannot be, as kmatrix or an image has changed: then a new run
    takes what is remembered of it."""
    try:
        check_restorable(stopped.run, "there is nothing to go on with", stopped.name)
        check_tool(stopped.run.tool, stopped.run.id)
        resumption = reopen_run(stopped.directory, request.profile)
        emit(ProgressNote(f"{stopped.name} was stopped, and goes on."))
        return resume_run(resumption, emit, environment, baseline=baseline)
    except RequestError as error:
        emit(ProgressNote(f"{error}; its commit is built again."))
        return None


def _find_untold_run(
    found: RunDirectory, request: WatchRequest, command: Sequence[str], environment: Environment
) -> Look:
    """The run whose mail was not handed on: its watch was killed, or the mail did not get through."""
    if is_told(request, found.directory):
        return NOTHING_TO_DO
    return Look(StoredRun.load(found.directory), _choose_baseline(request, found.run, command, environment))


def _choose_baseline(
    request: WatchRequest, run: Run | None, command: Sequence[str], environment: Environment
) -> BaselineOptions | None:
    """What a run is held against: what it was begun with, else the last good run before it."""
    directory = Path(run.baseline) if run is not None and run.baseline else None
    if directory is None or not holds_run(directory) or not is_told(request, directory):
        good = find_good_run(request, environment.runs, run)
        directory = good.directory if good else None
    return parse_baseline_options(
        str(directory or ""), request.known, environment.runs, request.profile, command
    )


def repeat_looks(
    seconds: int,
    look: Callable[[], int],
    tell: Callable[[str], None],
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Look, wait until ``seconds`` have passed since that look began, and look again; until Ctrl-C.

    A look that fails is told, and does not end this. After one that took longer the next begins at once.
    """
    while True:
        began = time.monotonic()
        code = run_telling_errors(look)
        if code == ExitCode.INTERRUPTED:
            return code
        left = max(0.0, seconds - (time.monotonic() - began))
        tell(f"The next look is at {time.strftime('%H:%M:%S', time.localtime(time.time() + left))}.")
        wait(left)


def iterate_mail_notes(request: WatchRequest) -> Iterator[str]:
    """What is said before the first look: a program that is not found is taken for a file."""
    if request.mail is not None:
        yield f"Mails go to {request.mail}."
