"""Diagnostics that are known to be one problem, and what they point at."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import reduce
from typing import NamedTuple

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.keys import Kind, own_sites, used_at

Said = tuple[str, str | None]
"""A diagnostic's key, and the object that was being made."""
Line = tuple[str, int]


@dataclass(eq=False)
class Group:
    """Diagnostics that are known to be one problem. ``cells`` are numbers, in plan order.

    ``said``: which toolchains said what.
    """

    kinds: set[Kind] = field(default_factory=set)
    said: dict[Said, set[str]] = field(default_factory=dict)
    cells: set[int] = field(default_factory=set)
    stages: set[str] = field(default_factory=set)

    def take(self, other: "Group") -> None:
        """Be one with the other."""
        self.kinds |= other.kinds
        for said, chains in other.said.items():
            self.said.setdefault(said, set()).update(chains)
        self.cells |= other.cells
        self.stages |= other.stages

    @property
    def objects(self) -> set[str]:
        """Where it came up, as far as it was an object."""
        return {item for _, item in self.said if item}

    @property
    def tools(self) -> set[str]:
        """Who speaks."""
        return {kind.tool for kind in self.kinds}

    @property
    def symbols(self) -> set[str]:
        """What the messages name."""
        return {name for kind in self.kinds for name in kind.symbols}

    @property
    def chains(self) -> set[str]:
        """The toolchains in which it came up."""
        return reduce(set.union, self.said.values(), set[str]())


class Traits(NamedTuple):
    """What a group's messages point at. ``noted``: lines that only notes point at."""

    objects: frozenset[str]
    blamed: frozenset[Line]
    noted: frozenset[Line]
    codes: frozenset[tuple[str, str]]
    names: frozenset[str]


def traits(group: Group, of: Callable[[str], Diagnostic]) -> Traits:
    """The traits of a group; ``of`` looks a diagnostic up by its key."""
    said = [of(key) for key in {key for key, _ in group.said}]
    blamed = {line for one in said for line in blamed_by(one)}
    sites = [site for one in said for site in own_sites(one) if not site.macro]
    return Traits(
        objects=frozenset(group.objects),
        blamed=frozenset(blamed),
        noted=frozenset((site.file, site.line) for site in sites if site.line) - blamed,
        codes=frozenset((site.symbol, site.code) for site in sites if site.symbol and site.code),
        names=frozenset(group.symbols) | {site.symbol for site in sites if site.symbol},
    )


def blamed_by(one: Diagnostic) -> Iterable[Line]:
    """The line that is to blame, if it is known."""
    used = used_at(one)
    return [(used.file, used.line)] if used is not None and used.line else []


def noted_by(one: Diagnostic) -> Iterable[Line]:
    """The lines that the message or its notes point at."""
    return ((site.file, site.line) for site in own_sites(one) if site.line and not site.macro)
