"""The messages of a thread sorted into series: versions of one, or several that have nothing in common."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from matrix.source.pieces import Piece

_SHOWN = 10


@dataclass(frozen=True)
class Draft:
    """One version of a series, as far as it is there. ``patches`` in order; ``total`` as the mails say it."""

    version: int
    resend: bool
    total: int
    cover: Piece | None
    patches: tuple[Piece, ...]

    @property
    def age(self) -> tuple[int, bool]:
        """The larger, the newer: what is sent again is newer than what it repeats."""
        return self.version, self.resend

    @property
    def called(self) -> str:
        return f"v{self.version}{' resent' if self.resend else ''}"

    @property
    def lead(self) -> Piece:
        return self.cover or self.patches[0]

    @property
    def flaw(self) -> str:
        """Why it cannot be applied as a whole (``2/3 is missing``); empty when it can."""
        times = Counter(piece.subject.number for piece in self.patches)
        asked = range(1, self.total + 1)
        missing = [f"{number}/{self.total}" for number in asked if not times[number]]
        if missing:
            shown = [*missing[:_SHOWN], *(["…"] if len(missing) > _SHOWN else [])]
            return f"{', '.join(shown)} {'are' if len(missing) > 1 else 'is'} missing"
        twice = [f"{number}/{self.total}" for number in asked if times[number] > 1]
        return f"{twice[0]} is there twice" if twice else ""

    def is_version_of(self, other: "Draft") -> bool:
        """Whether both are one series at different times: titles in common, or one sender in one thread."""
        if self.age == other.age:
            return False
        if set(_titles(self)) & set(_titles(other)):
            return True
        return _sender(self.lead) == _sender(other.lead) and _root(self.lead) == _root(other.lead)


def sort_drafts(pieces: Iterable[Piece]) -> list[Draft]:
    """Every series in these cover letters and patches, the newest last."""
    alike = defaultdict(list)
    for piece in pieces:
        subject = piece.subject
        # Patches without a number belong together only where no mail program sent each on its own.
        own = "" if subject.total else piece.id
        alike[subject.version, subject.resend, subject.total, own].append(piece)
    drafts = [_draft(thread) for group in alike.values() for thread in _threads(group)]
    return sorted(drafts, key=lambda draft: draft.age)


def _threads(group: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Series that are alike in version and count, told apart by the cover letter or first patch answered."""
    known = [piece for piece in group if piece.id]
    covers = [piece for piece in known if piece.subject.cover]
    leads = covers or [piece for piece in known if piece.subject.number == 1]
    if len(leads) < 2:
        yield list(group)
        return
    threads: dict[str, list[Piece]] = {lead.id: [] for lead in leads}
    for piece in group:
        above = (piece.id, *(piece.mail.parents if piece.mail else ()))
        home = next((parent for parent in above if parent in threads), leads[0].id)
        threads[home].append(piece)
    yield from threads.values()


def _draft(pieces: Sequence[Piece]) -> Draft:
    subject = pieces[0].subject
    covers = [piece for piece in pieces if piece.subject.cover]
    # One that can be answered, where the same letter also lies there as git wrote it.
    cover = max(covers, key=lambda piece: bool(piece.id), default=None)
    patches = [piece for piece in pieces if not piece.subject.cover]
    # sorted() is stable: what has no number stays in the order of its files.
    ordered = tuple(sorted(patches, key=lambda piece: piece.subject.number))
    return Draft(subject.version, subject.resend, subject.total, cover, ordered)


def _titles(draft: Draft) -> Iterator[str]:
    for piece in (draft.cover, *draft.patches):
        if piece and piece.subject.title:
            yield piece.subject.title.casefold()


def _sender(piece: Piece) -> str:
    return piece.mail.sender.address.casefold() if piece.mail else ""


def _root(piece: Piece) -> str:
    """The id of the thread's first message, as far as this one knows."""
    parents = piece.mail.parents if piece.mail else ()
    return parents[-1] if parents else piece.id
