"""A finding as one view, from which every format renders what it shows of it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.finding import Finding, Proof
from matrix.findings.make_steps import RunLocation, find_diagnostic_ref, list_make_steps
from matrix.record.run_model import Cell
from matrix.record.states import State
from matrix.verdict.finding_outcome import FindingOutcome, classify_outcome
from matrix.verdict.through_text import list_look_commands
from matrix.verdict.verdict_model import FindingChange
from reports import finding_text, verdict_text
from reports.changes import FINDING_OUTCOME_STATES, RunChanges
from reports.formatting import format_count
from reports.limits import ALIKE_NEIGHBOURS, CONSEQUENCES, FindingLimits
from reports.summary import format_diagnostic_title


@dataclass(frozen=True)
class CompilerMessage:
    """What toolchains print of a finding. ``label`` names them, ``gcc-13, gcc-14 say``, or says that it
    follows from the finding in the same compilation (``follows``)."""

    label: str
    diagnostic: Diagnostic
    lines: tuple[str, ...]
    follows: bool = False

    @property
    def plain_lines(self) -> tuple[str, ...]:
        """The lines for a format that has no place for labels."""
        return tuple(f"{self.label}: {line}" for line in self.lines) if self.follows else self.lines


@dataclass(frozen=True)
class Neighbour:
    """A cell that differs in one axis from one with the finding, and what it proves, in words."""

    proof: Proof
    outcome: str


@dataclass(frozen=True)
class NeighbourRow:
    """A neighbour as a table shows it; or several that prove the same on one axis, ``to`` their values there
    and ``cell`` their number."""

    axis: str
    from_: str
    to: str
    outcome: str
    cell: str


@dataclass(frozen=True)
class ConjunctionProof:
    """One conjunction of a condition in words, and the neighbours that prove its terms."""

    text: str
    neighbours: tuple[Neighbour, ...]

    @property
    def rows(self) -> Iterator[NeighbourRow]:
        """A row for each of the first neighbours of each kind, and one for the others together: an axis may
        have hundreds of values."""
        alike: dict[tuple[str, str, str], list[Proof]] = {}
        for each in self.neighbours:
            alike.setdefault((each.proof.flip, each.proof.from_, each.outcome), []).append(each.proof)
        for (axis, value, outcome), proofs in alike.items():
            shown = proofs if len(proofs) <= ALIKE_NEIGHBOURS + 1 else proofs[:ALIKE_NEIGHBOURS]
            for proof in shown:
                yield NeighbourRow(axis, value, proof.to, outcome, proof.cell or "")
            if others := [proof.to for proof in proofs[len(shown) :]]:
                count = format_count(len(others), "more cell")
                yield NeighbourRow(axis, value, ", ".join(others), outcome, count)


@dataclass(frozen=True)
class FindingView:
    """All that a format shows of a finding, as far as its limits allow. Each part is made when it is asked
    for: not every format shows all of them."""

    location: RunLocation
    finding: Finding
    limits: FindingLimits

    @property
    def id(self) -> str:
        return self.finding.id

    @property
    def followers(self) -> list[str]:
        """For each symbol of the condition that others of imported builds follow: that these may be meant."""
        known = self.location.stored.run.followers
        named = dict.fromkeys(axis for cube in self.finding.condition for axis in cube)
        return [finding_text.format_followers(axis, known[axis]) for axis in named if known.get(axis)]

    @property
    def title(self) -> str:
        return self.finding.title

    @property
    def state(self) -> State:
        """The state of the cells that it is worst in."""
        return State.FAIL if self.finding.is_error else State.WARN

    @property
    def severity(self) -> str:
        return finding_text.format_severity(self.finding)

    @property
    def blame(self) -> str:
        """Whose fault it is where it is not the tree's; empty where it is."""
        return finding_text.format_blame(self.finding) if self.finding.blames else ""

    @property
    def condition(self) -> list[str]:
        return finding_text.format_condition(self.finding)

    @property
    def context(self) -> str:
        """The axes that had one value, which nothing can be said about: ``base=defconfig``."""
        return ", ".join(f"{name}={value}" for name, value in self.finding.context.items())

    @property
    def assumptions(self) -> list[str]:
        return list(map(finding_text.format_assumption, self.finding.assumes))

    @property
    def scope(self) -> dict[str, list[str]]:
        """Where it was seen, is absent, or could not be looked for: a line for each kind of lane."""
        scope = self.finding.scope
        where = {"seen": scope.seen, "absent": scope.absent, "not known": scope.unknown}
        return {name: finding_text.format_scope(lanes) for name, lanes in where.items()}

    @property
    def proof(self) -> str:
        return finding_text.format_proof(self.finding)

    @property
    def conjunctions(self) -> tuple[ConjunctionProof, ...]:
        return tuple(
            ConjunctionProof(
                finding_text.format_conjunction(cube),
                tuple(
                    Neighbour(proof, finding_text.format_neighbour(proof))
                    for proofs in finding_text.group_proofs_by_axis(self.finding, number).values()
                    for proof in proofs
                ),
            )
            for number, cube in enumerate(self.finding.condition)
        )

    @cached_property
    def messages(self) -> tuple[CompilerMessage, ...]:
        """The first message of each toolchain, once where several print the same; then what follows."""
        run = self.location.stored.run
        own = (
            CompilerMessage(
                label,
                diagnostic,
                tuple(finding_text.format_diagnostic(diagnostic)[: self.limits.message_lines]),
            )
            for label, diagnostic in finding_text.label_diagnostics(run, self.finding).items()
        )
        return (*own, *self._consequences)

    @property
    def _consequences(self) -> Iterator[CompilerMessage]:
        """What follows from it, a line for each; the last label counts those that are not shown."""
        run = self.location.stored.run
        known = [run.diagnostics[key] for key in self.finding.consequences if key in run.diagnostics]
        shown = known[:CONSEQUENCES]
        for number, diagnostic in enumerate(shown, 1):
            hidden = len(known) - number if number == len(shown) else 0
            label = finding_text.format_consequence_label(hidden)
            yield CompilerMessage(label, diagnostic, (format_diagnostic_title(diagnostic),), follows=True)

    @property
    def message_lines(self) -> list[str]:
        return [line for message in self.messages for line in message.plain_lines]

    @property
    def hidden_message_count(self) -> int:
        return max(0, len(self.finding.diagnostics) - len(self.finding.severity))

    @cached_property
    def affected_cells(self) -> list[Cell]:
        return self.location.stored.list_affected_cells(self.finding)

    @property
    def cells(self) -> list[Cell]:
        """The affected cells that are shown."""
        return self.affected_cells[: self.limits.cells]

    @property
    def hidden_cell_count(self) -> int:
        return max(0, len(self.affected_cells) - self.limits.cells)

    @property
    def commands(self) -> list[str]:
        """What to type to see it in its first cell."""
        cell = self.affected_cells[0]
        steps = list_make_steps(cell, self.location, find_diagnostic_ref(cell, self.finding))
        return [command for _, command in steps]


