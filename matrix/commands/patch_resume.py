"""Go on with a verdict where it stopped: in either run, between them, or while it was written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.catalog.load import parse_recorded_profile
from matrix.catalog.types import Profile
from matrix.commands.hidden_objects import LOG_NAME, name_look_owner
from matrix.commands.kept_verdicts import find_verdict_directory, hold_verdict, is_verdict_whole
from matrix.commands.patch import PatchEvaluation, PatchResult, find_verdict
from matrix.commands.patch_request import (
    PATCHES_DIRECTORY,
    PatchRequest,
    VerdictRequest,
    require_request,
)
from matrix.commands.resume import (
    ORIGIN_KEYS,
    build_refusal,
    check_own_files,
    check_same_request,
    check_tool,
    list_source_changes,
    remove_containers,
    resolve_asked,
    take_free_keys,
)
from matrix.commands.session import (
    LOCAL_ENVIRONMENT,
    Environment,
    choose_safe_user,
    fetch_source,
    use_cache,
)
from matrix.commands.settings import GivenSettings
from matrix.engine.protocol import Engine
from matrix.findings.stored_run import StoredRun
from matrix.foreign_trees import remove_tree, walk_tree
from matrix.fs import list_temporary_files
from matrix.record.events import EventSink, ProgressNote
from matrix.record.profile_keys import FREE_KEYS, describe_difference
from matrix.record.run_directory import RunDirectory, holds_run, list_half_made_files
from matrix.verdict.verdict_model import Verdict

_TASK = "patch"


@dataclass(frozen=True)
class VerdictResumption:
    """A verdict that is to go on. ``profile`` is what is built on its base, with what may differ as it was
    said now.

    ``names_origin``: source, patches of the base or profile were named again, so that they have to be what
    they were.
    """

    directory: Path
    request: VerdictRequest
    profile: Profile
    names_origin: bool


def find_verdict_resumption(
    spec: str, given: GivenSettings, asked: PatchRequest, runs: Path
) -> VerdictResumption:
    """The verdict that ``--resume`` names, and how it is to go on.

    ``asked`` is what was said beside that: nothing, as a rule. What ends a mail, and what does not fail it,
    may be said anew. RequestError where there is no such verdict, or where it cannot go on as it is asked to.
    """
    directory, given = find_verdict_directory(spec, runs), given.leave_variables_out(but=FREE_KEYS)
    request, name = require_request(directory), directory.name
    check_tool(request.tool, name, _TASK)
    recorded = parse_recorded_profile(request.profile, f"the profile of {name}")
    profile = resolve_asked(request.profile, name, given)
    check_same_request(recorded, profile, name, _TASK)
    differing = list(_list_differences(request, asked))
    if differing:
        raise build_refusal(name, "; ".join(differing), _TASK)
    names_origin = given.profile is not None or bool(given.keys & ORIGIN_KEYS) or bool(asked.base_patches)
    wishes = {
        "allow_lost": request.allow_lost or asked.allow_lost,
        "tester": asked.tester or request.tester,
    }
    request = request.model_copy(update=wishes)
    return VerdictResumption(
        directory, request, take_free_keys(request.build_profile(), profile), names_origin
    )


def _list_differences(request: VerdictRequest, asked: PatchRequest) -> Iterator[str]:
    """What was said once more, and is not what the verdict was asked for."""
    if asked.base_patches and asked.base_patches != request.before:
        yield describe_difference("before", request.before, asked.base_patches)
    if asked.fixes and asked.fixes != request.fixes:
        yield describe_difference("fixes", request.fixes, asked.fixes)
    if asked.each_patch and not request.each_patch:
        yield describe_difference("each", was=False, now=True)
    was = {patch.name: patch.sha256 for patch in request.patches}
    now = {patch.name: patch.sha256 for patch in asked.series.patches}
    if now and list(was) != list(now):
        yield describe_difference("the series", list(was), list(now))
    elif now:
        yield from (f"the patch {name} has changed" for name in was if was[name] != now[name])


def resume_verdict(
    resumption: VerdictResumption, emit: EventSink, environment: Environment = LOCAL_ENVIRONMENT
) -> PatchResult:
    """Build what a verdict lacks of its runs, and write it.

    RequestError where another process is at work on it, or where what it was made of is not there any more as
    it was. InterruptedRunError when the user stopped it once more.
    """
    directory, request = resumption.directory, resumption.request
    check_own_files(directory)
    with hold_verdict(directory):
        evaluation = PatchEvaluation(request, resumption.profile, directory, emit, environment)
        _remove_half_made(directory, request)
        if is_verdict_whole(directory, request):
            emit(ProgressNote(f"Every cell of {directory.name} has its result: nothing is left to build."))
            return evaluation.conclude(*_load_verdict(directory))
        _check_origin(resumption, emit, environment)
        _remove_looks(directory, request, environment.find_engine())
        return evaluation.build_and_compare()


def _load_verdict(directory: Path) -> tuple[Verdict, Sequence[StoredRun]]:
    found = find_verdict(str(directory), directory.parent)
    assert found is not None
    return found


def _check_origin(resumption: VerdictResumption, emit: EventSink, environment: Environment) -> None:
    """RequestError where source and patches of the base, which are fetched once more, are not what they were.

    They are where they were named again, and where no run on the base was begun.
    """
    directory, profile = resumption.directory, resumption.profile
    if not resumption.names_origin and holds_run(directory / resumption.request.run_names[0]):
        return
    engine, cache = environment.find_engine(), environment.open_cache()
    with use_cache(cache):
        user = choose_safe_user(engine, engine.query_info(), emit, profile.images)
        tree = fetch_source(profile, engine, cache, user, emit)
    changes = list(list_source_changes(tree, resumption.request.source))
    if changes:
        raise build_refusal(directory.name, "; ".join(changes), _TASK)


def _remove_half_made(directory: Path, request: VerdictRequest) -> None:
    """Remove what a process that was killed left half-written in a verdict's directory."""
    half_made = [*list_temporary_files(directory), *list_temporary_files(directory / PATCHES_DIRECTORY)]
    for name in request.run_names:
        # One without a record was begun, and killed before it was a run.
        run = directory / name
        half_made += list_half_made_files(run) if holds_run(run) else [run]
    for path in half_made:
        remove_tree(path)


def _remove_looks(directory: Path, request: VerdictRequest, engine: Engine) -> None:
    """Remove the logs of builds that looked through others, as they are made again, and the containers that
    a process that was killed left at work on them."""
    begun = [path for name in request.run_names if holds_run(path := directory / name)]
    logs = [path / entry.path for path in begun for entry in walk_tree(path) if entry.name == LOG_NAME]
    for log in logs:
        remove_tree(log)
    remove_containers(engine, {name_look_owner(RunDirectory.load(path)) for path in begun})
