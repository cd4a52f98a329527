"""Two runs → the verdict: cells, findings, symbols; and what one patch of a series alone changed."""

from collections import Counter
from collections.abc import Collection, Sequence

import matrix
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Run, Tool
from matrix.verdict.cell_status import ALIKE_TRANSITIONS, compare_cells
from matrix.verdict.environment import ConfigComparison, EnvironmentComparison, has_settled_config
from matrix.verdict.finding_status import FindingComparison
from matrix.verdict.gates import check_fix
from matrix.verdict.matching import FindingMatches, pair_cells
from matrix.verdict.seen_through import HiddenBuilds
from matrix.verdict.verdict_model import (
    CellChange,
    ComparedRun,
    FindingStatus,
    PatchStep,
    Transition,
    Verdict,
)


def compare_runs(
    before: StoredRun,
    after: StoredRun,
    *,
    fixes: Sequence[str] = (),
    touched: Collection[str] = (),
    steps: Sequence[PatchStep] | None = None,
    builds: HiddenBuilds | None = None,
) -> Verdict:
    """The verdict on what the after-side changed.

    ``fixes`` are findings of the before-side, by id or key, each answered with yes or no; ``touched`` the
    files that the patch changes, relative to the tree. ``builds`` has what is behind other errors, and takes
    what else is wanted of that. RequestError when no cell is in both plans, or the before-side does not have
    a finding. Time grows with the cells.
    """
    pairs = pair_cells(before.run, after.run)
    matches = FindingMatches(before, after)
    environment = EnvironmentComparison(before.run, after.run, pairs)
    configs = ConfigComparison(before, after, pairs)
    cells = tuple(compare_cells(pairs, matches, environment))
    verdict = Verdict(
        tool=Tool(version=matrix.__version__),
        before=_summarize_run(before.run),
        after=_summarize_run(after.run),
        differences=environment.differences,
        counts=_count_transitions(cells),
        cells=cells,
        findings=FindingComparison(
            matches, environment, configs, touched, builds or HiddenBuilds()
        ).compare_findings(),
        symbols=configs.find_symbol_changes(
            pair for pair in pairs if has_settled_config(pair) and not environment.explain_differences(pair)
        ),
        steps=None if steps is None else tuple(steps),
    )
    return verdict.model_copy(update={"fixes": tuple(check_fix(verdict, name) for name in fixes)})


def _summarize_run(run: Run) -> ComparedRun:
    return ComparedRun(
        run=run.id,
        tool=run.tool,
        source=run.source,
        cells=dict(sorted(Counter(cell.state for cell in run.cells).items())),
        interrupted=run.interrupted,
    )


def _count_transitions(cells: Sequence[CellChange]) -> dict[Transition, int]:
    seen = Counter(cell.transition for cell in cells)
    return {transition: seen[transition] for transition in Transition if seen[transition]}


def extract_patch_step(name: str, subject: str, verdict: Verdict) -> PatchStep:
    """What one patch alone changed: its verdict against the run with the patches before it.

    What stayed as it was is left out.
    """
    return PatchStep(
        name=name,
        subject=subject,
        before=verdict.before.run,
        after=verdict.after.run,
        cells=tuple(cell for cell in verdict.cells if cell.transition not in ALIKE_TRANSITIONS),
        findings=tuple(row for row in verdict.findings if row.fate is not FindingStatus.STILL or row.new_in),
        symbols=verdict.symbols,
    )
