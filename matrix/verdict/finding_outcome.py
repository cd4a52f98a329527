"""What became of a finding, and the one wording of each outcome, which every format and check uses."""

from enum import StrEnum
from typing import NamedTuple

from matrix.verdict.verdict_model import CellFindingStatus, FindingChange, FindingStatus


class FindingOutcome(StrEnum):
    """A finding's status as it is told. `gone`: not seen any more, and nothing shows that it is fixed."""

    NEW = "new"
    STILL = "still"
    LOST = "lost"
    FIXED = "fixed"
    GONE = "gone"
    UNKNOWN = "unknown"


class OutcomeWording(NamedTuple):
    """How an outcome is told.

    ``verb`` stands before findings, after what changed them (a patch, a run), and ``addition`` after them:
    ``no longer shows F1, and nothing says why``. ``sentence`` stands after a finding: ``F1 is fixed``.
    """

    verb: str
    addition: str
    sentence: str


WORDINGS: dict[FindingOutcome, OutcomeWording] = {
    FindingOutcome.NEW: OutcomeWording("brings", "", " is new"),
    FindingOutcome.STILL: OutcomeWording("does not fix", "", " is not fixed"),
    FindingOutcome.LOST: OutcomeWording("loses and does not fix", "", " is not fixed"),
    FindingOutcome.FIXED: OutcomeWording("fixes", "", " is fixed"),
    FindingOutcome.GONE: OutcomeWording(
        "no longer shows", ", and nothing says why", ": not known whether it is fixed"
    ),
    FindingOutcome.UNKNOWN: OutcomeWording(
        "leaves open what became of", "", ": not known whether it is fixed"
    ),
}
"""In the order in which a headline has them: what is bad first."""


def classify_outcome(row: FindingChange) -> FindingOutcome:
    """What became of a finding, as it is told."""
    if row.fate is FindingStatus.FIXED and explain_not_fixed(row):
        return FindingOutcome.GONE
    return FindingOutcome(row.fate.value)


def explain_not_fixed(row: FindingChange) -> str:
    """Why a finding is not known to be fixed; empty where it is."""
    if row.fate is FindingStatus.STILL:
        hidden = {look.cell for look in row.seen_through if look.when == "after" and look.shows}
        cells = len({*(row.after.cells if row.after else ()), *hidden})
        where = "1 cell" if cells == 1 else f"{cells} cells"
        return f"still there, in {where}" + (f": {row.why}" if row.why else "")
    if row.fate is FindingStatus.LOST:
        return f"lost, not fixed, in {row.became[CellFindingStatus.LOST]} of its cells: {row.why}"
    if row.fate is not FindingStatus.FIXED:
        return row.why or "nothing is known of its cells"
    if CellFindingStatus.UNLISTED in row.became:
        return "its cells pass, but no list says whether its object was made for that"
    if CellFindingStatus.NOT_BUILT in row.became and not row.why:
        return "its object is not built any more, and nothing explains why"
    return ""


def is_known_unfixed(row: FindingChange) -> bool:
    """Whether a finding is known not to be fixed: it is still there, or where it was nothing can be built.

    Otherwise what is not fixed may well be: its cells could not be tried, or nothing says why it is gone.
    """
    return row.fate in {FindingStatus.STILL, FindingStatus.LOST}
