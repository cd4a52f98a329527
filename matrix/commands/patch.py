"""The verdict on a patch: the profile is built on the base, then with the patch, and both are compared.

Everything is kept in one directory: the patches as they were applied, both runs, the verdict.

    patches/0001-….patch     as they were applied
    before/                  the run on the base
    after/                   the run with the patch, and the verdict
    after-1/ after-2/ …      instead, where each patch of a series is asked about; the verdict is in the last
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from matrix.builder.run_context import Session
from matrix.catalog.types import Profile
from matrix.commands.focus import check_focus, find_focus_additions, name_object
from matrix.commands.hidden_objects import build_hidden_objects
from matrix.commands.run import (
    check_output_unused,
    claim_output_folder,
    create_output_directory,
    limit_caches,
    run_matrix,
)
from matrix.commands.session import (
    LOCAL_ENVIRONMENT,
    Environment,
    fetch_source,
    prepare_session,
    read_git_identity,
    use_cache,
)
from matrix.errors import InterruptedRunError, RejectedPatchError, RequestError
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.foreign_trees import remove_tree
from matrix.fs import write_atomically
from matrix.record.demoted_build import DemotedBuild, HiddenObject
from matrix.record.events import EventSink, ProgressNote
from matrix.record.run_model import Run
from matrix.record.states import UNTRIED_STATES
from matrix.source.kernel_tree import SourceTree
from matrix.source.mbox.message import Mail, MailAddress, extract_quote, parse_subject
from matrix.source.mbox.patch_file import PatchFile
from matrix.source.mbox.series import PatchSeries
from matrix.user_files import expand_user_path, stat_user_path
from matrix.verdict.comparison import compare_runs, extract_patch_step
from matrix.verdict.gates import compute_verdict_exit_code, explain_withheld_tested_by
from matrix.verdict.seen_through import HiddenBuilds
from matrix.verdict.verdict_model import FindingStatus, Mailbox, PatchMail, PatchStep, Verdict, VerdictPatch

VERDICT_FILE = "verdict.json"
_PATCHES_DIRECTORY = "patches"


@dataclass(frozen=True)
class PatchRequest:
    """A series of patches, and what its verdict is to be about.

    ``base_patches`` belong to the base. ``fixes`` are findings of the base, by id or key, that must be fixed.
    With ``each_patch`` the tree is built after every patch. ``tester`` is whom a Tested-by would name.
    """

    series: PatchSeries
    base_patches: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    each_patch: bool = False
    allow_lost: bool = False
    tester: Mailbox | None = None


def parse_patch_request(series: PatchSeries, before: Sequence[str], more: Mapping[str, Any]) -> PatchRequest:
    """The request in the task's options. RequestError where a Tested-by is wanted and git has no name."""
    return PatchRequest(
        series=series,
        base_patches=tuple(before),
        fixes=tuple(more["fixes"]),
        each_patch=more["each"],
        allow_lost=more["allow_lost"],
        tester=read_git_identity() if more["tested_by"] else None,
    )


@dataclass(frozen=True)
class PatchResult:
    """A verdict and the runs that it rests on: before, and after each step.

    ``tester`` is whom a Tested-by names where one is earned; ``untested_reason`` why it is not earned.
    """

    verdict: Verdict
    runs: tuple[StoredRun, ...]
    exit_code: ExitCode
    tester: Mailbox | None = None
    untested_reason: str = ""


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
    profile = profile.model_copy(update={"patch": (*profile.patch, *request.base_patches)})
    check_output_unused(profile)
    title = f"{profile.name}-patch"
    directory = create_output_directory(profile, title, environment.runs, datetime.now(UTC))
    folder = claim_output_folder(directory, _PATCHES_DIRECTORY)
    try:
        trial = _try_patches(profile, request.series, folder, emit, environment)
    except BaseException:
        # Nothing was built yet, so nothing of a request that is refused is kept.
        remove_tree(folder)
        with suppress(OSError):
            directory.rmdir()
        raise
    return _PatchEvaluation(trial, request, directory, emit, argv, environment).build_and_compare()


