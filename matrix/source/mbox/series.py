"""Find a series of patches in mails, files or a directory: its newest whole version."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from matrix.errors import RequestError, format_nearest
from matrix.source.mbox.message import Mail
from matrix.source.mbox.patch_file import PatchFile, PatchMessage, read_messages
from matrix.source.mbox.repair import format_repair_note

_MAX_LISTED = 10


@dataclass(frozen=True)
class SeriesVersion:
    """One version of a series, whole or not. ``patches`` in order; ``total`` as their subjects count."""

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
        times = Counter(message.subject.number for message in self.patches)
        numbers = range(1, self.total + 1)
        missing = [f"{number}/{self.total}" for number in numbers if not times[number]]
        if missing:
            shown = [*missing[:_MAX_LISTED], *(["…"] if len(missing) > _MAX_LISTED else [])]
            return f"{', '.join(shown)} {'are' if len(missing) > 1 else 'is'} missing"
        twice = [f"{number}/{self.total}" for number in numbers if times[number] > 1]
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


def group_series_versions(messages: Iterable[PatchMessage]) -> list[SeriesVersion]:
    """Every series in these cover letters and patches, the newest last."""
    alike = defaultdict(list)
    for message in messages:
        subject = message.subject
        # Patches without a number belong together only as files: as mails, each was sent on its own.
        own = "" if subject.total else message.message_id
        alike[subject.version, subject.is_resend, subject.total, own].append(message)
    candidates = [
        _build_series_version(thread) for group in alike.values() for thread in _split_threads(group)
    ]
    return sorted(candidates, key=lambda candidate: candidate.sort_key)


def _split_threads(group: Sequence[PatchMessage]) -> Iterator[list[PatchMessage]]:
    """Split series that are alike in version and count: by the cover letter or first patch replied to."""
    identified = [message for message in group if message.message_id]
    covers = [message for message in identified if message.subject.is_cover]
    leads = covers or [message for message in identified if message.subject.number == 1]
    if len(leads) < 2:
        yield list(group)
        return
    threads: dict[str, list[PatchMessage]] = {lead.message_id: [] for lead in leads}
    for message in group:
        ancestors = (message.message_id, *(message.mail.parent_ids if message.mail else ()))
        thread = next((parent for parent in ancestors if parent in threads), leads[0].message_id)
        threads[thread].append(message)
    yield from threads.values()


def _build_series_version(messages: Sequence[PatchMessage]) -> SeriesVersion:
    subject = messages[0].subject
    covers = [message for message in messages if message.subject.is_cover]
    # The same letter may be there twice, as mail and as git wrote it: only the mail can be replied to.
    cover = max(covers, key=lambda message: bool(message.message_id), default=None)
    patches = [message for message in messages if not message.subject.is_cover]
    # sorted() is stable: what has no number stays in the order of its files.
    ordered = tuple(sorted(patches, key=lambda message: message.subject.number))
    return SeriesVersion(subject.version, subject.is_resend, subject.total, cover, ordered)


def _list_titles(candidate: SeriesVersion) -> Iterator[str]:
    for message in (candidate.cover, *candidate.patches):
        if message and message.subject.title:
            yield message.subject.title.casefold()


def _find_sender(message: PatchMessage) -> str:
    return message.mail.sender.address.casefold() if message.mail else ""


def _find_thread_root(message: PatchMessage) -> str:
    """The id of the thread's first message, as far as this one names it."""
    parents = message.mail.parent_ids if message.mail else ()
    return parents[-1] if parents else message.message_id


