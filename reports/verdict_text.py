"""A verdict in words, for every format: what was fixed, broken, lost, flipped, and what nobody knows."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from matrix.findings.finding import Condition
from matrix.findings.stored_run import StoredRun
from matrix.record.states import State
from matrix.verdict.gates import explain_not_fixed
from matrix.verdict.verdict_model import (
    CellFindingStatus,
    EnvironmentDifference,
    FindingChange,
    FindingStatus,
    FixCheck,
    PatchStep,
    SideFinding,
    SymbolChange,
    SymbolFlip,
    Transition,
    Verdict,
    VerdictPatch,
)
from reports import finding_text, summary
from reports.changes import (
    FINDING_STATUS_STATES,
    TRANSITION_STATES,
    CellChangeGroup,
    RunChanges,
    format_arch_counts,
)
from reports.formatting import clean_text, format_count

FindingsFormatter = Callable[[Sequence[FindingChange]], str]
"""Words for some findings."""

_IDS_SHOWN = 3
_FLIPS_SHOWN = 6
_DIFFERENCES_SHOWN = 10
_NOTHING_CLAIMED = "nothing is claimed of what came out otherwise there"
_VALUES_SHOWN = 3


def format_finding_ids(among: Sequence[FindingChange]) -> str:
    """``F1, F2``, as the before-run calls them; their number where they are many."""
    names = [name for one in among if one.before for name in one.before.ids]
    return ", ".join(names) if len(names) <= _IDS_SHOWN else format_count(len(names), "finding")


def format_verdict_headline(changes: RunChanges) -> str:
    """The verdict in one sentence, the worst first; `outcome` has its parts."""
    told = ", ".join(list_outcome_phrases(changes))
    return f"interrupted: {told}" if changes.after.run.interrupted else told


def list_outcome_phrases(changes: RunChanges, naming: FindingsFormatter = format_finding_ids) -> list[str]:
    """What the after-side does, each part with its verb, what is bad first; one that begins with "nothing"
    where nothing can be said. ``naming`` has words for findings."""
    looked = len(changes.compared_cells)
    bad = [*_format_broken_cells(changes), *_format_lost_cells(changes)]
    if not looked and not bad:
        return ["nothing is claimed: no cell was built on both sides"]
    told = [f"{verb} {naming(among)}{how}" for verb, among, how in _list_finding_outcomes(changes) if among]
    unbroken = [] if bad else [f"breaks nothing that was looked at ({format_count(looked, 'cell')})"]
    return [
        *bad,
        *told,
        *_format_fixed_cells(changes),
        *_format_new_warnings(changes),
        *unbroken,
        *_format_unknown_cells(changes),
    ]


def _list_finding_outcomes(changes: RunChanges) -> list[tuple[str, list[FindingChange], str]]:
    """What became of findings: the verb, which ones, and what there is to add."""
    return [
        ("does not fix", changes.unfixed_findings, ""),
        ("loses and does not fix", changes.select_remaining(FindingStatus.LOST), ""),
        ("fixes", changes.select_remaining(FindingStatus.STILL), " only in part"),
        ("fixes", changes.fixed_findings, ""),
        ("no longer shows", changes.select_remaining(FindingStatus.FIXED), ", and nothing says why"),
        ("leaves open what became of", changes.select_remaining(FindingStatus.UNKNOWN), ""),
    ]


def _format_broken_cells(changes: RunChanges) -> list[str]:
    cells, errors = len(changes.select_cells(Transition.BROKEN)), len(changes.new_errors)
    told = format_count(errors, "new error")
    if cells:
        return [f"breaks {format_count(cells, 'cell')}" + (f" ({told})" if errors else "")]
    return [f"brings {told}"] if errors else []


def _format_lost_cells(changes: RunChanges) -> list[str]:
    cells = len(changes.select_cells(Transition.LOST))
    return [f"loses {format_count(cells, 'cell')}"] if cells else []


def _format_new_warnings(changes: RunChanges) -> list[str]:
    return (
        [f"brings {format_count(len(changes.new_warnings), 'new warning')}"] if changes.new_warnings else []
    )


def _format_fixed_cells(changes: RunChanges) -> list[str]:
    """Cells that are fixed though no finding says what was wrong with them."""
    cells = [cell for cell in changes.select_cells(Transition.FIXED) if not cell.findings_before]
    return [f"fixes {format_count(len(cells), 'cell')} without a known error"] if cells else []


def _format_unknown_cells(changes: RunChanges) -> list[str]:
    cells = len(changes.select_cells(Transition.UNKNOWN))
    return [f"says nothing of {format_count(cells, 'cell')}"] if cells else []


def collect_summary_lines(verdict: Verdict, changes: RunChanges) -> dict[str, list[str]]:
    """What stands below the headline, by name: what was asked, about what, and what that rests on."""
    looked, arches = (
        format_count(len(changes.compared_cells), "cell"),
        format_arch_counts(changes.compared_cells),
    )
    told = {
        "asked": list(map(format_fix_answer, verdict.fixes)),
        "patch": list(map(format_patch, verdict.patches)),
        "base": list_base_notes(verdict),
        "looked at": [f"{looked} ({arches})" if arches else looked],
        "unaffected": [
            f"{format_count(count, 'cell')}: {why}" for why, count in changes.unaffected_reasons.items()
        ],
        "steps": list(map(format_step, verdict.steps or ())),
    }
    return {name: lines for name, lines in told.items() if lines}


def format_fix_answer(one: FixCheck) -> str:
    """``F1 is fixed``, or why it is not."""
    reason = f": {one.reason}" if one.reason and not one.fixed else ""
    return clean_text(f"{one.finding} is {'fixed' if one.fixed else 'not fixed'}{reason}")


def format_ids_by_side(change: FindingChange) -> str:
    """A finding by its ids, each of its own run: ``F1 before, F2 after``."""
    sides = (("before", change.before), ("after", change.after))
    return ", ".join(f"{' '.join(seen.ids)} {when}" for when, seen in sides if seen)


def format_finding_status(change: FindingChange) -> str:
    """What became of a finding, in a sentence: ``gone in all of its 2 cells: compiled without it``."""
    told = {
        FindingStatus.FIXED: f"gone in {_format_all_cells(change)}",
        FindingStatus.LOST: "lost, and so not fixed",
        FindingStatus.UNKNOWN: "nothing is claimed",
    }
    said = [told.get(change.fate) or _format_remaining_cells(change)]
    kinds = _format_gone_cells(change)
    said += [kinds] if kinds else []
    if change.fate is FindingStatus.FIXED:
        said += list(filter(None, [explain_not_fixed(change), "" if change.flips else change.why]))
    else:
        said += [change.why] if change.why else []
    return clean_text(": ".join([said[0], *(["; ".join(said[1:])] if said[1:] else [])]))


def _format_remaining_cells(change: FindingChange) -> str:
    """Where a finding is that is there after."""
    had, still = sum(change.became.values()), change.became.get(CellFindingStatus.STILL, 0)
    kind = "an error" if change.new_error else "a warning"
    told = [f"still there in {still} of its {format_count(had, 'cell')}"] if had else []
    told += [f"new in {format_count(len(change.new_in), 'cell')}, as {kind}"] if change.new_in else []
    return ", ".join(told)


def _format_all_cells(change: FindingChange) -> str:
    cells = sum(change.became.values())
    return f"all of its {cells} cells" if cells > 1 else "its only cell"


def _format_gone_cells(change: FindingChange) -> str:
    """``1 compiled without it, 1 not built any more (KVM_VFIO is n there)``; without a count if all alike."""
    settled = f" ({_format_settled_symbols(change.flips)})" if change.flips else ""
    told = []
    gone = {became: count for became, count in change.became.items() if became is not CellFindingStatus.STILL}
    for became, count in gone.items():
        number = f"{count} " if len(change.became) > 1 else ""
        told.append(f"{number}{became}{settled if became is CellFindingStatus.NOT_BUILT else ''}")
    return ", ".join(told)


def _format_settled_symbols(flips: Sequence[SymbolFlip]) -> str:
    told = [f"{flip.symbol} is {flip.to}" for flip in flips[:_VALUES_SHOWN]]
    more = len(flips) - _VALUES_SHOWN
    return ", ".join([*told, *([f"{more} more"] if more > 0 else [])]) + " there"


def collect_conditions(change: FindingChange) -> dict[str, list[str]]:
    """Its condition before and after, a line for each conjunction; once where they are the same."""
    sides = {"before": _format_seen_condition(change.before), "after": _format_seen_condition(change.after)}
    if sides["before"] == sides["after"]:
        return {"condition": sides["before"]}
    return {when: told for when, told in sides.items() if told}


def _format_seen_condition(seen: SideFinding | None) -> list[str]:
    return finding_text.format_condition(seen) if seen else []


def format_flips(changed: Sequence[SymbolFlip], shown: int = _FLIPS_SHOWN) -> str:
    """``HAVE_KVM_ARCH_VFIO n -> y, KVM_VFIO y -> n``."""
    told = [f"{flip.symbol} {flip.from_} -> {flip.to}" for flip in changed[:shown]]
    more = len(changed) - shown
    return clean_text(", ".join(told) + (f" and {format_count(more, 'more symbol')}" if more > 0 else ""))


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
    told = (finding_text.format_conjunction(cube) for cube in condition)
    return ", or ".join(one if one.startswith(finding_text.FIELD_PREFIXES) else f"with {one}" for one in told)


def format_cell_group(one: CellChangeGroup) -> str:
    """``broken: pass -> fail, 3 cells (powerpc 2, x86 1)``, and why."""
    why = f": {one.why}" if one.why else ""
    return f"{one.transition}: {format_group_counts(one)}{why}"


def format_group_counts(one: CellChangeGroup) -> str:
    """``pass -> fail, 3 cells (powerpc 2, x86 1)``; without the states where they are the same."""
    turned = "" if one.before is one.after else f"{format_state_change(one)}, "
    return f"{turned}{format_count(len(one.cells), 'cell')} ({format_arch_counts(one.cells)})"


def format_state_change(one: CellChangeGroup) -> str:
    """``pass -> fail``."""
    return f"{one.before or 'not planned'} -> {one.after or 'not planned'}"


def format_sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "…")) else ".")


def format_difference(one: EnvironmentDifference) -> str:
    """``compiler of gcc-14 powerpc: 14.2.0 before, 14.3.0 after``."""
    place = f" of {one.where}" if one.where else ""
    means = "" if one.matters else "; it changes no outcome"
    return clean_text(f"{one.what}{place}: {one.before or 'none'} before, {one.after or 'none'} after{means}")


def format_differences(changes: RunChanges, shown: int = _DIFFERENCES_SHOWN) -> list[str]:
    """What differs between the sides besides the source, what matters first, and what that means."""
    found = sorted(changes.differences, key=lambda one: not one.matters)
    more = len(found) - shown
    told = [
        *map(format_difference, found[:shown]),
        *([f"and {format_count(more, 'more difference')}"] if more > 0 else []),
    ]
    return [*told, *([_NOTHING_CLAIMED] if any(one.matters for one in found) else [])]


def format_patch(one: VerdictPatch) -> str:
    """A patch by its name and subject, and why it was not built."""
    refused = f"; it does not apply: {one.refused}" if one.refused else ""
    return clean_text(f"{one.name}  {one.subject}".strip() + refused)


def format_step(one: PatchStep) -> str:
    """What one patch of a series alone changed, in counts: ``2 cells broken, 1 finding new``."""
    cells = Counter(cell.transition for cell in one.cells)
    fates = Counter(change.fate for change in one.findings)
    told = [f"{format_count(cells[what], 'cell')} {what}" for what in TRANSITION_STATES if cells[what]]
    told += [
        f"{format_count(fates[fate], 'finding')} {fate}" for fate in FINDING_STATUS_STATES if fates[fate]
    ]
    return clean_text(f"{one.name} ({one.subject}): {', '.join(told) or 'nothing'}")


def list_base_notes(verdict: Verdict) -> list[str]:
    """What is to be known of what was built on, and of what was chosen of what was given."""
    named = f"the patch names base-commit {verdict.base_commit}" if verdict.base_commit else ""
    return [clean_text(line) for line in (verdict.base_differs or named, *verdict.notes) if line]


def compare_run_facts(before: StoredRun, after: StoredRun) -> dict[str, tuple[str, ...]]:
    """What decides about both runs, by name; once where they agree."""
    sides = [
        {**summary.collect_run_facts(told.run), "cells": (_format_state_counts(told),)}
        for told in (before, after)
    ]
    return {fact: _merge_side_lines(sides, fact) for fact in dict.fromkeys([*sides[0], *sides[1]])}


def _merge_side_lines(sides: Sequence[Mapping[str, tuple[str, ...]]], fact: str) -> tuple[str, ...]:
    here, there = (side.get(fact, ("none",)) for side in sides)
    if here == there:
        return here
    return (*_prefix_lines("before", here), *_prefix_lines("after", there))


def _prefix_lines(when: str, lines: Iterable[str]) -> list[str]:
    return [f"{when}: {line}" for line in lines]


def _format_state_counts(told: StoredRun) -> str:
    counts: dict[State, int] = summary.count_states(told.run.cells)
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "none"