@dataclass(frozen=True)
class _TrialApplication:
    """What will be built: the profile, its focus extended by what the patches touch, and the patches that
    apply, as files. ``rejection`` is why the next one does not apply."""

    profile: Profile
    files: tuple[Path, ...]
    rejection: str | None = None


def _try_patches(
    profile: Profile, series: PatchSeries, folder: Path, emit: EventSink, environment: Environment
) -> _TrialApplication:
    """Apply the patches to a copy of the source, before anything is built. They are kept in the folder."""
    files = _write_patch_files(series.patches, folder)
    with prepare_session(profile, emit, environment, needs_focus=False) as session:
        patched, rejection = _apply_as_many(session, files, emit)
        trees = (session.tree.path, patched.path)
        check_focus(profile, session.catalog, *trees)
        touched = {path for patch in series.patches for path in patch.paths}
        more = find_focus_additions(profile, session.catalog, trees, touched)
        if more:
            emit(ProgressNote(f"The focus follows the patch: {', '.join(more)}."))
        focused = profile.model_copy(update={"focus": (*profile.focus, *more)})
        count = len(patched.patches) - len(session.tree.patches)
    return _TrialApplication(focused, files[:count], rejection)


def _apply_as_many(session: Session, files: Sequence[Path], emit: EventSink) -> tuple[SourceTree, str | None]:
    """The tree with the patches up to the first that does not apply, and why that does not.

    RejectedPatchError when it is the first of all.
    """
    try:
        return _fetch_patched(session, files, emit), None
    except RejectedPatchError as error:
        count = error.patch_index - len(session.tree.patches)
        if count < 1:
            raise
        emit(ProgressNote(f"{error} Built until there: {count} of {len(files)} patches."))
        return _fetch_patched(session, files[:count], emit), str(error)


def _fetch_patched(session: Session, files: Sequence[Path], emit: EventSink) -> SourceTree:
    profile = _add_patches(session.profile, files)
    return fetch_source(profile, session.engine, session.cache, session.user, emit)


def _write_patch_files(patches: Sequence[PatchFile], folder: Path) -> tuple[Path, ...]:
    """Write the patches as files, in the order in which they apply: under their own names, with a number
    before each where two names are the same."""
    own = [patch.name for patch in patches]
    names = own if len(set(own)) == len(own) else [f"{n:04}-{name}" for n, name in enumerate(own, 1)]
    files = [folder / name for name in names]
    for file, patch in zip(files, patches, strict=True):
        write_atomically(file, patch.content)
    return tuple(files)


def _add_patches(profile: Profile, files: Sequence[Path]) -> Profile:
    return profile.model_copy(update={"patch": (*profile.patch, *map(str, files))})


