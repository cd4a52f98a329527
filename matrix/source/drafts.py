"""The messages of a thread sorted into series: versions of one, or several that have nothing in common."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from matrix.source.pieces import PatchMessage

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
