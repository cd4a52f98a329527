"""What a verdict is asked for: its patches, out of mails or files, and what it is to be about.

It is kept in the verdict's directory as soon as it is known that it can be built, so that a verdict that is
stopped can go on: see `resume_verdict`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydantic import ConfigDict, Field, ValidationError

from matrix.catalog.load import parse_recorded_profile
from matrix.catalog.types import Profile
from matrix.commands.session import read_git_identity
from matrix.errors import RequestError
from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.fs import write_atomically
from matrix.record.run_directory import REQUEST_FILE
from matrix.record.run_model import SCHEMA_VERSION, Record, SourceRecord, Tool
from matrix.source.mbox.message import Mail, MailAddress, extract_quote, parse_subject
from matrix.source.mbox.patch_file import PatchFile, parse_patch_file
from matrix.source.mbox.patch_lines import find_changed_lines
from matrix.source.mbox.series import PatchSeries, read_series
from matrix.verdict.verdict_model import Mailbox, PatchMail, VerdictPatch

PATCHES_DIRECTORY = "patches"
_RERUN = "./inv patch makes another"


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


def read_named_series(
    words: Sequence[str], message: str, stdin: BinaryIO, *, is_needed: bool = True
) -> PatchSeries:
    """The series that the task's words name, as `read_series` has it.

    Where they name none and none ``is_needed``, it has no patches. RequestError where they name none, or more
    than one file.
    """
    if len(words) > 1:
        hint = "a directory of patches is a series; ./inv patch --help shows the options"
        raise RequestError(f"patch takes one file, and {words[1]!r} stands behind {words[0]!r}", hint)
    if "" in words:
        raise RequestError("file is empty", "leave it out, or give it a value")
    if not words and (is_needed or message):
        raise RequestError("patch needs 'file'", "./inv patch --help shows its options")
    return read_series(words[0], message, stdin) if words else PatchSeries(())


class VerdictRequest(Record):
    """request.json: a verdict that can be built, with what was tried of it before anything was.

    ``profile`` is what was asked for, and ``before`` the patches that belong to its base; ``more_focus`` is
    what the patches add to its focus. ``source`` is the base with those patches, ``images`` are toolchain →
    image id. ``files`` are the patches' files, in the folder of the patches. A patch that is ``refused``, and
    all behind it, are not built.
    """

    schema_: Literal[1] = Field(default=SCHEMA_VERSION, alias="schema")
    tool: Tool
    command: tuple[str, ...] = ()
    profile: dict[str, Any]
    before: tuple[str, ...] = ()
    more_focus: tuple[str, ...] = ()
    source: SourceRecord
    images: dict[str, str]
    files: tuple[str, ...]
    patches: tuple[VerdictPatch, ...]
    cover: PatchMail | None = None
    base_commit: str | None = None
    notes: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    each_patch: bool = False
    allow_lost: bool = False
    tester: Mailbox | None = None

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    @property
    def applied_count(self) -> int:
        """How many of the patches apply, one behind the other."""
        refused = (number for number, patch in enumerate(self.patches) if patch.refused is not None)
        return next(refused, len(self.patches))

    @property
    def run_names(self) -> tuple[str, ...]:
        """The names of the directories of its runs, in their order."""
        if not self.each_patch or self.applied_count == 1:
            return "before", "after"
        return "before", *(f"after-{number}" for number in range(1, self.applied_count + 1))

    def build_profile(self) -> Profile:
        """What is built on the base, with no name for its output."""
        asked = parse_recorded_profile(self.profile, "the profile of the verdict")
        patches, focus = (*asked.patch, *self.before), (*asked.focus, *self.more_focus)
        return asked.model_copy(update={"patch": patches, "focus": focus})

    def list_files(self, directory: Path) -> tuple[Path, ...]:
        """Where the patches that apply are kept, of the verdict in this directory."""
        return tuple(directory / PATCHES_DIRECTORY / name for name in self.files[: self.applied_count])

    def load_patches(self, directory: Path) -> tuple[PatchFile, ...]:
        """The patches that apply, as they are kept. RequestError where one is missing or damaged."""
        named = zip(self.files[: self.applied_count], self.patches, strict=False)
        return tuple(_load_patch(directory / PATCHES_DIRECTORY, name, patch) for name, patch in named)


def _load_patch(folder: Path, name: str, patch: VerdictPatch) -> PatchFile:
    try:
        content = ForeignDirectory(folder).read_bytes(name)
    except ForeignFileError as error:
        raise RequestError(f"the verdict's patch {name} cannot be read: {error}", _RERUN) from error
    if content is None:
        raise RequestError(f"the verdict's patch {name} is missing", _RERUN)
    return parse_patch_file(patch.name, patch.sha256, content)


def store_request(request: VerdictRequest, directory: Path) -> None:
    """Keep what a verdict is asked for in its directory. DiskFullError where there is no space for it."""
    text = request.model_dump_json(by_alias=True, indent=1)
    write_atomically(directory / REQUEST_FILE, f"{text}\n")


def load_request(directory: Path) -> VerdictRequest | None:
    """What the verdict in a directory was asked for; None where nothing of that is kept. RequestError where
    it cannot be read."""
    try:
        content = ForeignDirectory(directory).read_bytes(REQUEST_FILE)
        return None if content is None else VerdictRequest.model_validate_json(content)
    except (ForeignFileError, ValidationError) as error:
        raise RequestError(f"{directory / REQUEST_FILE} is damaged: {error}", _RERUN) from error


def require_request(directory: Path) -> VerdictRequest:
    """The same where it is known to be there. RequestError where it has just gone."""
    request = load_request(directory)
    if request is None:
        raise RequestError(f"{directory} holds no verdict any more", _RERUN)
    return request


def describe_patches(
    series: PatchSeries, applied_count: int, rejection: str | None
) -> tuple[VerdictPatch, ...]:
    """The patches of a series as a verdict has them. ``rejection``: why the next one does not apply."""
    refused = {applied_count: rejection}
    lines = find_changed_lines([patch.content for patch in series.patches[:applied_count]])
    return tuple(
        VerdictPatch(
            name=patch.name,
            subject=parse_subject(patch.mail.subject).title if patch.mail else "",
            sha256=patch.sha256,
            mail=convert_mail(patch.mail),
            refused=refused.get(number),
            lines=lines[number] if number < applied_count else {},
        )
        for number, patch in enumerate(series.patches)
    )


def convert_mail(mail: Mail | None) -> PatchMail | None:
    """A mail as a verdict keeps it."""
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


def name_patch_files(patches: Sequence[PatchFile]) -> tuple[str, ...]:
    """Names of files for patches, in the order in which they apply: their own, with a number before each
    where two are the same."""
    own = tuple(patch.name for patch in patches)
    if len(set(own)) == len(own):
        return own
    return tuple(f"{number:04}-{name}" for number, name in enumerate(own, 1))
