"""A verdict for every format: what was fixed, broken, lost, changed, and what is not known, in words."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from matrix.findings.finding import Condition
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Run
from matrix.record.states import State
from matrix.verdict.finding_outcome import (
    WORDINGS,
    classify_outcome,
    explain_not_fixed,
)
from matrix.verdict.gates import format_fix_check
from matrix.verdict.through_text import ThroughNaming, format_toolchain_outcomes, list_through_ids
from matrix.verdict.verdict_model import (
    CellChange,
    CellFindingStatus,
    EnvironmentDifference,
    FindingChange,
    FindingStatus,
    PatchStep,
    SideFinding,
    SymbolChange,
    SymbolFlip,
    Transition,
    Verdict,
    VerdictPatch,
)
from reports import finding_text, limits, summary
from reports.changes import (
    FINDING_OUTCOME_STATES,
    TRANSITION_STATES,
    CellChangeGroup,
    RunChanges,
    format_arch_counts,
)
from reports.formatting import format_count, join_first

FindingsFormatter = Callable[[Sequence[FindingChange]], str]
"""Formats several findings as a phrase."""

_NOTHING_CLAIMED = "nothing is claimed of what came out otherwise there"


def format_finding_ids(findings: Sequence[FindingChange]) -> str:
    """``F1, F2``, as the before-run calls them; their number where they are many."""
    names = [name for change in findings if change.before for name in change.before.ids]
    return ", ".join(names) if len(names) <= limits.FINDING_IDS else format_count(len(names), "finding")


def format_verdict_headline(changes: RunChanges) -> str:
    """The verdict in one sentence, the worst first; `list_outcome_phrases` has its parts. Before it stands
    why it is one on less than was asked."""
    gaps = ["interrupted"] if changes.after.run.interrupted else []
    gaps += list_refused_patches(changes.patches)
    return ": ".join([*gaps, ", ".join(list_outcome_phrases(changes))])


def list_refused_patches(patches: Sequence[VerdictPatch]) -> list[str]:
    """``patch 2 of 3 does not apply``, without foreign text."""
    return [
        f"patch {number} of {len(patches)} does not apply"
        for number, patch in enumerate(patches, 1)
        if patch.refused
    ]


def list_outcome_phrases(changes: RunChanges, naming: FindingsFormatter = format_finding_ids) -> list[str]:
    """What the after-side does, each part with its verb, what is bad first; one that begins with "nothing"
    where nothing can be said. ``naming`` formats the findings in them."""
    compared = len(changes.compared_cells)
    bad = [*_format_broken_cells(changes), *_format_lost_cells(changes)]
    if not compared and not bad:
        return ["nothing is claimed: no cell was built on both sides"]
    outcomes = [
        f"{verb} {naming(findings)}{how}"
        for verb, findings, how in _list_finding_outcomes(changes)
        if findings
    ]
    unbroken = [] if bad else [f"breaks nothing that was looked at ({format_count(compared, 'cell')})"]
    return [
        *bad,
        *outcomes,
        *_format_fixed_cells(changes),
        *_format_new_warnings(changes),
        *unbroken,
        *_format_unknown_cells(changes),
    ]


def _list_finding_outcomes(changes: RunChanges) -> list[tuple[str, list[FindingChange], str]]:
    """What became of findings: the verb, which ones, and what there is to add."""
    return [
        (wording.verb, changes.select_reported(outcome), wording.addition)
        for outcome, wording in WORDINGS.items()
    ]


def _format_broken_cells(changes: RunChanges) -> list[str]:
    cells, errors = len(changes.select_cells(Transition.BROKEN)), len(changes.new_errors)
    new_errors = format_count(errors, "new error") + _format_new_breakage(changes)
    if cells:
        broken = [f"breaks {format_count(cells, 'cell')}" + (f" ({new_errors})" if errors else "")]
    else:
        broken = [f"brings {new_errors}"] if errors else []
    return broken + _format_added_failures(changes)


def _format_added_failures(changes: RunChanges) -> list[str]:
    added = sum(cell.is_added_failure for cell in changes.cells)
    where = format_count(added, "cell")
    return [f"fails without a known error in {where} not planned before"] if added else []


def _format_new_breakage(changes: RunChanges) -> str:
    """``, gcc-14 broke``: whether any new error is one of a tool that broke by itself."""
    broken = [change.after for change in changes.new_errors if change.blames and change.after]
    return f", {summary.format_broken_tools(broken)}" if broken else ""


def _format_lost_cells(changes: RunChanges) -> list[str]:
    cells = len(changes.select_cells(Transition.LOST))
    return [f"loses {format_count(cells, 'cell')}"] if cells else []


def _format_new_warnings(changes: RunChanges) -> list[str]:
    return (
        [f"brings {format_count(len(changes.new_warnings), 'new warning')}"] if changes.new_warnings else []
    )


def _format_fixed_cells(changes: RunChanges) -> list[str]:
    """Cells that are fixed though no finding explains what was wrong with them."""
    cells = [cell for cell in changes.select_cells(Transition.FIXED) if not cell.findings_before]
    return [f"fixes {format_count(len(cells), 'cell')} without a known error"] if cells else []


def _format_unknown_cells(changes: RunChanges) -> list[str]:
    cells = len(changes.select_cells(Transition.UNKNOWN))
    return [f"says nothing of {format_count(cells, 'cell')}"] if cells else []


def collect_summary_lines(verdict: Verdict, changes: RunChanges) -> dict[str, list[str]]:
    """What stands below the headline, by name: what was asked, about what, and what that rests on."""
    compared = format_count(len(changes.compared_cells), "cell")
    arches = format_arch_counts(changes.compared_cells)
    summary_lines = {
        "asked": list(map(format_fix_check, verdict.fixes)),
        "patch": list(map(format_patch, verdict.patches)),
        "base": list_base_notes(verdict),
        "looked at": [f"{compared} ({arches})" if arches else compared],
        "unaffected": [
            f"{format_count(count, 'cell')}: {why}" for why, count in changes.unaffected_reasons.items()
        ],
        "remembered": [
            f"{format_count(count, 'cell')}, from {run}" for run, count in changes.remembered_runs.items()
        ],
        "steps": list(map(format_step, verdict.steps or ())),
    }
    return {name: lines for name, lines in summary_lines.items() if lines}


def format_finding_status(change: FindingChange, naming: ThroughNaming = list_through_ids) -> str:
    """What became of a finding, in a sentence: ``gone in all of its 2 cells: compiled without it``.

    ``naming`` names what it was seen through, where its cells' own builds do not show it.
    """
    gone = {
        FindingStatus.FIXED: f"gone in {_format_all_cells(change)}",
        FindingStatus.LOST: "lost, and so not fixed",
        FindingStatus.UNKNOWN: "nothing is claimed",
    }
    outcome = gone.get(change.fate) or _format_remaining_cells(change)
    details = [_format_gone_cells(change)]
    if change.fate is FindingStatus.FIXED:
        details += [explain_not_fixed(change), "" if change.flips else change.why or ""]
    else:
        details += [change.why or ""]
    details += [format_toolchain_outcomes(change, naming)]
    return ": ".join(filter(None, [outcome, "; ".join(filter(None, details))]))


def _format_remaining_cells(change: FindingChange) -> str:
    """Where a finding is that is there after."""
    had, still = sum(change.became.values()), change.became.get(CellFindingStatus.STILL, 0)
    kind = "an error" if change.new_error else "a warning"
    parts = [f"still there in {still} of its {format_count(had, 'cell')}"] if had else []
    parts += [f"new in {format_count(len(change.new_in), 'cell')}, as {kind}"] if change.new_in else []
    return ", ".join(parts)


def _format_all_cells(change: FindingChange) -> str:
    cells = sum(change.became.values())
    return f"all of its {cells} cells" if cells > 1 else "its only cell"


def _format_gone_cells(change: FindingChange) -> str:
    """``1 compiled without it, 1 not built any more (KVM_VFIO is n there)``; without a count if all alike."""
    settled = f" ({_format_settled_symbols(change.flips)})" if change.flips else ""
    parts = []
    for status, count in change.became.items():
        if status is not CellFindingStatus.STILL:
            number = f"{count} " if len(change.became) > 1 else ""
            parts.append(f"{number}{status}{settled if status is CellFindingStatus.NOT_BUILT else ''}")
    return ", ".join(parts)


def _format_settled_symbols(flips: Sequence[SymbolFlip]) -> str:
    values = [f"{flip.symbol} is {flip.to}" for flip in flips]
    return join_first(values, limits.SETTLED_SYMBOLS, ", ") + " there"


def collect_conditions(change: FindingChange) -> dict[str, list[str]]:
    """Its condition before and after, a line for each conjunction; once where they are the same."""
    sides = {"before": _format_seen_condition(change.before), "after": _format_seen_condition(change.after)}
    if sides["before"] == sides["after"]:
        return {"condition": sides["before"]}
    return {when: lines for when, lines in sides.items() if lines}


def _format_seen_condition(seen: SideFinding | None) -> list[str]:
    return finding_text.format_condition(seen) if seen else []


def format_flips(flips: Sequence[SymbolFlip]) -> str:
    """``HAVE_KVM_ARCH_VFIO n -> y, KVM_VFIO y -> n``."""
    words = [f"{flip.symbol} {flip.from_} -> {flip.to}" for flip in flips[: limits.SYMBOL_FLIPS]]
    more = len(flips) - limits.SYMBOL_FLIPS
    return ", ".join(words) + (f" and {format_count(more, 'more symbol')}" if more > 0 else "")


def format_symbol_change(change: SymbolChange) -> str:
    """``KVM_VFIO y -> n in 34 cells: every one with VFIO=n``."""
    cells = f"{format_count(change.cells, 'cell')}: {format_affected_cells(change)}"
    return f"{format_flips(change.flips)} in {cells}"


def format_affected_cells(change: SymbolChange) -> str:
    """Which cells they are: ``every one with VFIO=n``."""
    if not (change.condition and all(change.condition)):
        return "every one that was compared"
    least = "" if change.minimal else " (a smaller condition may exist)"
    return f"every one {format_condition_phrase(change.condition)}{least}"


def format_condition_phrase(condition: Condition) -> str:
    """A condition in a sentence: ``with KVM=y, VFIO=n on powerpc, or on s390``."""
    cubes = map(finding_text.format_conjunction, condition)
    return ", or ".join(
        cube if cube.startswith(finding_text.FIELD_PREFIXES) else f"with {cube}" for cube in cubes
    )


def format_cell_group(group: CellChangeGroup) -> str:
    """``broken: pass -> fail, 3 cells (powerpc 2, x86 1)``, and why."""
    why = f": {group.why}" if group.why else ""
    return f"{group.transition}: {format_group_counts(group)}{why}"


def format_group_counts(group: CellChangeGroup) -> str:
    """``pass -> fail, 3 cells (powerpc 2, x86 1)``; without the states where they are the same."""
    change = "" if group.before is group.after else f"{format_state_change(group)}, "
    return f"{change}{format_count(len(group.cells), 'cell')} ({format_arch_counts(group.cells)})"


def format_state_change(group: CellChangeGroup | CellChange) -> str:
    """``pass -> fail``."""
    return f"{group.before or 'not planned'} -> {group.after or 'not planned'}"


def format_sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "…")) else ".")


def format_difference(difference: EnvironmentDifference) -> str:
    """``compiler of gcc-14 powerpc: 14.2.0 before, 14.3.0 after``."""
    where = f" of {difference.where}" if difference.where else ""
    before, after = difference.before or "none", difference.after or "none"
    means = "" if difference.matters else "; it changes no outcome"
    return f"{difference.what}{where}: {before} before, {after} after{means}"


def format_differences(changes: RunChanges, shown: int = limits.DIFFERENCES) -> list[str]:
    """What differs between the sides besides the source, what matters first, and what that means."""
    differences = sorted(changes.differences, key=lambda difference: not difference.matters)
    more = len(differences) - shown
    return [
        *map(format_difference, differences[:shown]),
        *([f"and {format_count(more, 'more difference')}"] if more > 0 else []),
        *([_NOTHING_CLAIMED] if any(difference.matters for difference in differences) else []),
    ]


def format_patch(patch: VerdictPatch) -> str:
    """A patch by its name and subject, and why it was not built."""
    refused = f"; it does not apply: {patch.refused}" if patch.refused else ""
    return f"{patch.name}  {patch.subject}".strip() + refused


def format_step(step: PatchStep) -> str:
    """What one patch of a series alone changed, in counts: ``2 cells broken, 1 finding new``."""
    cells = Counter(cell.transition for cell in step.cells)
    outcomes = Counter(map(classify_outcome, step.findings))
    counts = [f"{format_count(cells[what], 'cell')} {what}" for what in TRANSITION_STATES if cells[what]]
    counts += [
        f"{format_count(outcomes[outcome], 'finding')} {outcome}"
        for outcome in FINDING_OUTCOME_STATES
        if outcomes[outcome]
    ]
    return f"{step.name} ({step.subject}): {', '.join(counts) or 'nothing'}"


def list_base_notes(verdict: Verdict) -> list[str]:
    """What is to be known of what was built on, and of what was chosen of what was given."""
    named = f"the patch names base-commit {verdict.base_commit}" if verdict.base_commit else ""
    return [line for line in (verdict.base_differs or named, *verdict.notes) if line]


def compare_run_facts(before: StoredRun, after: StoredRun) -> dict[str, tuple[str, ...]]:
    """What decides about both runs, by name; once where they agree."""
    sides = [
        {**summary.collect_run_facts(stored.run), "cells": (_format_state_counts(stored.run),)}
        for stored in (before, after)
    ]
    return {fact: _merge_side_lines(sides, fact) for fact in dict.fromkeys([*sides[0], *sides[1]])}


def _merge_side_lines(sides: Sequence[Mapping[str, tuple[str, ...]]], fact: str) -> tuple[str, ...]:
    before, after = (side.get(fact, ("none",)) for side in sides)
    if before == after:
        return before
    return (*_prefix_lines("before", before), *_prefix_lines("after", after))


def _prefix_lines(when: str, lines: Iterable[str]) -> list[str]:
    return [f"{when}: {line}" for line in lines]


def _format_state_counts(run: Run) -> str:
    counts: dict[State, int] = summary.count_states(run.cells)
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "none"
