"""What follows from an error is no problem of its own: which groups of diagnostics follow from which.

A compiler that has met an error goes on with what it makes of the rest. So an error that never comes up
without an earlier one of the same compilation follows from it, where both are in one function, or where the
earlier one broke a declaration outside of functions, on which anything may depend:

    drivers/a.c: In function 'f':
    drivers/a.c:12:9: error: 'gone' undeclared (first use in this function)
    drivers/a.c:14:1: error: control reaches end of non-void function [-Werror=return-type]

Two of one kind that name different things follow from each other as little as two missing names do.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.diagnostic_group import DiagnosticGroup, ObjectDiagnostic
from matrix.record.run_model import Cell, Run

_COMPILERS = frozenset({"gcc", "clang"})
# Warnings that -Werror made errors of do no harm to the rest, but for a declaration that was guessed.
_HARMFUL_FLAGS = frozenset({"implicit-function-declaration", "implicit-int"})
_BROKEN_DECLARATION = re.compile(
    r"unknown type name|expected |stray |unterminated |redefinition of |(?:a )?type specifier |type defaults"
    r"|data definition has no type|extraneous closing brace|declaration specifier missing"
    r"|.{0,200}\b(?:has|have|is an) incomplete (?:element )?type|storage size of "
)
_UNKNOWN_TYPE = re.compile(r"unknown type name")
_MISSING_NAME = re.compile(
    r"unknown type name|use of undeclared|call to undeclared|implicit declaration of"
    r"|invalid use of (?:undefined|incomplete) type|incomplete definition of type"
    r"|.{0,200}(?: undeclared| has no member named |no member named )"
)
_INDENTED = re.compile(r"\s*+(?:[0-9]++ )?\|? ?(?P<indent>\s*+)\S")
_MAX_LEADERS = 8
"""Earlier errors of one function, or broken declarations, that are looked at: the first matter."""


class _ErrorTraits(NamedTuple):
    """What an error may have caused, or have been caused by. ``function`` is None where it is not known."""

    function: str | None
    can_lead: bool
    breaks_declaration: bool


@dataclass
class _Compilation:
    """The errors of one compilation so far: numbers of groups by function, and of broken declarations."""

    by_function: dict[str, list[int]] = field(default_factory=dict)
    broken: list[int] = field(default_factory=list)

    def list_leaders(self, function: str | None) -> set[int]:
        return {*self.broken, *self.by_function.get(function or "", ())}

    def add_error(self, number: int, function: str | None, traits: _ErrorTraits) -> None:
        if not traits.can_lead:
            return
        if traits.breaks_declaration:
            _append_new(self.broken, number)
        if function:
            _append_new(self.by_function.setdefault(function, []), number)


def _append_new(numbers: list[int], number: int) -> None:
    if len(numbers) < _MAX_LEADERS and number not in numbers:
        numbers.append(number)


def find_consequences(groups: Sequence[DiagnosticGroup], run: Run) -> dict[int, int]:
    """Number of a group → number of the one that it follows from, which follows from none.

    It takes time in proportion to what the cells print.
    """
    search = _ConsequenceSearch(groups, run)
    for cell in run.cells:
        search.read_cell(cell)
    direct = {number: min(found) for number, found in search.find_causes().items()}
    return {number: _find_first_cause(number, direct) for number in direct}


def _find_first_cause(number: int, direct: dict[int, int]) -> int:
    # A cause is always earlier in the same compilation, so there is no circle.
    while number in direct:
        number = direct[number]
    return number


@dataclass
class _ConsequenceSearch:
    """Looks through cells for what is never without an earlier error. ``leaders``: group → those that came
    before it in every compilation so far."""

    groups: Sequence[DiagnosticGroup]
    run: Run
    leaders: dict[int, set[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._traits: dict[str, _ErrorTraits] = {}
        self._numbers: dict[ObjectDiagnostic, int] = {}
        self._functions: dict[int, str] = {}
        self._refused: set[int] = set()
        for number, group in enumerate(self.groups):
            diagnostics = [self.run.diagnostics[key] for key, _ in group.toolchains_by_diagnostic]
            if not group.is_internal and group.tools <= _COMPILERS:
                self._numbers |= dict.fromkeys(group.toolchains_by_diagnostic, number)
                self._refused |= {number} if _are_errors(diagnostics) else set()
                functions = {each.function for each in diagnostics if each.function}
                # One compiler names the function in which both see it.
                self._functions |= {number: functions.pop()} if len(functions) == 1 else {}

    def read_cell(self, cell: Cell) -> None:
        """Look through what one cell printed, in its order."""
        compilations: dict[str, _Compilation] = {}
        for ref in cell.proven_diagnostics:
            number = self._numbers.get((ref.key, ref.object))
            if number is None or ref.object is None:
                continue
            compilation = compilations.setdefault(ref.object, _Compilation())
            traits = self._find_traits(ref.key)
            function = traits.function or self._functions.get(number)
            earlier = compilation.list_leaders(function)
            self.leaders[number] = earlier & self.leaders.get(number, earlier)
            compilation.add_error(number, function, traits)

    def _find_traits(self, key: str) -> _ErrorTraits:
        if key not in self._traits:
            self._traits[key] = _collect_error_traits(self.run.diagnostics[key])
        return self._traits[key]

    def find_causes(self) -> dict[int, list[int]]:
        """Group → the groups that it follows from; only groups that follow from any."""
        causes = {
            number: [leader for leader in leaders if leader != number and self._can_follow(number, leader)]
            for number, leaders in self.leaders.items()
            if number in self._refused
        }
        return {number: found for number, found in causes.items() if found}

    def _can_follow(self, number: int, leader: int) -> bool:
        """Whether they are not two of one kind that name different things."""
        group, other = self.groups[number], self.groups[leader]
        if not group.symbols or not other.symbols or group.symbols & other.symbols:
            return True
        if {kind.construct for kind in group.kinds} & {kind.construct for kind in other.kinds}:
            return False
        return not (self._is_missing_name(group) and self._is_missing_name(other)) or any(
            self._traits[key].breaks_declaration for key, _ in other.toolchains_by_diagnostic
        )

    def _is_missing_name(self, group: DiagnosticGroup) -> bool:
        keys = (key for key, _ in group.toolchains_by_diagnostic)
        return any(_MISSING_NAME.match(self.run.diagnostics[key].message) for key in keys)


def _are_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    return all(diagnostic.severity == "error" for diagnostic in diagnostics)


def _collect_error_traits(diagnostic: Diagnostic) -> _ErrorTraits:
    flag = (diagnostic.flag or "").removeprefix("-W")
    is_broken = _BROKEN_DECLARATION.match(diagnostic.message) and _is_outside_functions(diagnostic)
    return _ErrorTraits(
        function=diagnostic.function,
        can_lead=diagnostic.severity == "error" and (not diagnostic.promoted or flag in _HARMFUL_FLAGS),
        breaks_declaration=bool(is_broken),
    )


def _is_outside_functions(diagnostic: Diagnostic) -> bool:
    """Whether a message is about a declaration that is in no function: gcc names the function of any other.

    clang does not, and there a line that is not indented shows it, as functions have none but their ends.
    """
    if diagnostic.function is not None:
        return False
    if diagnostic.tool == "gcc" or diagnostic.column == 1:
        return True
    match = _INDENTED.match(diagnostic.excerpt[0]) if diagnostic.excerpt else None
    return not match["indent"] if match else _UNKNOWN_TYPE.match(diagnostic.message) is not None
