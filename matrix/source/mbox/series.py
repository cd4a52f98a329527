"""A series of patches out of whatever the user has of it, the newest whole version of several."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from matrix.errors import RequestError, format_nearest
from matrix.source.mbox.message import Mail
from matrix.source.mbox.patch_file import PatchFile, PatchMessage, read_messages

_MAX_LISTED = 10


@dataclass(frozen=True)
class SeriesVersion:
    """One version of a series, as far as it is there. ``patches`` in order; ``total`` as the mails say it."""

    version: int
    resend: bool
    total: int
    cover: PatchMessage | None
    patches: tuple[PatchMessage, ...]

    @property
    def sort_key(self) -> tuple[int, bool]:
        """The larger, the newer: what is sent again is newer than what it repeats."""
        return self.version, self.resend

    @property
    def label(self) -> str:
        return f"v{self.version}{' resent' if self.resend else ''}"

    @property
    def lead_message(self) -> PatchMessage:
        return self.cover or self.patches[0]

    @property
    def incomplete_reason(self) -> str:
        """Why it cannot be applied as a whole (``2/3 is missing``); empty when it can."""
        times = Counter(piece.subject.number for piece in self.patches)
        asked = range(1, self.total + 1)
        missing = [f"{number}/{self.total}" for number in asked if not times[number]]
        if missing:
            shown = [*missing[:_MAX_LISTED], *(["…"] if len(missing) > _MAX_LISTED else [])]
            return f"{', '.join(shown)} {'are' if len(missing) > 1 else 'is'} missing"
        twice = [f"{number}/{self.total}" for number in asked if times[number] > 1]
        return f"{twice[0]} is there twice" if twice else ""

    def is_version_of(self, other: "SeriesVersion") -> bool:
        """Whether both are one series at different times: titles in common, or one sender in one thread."""
        if self.sort_key == other.sort_key:
            return False
        if set(_list_titles(self)) & set(_list_titles(other)):
            return True
        return _find_sender(self.lead_message) == _find_sender(other.lead_message) and _find_thread_root(
            self.lead_message
        ) == _find_thread_root(other.lead_message)


def group_series_versions(pieces: Iterable[PatchMessage]) -> list[SeriesVersion]:
    """Every series in these cover letters and patches, the newest last."""
    alike = defaultdict(list)
    for piece in pieces:
        subject = piece.subject
        # Patches without a number belong together only where no mail program sent each on its own.
        own = "" if subject.total else piece.message_id
        alike[subject.version, subject.is_resend, subject.total, own].append(piece)
    drafts = [_build_series_version(thread) for group in alike.values() for thread in _split_threads(group)]
    return sorted(drafts, key=lambda draft: draft.sort_key)


def _split_threads(group: Sequence[PatchMessage]) -> Iterator[list[PatchMessage]]:
    """Series that are alike in version and count, told apart by the cover letter or first patch answered."""
    known = [piece for piece in group if piece.message_id]
    covers = [piece for piece in known if piece.subject.is_cover]
    leads = covers or [piece for piece in known if piece.subject.number == 1]
    if len(leads) < 2:
        yield list(group)
        return
    threads: dict[str, list[PatchMessage]] = {lead.message_id: [] for lead in leads}
    for piece in group:
        above = (piece.message_id, *(piece.mail.parent_ids if piece.mail else ()))
        home = next((parent for parent in above if parent in threads), leads[0].message_id)
        threads[home].append(piece)
    yield from threads.values()


def _build_series_version(pieces: Sequence[PatchMessage]) -> SeriesVersion:
    subject = pieces[0].subject
    covers = [piece for piece in pieces if piece.subject.is_cover]
    # One that can be answered, where the same letter also lies there as git wrote it.
    cover = max(covers, key=lambda piece: bool(piece.message_id), default=None)
    patches = [piece for piece in pieces if not piece.subject.is_cover]
    # sorted() is stable: what has no number stays in the order of its files.
    ordered = tuple(sorted(patches, key=lambda piece: piece.subject.number))
    return SeriesVersion(subject.version, subject.is_resend, subject.total, cover, ordered)


def _list_titles(draft: SeriesVersion) -> Iterator[str]:
    for piece in (draft.cover, *draft.patches):
        if piece and piece.subject.title:
            yield piece.subject.title.casefold()


def _find_sender(piece: PatchMessage) -> str:
    return piece.mail.sender.address.casefold() if piece.mail else ""


def _find_thread_root(piece: PatchMessage) -> str:
    """The id of the thread's first message, as far as this one knows."""
    parents = piece.mail.parent_ids if piece.mail else ()
    return parents[-1] if parents else piece.message_id


