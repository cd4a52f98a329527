"""Experiments on a problem: in which configurations it is there, and with which changes it comes and goes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from matrix.catalog.types import Profile
from matrix.commands.config_probes import ConfigProbes, ProbeResult
from matrix.commands.minimise_request import ALWAYS_BUILT
from matrix.findings.cause_search import Cause, CauseSearch, Changes, Outcome
from matrix.findings.finding import Finding
from matrix.findings.make_steps import find_make_targets
from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.kconfig.config import Config
from matrix.kconfig.config_changes import find_takers, list_other_values
from matrix.kconfig.definitions import Definitions
from matrix.record.events import EventSink, ProgressNote
from matrix.record.states import COMPLETE_STATES

MAX_CAUSES = 3
"""Causes that are looked for: each further one costs as much as the first."""
MAX_FLIPS = 24
"""Symbols near to the error that are flipped one by one."""
_SYMBOL = re.compile(r"\bCONFIG_([A-Za-z0-9_]+)")
_MAKEFILES = ("Makefile", "Kbuild")


@dataclass(frozen=True)
class SoughtProblem:
    """A finding that is looked for in other configurations, and the cell that shows it."""

    finding: Finding
    shown: ProbeResult

    def narrow_profile(self, profile: Profile) -> Profile:
        """The profile that builds no more than shows the problem: the directory that makes its object, if it
        has one, beside what every configuration has."""
        cell, stored = self.shown.cell, self.shown.stored
        refs = stored.findings_by_cell.get(cell.id, {}).get(self.finding.id, ())
        ref = next((ref for ref in refs if ref.object), None)
        targets = find_make_targets(cell, stored, ref) if ref is not None else ()
        if not targets or not all(target.endswith("/") for target in targets):
            return profile
        focus = tuple(dict.fromkeys([*targets, ALWAYS_BUILT]))
        return profile.model_copy(update={"stage": "focus", "focus": focus})

    def is_in(self, result: ProbeResult) -> bool:
        """Whether another cell shows it."""
        keys = self.finding.own_keys
        return any(keys & finding.own_keys for finding in result.stored.findings.findings if finding.is_error)

    def find_near_symbols(self, tree: Path, paths: Iterable[str]) -> tuple[str, ...]:
        """The symbols that its sources name, and the lines of makefiles that name its objects. ``paths`` are
        the tree's files."""
        files, known = ForeignDirectory(tree), self.shown.stored.run.diagnostics
        shown = [str(known[key].file) for key in self.finding.diagnostics if known[key].file]
        objects = [PurePosixPath(name) for name in self.finding.objects]
        sources = [*shown, *(str(name.with_suffix(".c")) for name in objects)]
        makefiles = [path for path in paths if path.rpartition("/")[2].startswith(_MAKEFILES)]
        found = dict.fromkeys(_SYMBOL.findall(_read_texts(files, sources)))
        for name in objects:
            beside = (path for path in makefiles if PurePosixPath(path).parent == name.parent)
            lines = (line for line in _read_texts(files, beside).splitlines() if name.name in line)
            found |= dict.fromkeys(_SYMBOL.findall("\n".join(lines)))
        return tuple(found)


def _read_texts(files: ForeignDirectory, names: Iterable[str]) -> str:
    texts = []
    for name in dict.fromkeys(names):
        # Of a file that cannot be read nothing is near: only the order is worse.
        with suppress(ForeignFileError):
            texts.append(files.read_text(name) or "")
    return "\n".join(texts)


def _is_bent(result: ProbeResult, values: Mapping[str, str]) -> bool:
    """Whether Kconfig made another value of one of these."""
    config = result.config
    return any(config.value_of(name) != value for name, value in values.items())


@dataclass(frozen=True)
class NeededValues:
    """What a problem needs beside its cause. ``flips``: symbol → other values with which it is gone, and last
    its own. ``takers``: those of them that other symbols near to the error take → these symbols."""

    flips: dict[str, tuple[str, ...]]
    takers: dict[str, tuple[str, ...]]