@dataclass(frozen=True)
class _PatchEvaluation:
    """The builds and comparisons that one patch or series needs."""

    trial: _TrialApplication
    request: PatchRequest
    directory: Path
    emit: EventSink
    argv: Sequence[str]
    environment: Environment

    def build_and_compare(self) -> PatchResult:
        # What the run before left is what the others are made of.
        with use_cache(self.environment.open_cache()):
            result = self._build_and_compare()
        limit_caches(self.trial.profile, self.emit, self.environment)
        return result

    def _build_and_compare(self) -> PatchResult:
        before = self._build_run(self.trial.profile, "before")
        _require_findings(before, self.request.fixes)
        runs = (before, *self._build_after_runs())
        verdict = self._build_verdict(runs)
        write_atomically(
            runs[-1].directory / VERDICT_FILE, verdict.model_dump_json(by_alias=True, indent=1) + "\n"
        )
        code, tester = self._compute_exit_code(verdict), self.request.tester
        why = (
            explain_withheld_tested_by(verdict, before, runs[-1], self._find_touched_objects(verdict, before))
            if tester
            else ""
        )
        if why and code is ExitCode.PASSED:
            code = ExitCode.WRONG_REQUEST
        return PatchResult(verdict, runs, code, None if why else tester, why)

    def _compute_exit_code(self, verdict: Verdict) -> ExitCode:
        return compute_verdict_exit_code(
            verdict,
            allow_lost=self.request.allow_lost,
            werror=self.trial.profile.werror,
            # Not all that was asked about could be tried, as not all of it applies.
            incomplete=self.trial.rejection is not None,
        )

    def _build_after_runs(self) -> Sequence[StoredRun]:
        files = self.trial.files
        if not self.request.each_patch or len(files) == 1:
            return [self._build_run(_add_patches(self.trial.profile, files), "after")]
        counts = range(1, len(files) + 1)
        return [self._build_run(_add_patches(self.trial.profile, files[:n]), f"after-{n}") for n in counts]

    def _build_run(self, profile: Profile, name: str) -> StoredRun:
        self.emit(ProgressNote(f"Building {name.replace('-', ' patch ')}."))
        profile = profile.model_copy(update={"out": str(self.directory / name)})
        stored = run_matrix(profile, self.emit, self.argv, self.environment, needs_focus=False)
        if stored.run.interrupted:
            raise self._create_interruption()
        stored.write_findings()
        return stored

    def _build_verdict(self, sides: Sequence[StoredRun]) -> Verdict:
        series, before = self.request.series, sides[0].run
        builds = HiddenBuilds()
        verdict = self._compare_sides(sides, builds)
        # What is behind the errors of the one side may ask for a look at the other.
        while builds.wanted:
            builds.add(self._build_hidden(sides, builds.wanted))
            verdict = self._compare_sides(sides, builds)
        details = {
            "patches": tuple(
                self._describe_patch(number, patch) for number, patch in enumerate(series.patches)
            ),
            "cover": _convert_mail(series.cover),
            "base_commit": series.base_commit,
            "base_differs": format_base_mismatch(series.base_commit, before),
            "notes": series.notes,
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
        return InterruptedRunError(f"interrupted; what was built is kept in {self.directory}")

    @property
    def _applied_patches(self) -> Sequence[PatchFile]:
        return self.request.series.patches[: len(self.trial.files)]

    def _build_steps(
        self, sides: Sequence[StoredRun], touched: set[str], builds: HiddenBuilds
    ) -> Sequence[PatchStep] | None:
        if len(sides) < 3:
            return None
        return [
            extract_patch_step(
                patch.name,
                _read_patch_subject(patch),
                compare_runs(sides[number], sides[number + 1], touched=touched, builds=builds),
            )
            for number, patch in enumerate(self._applied_patches)
        ]

    def _describe_patch(self, number: int, patch: PatchFile) -> VerdictPatch:
        refused = self.trial.rejection if number == len(self.trial.files) else None
        return VerdictPatch(
            name=patch.name,
            subject=_read_patch_subject(patch),
            sha256=patch.sha256,
            mail=_convert_mail(patch.mail),
            refused=refused,
        )

    def _find_touched_objects(self, verdict: Verdict, before: StoredRun) -> set[str]:
        """Objects of changed sources; and those in which a finding went away, since nothing but the patch
        differs between the two runs."""
        changed = (PurePosixPath(path) for patch in self._applied_patches for path in patch.paths)
        own = {target for path in changed if (target := name_object(path))}
        fixed = [row.before.ids for row in verdict.findings if row.fate is FindingStatus.FIXED and row.before]
        return own | {
            object_ for ids in fixed for name in ids for object_ in before.findings_by_id[name].objects
        }


def _require_findings(before: StoredRun, names: Sequence[str]) -> None:
    """RequestError for a finding that the base does not have, before anything is built with the patch.

    Where nothing of the base could be tried, it is not known what it has.
    """
    if any(cell.state not in UNTRIED_STATES for cell in before.run.cells):
        for name in names:
            before.find_finding(name)


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


def _read_patch_subject(patch: PatchFile) -> str:
    return parse_subject(patch.mail.subject).title if patch.mail else ""


def _convert_mail(mail: Mail | None) -> PatchMail | None:
    if mail is None:
        return None
    return PatchMail(
        message_id=mail.id,
        subject=mail.subject,
        sender=_convert_mailbox(mail.sender),
        to=tuple(map(_convert_mailbox, mail.to)),
        cc=tuple(map(_convert_mailbox, mail.cc)),
        references=mail.references,
        date=mail.date,
        quote=extract_quote(mail),
    )


def _convert_mailbox(address: MailAddress) -> Mailbox:
    return Mailbox(name=address.name, address=address.address)
