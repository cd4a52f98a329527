"""Diagnostics that are known to be one problem, and groups of them while they are being joined."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.fingerprint import GLOBAL_TOOLS, ProblemKind

ObjectDiagnostic = tuple[str, str | None]
"""A diagnostic's key, and the object that was being made."""


@dataclass(eq=False)
class DiagnosticGroup:
    """Diagnostics that are known to be one problem. ``cells`` are numbers, in plan order."""

    kinds: set[ProblemKind] = field(default_factory=set)
    toolchains_by_diagnostic: dict[ObjectDiagnostic, set[str]] = field(default_factory=dict)
    cells: set[int] = field(default_factory=set)
    stages: set[str] = field(default_factory=set)

    def absorb_group(self, other: "DiagnosticGroup") -> None:
        """Take over everything that another group has."""
        self.kinds |= other.kinds
        for diagnostic, toolchains in other.toolchains_by_diagnostic.items():
            self.toolchains_by_diagnostic.setdefault(diagnostic, set()).update(toolchains)
        self.cells |= other.cells
        self.stages |= other.stages

    @property
    def objects(self) -> set[str]:
        """The objects in which it came up; a diagnostic of a link has none."""
        return {name for _, name in self.toolchains_by_diagnostic if name}

    def list_compiled_objects(self, find_diagnostic: Callable[[str], Diagnostic]) -> set[str]:
        """The objects that show it when they are made; what a link says of an object, it says later."""
        entries = self.toolchains_by_diagnostic
        return {name for key, name in entries if name and find_diagnostic(key).tool not in GLOBAL_TOOLS}

    @property
    def tools(self) -> set[str]:
        """The tools that print it."""
        return {kind.tool for kind in self.kinds}

    @property
    def is_global(self) -> bool:
        """Whether it is the same problem in whatever object it comes up."""
        return any(kind.is_global for kind in self.kinds)

    @property
    def is_internal(self) -> bool:
        """Whether a tool broke by itself; all kinds of a group agree on that."""
        return any(kind.is_internal for kind in self.kinds)

    @property
    def symbols(self) -> set[str]:
        """The names that the messages quote."""
        return {name for kind in self.kinds for name in kind.symbols}

    @property
    def toolchains(self) -> set[str]:
        """The toolchains in which it came up."""
        return reduce(set.union, self.toolchains_by_diagnostic.values(), set[str]())


@dataclass
class DisjointGroups:
    """Groups that are being joined: a union-find forest. A group that another took over leads to it.

    The smaller number stays the root, so that the groups that remain stand in plan order.
    """

    groups: list[DiagnosticGroup]
    _parents: dict[int, int] = field(default_factory=dict)

    def find_root(self, number: int) -> int:
        while number in self._parents:
            number = self._parents[number]
        return number

    def join_all(self, numbers: Iterable[int]) -> None:
        """Join all of these; the caller has no more to ask of them."""
        for one, next_one in pairwise(numbers):
            root, other = self.find_root(one), self.find_root(next_one)
            if root != other:
                self.join_groups(root, other)

    def join_groups(self, root: int, other: int) -> None:
        first, second = sorted((root, other))
        self.groups[first].absorb_group(self.groups[second])
        self._parents[second] = first

    @property
    def remaining_groups(self) -> list[DiagnosticGroup]:
        return [group for number, group in enumerate(self.groups) if number not in self._parents]
