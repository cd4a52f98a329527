"""What diagnostics of the link have in common beside their kind: definitions, objects, missing symbols.

a symbol is defined in a.o and b.o, and in c.o and d.o      two problems, one for each of the two pairs
objtool complains of f in vmlinux.o, or of f in a.o         one: what it is run on depends on the config
cramfs lacks get_mtd_device and mtd_point, always both      one: what defines them was left out
"""

import posixpath
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import product

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.diagnostic_group import DiagnosticGroup, DisjointGroups
from matrix.findings.evidence import MadeObjects
from matrix.findings.fingerprint import ProblemKind
from matrix.findings.problem_forms import DUPLICATE, MISMATCH, UNDEFINED, find_named_stems, recognize_problem
from matrix.record.run_model import Run

_WHOLE_OBJECTS = frozenset({"vmlinux", "vmlinux.o", "vmlinux.a", "vmlinux.unstripped"})


def find_definition_places(diagnostics: Mapping[str, Diagnostic]) -> dict[str, str]:
    """Key of a diagnostic on a symbol that is defined twice → which of the symbol's problems it is.

    Those that have a definition in common are one: a header that defines it is included by three sources, or
    two linkers begin with another one.
    """
    by_symbol: dict[tuple[str, ...], dict[str, frozenset[str]]] = {}
    for key, diagnostic in diagnostics.items():
        problem = recognize_problem(diagnostic)
        if problem is not None and problem.construct == DUPLICATE:
            by_symbol.setdefault(problem.names, {})[key] = find_named_stems(diagnostic)
    return {key: place for stems in by_symbol.values() for key, place in _name_components(stems)}


def _name_components(stems_by_key: Mapping[str, frozenset[str]]) -> Iterator[tuple[str, str]]:
    """(key, the first file of those that are connected), for each key that names a file."""
    parents: dict[str, str] = {}
    paths = _find_paths(frozenset().union(*stems_by_key.values()))

    def find_root(stem: str) -> str:
        while parents.setdefault(stem, stem) != stem:
            stem = parents[stem]
        return stem

    for stems in stems_by_key.values():
        first, *others = sorted(paths[stem] for stem in stems) or [""]
        for other in others:
            root, joined = sorted((find_root(first), find_root(other)))
            parents[joined] = root
    for key, stems in stems_by_key.items():
        yield key, find_root(min(paths[stem] for stem in stems)) if stems else ""


def _find_paths(stems: Iterable[str]) -> dict[str, str]:
    """Each of these → its path. lld names a source by its last part, where it has no more."""
    by_name: dict[str, list[str]] = {}
    for stem in stems:
        if "/" in stem:
            by_name.setdefault(posixpath.basename(stem), []).append(stem)
    known = {name: paths[0] for name, paths in by_name.items() if len(paths) == 1}
    return {stem: known.get(stem, stem) for stem in stems}


def join_whole_objects(
    groups: Sequence[DiagnosticGroup], run: Run, made_objects: MadeObjects
) -> list[DiagnosticGroup]:
    """Join what is said of vmlinux.o with the same of its object, where only one object has it.

    The same of an object and of a module that it is a part of: there the object itself was made without it.
    """
    joining = DisjointGroups(list(groups))
    by_subject: dict[Hashable, list[int]] = {}
    for number, group in enumerate(groups):
        for kind in group.kinds:
            if kind.symbols and (kind.tool == "objtool" or kind.construct == MISMATCH):
                by_subject.setdefault((kind.symbols, kind.construct), []).append(number)
    for numbers in by_subject.values():
        parts: dict[str, list[int]] = {}
        for number in numbers:
            parts.setdefault(_find_location(groups[number]), []).append(number)
        whole = parts.pop("", [])
        joining.join_all(whole)
        if len(parts) == 2:
            parts = _join_module_parts(parts, groups, run, made_objects)
        if whole and len(parts) == 1:
            joining.join_all([*whole, *next(iter(parts.values()))])
        for part in parts.values():
            joining.join_all(part)
    return joining.remaining_groups


def _find_location(group: DiagnosticGroup) -> str:
    """The object that a group is of; empty for the whole kernel."""
    location = min(kind.location for kind in group.kinds)
    return "" if posixpath.basename(location) in _WHOLE_OBJECTS else location


def _join_module_parts(
    parts: Mapping[str, list[int]],
    groups: Sequence[DiagnosticGroup],
    run: Run,
    made_objects: MadeObjects,
) -> dict[str, list[int]]:
    (first, its), (second, others) = parts.items()
    is_near = posixpath.dirname(first) == posixpath.dirname(second)
    if is_near and (
        _is_made_with(first, others, groups, run, made_objects)
        or _is_made_with(second, its, groups, run, made_objects)
    ):
        return {first: [*its, *others]}
    return dict(parts)


def _is_made_with(
    part: str,
    numbers: Iterable[int],
    groups: Sequence[DiagnosticGroup],
    run: Run,
    made_objects: MadeObjects,
) -> bool:
    """Whether an object was made without an error in all failing cells that have these groups."""
    cells = {cell for number in numbers for cell in groups[number].cells}
    return all(part in made_objects.get(run.cells[cell].id, ()) for cell in cells)


def join_missing_symbols(groups: Sequence[DiagnosticGroup], run: Run) -> list[DiagnosticGroup]:
    """Join missing symbols that one object lacks in the very same cells, and that one thing would bring.

    Where it is not known what brings one, it is taken to be what brings the others, if that is one; where it
    is known, and another, they are two.
    """
    joining = DisjointGroups(list(groups))
    by_users: dict[_Lack, dict[str | None, list[int]]] = {}
    for number, group in enumerate(groups):
        symbols = sorted(list_missing_symbols(group.kinds))
        if symbols:
            lack = (frozenset(group.cells), _find_users(group, run))
            provider = run.providers.get(symbols[0])
            by_users.setdefault(lack, {}).setdefault(provider, []).append(number)
    by_provider: dict[Hashable, list[int]] = {}
    for (cells, lacking), numbers in by_users.items():
        known = [provider for provider in numbers if provider]
        if lacking:
            joining.join_all([*numbers.get(None, ()), *(numbers[known[0]] if len(known) == 1 else ())])
        # ld names no object of what it links from vmlinux.o: there the provider alone tells.
        for provider, user in product(known, lacking or {""}):
            by_provider.setdefault((cells, provider, user), []).extend(numbers[provider])
    for same in by_provider.values():
        joining.join_all(same)
    return joining.remaining_groups


_Lack = tuple[frozenset[int], frozenset[str]]
"""The cells in which a symbol is missing, and what lacks it."""


def _find_users(group: DiagnosticGroup, run: Run) -> frozenset[str]:
    keys = {key for key, _ in group.toolchains_by_diagnostic}
    return frozenset(stem for key in keys for stem in find_named_stems(run.diagnostics[key]))


def list_missing_symbols(kinds: Iterable[ProblemKind]) -> set[str]:
    """The symbols of those of these kinds that say that one is not defined."""
    return {name for kind in kinds if kind.construct == UNDEFINED for name in kind.symbols}
