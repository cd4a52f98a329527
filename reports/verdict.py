"""A verdict in words, for every format: what was fixed, broken, lost, flipped, and what nobody knows."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from matrix.findings.model import Condition
from matrix.record.outcome import State
from matrix.verdict.answers import explain_not_fixed
from matrix.verdict.model import (
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
from reports import findings as words
from reports import summary
from reports.changes import FATES, TRANSITIONS, Changes, Group, Told, by_arch
from reports.text import clean, plural

Naming = Callable[[Sequence[FindingChange]], str]
"""Words for some findings."""

_IDS_TOLD = 3
_FLIPS_TOLD = 6
_DIFFERENCES_TOLD = 10
_NOT_ITS_DOING = "nothing is claimed of what came out otherwise there"
_SETTLED_TOLD = 3


def ids(among: Sequence[FindingChange]) -> str:
    """``F1, F2``, as the before-run calls them; their number where they are many."""
    names = [name for one in among if one.before for name in one.before.ids]
    return ", ".join(names) if len(names) <= _IDS_TOLD else plural(len(names), "finding")


def headline(changes: Changes) -> str:
    """The verdict in one sentence, the worst first; `outcome` has its parts."""
    told = ", ".join(outcome(changes))
    return f"interrupted: {told}" if changes.after.run.interrupted else told


def outcome(changes: Changes, naming: Naming = ids) -> list[str]:
    """What the after-side does, each part with its verb, what is bad first; one that begins with "nothing"
    where nothing can be said. ``naming`` has words for findings."""
    looked = len(changes.looked_at)
    bad = [*_broken(changes), *_lost(changes)]
    if not looked and not bad:
        return ["nothing is claimed: no cell was built on both sides"]
    told = [f"{verb} {naming(among)}{how}" for verb, among, how in _of_findings(changes) if among]
    unbroken = [] if bad else [f"breaks nothing that was looked at ({plural(looked, 'cell')})"]
    return [*bad, *told, *_cells_fixed(changes), *_warnings(changes), *unbroken, *_unknown(changes)]


def _of_findings(changes: Changes) -> list[tuple[str, list[FindingChange], str]]:
    """What became of findings: the verb, which ones, and what there is to add."""
    return [
        ("does not fix", changes.unfixed, ""),
        ("loses and does not fix", changes.left(FindingStatus.LOST), ""),
        ("fixes", changes.left(FindingStatus.STILL), " only in part"),
        ("fixes", changes.fixed, ""),
        ("no longer shows", changes.left(FindingStatus.FIXED), ", and nothing says why"),
        ("leaves open what became of", changes.left(FindingStatus.UNKNOWN), ""),
    ]


def _broken(changes: Changes) -> list[str]:
    cells, errors = len(changes.among(Transition.BROKEN)), len(changes.new_errors)
    told = plural(errors, "new error")
    if cells:
        return [f"breaks {plural(cells, 'cell')}" + (f" ({told})" if errors else "")]
    return [f"brings {told}"] if errors else []


def _lost(changes: Changes) -> list[str]:
    cells = len(changes.among(Transition.LOST))
    return [f"loses {plural(cells, 'cell')}"] if cells else []


def _warnings(changes: Changes) -> list[str]:
    return [f"brings {plural(len(changes.new_warnings), 'new warning')}"] if changes.new_warnings else []


def _cells_fixed(changes: Changes) -> list[str]:
    """Cells that are fixed though no finding says what was wrong with them."""
    cells = [cell for cell in changes.among(Transition.FIXED) if not cell.findings_before]
    return [f"fixes {plural(len(cells), 'cell')} without a known error"] if cells else []


def _unknown(changes: Changes) -> list[str]:
    cells = len(changes.among(Transition.UNKNOWN))
    return [f"says nothing of {plural(cells, 'cell')}"] if cells else []


def heads(verdict: Verdict, changes: Changes) -> dict[str, list[str]]:
    """What stands below the headline, by name: what was asked, about what, and what that rests on."""
    looked, arches = plural(len(changes.looked_at), "cell"), by_arch(changes.looked_at)
    told = {
        "asked": list(map(answer, verdict.fixes)),
        "patch": list(map(patch, verdict.patches)),
        "base": base(verdict),
        "looked at": [f"{looked} ({arches})" if arches else looked],
        "unaffected": [f"{plural(count, 'cell')}: {why}" for why, count in changes.unaffected.items()],
        "steps": list(map(step, verdict.steps or ())),
    }
    return {name: lines for name, lines in told.items() if lines}


def answer(one: FixCheck) -> str:
    """``F1 is fixed``, or why it is not."""
    reason = f": {one.reason}" if one.reason and not one.fixed else ""
    return clean(f"{one.finding} is {'fixed' if one.fixed else 'not fixed'}{reason}")


def name(change: FindingChange) -> str:
    """A finding by its ids, each of its own run: ``F1 before, F2 after``."""
    sides = (("before", change.before), ("after", change.after))
    return ", ".join(f"{' '.join(seen.ids)} {when}" for when, seen in sides if seen)


def fate(change: FindingChange) -> str:
    """What became of a finding, in a sentence: ``gone in all of its 2 cells: compiled without it``."""
    told = {
        FindingStatus.FIXED: f"gone in {_all_of(change)}",
        FindingStatus.LOST: "lost, and so not fixed",
        FindingStatus.UNKNOWN: "nothing is claimed",
    }
    said = [told.get(change.fate) or _there(change)]
    kinds = _kinds(change)
    said += [kinds] if kinds else []
    if change.fate is FindingStatus.FIXED:
        said += list(filter(None, [explain_not_fixed(change), "" if change.flips else change.why]))
    else:
        said += [change.why] if change.why else []
    return clean(": ".join([said[0], *(["; ".join(said[1:])] if said[1:] else [])]))


def _there(change: FindingChange) -> str:
    """Where a finding is that is there after."""
    had, still = sum(change.became.values()), change.became.get(CellFindingStatus.STILL, 0)
    kind = "an error" if change.new_error else "a warning"
    told = [f"still there in {still} of its {plural(had, 'cell')}"] if had else []
    told += [f"new in {plural(len(change.new_in), 'cell')}, as {kind}"] if change.new_in else []
    return ", ".join(told)


def _all_of(change: FindingChange) -> str:
    cells = sum(change.became.values())
    return f"all of its {cells} cells" if cells > 1 else "its only cell"


def _kinds(change: FindingChange) -> str:
    """``1 compiled without it, 1 not built any more (KVM_VFIO is n there)``; without a count if all alike."""
    settled = f" ({_settled(change.flips)})" if change.flips else ""
    told = []
    gone = {became: count for became, count in change.became.items() if became is not CellFindingStatus.STILL}
    for became, count in gone.items():
        number = f"{count} " if len(change.became) > 1 else ""
        told.append(f"{number}{became}{settled if became is CellFindingStatus.NOT_BUILT else ''}")
    return ", ".join(told)


def _settled(flips: Sequence[SymbolFlip]) -> str:
    told = [f"{flip.symbol} is {flip.to}" for flip in flips[:_SETTLED_TOLD]]
    more = len(flips) - _SETTLED_TOLD
    return ", ".join([*told, *([f"{more} more"] if more > 0 else [])]) + " there"


def conditions(change: FindingChange) -> dict[str, list[str]]:
    """Its condition before and after, a line for each conjunction; once where they are the same."""
    sides = {"before": _condition(change.before), "after": _condition(change.after)}
    if sides["before"] == sides["after"]:
        return {"condition": sides["before"]}
    return {when: told for when, told in sides.items() if told}


def _condition(seen: SideFinding | None) -> list[str]:
    return words.condition(seen) if seen else []


def flips(changed: Sequence[SymbolFlip], shown: int = _FLIPS_TOLD) -> str:
    """``HAVE_KVM_ARCH_VFIO n -> y, KVM_VFIO y -> n``."""
    told = [f"{flip.symbol} {flip.from_} -> {flip.to}" for flip in changed[:shown]]
    more = len(changed) - shown
    return clean(", ".join(told) + (f" and {plural(more, 'more symbol')}" if more > 0 else ""))


def symbol(change: SymbolChange) -> str:
    """``KVM_VFIO y -> n in 34 cells: every one with VFIO=n``."""
    return f"{flips(change.flips)} in {plural(change.cells, 'cell')}: {every(change)}"


def every(change: SymbolChange) -> str:
    """Which cells they are: ``every one with VFIO=n``."""
    if not (change.condition and all(change.condition)):
        return "every one that was compared"
    least = "" if change.minimal else " (a smaller condition may exist)"
    return f"every one {under(change.condition)}{least}"


def under(condition: Condition) -> str:
    """A condition in a sentence: ``with KVM=y, VFIO=n on powerpc, or on s390``."""
    told = (words.conjunction(cube) for cube in condition)
    return ", or ".join(one if one.startswith(words.FIELDS) else f"with {one}" for one in told)


def group(one: Group) -> str:
    """``broken: pass -> fail, 3 cells (powerpc 2, x86 1)``, and why."""
    why = f": {one.why}" if one.why else ""
    return f"{one.transition}: {counted(one)}{why}"


def counted(one: Group) -> str:
    """``pass -> fail, 3 cells (powerpc 2, x86 1)``; without the states where they are the same."""
    turned = "" if one.before is one.after else f"{states(one)}, "
    return f"{turned}{plural(len(one.cells), 'cell')} ({by_arch(one.cells)})"


def states(one: Group) -> str:
    """``pass -> fail``."""
    return f"{one.before or 'not planned'} -> {one.after or 'not planned'}"


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "…")) else ".")


def difference(one: EnvironmentDifference) -> str:
    """``compiler of gcc-14 powerpc: 14.2.0 before, 14.3.0 after``."""
    place = f" of {one.where}" if one.where else ""
    means = "" if one.matters else "; it changes no outcome"
    return clean(f"{one.what}{place}: {one.before or 'none'} before, {one.after or 'none'} after{means}")


def differences(changes: Changes, shown: int = _DIFFERENCES_TOLD) -> list[str]:
    """What differs between the sides besides the source, what matters first, and what that means."""
    found = sorted(changes.differences, key=lambda one: not one.matters)
    more = len(found) - shown
    told = [
        *map(difference, found[:shown]),
        *([f"and {plural(more, 'more difference')}"] if more > 0 else []),
    ]
    return [*told, *([_NOT_ITS_DOING] if any(one.matters for one in found) else [])]


def patch(one: VerdictPatch) -> str:
    """A patch by its name and subject, and why it was not built."""
    refused = f"; it does not apply: {one.refused}" if one.refused else ""
    return clean(f"{one.name}  {one.subject}".strip() + refused)


def step(one: PatchStep) -> str:
    """What one patch of a series alone changed, in counts: ``2 cells broken, 1 finding new``."""
    cells = Counter(cell.transition for cell in one.cells)
    fates = Counter(change.fate for change in one.findings)
    told = [f"{plural(cells[what], 'cell')} {what}" for what in TRANSITIONS if cells[what]]
    told += [f"{plural(fates[fate], 'finding')} {fate}" for fate in FATES if fates[fate]]
    return clean(f"{one.name} ({one.subject}): {', '.join(told) or 'nothing'}")


def base(verdict: Verdict) -> list[str]:
    """What is to be known of what was built on, and of what was chosen of what was given."""
    named = f"the patch names base-commit {verdict.base_commit}" if verdict.base_commit else ""
    return [clean(line) for line in (verdict.base_differs or named, *verdict.notes) if line]


def facts(before: Told, after: Told) -> dict[str, tuple[str, ...]]:
    """What decides about both runs, by name; once where they agree."""
    sides = [{**summary.facts(told.run), "cells": (_counted(told),)} for told in (before, after)]
    return {fact: _both(sides, fact) for fact in dict.fromkeys([*sides[0], *sides[1]])}


def _both(sides: Sequence[Mapping[str, tuple[str, ...]]], fact: str) -> tuple[str, ...]:
    here, there = (side.get(fact, ("none",)) for side in sides)
    if here == there:
        return here
    return (*_marked("before", here), *_marked("after", there))


def _marked(when: str, lines: Iterable[str]) -> list[str]:
    return [f"{when}: {line}" for line in lines]


def _counted(told: Told) -> str:
    counts: dict[State, int] = summary.counts(told.run.cells)
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "none"
