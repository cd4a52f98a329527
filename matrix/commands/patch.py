"""The verdict on a patch: the profile is built on the base, then with the patch, and both are compared.

Everything is kept in one directory: the patches as they were applied, both runs, the verdict.

    request.json             what was asked for, so that it can go on where it was stopped
    patches/0001-….patch     as they were applied
    before/                  the run on the base
    after/                   the run with the patch, and the verdict
    after-1/ after-2/ …      instead, where each patch of a series is asked about; the verdict is in the last
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from matrix.builder.lane_worker import run_lanes
from matrix.builder.run_context import Session
from matrix.catalog.types import Profile
from matrix.commands.cover import take_recorded_rows
from matrix.commands.focus import check_focus, find_focus_additions, name_object
from matrix.commands.hidden_objects import build_hidden_objects
from matrix.commands.kept_verdicts import (
    VERDICT_FILE,
    describe_stopped_verdict,
    find_unfinished_verdict,
    hold_verdict,
    locate_verdict_file,
)
from matrix.commands.patch_request import (
    PATCHES_DIRECTORY,
    PatchRequest,
    VerdictRequest,
    convert_mail,
    describe_patches,
    name_patch_files,
    store_request,
)
from matrix.commands.resume import reopen_run, restore_unchanged, resume_run
from matrix.commands.run import (
    begin_run,
    check_output_unused,
    claim_output_folder,
    create_output_directory,
    limit_caches,
    run_matrix,
)
from matrix.commands.session import (
    LOCAL_ENVIRONMENT,
    Environment,
    build_source_record,
    build_tool_record,
    patch_source,
    prepare_session,
    use_cache,
)
from matrix.errors import InterruptedRunError, RejectedPatchError, RequestError
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.foreign_trees import remove_tree
from matrix.fs import remove_durably, write_atomically
from matrix.plan import plan_requests
from matrix.record.demoted_build import DemotedBuild, HiddenObject
from matrix.record.events import EventSink, ProgressNote
from matrix.record.run_directory import REQUEST_FILE, holds_run
from matrix.record.run_model import Run
from matrix.record.states import UNTRIED_STATES
from matrix.shell_words import format_command
from matrix.source.kernel_tree import SourceTree
from matrix.source.mbox.patch_file import PatchFile
from matrix.source.mbox.series import PatchSeries
from matrix.user_files import expand_user_path, stat_user_path
from matrix.verdict.comparison import compare_runs, extract_patch_step
from matrix.verdict.gates import compute_verdict_exit_code, explain_withheld_tested_by
from matrix.verdict.seen_through import HiddenBuilds
from matrix.verdict.verdict_model import FindingStatus, Mailbox, PatchStep, Verdict


@dataclass(frozen=True)
class PatchResult:
    """A verdict and the runs that it rests on: before, and after each step.

    ``tester`` is whom a Tested-by names where one is earned; ``untested_reason`` why it is not earned.
    ``allow_lost``: whether lost cells do not fail it.
    """

    verdict: Verdict
    runs: tuple[StoredRun, ...]
    exit_code: ExitCode
    tester: Mailbox | None = None
    untested_reason: str = ""
    allow_lost: bool = False


def evaluate_patch(
    profile: Profile,
    request: PatchRequest,
    emit: EventSink,
    argv: Sequence[str] = (),
    environment: Environment = LOCAL_ENVIRONMENT,
) -> PatchResult:
    """Build before and after, and compare.

    RequestError for what is wrong with the request, RejectedPatchError when not even the first patch applies.
    InterruptedRunError when the user stopped it: what was built is kept.
    """
    check_output_unused(profile)
    title = f"{profile.name}-patch"
    directory = create_output_directory(profile, title, environment.runs, datetime.now(UTC))
    folder = claim_output_folder(directory, PATCHES_DIRECTORY)
    with hold_verdict(directory):
        try:
            kept = _try_patches(profile, request, argv, folder, emit, environment)
        except BaseException:
            # Nothing was built yet, so nothing of a request that is refused is kept.
            remove_tree(folder)
            with suppress(OSError):
                directory.rmdir()
            raise
        stopped = find_unfinished_verdict(kept, environment.runs)
        if stopped is not None:
            emit(ProgressNote(f"The same request: {describe_stopped_verdict(stopped)}"))
        store_request(kept, directory)
        return PatchEvaluation(kept, kept.build_profile(), directory, emit, environment).build_and_compare()


def _try_patches(
    profile: Profile,
    request: PatchRequest,
    argv: Sequence[str],
    folder: Path,
    emit: EventSink,
    environment: Environment,
) -> VerdictRequest:
    """Apply the patches to a copy of the source, before anything is built. They are kept in the folder."""
    series = request.series
    names = name_patch_files(series.patches)
    for name, patch in zip(names, series.patches, strict=True):
        write_atomically(folder / name, patch.content)
    base = profile.model_copy(update={"patch": (*profile.patch, *request.base_patches)})
    with prepare_session(base, emit, environment, needs_focus=False) as session:
        patched, rejection = _apply_as_many(session, [folder / name for name in names], emit)
        more = _follow_patches(session, patched, series)
        if more:
            emit(ProgressNote(f"The focus follows the patch: {', '.join(more)}."))
        return VerdictRequest(
            tool=build_tool_record(),
            command=tuple(argv),
            profile=profile.model_dump(mode="json", by_alias=True),
            before=request.base_patches,
            more_focus=more,
            source=build_source_record(session.tree),
            images={name: record.image_id for name, record in session.toolchains.items()},
            files=names,
            patches=describe_patches(series, len(patched.patches) - len(session.tree.patches), rejection),
            cover=convert_mail(series.cover),
            base_commit=series.base_commit,
            notes=series.notes,
            fixes=request.fixes,
            each_patch=request.each_patch,
            allow_lost=request.allow_lost,
            tester=request.tester,
        )


def _follow_patches(session: Session, patched: SourceTree, series: PatchSeries) -> tuple[str, ...]:
    """What the patches add to the focus. RequestError for a focus that neither side has."""
    trees = (session.tree.path, patched.path)
    check_focus(session.profile, session.catalog, *trees)
    touched = {path for patch in series.patches for path in patch.paths}
    return tuple(find_focus_additions(session.profile, session.catalog, trees, touched))


def _apply_as_many(session: Session, files: Sequence[Path], emit: EventSink) -> tuple[SourceTree, str | None]:
    """The tree with the patches up to the first that does not apply, and why that does not.

    RejectedPatchError when it is the first of all.
    """
    try:
        return patch_source(session, files, emit), None
    except RejectedPatchError as error:
        count = error.patch_index
        if count < 1:
            raise
        emit(ProgressNote(f"{error} Built until there: {count} of {len(files)} patches."))
        return patch_source(session, files[:count], emit), str(error)


def _add_patches(profile: Profile, files: Sequence[Path]) -> Profile:
    return profile.model_copy(update={"patch": (*profile.patch, *map(str, files))})


@dataclass(frozen=True)
class PatchEvaluation:
    """The builds and comparisons that one patch or series needs. What is in its directory already goes on.

    ``profile`` is what is built on the base; its verdict is held by the caller.
    """

    request: VerdictRequest
    profile: Profile
    directory: Path
    emit: EventSink
    environment: Environment

    def build_and_compare(self) -> PatchResult:
        """Build what has no result yet, and write the verdict. InterruptedRunError when the user stopped
        it."""
        # What the run before left is what the others are made of.
        with use_cache(self.environment.open_cache()):
            runs = self._build_runs()
            verdict = self._build_verdict(runs)
            write_atomically(self._verdict_file, verdict.model_dump_json(by_alias=True, indent=1) + "\n")
        limit_caches(self.profile, self.emit, self.environment)
        return self.conclude(verdict, runs)

    def conclude(self, verdict: Verdict, runs: Sequence[StoredRun]) -> PatchResult:
        """The verdict with its exit code, and with its tester where a tag is earned."""
        code, tester = self._compute_exit_code(verdict), self.request.tester
        why = (
            explain_withheld_tested_by(
                verdict, runs[0], runs[-1], self._find_touched_objects(verdict, runs[0])
            )
            if tester
            else ""
        )
        if why and code is ExitCode.PASSED:
            code = ExitCode.WRONG_REQUEST
        return PatchResult(verdict, tuple(runs), code, None if why else tester, why, self.request.allow_lost)

    def _compute_exit_code(self, verdict: Verdict) -> ExitCode:
        return compute_verdict_exit_code(
            verdict,
            allow_lost=self.request.allow_lost,
            werror=self.profile.werror,
            # Not all that was asked about could be tried, as not all of it applies.
            incomplete=self.request.applied_count < len(self.request.patches),
        )

    def _build_runs(self) -> Sequence[StoredRun]:
        first, *others = self.request.run_names
        before = self._build_run(first, self._build_base)
        self._require_findings(before)
        files = self.request.list_files(self.directory)
        parts = [files[: number + 1] for number in range(len(others))] if len(others) > 1 else [files]
        return [
            before,
            *(
                self._build_run(name, partial(self._build_patched, before.run, part))
                for name, part in zip(others, parts, strict=True)
            ),
        ]

    def _build_run(self, name: str, build: Callable[[Path], StoredRun]) -> StoredRun:
        """The run of this name: what was begun goes on, and what was not is built."""
        self.emit(ProgressNote(f"Building {name.replace('-', ' patch ')}."))
        directory = self.directory / name
        if holds_run(directory):
            resumption = reopen_run(directory, self.profile, self._verdict_file)
            stored = resume_run(resumption, self.emit, self.environment)
        else:
            remove_durably(self._verdict_file)
            stored = build(directory)
        if stored.run.interrupted:
            raise self._create_interruption()
        stored.write_findings()
        return stored

    @property
    def _verdict_file(self) -> Path:
        return locate_verdict_file(self.directory, self.request)

    def _build_base(self, directory: Path) -> StoredRun:
        profile = self.profile.model_copy(update={"out": str(directory)})
        command = self.request.command
        return run_matrix(profile, self.emit, command, self.environment, needs_focus=False)

    def _build_patched(self, before: Run, files: Sequence[Path], directory: Path) -> StoredRun:
        """A run with these patches, on the very tree that the one before was built from: its origin may have
        been edited meanwhile."""
        # What it is held against has the plan: Kconfig may allow other rows with the patch.
        planned = take_recorded_rows(self.profile, before)
        profile = _add_patches(planned, files).model_copy(update={"out": str(directory)})
        requests, now = plan_requests(profile), datetime.now(UTC)
        with restore_unchanged(before, self.emit, self.environment) as base:
            session = replace(base, profile=profile, tree=patch_source(base, files, self.emit))
            command, environment = self.request.command, self.environment
            with begin_run(session, requests, now, self.emit, command, environment) as context:
                run_lanes(context)
            return StoredRun(context.journal.snapshot_run(), directory)

    def _require_findings(self, before: StoredRun) -> None:
        """RequestError for a finding that the base does not have, before anything is built with the patch.

        Where nothing of the base could be tried, it is not known what it has.
        """
        if any(cell.state not in UNTRIED_STATES for cell in before.run.cells):
            try:
                for name in self.request.fixes:
                    before.find_finding(name)
            except RequestError:
                # What is refused cannot go on.
                (self.directory / REQUEST_FILE).unlink(missing_ok=True)
                raise

    def _build_verdict(self, sides: Sequence[StoredRun]) -> Verdict:
        request, before = self.request, sides[0].run
        builds = HiddenBuilds()
        verdict = self._compare_sides(sides, builds)
        # What is behind the errors of the one side may ask for a look at the other.
        while builds.wanted:
            builds.add(self._build_hidden(sides, builds.wanted))
            verdict = self._compare_sides(sides, builds)
        details = {
            "patches": request.patches,
            "cover": request.cover,
            "base_commit": request.base_commit,
            "base_differs": format_base_mismatch(request.base_commit, before),
            "notes": request.notes,
        }
        return verdict.model_copy(update=details)

    def _compare_sides(self, sides: Sequence[StoredRun], builds: HiddenBuilds) -> Verdict:
        touched = {path for patch in self._applied_patches for path in patch.paths}
        return compare_runs(
            sides[0],
            sides[-1],
            fixes=self.request.fixes,
            touched=touched,
            steps=self._build_steps(sides, touched, builds),
            builds=builds,
        )

    def _build_hidden(
        self, sides: Sequence[StoredRun], wanted: Collection[HiddenObject]
    ) -> Mapping[HiddenObject, DemotedBuild]:
        try:
            return build_hidden_objects(sides, wanted, self.emit, self.environment)
        except KeyboardInterrupt as interrupt:
            raise self._create_interruption() from interrupt

    def _create_interruption(self) -> InterruptedRunError:
        name = self.directory.name if self.directory.parent == self.environment.runs else str(self.directory)
        return InterruptedRunError(
            f"interrupted; what was built is kept in {self.directory}",
            f"to go on: {format_command('./inv', 'patch', '--resume', name)}",
        )

    @cached_property
    def _applied_patches(self) -> Sequence[PatchFile]:
        return self.request.load_patches(self.directory)

    def _build_steps(
        self, sides: Sequence[StoredRun], touched: set[str], builds: HiddenBuilds
    ) -> Sequence[PatchStep] | None:
        if len(sides) < 3:
            return None
        return [
            extract_patch_step(
                patch.name,
                patch.subject,
                compare_runs(sides[number], sides[number + 1], touched=touched, builds=builds),
            )
            for number, patch in enumerate(self.request.patches[: self.request.applied_count])
        ]

    def _find_touched_objects(self, verdict: Verdict, before: StoredRun) -> set[str]:
        """Objects of changed sources; and those in which a finding went away, since nothing but the patch
        differs between the two runs."""
        changed = (PurePosixPath(path) for patch in self._applied_patches for path in patch.paths)
        own = {target for path in changed if (target := name_object(path))}
        fixed = [row.before.ids for row in verdict.findings if row.fate is FindingStatus.FIXED and row.before]
        return own | {
            object_ for ids in fixed for name in ids for object_ in before.findings_by_id[name].objects
        }


def find_verdict(spec: str, runs: Path) -> tuple[Verdict, tuple[StoredRun, ...]] | None:
    """A kept verdict and its runs, by the directory of all that, or its name under ``runs``.

    None where there is none. RequestError for one that cannot be read.
    """
    for directory in (expand_user_path(spec), runs / spec):
        if not stat_user_path(directory, f"the run {spec}"):
            continue
        steps = {
            int(number): path
            for path in directory.glob("after-*")
            if (number := path.name[6:]).isascii() and number.isdigit()
        }
        afters = [steps[number] for number in sorted(steps)] or [directory / "after"]
        if (afters[-1] / VERDICT_FILE).is_file():
            verdict = _read_verdict(afters[-1] / VERDICT_FILE)
            return verdict, tuple(map(StoredRun.load, (directory / "before", *afters)))
    return None


def _read_verdict(file: Path) -> Verdict:
    try:
        content = ForeignDirectory(file.parent).read_bytes(file.name)
        return Verdict.model_validate_json(content or b"")
    except (ForeignFileError, ValidationError) as error:
        raise RequestError(f"{file} is damaged: {error}", "./inv patch makes another") from error


def format_base_mismatch(commit: str | None, before: Run) -> str | None:
    """A sentence on the base that a patch names, where it is not what was built on; None where it is."""
    if commit is None:
        return None
    git, made_for = before.source.git, f"the patch is made for commit {commit[:12]}"
    if git is None:
        return f"{made_for}; it was tried on Linux {before.source.version} ({before.source.spec})"
    if git.commit.startswith(commit) and not git.dirty:
        return None
    dirty = ", with uncommitted changes" if git.dirty else ""
    return f"{made_for}; it was tried on {git.commit[:12]} ({git.describe}{dirty})"