_BASE_COMMIT = re.compile(rb"^base-commit:[ \t]*([0-9a-f]{7,64})[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True)
class PatchSeries:
    """Patches in the order in which they apply; ``notes`` are sentences about what was chosen or left out."""

    patches: tuple[PatchFile, ...]
    cover: Mail | None = None
    version: int = 1
    notes: tuple[str, ...] = ()

    @property
    def base_commit(self) -> str | None:
        """The commit that the series is made for, where cover letter or first patch name it."""
        contents = [self.cover.content] if self.cover else []
        matches = [_BASE_COMMIT.search(content) for content in (*contents, self.patches[0].content)]
        return next((match[1].decode() for match in matches if match), None)


def read_series(spec: str, message: str = "", stdin: BinaryIO | None = None) -> PatchSeries:
    """The series in a file, a directory of patches, or ``-``, which is read from ``stdin``.

    It may be a bare diff, a patch, or a mailbox with a cover letter, replies and several versions, of which
    the newest whole one is taken. ``message`` is the id of one mail, whose diff is then the whole series, or
    of a cover letter, whose series is taken. RequestError when it cannot be read, holds no diff or touches a
    file outside of the tree; when no version is whole; when it holds series that are no versions of each
    other; when no mail has this id.
    """
    messages = read_messages(spec, stdin)
    if message:
        return _select_by_message(messages, message.strip().removeprefix("<").removesuffix(">"), spec)
    if len(messages) == 1:
        # Given alone, 0002-….patch of a series of three is meant as a patch of its own.
        return _build_single_patch_series(messages[0])
    chosen, left = _split_by_rank(messages, spec)
    candidates = group_series_versions(chosen)
    best = _find_newest_complete(candidates, spec)
    return _build_series(best, (*_format_version_notes(best, candidates), *_format_omission_notes(left)))


def _select_by_message(messages: Sequence[PatchMessage], message_id: str, spec: str) -> PatchSeries:
    matches = [message for message in messages if message_id and message.message_id == message_id]
    if not matches:
        near = format_nearest(message_id, (message.message_id for message in messages))
        raise RequestError(
            f"{spec} holds no mail with the id {message_id!r}{near}", _format_diff_holders(messages)
        )
    if matches[0].subject.is_cover:
        candidates = group_series_versions(_split_by_rank(messages, spec)[0])
        return _build_series(
            _find_newest_complete(
                [candidate for candidate in candidates if candidate.cover is matches[0]], spec
            )
        )
    if not matches[0].has_diff:
        raise RequestError(
            f"the mail {message_id} in {spec} holds no diff of its own", _format_diff_holders(messages)
        )
    return _build_single_patch_series(matches[0])


def _split_by_rank(
    messages: Sequence[PatchMessage], spec: str
) -> tuple[list[PatchMessage], list[PatchMessage]]:
    """Cover letters and patches, and other messages with a diff; RequestError when there is no diff at all.

    A diff in a mail that is not called a patch, or in a reply, is meant where there is nothing better.
    """
    covers = [message for message in messages if message.subject.is_cover]
    diffs = [message for message in messages if message.has_diff and not message.subject.is_cover]
    if not diffs:
        raise RequestError(f"{spec} holds no diff", "Make one with `git format-patch` or `git diff`.")
    best = 0 if covers else min(map(_rank_message, diffs))
    chosen = [message for message in diffs if _rank_message(message) == best]
    return [*covers, *chosen], [message for message in diffs if _rank_message(message) != best]


def _rank_message(message: PatchMessage) -> int:
    """0: a patch; 1: a mail that some program sent about a patch; 2: a reply."""
    if message.subject.is_reply:
        return 2
    return 1 if message.message_id and not message.subject.is_tagged else 0


def _find_newest_complete(candidates: Sequence[SeriesVersion], spec: str) -> SeriesVersion:
    """The newest whole one; RequestError when none is, or when others are no versions of it."""
    whole = [candidate for candidate in candidates if not candidate.incomplete_reason]
    if not whole:
        last = candidates[-1]
        raise RequestError(
            f"the series {last.lead_message.subject.title!r} ({last.label}) in {spec} is not whole: "
            f"{last.incomplete_reason}",
            "Add what is missing, or take one mail's diff: --message ID. `b4 am` fetches whole series.",
        )
    best = whole[-1]
    others = [candidate for candidate in candidates if candidate is not best]
    if not all(candidate.is_version_of(best) for candidate in others):
        raise RequestError(
            "\n".join([f"{spec} holds several series:", *map(_format_candidate, candidates[:_MAX_LISTED])]),
            "Say which: --message ID, with the id of a patch, or of a cover letter for its series.",
        )
    return best


def _format_candidate(candidate: SeriesVersion) -> str:
    count, lead = len(candidate.patches), candidate.lead_message
    line = f"  {candidate.label}, {count} {'patch' if count == 1 else 'patches'}, {lead.subject.title!r}"
    return f"{line} <{lead.message_id}>" if lead.message_id else line


def _build_series(candidate: SeriesVersion, notes: tuple[str, ...] = ()) -> PatchSeries:
    patches = tuple(
        message.to_patch_file(position) for position, message in enumerate(candidate.patches, start=1)
    )
    return PatchSeries(patches, candidate.cover.mail if candidate.cover else None, candidate.version, notes)


def _build_single_patch_series(message: PatchMessage) -> PatchSeries:
    patch = message.to_patch_file(max(1, message.subject.number))
    notes = (format_repair_note(patch.name, message.repair),) if message.repair else ()
    return PatchSeries((patch,), version=message.subject.version, notes=notes)


def _format_version_notes(best: SeriesVersion, candidates: Sequence[SeriesVersion]) -> list[str]:
    if len(candidates) < 2:
        return []
    versions = ", ".join(candidate.label for candidate in candidates)
    flawed = [candidate for candidate in candidates if candidate.incomplete_reason]
    omissions = [
        f"{candidate.label} is left out, as it is not whole: {candidate.incomplete_reason}"
        for candidate in flawed
    ]
    return [f"{best.label} is taken, the newest whole version of {versions}", *omissions]


def _format_omission_notes(left: Sequence[PatchMessage]) -> list[str]:
    if not left:
        return []
    listed = _format_ids([message.message_id or message.file_name for message in left])
    return [f"left out, as they are no patches of the series, though they hold a diff: {listed}"]


def _format_diff_holders(messages: Sequence[PatchMessage]) -> str:
    ids = [message.message_id for message in messages if message.message_id and message.has_diff]
    return f"These mails hold one: {_format_ids(ids)}" if ids else "No mail in it holds a diff."


def _format_ids(ids: Sequence[str]) -> str:
    return ", ".join([*ids[:_MAX_LISTED], *(["…"] if len(ids) > _MAX_LISTED else [])])