@dataclass(frozen=True)
class FindingChangeView:
    """All that a format shows of a finding on both sides. ``shown`` is the finding itself, of the run that
    has it, the after-side where both do; ``is_after`` is whether it is that one's."""

    change: FindingChange
    shown: FindingView | None
    is_after: bool

    @property
    def status(self) -> FindingOutcome:
        return classify_outcome(self.change)

    @property
    def state(self) -> State:
        """The state that it is styled like."""
        return FINDING_OUTCOME_STATES[self.status]

    @property
    def ids(self) -> str:
        """Its ids, each of its own run: ``F1 before, F2 after``."""
        sides = (("before", self.change.before), ("after", self.change.after))
        return ", ".join(f"{' '.join(seen.ids)} {when}" for when, seen in sides if seen)

    @property
    def title(self) -> str:
        return self.change.title

    @property
    def conditions(self) -> dict[str, list[str]]:
        return verdict_text.collect_conditions(self.change)

    @property
    def severity(self) -> str:
        seen = self.change.after or self.change.before
        return finding_text.format_severity(seen) if seen else ""

    @property
    def blame(self) -> str:
        """Whose fault it is where it is not the tree's; empty where it is."""
        seen = self.change.after or self.change.before
        return finding_text.format_blame(seen) if seen and self.change.blames else ""

    @property
    def outcome(self) -> str:
        return verdict_text.format_finding_status(self.change)

    @property
    def look_commands(self) -> list[str]:
        """What was made by itself to see it behind other errors."""
        return list_look_commands(self.change)

    @property
    def messages(self) -> tuple[CompilerMessage, ...]:
        return self.shown.messages if self.shown else ()

    @property
    def message_lines(self) -> list[str]:
        return self.shown.message_lines if self.shown else []

    @property
    def tree(self) -> str:
        """The tree in which its commands show it."""
        return "after" if self.is_after else "before"

    @property
    def commands(self) -> list[str]:
        return self.shown.commands if self.shown else []


def view_finding_change(
    changes: RunChanges, change: FindingChange, shown: FindingLimits
) -> FindingChangeView:
    """The view of one change; paths of its run are shown as the after-run's directory has them."""
    located = changes.locate_finding(change)
    if located is None:
        return FindingChangeView(change, None, is_after=False)
    side, finding = located
    location = RunLocation(side, Path(os.path.relpath(side.directory, changes.after.directory)))
    view = FindingView(location, finding, shown)
    return FindingChangeView(change, view, is_after=side is changes.after)