@dataclass
class CauseExperiments:
    """Tries changes of the .config ``start``, at most ``budget`` times; ``outcomes`` are those so far.

    ``untried_flips``: how many flips there was no room for.
    """

    probes: ConfigProbes
    problem: SoughtProblem
    start: Path
    budget: int
    emit: EventSink
    outcomes: dict[frozenset[tuple[str, str]], Outcome] = field(default_factory=dict)
    untried_flips: int = 0
    _results: dict[frozenset[tuple[str, str]], ProbeResult] = field(default_factory=dict)

    def try_values(self, values: Mapping[str, str], words: str) -> Outcome:
        """What comes of it when these symbols have these values; ``words`` say so.

        Kconfig may bend some of them. What fails has failed all the same, but what passes shows nothing then.
        """
        key = frozenset(values.items())
        if key not in self.outcomes:
            self._results[key] = result = self.probes.build_changed(self.start, values)
            self.outcomes[key] = outcome = self._judge(result, values)
            number = f"Experiment {len(self.outcomes)} of at most {self.budget}"
            bent = (
                ", though Kconfig bent a value"
                if outcome is Outcome.FAILS and _is_bent(result, values)
                else ""
            )
            self.emit(ProgressNote(f"{number}: {words}: {outcome}{bent}."))
        return self.outcomes[key]

    def load_config(self, values: Mapping[str, str]) -> Config:
        """The configuration in which these values were tried. RequestError where that had none."""
        return self._results[frozenset(values.items())].config

    def _judge(self, result: ProbeResult, values: Mapping[str, str]) -> Outcome:
        if self.problem.is_in(result):
            return Outcome.FAILS
        if result.cell.state not in COMPLETE_STATES:
            return Outcome.UNRESOLVED
        return Outcome.UNRESOLVED if _is_bent(result, values) else Outcome.PASSES

    def find_causes(self, changes: Mapping[str, str], order: tuple[str, ...]) -> list[Cause]:
        """The smallest sets of changes that bring the problem about; none where not even all of them do.

        ``changes``: symbol → its value in the .config that fails.
        """

        def try_changes(names: Changes) -> Outcome:
            words = f"{len(names)} of {len(changes)} symbols as in the failing .config"
            return self.try_values({name: changes[name] for name in names}, words)

        if try_changes(frozenset(order)) is not Outcome.FAILS:
            return []
        return CauseSearch(try_changes, self.budget - 1).find_causes(order, MAX_CAUSES)

    def list_values_without(self, cause: Mapping[str, str]) -> dict[str, str]:
        """Symbol of the cause → its value where only the others were changed, and the problem was gone.

        Kconfig may have made another one of it than the neighbour has: without modules no symbol is ``m``.
        """
        parts = {name: {other: value for other, value in cause.items() if other != name} for name in cause}
        return {
            name: self.load_config(others).value_of(name)
            for name, others in parts.items()
            if self.outcomes.get(frozenset(others.items())) is Outcome.PASSES
        }

    def find_needed(
        self, cause: Mapping[str, str], around: Sequence[str], definitions: Definitions
    ) -> NeededValues:
        """What the problem needs as it is.

        ``cause``: the changes that bring the problem about; ``around``: symbols beside them, which may matter
        as they are. One that another of them needs is left out: it cannot be had otherwise.
        """
        config = self.load_config(cause)
        others = {name: list_other_values(name, config, definitions) for name in around}
        names = [name for name, values in others.items() if values]
        self.untried_flips += len(names[MAX_FLIPS:])
        alone = {name: self._list_mending(name, others[name], cause) for name in names[:MAX_FLIPS]}
        own = {name: config.value_of(name) for name, values in alone.items() if values}
        flips = {name: self._list_mending(name, alone[name], {**cause, **own}) for name in own}
        flips = {name: (*values, own[name]) for name, values in flips.items() if values}
        takers = {name: find_takers(name, around, config, definitions) for name in flips}
        return NeededValues(flips, {name: others for name, others in takers.items() if others})

    def _list_mending(self, name: str, values: Iterable[str], given: Mapping[str, str]) -> tuple[str, ...]:
        """Those of the values that mend it. What the budget has no room for is counted."""
        mending = []
        for value in values:
            changed = {**given, name: value}
            if frozenset(changed.items()) not in self.outcomes and len(self.outcomes) >= self.budget:
                self.untried_flips += 1
            elif self.try_values(changed, f"the cause that was found, with {name}={value}") is Outcome.PASSES:
                mending.append(value)
        return tuple(mending)
