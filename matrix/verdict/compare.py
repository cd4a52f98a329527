"""Two sides → the verdict: cells, findings, symbols; and what one patch of a series alone changed."""

from collections import Counter
from collections.abc import Collection, Sequence

import matrix
from matrix.record.model import Run, Tool
from matrix.verdict.answers import answer
from matrix.verdict.cells import ALIKE, cell_changes
from matrix.verdict.differences import Likeness
from matrix.verdict.fates import Fates
from matrix.verdict.match import Matches
from matrix.verdict.model import CellChange, Fate, SideRecord, Step, Transition, Verdict
from matrix.verdict.side import Side, pairs
from matrix.verdict.symbols import Flips, settled


def compare(
    before: Side,
    after: Side,
    *,
    fixes: Sequence[str] = (),
    touched: Collection[str] = (),
    steps: Sequence[Step] | None = None,
) -> Verdict:
    """What the after-side changed.

    ``fixes`` are findings of the before-side, by id or key, each answered with yes or no; ``touched`` the
    files that the patch changes, relative to the tree. RequestError when no cell is in both plans, or the
    before-side does not know a finding. Time grows with the cells.
    """
    found = pairs(before.run, after.run)
    matches = Matches(before, after)
    likeness = Likeness(before.run, after.run, found)
    flips = Flips(before, after, found)
    cells = tuple(cell_changes(found, matches, likeness))
    verdict = Verdict(
        tool=Tool(version=matrix.__version__),
        before=_side(before.run),
        after=_side(after.run),
        differences=likeness.all,
        counts=_counts(cells),
        cells=cells,
        findings=Fates(matches, likeness, flips, touched).all(),
        symbols=flips.changes(pair for pair in found if settled(pair) and not likeness.why(pair)),
        steps=None if steps is None else tuple(steps),
    )
    return verdict.model_copy(update={"fixes": tuple(answer(verdict, name) for name in fixes)})


def _side(run: Run) -> SideRecord:
    return SideRecord(
        run=run.id,
        tool=run.tool,
        source=run.source,
        cells=dict(sorted(Counter(cell.state for cell in run.cells).items())),
        interrupted=run.interrupted,
    )


def _counts(cells: Sequence[CellChange]) -> dict[Transition, int]:
    seen = Counter(cell.transition for cell in cells)
    return {transition: seen[transition] for transition in Transition if seen[transition]}


def step(name: str, subject: str, verdict: Verdict) -> Step:
    """What one patch alone changed: its verdict against the run with the patches before it, without what
    stayed as it was."""
    return Step(
        name=name,
        subject=subject,
        before=verdict.before.run,
        after=verdict.after.run,
        cells=tuple(cell for cell in verdict.cells if cell.transition not in ALIKE),
        findings=tuple(one for one in verdict.findings if one.fate is not Fate.STILL or one.new_in),
        symbols=verdict.symbols,
    )