_BASE_COMMIT = re.compile(rb"^base-commit:[ \t]*([0-9a-f]{7,64})[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True)
class PatchSeries:
    """Patches in the order in which they apply; ``notes`` are sentences about what was chosen or left out."""

    patches: tuple[PatchFile, ...]
    cover: Mail | None = None
    version: int = 1
    notes: tuple[str, ...] = ()

    @property
    def reply_target(self) -> Mail | None:
        """What a verdict on the whole answers: the cover letter, else the first patch's mail."""
        return self.cover or self.patches[0].mail

    @property
    def base_commit(self) -> str | None:
        """The commit that the series is made for, where cover letter or first patch say it."""
        letters = [self.cover.content] if self.cover else []
        found = [_BASE_COMMIT.search(letter) for letter in (*letters, self.patches[0].content)]
        return next((match[1].decode() for match in found if match), None)


def read_series(spec: str, message: str = "", stdin: BinaryIO | None = None) -> PatchSeries:
    """The series in a file, a directory of patches, or ``-``, which is read from ``stdin``.

    Read as what it is: a bare diff, a patch, a mailbox with a cover letter, replies and several versions,
    of which the newest whole one is taken. ``message`` is the id of one mail, whose diff is then the whole
    series, or of a cover letter, whose series is taken. RequestError when it cannot be read, holds no diff
    or reaches out of the tree; when no version is whole; when it holds series that are no versions of
    each other; when no mail has this id.
    """
    pieces = read_messages(spec, stdin)
    if message:
        return _select_by_message(pieces, message.strip().removeprefix("<").removesuffix(">"), spec)
    if len(pieces) == 1:
        # Whoever gives 0002-….patch alone, of a series of three, wants just that.
        return _build_single_patch_series(pieces[0])
    chosen, left = _split_by_rank(pieces, spec)
    drafts = group_series_versions(chosen)
    best = _find_newest_complete(drafts, spec)
    return _build_series(best, (*_format_version_notes(best, drafts), *_format_omission_notes(left)))


def _select_by_message(pieces: Sequence[PatchMessage], message: str, spec: str) -> PatchSeries:
    found = [piece for piece in pieces if message and piece.message_id == message]
    if not found:
        near = format_nearest(message, (piece.message_id for piece in pieces))
        raise RequestError(
            f"{spec} holds no mail with the id {message!r}{near}", _format_diff_holders(pieces)
        )
    if found[0].subject.is_cover:
        drafts = group_series_versions(_split_by_rank(pieces, spec)[0])
        return _build_series(
            _find_newest_complete([draft for draft in drafts if draft.cover is found[0]], spec)
        )
    if not found[0].has_diff:
        raise RequestError(
            f"the mail {message} in {spec} holds no diff of its own", _format_diff_holders(pieces)
        )
    return _build_single_patch_series(found[0])


def _split_by_rank(
    pieces: Sequence[PatchMessage], spec: str
) -> tuple[list[PatchMessage], list[PatchMessage]]:
    """Cover letters and patches, and other pieces with a diff; RequestError when there is no diff at all.

    A diff in a mail that is not called a patch, or in a reply, is meant where there is nothing better.
    """
    covers = [piece for piece in pieces if piece.subject.is_cover]
    diffs = [piece for piece in pieces if piece.has_diff and not piece.subject.is_cover]
    if not diffs:
        raise RequestError(f"{spec} holds no diff", "Make one with `git format-patch` or `git diff`.")
    best = 0 if covers else min(map(_rank_message, diffs))
    chosen = [piece for piece in diffs if _rank_message(piece) == best]
    return [*covers, *chosen], [piece for piece in diffs if _rank_message(piece) != best]


def _rank_message(piece: PatchMessage) -> int:
    """0: a patch; 1: a mail that some program sent about a patch; 2: a reply."""
    if piece.subject.is_reply:
        return 2
    return 1 if piece.message_id and not piece.subject.is_tagged else 0


def _find_newest_complete(drafts: Sequence[SeriesVersion], spec: str) -> SeriesVersion:
    """The newest whole one; RequestError when none is, or when others are no versions of it."""
    whole = [draft for draft in drafts if not draft.incomplete_reason]
    if not whole:
        last = drafts[-1]
        raise RequestError(
            f"the series {last.lead_message.subject.title!r} ({last.label}) in {spec} is not whole: "
            f"{last.incomplete_reason}",
            "Add what is missing, or take one mail's diff: --message ID. `b4 am` fetches whole series.",
        )
    best = whole[-1]
    others = [draft for draft in drafts if draft is not best]
    if not all(draft.is_version_of(best) for draft in others):
        raise RequestError(
            "\n".join([f"{spec} holds several series:", *map(_format_candidate, drafts[:_MAX_LISTED])]),
            "Say which: --message ID, with the id of a patch, or of a cover letter for its series.",
        )
    return best


def _format_candidate(draft: SeriesVersion) -> str:
    count, lead = len(draft.patches), draft.lead_message
    line = f"  {draft.label}, {count} {'patch' if count == 1 else 'patches'}, {lead.subject.title!r}"
    return f"{line} <{lead.message_id}>" if lead.message_id else line


def _build_series(draft: SeriesVersion, notes: tuple[str, ...] = ()) -> PatchSeries:
    patches = tuple(piece.to_patch_file(position) for position, piece in enumerate(draft.patches, start=1))
    return PatchSeries(patches, draft.cover.mail if draft.cover else None, draft.version, notes)


def _build_single_patch_series(piece: PatchMessage) -> PatchSeries:
    return PatchSeries((piece.to_patch_file(max(1, piece.subject.number)),), version=piece.subject.version)


def _format_version_notes(best: SeriesVersion, drafts: Sequence[SeriesVersion]) -> list[str]:
    if len(drafts) < 2:
        return []
    versions = ", ".join(draft.label for draft in drafts)
    flawed = [draft for draft in drafts if draft.incomplete_reason]
    told = [f"{draft.label} is left out, as it is not whole: {draft.incomplete_reason}" for draft in flawed]
    return [f"{best.label} is taken, the newest whole version of {versions}", *told]


def _format_omission_notes(left: Sequence[PatchMessage]) -> list[str]:
    if not left:
        return []
    listed = _format_ids([piece.message_id or piece.file_name for piece in left])
    return [f"left out, as they are no patches of the series, though they hold a diff: {listed}"]


def _format_diff_holders(pieces: Sequence[PatchMessage]) -> str:
    ids = [piece.message_id for piece in pieces if piece.message_id and piece.has_diff]
    return f"These mails hold one: {_format_ids(ids)}" if ids else "No mail in it holds a diff."


def _format_ids(ids: Sequence[str]) -> str:
    return ", ".join([*ids[:_MAX_LISTED], *(["…"] if len(ids) > _MAX_LISTED else [])])
