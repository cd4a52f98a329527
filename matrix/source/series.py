"""A series of patches out of whatever the user has of it, the newest whole version of several."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from matrix.errors import RequestError, format_nearest
from matrix.source.drafts import Draft, sort_drafts
from matrix.source.mails import Mail
from matrix.source.patchfile import PatchFile
from matrix.source.pieces import Piece, read_pieces

_BASE = re.compile(rb"^base-commit:[ \t]*([0-9a-f]{7,64})[ \t]*\r?$", re.MULTILINE)
_SHOWN = 10


@dataclass(frozen=True)
class Series:
    """Patches in the order in which they apply; ``notes`` are sentences about what was chosen or left out."""

    patches: tuple[PatchFile, ...]
    cover: Mail | None = None
    version: int = 1
    notes: tuple[str, ...] = ()

    @property
    def mail(self) -> Mail | None:
        """What a verdict on the whole answers: the cover letter, else the first patch's mail."""
        return self.cover or self.patches[0].mail

    @property
    def base_commit(self) -> str | None:
        """The commit that the series is made for, where cover letter or first patch say it."""
        letters = [self.cover.content] if self.cover else []
        found = [_BASE.search(letter) for letter in (*letters, self.patches[0].content)]
        return next((match[1].decode() for match in found if match), None)


def read_series(spec: str, message: str = "", stdin: BinaryIO | None = None) -> Series:
    """The series in a file, a directory of patches, or ``-``, which is read from ``stdin``.

    Read as what it is: a bare diff, a patch, a mailbox with a cover letter, replies and several versions,
    of which the newest whole one is taken. ``message`` is the id of one mail, whose diff is then the whole
    series, or of a cover letter, whose series is taken. RequestError when it cannot be read, holds no diff
    or reaches out of the tree; when no version is whole; when it holds series that are no versions of
    each other; when no mail has this id.
    """
    pieces = read_pieces(spec, stdin)
    if message:
        return _by_message(pieces, message.strip().removeprefix("<").removesuffix(">"), spec)
    if len(pieces) == 1:
        # Whoever gives 0002-….patch alone, of a series of three, wants just that.
        return _single(pieces[0])
    chosen, left = _of_series(pieces, spec)
    drafts = sort_drafts(chosen)
    best = _newest(drafts, spec)
    return _series(best, (*_told_versions(best, drafts), *_told_left(left)))


def _by_message(pieces: Sequence[Piece], message: str, spec: str) -> Series:
    found = [piece for piece in pieces if message and piece.id == message]
    if not found:
        near = format_nearest(message, (piece.id for piece in pieces))
        raise RequestError(f"{spec} holds no mail with the id {message!r}{near}", _holders(pieces))
    if found[0].subject.cover:
        drafts = sort_drafts(_of_series(pieces, spec)[0])
        return _series(_newest([draft for draft in drafts if draft.cover is found[0]], spec))
    if not found[0].has_diff:
        raise RequestError(f"the mail {message} in {spec} holds no diff of its own", _holders(pieces))
    return _single(found[0])


def _of_series(pieces: Sequence[Piece], spec: str) -> tuple[list[Piece], list[Piece]]:
    """Cover letters and patches, and other pieces with a diff; RequestError when there is no diff at all.

    A diff in a mail that is not called a patch, or in a reply, is meant where there is nothing better.
    """
    covers = [piece for piece in pieces if piece.subject.cover]
    diffs = [piece for piece in pieces if piece.has_diff and not piece.subject.cover]
    if not diffs:
        raise RequestError(f"{spec} holds no diff", "Make one with `git format-patch` or `git diff`.")
    best = 0 if covers else min(map(_rank, diffs))
    chosen = [piece for piece in diffs if _rank(piece) == best]
    return [*covers, *chosen], [piece for piece in diffs if _rank(piece) != best]


def _rank(piece: Piece) -> int:
    """0: a patch; 1: a mail that some program sent about a patch; 2: a reply."""
    if piece.subject.reply:
        return 2
    return 1 if piece.id and not piece.subject.tagged else 0


def _newest(drafts: Sequence[Draft], spec: str) -> Draft:
    """The newest whole one; RequestError when none is, or when others are no versions of it."""
    whole = [draft for draft in drafts if not draft.flaw]
    if not whole:
        last = drafts[-1]
        raise RequestError(
            f"the series {last.lead.subject.title!r} ({last.called}) in {spec} is not whole: {last.flaw}",
            "Add what is missing, or take one mail's diff: --message ID. `b4 am` fetches whole series.",
        )
    best = whole[-1]
    others = [draft for draft in drafts if draft is not best]
    if not all(draft.is_version_of(best) for draft in others):
        raise RequestError(
            "\n".join([f"{spec} holds several series:", *map(_candidate, drafts[:_SHOWN])]),
            "Say which: --message ID, with the id of a patch, or of a cover letter for its series.",
        )
    return best


def _candidate(draft: Draft) -> str:
    count = len(draft.patches)
    told = f"  {draft.called}, {count} {'patch' if count == 1 else 'patches'}, {draft.lead.subject.title!r}"
    return f"{told} <{draft.lead.id}>" if draft.lead.id else told


def _series(draft: Draft, notes: tuple[str, ...] = ()) -> Series:
    patches = tuple(piece.patch(position) for position, piece in enumerate(draft.patches, start=1))
    return Series(patches, draft.cover.mail if draft.cover else None, draft.version, notes)


def _single(piece: Piece) -> Series:
    return Series((piece.patch(max(1, piece.subject.number)),), version=piece.subject.version)


def _told_versions(best: Draft, drafts: Sequence[Draft]) -> list[str]:
    if len(drafts) < 2:
        return []
    versions = ", ".join(draft.called for draft in drafts)
    flawed = [draft for draft in drafts if draft.flaw]
    told = [f"{draft.called} is left out, as it is not whole: {draft.flaw}" for draft in flawed]
    return [f"{best.called} is taken, the newest whole version of {versions}", *told]


def _told_left(left: Sequence[Piece]) -> list[str]:
    if not left:
        return []
    listed = _listed([piece.id or piece.file for piece in left])
    return [f"left out, as they are no patches of the series, though they hold a diff: {listed}"]


def _holders(pieces: Sequence[Piece]) -> str:
    ids = [piece.id for piece in pieces if piece.id and piece.has_diff]
    return f"These mails hold one: {_listed(ids)}" if ids else "No mail in it holds a diff."


def _listed(ids: Sequence[str]) -> str:
    return ", ".join([*ids[:_SHOWN], *(["…"] if len(ids) > _SHOWN else [])])
