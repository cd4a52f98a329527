"""What make would do now: which objects belong to a directory, and which of them are out of date.

kbuild writes no list of a directory in which something failed, so a list does not show which of its objects
that stand from an earlier configuration belong to this one. `make -n` prints the recipes of these lists, and
of everything that is out of date:

    printf "drivers/vfio/%s " a.o pci/built-in.a | xargs ar cDPrST drivers/vfio/built-in.a
    ar cDPrST drivers/vfio/built-in.a drivers/vfio/a.o drivers/vfio/pci/built-in.a
    { echo drivers/vfio/vfio.o; cat drivers/vfio/pci/modules.order; :; } > drivers/vfio/modules.order
    echo '  CC [M]  drivers/vfio/b.o'; … gcc … -c -o drivers/vfio/b.o /src/drivers/vfio/b.c
"""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from matrix.builder.kbuild_objects import list_module_parts, normalize_paths, parse_archive_members
from matrix.foreign_files import ForeignDirectory

_STEP = re.compile(r"echo '  [A-Z][A-Z0-9_+-]*(?: \[\w+\]| [A-Z])? {1,40}([^\s']+)'")
_STEP_AREA = 4096
"""Characters at the beginning of a line in which the step's name is looked for."""
_WORD_END = re.compile(r"[;'\"|)]")


@dataclass(frozen=True)
class DryRun:
    """What a `make -n` printed. Paths are relative to the build directory.

    ``members``: list (built-in.a, lib.a, modules.order) → the objects and the other lists that it is made of.
    ``due``: what make would make, the lists among it.
    """

    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    due: frozenset[str] = frozenset()

    @property
    def own_lists(self) -> frozenset[str]:
        """The configuration's own lists. A library (lib.a) is one only where vmlinux is made of all of it."""
        inner = frozenset[str]().union(*self.members.values())
        return frozenset(name for name in self.members if name in inner or not name.endswith("lib.a"))

    def find_visited_lists(self, tried: frozenset[str]) -> frozenset[str]:
        """The lists of the directories that a make visited, by the objects that its log shows tried.

        With -k, make visits every directory below one that it visits.
        """
        neighbours: dict[str, set[str]] = defaultdict(set)
        for name, members in self.members.items():
            folder = posixpath.dirname(name)
            for other in map(posixpath.dirname, members & self.members.keys()):
                neighbours[folder].add(other)
                neighbours[other].add(folder)
        shown = (name for name, members in self.members.items() if not members.isdisjoint(tried))
        visited = {posixpath.dirname(name) for name in shown}
        waiting = list(visited)
        while waiting:
            reached = neighbours[waiting.pop()] - visited
            visited |= reached
            waiting += reached
        return frozenset(name for name in self.members if posixpath.dirname(name) in visited)


@dataclass(frozen=True)
class BelongingObjects:
    """The objects of a failing stage's directories, by a dry run after it.

    ``belonging``: those that its configuration has there; none where make could not show it. ``standing``:
    those of them that a compiler made and make left as they are, since they are up to date. ``modules``: a
    module's own object → its parts.
    """

    belonging: frozenset[str] = frozenset()
    standing: frozenset[str] = frozenset()
    modules: Mapping[str, frozenset[str]] = field(default_factory=dict)


def find_belonging_objects(
    build: Path, dry_run: DryRun, tried: frozenset[str], failed: frozenset[str]
) -> BelongingObjects:
    """The objects by the dry run of a make that failed.

    ``tried``: what its log shows compiled, ``failed``: what it could not make. Of a directory in which it
    tried nothing, and that none above or below leads to, it is not known whether make came there at all.
    """
    dry_run = DryRun({**_read_standing_lists(build, dry_run), **dry_run.members}, dry_run.due)
    orders = [names for name, names in dry_run.members.items() if name.endswith("modules.order")]
    modules = list_module_parts(build, frozenset[str]().union(*orders) - dry_run.members.keys())
    whole = DryRun({name: _add_parts(names, modules) for name, names in dry_run.members.items()}, dry_run.due)
    visited = whole.find_visited_lists(tried | failed)
    files = ForeignDirectory(build)
    # Whether a module is as new as its parts, make decides by what it would do to them.
    linked = {name for name, parts in modules.items() if parts != {name}}
    standing = _select_objects(whole, visited) - dry_run.due - tried - failed - linked
    return BelongingObjects(
        _select_objects(whole, whole.own_lists),
        frozenset(name for name in standing if files.stat_file(name)),
        modules,
    )


def _read_standing_lists(build: Path, dry_run: DryRun) -> dict[str, frozenset[str]]:
    """The lists of directories below that make leaves as they are, and so prints no recipe of."""
    files = ForeignDirectory(build)
    members: dict[str, frozenset[str]] = {}
    for name in frozenset[str]().union(*dry_run.members.values()) - dry_run.members.keys() - dry_run.due:
        if name.endswith("/built-in.a"):
            members[name] = frozenset(parse_archive_members(files.read_bytes(name), name))
        elif name.endswith("/modules.order"):
            members[name] = frozenset(normalize_paths((files.read_text(name) or "").split()))
    return members


def _add_parts(names: frozenset[str], modules: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return names.union(*(modules[name] for name in names & modules.keys()))


def _select_objects(dry_run: DryRun, lists: Iterable[str]) -> frozenset[str]:
    return frozenset(name for key in lists for name in dry_run.members[key] if name.endswith(".o"))


def parse_dry_run(lines: Iterable[str]) -> DryRun:
    """Read the recipes that `make -n` printed. A line that is cut or strange names less, never more."""
    members: dict[str, frozenset[str]] = {}
    due: set[str] = set()
    for line in lines:
        if step := _STEP.search(line[:_STEP_AREA]):
            due.update(normalize_paths([step[1]]))
        words = line.split()
        due.update(normalize_paths(_find_output_objects(words)))
        for name, names in _find_lists(words):
            for key in normalize_paths([name]):
                members.setdefault(key, frozenset(normalize_paths(names)))
    return DryRun(members, frozenset(due))


def _find_output_objects(words: Sequence[str]) -> Iterator[str]:
    """What the line's commands write: ``-o drivers/a.o``."""
    for option, name in pairwise(words):
        if option == "-o":
            yield _WORD_END.split(name, maxsplit=1)[0]


def _find_lists(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """(list, its members) that the line's recipe writes: an archive, or a modules.order."""
    for index, word in enumerate(words):
        if word == ">" and index + 1 < len(words) and "modules.order" in words[index + 1]:
            yield _WORD_END.split(words[index + 1], maxsplit=1)[0], _read_order_members(words[:index])
            return
        if _is_archiver(words, index):
            yield _read_archive(words, index)
            return


def _is_archiver(words: Sequence[str], index: int) -> bool:
    """Whether ``ar cDPrST x.a`` begins with this word."""
    if not words[index].endswith("ar") or index + 2 >= len(words):
        return False
    flags, name = words[index + 1], _WORD_END.split(words[index + 2], maxsplit=1)[0]
    return flags.isalpha() and "r" in flags and name.endswith(".a")


def _read_archive(words: Sequence[str], index: int) -> tuple[str, list[str]]:
    name = words[index + 2]
    if words[index - 2 : index] == ["|", "xargs"] or words[index - 1] == "xargs":
        return _WORD_END.split(name, maxsplit=1)[0], _read_printf_members(words[:index])
    members = [] if _WORD_END.search(name) else list(_take_members(words[index + 3 :]))
    return _WORD_END.split(name, maxsplit=1)[0], members


def _take_members(words: Iterable[str]) -> Iterator[str]:
    """The words up to the end of the command."""
    for word in words:
        plain = _WORD_END.split(word, maxsplit=1)[0]
        if plain:
            yield plain
        if plain != word:
            return


def _read_printf_members(words: Sequence[str]) -> list[str]:
    """``printf "drivers/vfio/%s " a.o b.o |`` names drivers/vfio/a.o and drivers/vfio/b.o."""
    start = next((number for number in reversed(range(len(words))) if words[number] == "printf"), None)
    if start is None or start + 2 >= len(words):
        return []
    prefix = words[start + 1].strip('"').removesuffix("%s")
    # The blank before the closing quote splits it from the format.
    names = words[start + 3 :] if words[start + 2] == '"' else words[start + 2 :]
    return [f"{prefix}{name}" for name in _take_members(names)]


def _read_order_members(words: Sequence[str]) -> list[str]:
    """``{ echo a.o; cat b/modules.order; :; }`` names both; before 6.2 a module is ``a.ko``."""
    start = next((number for number in reversed(range(len(words))) if words[number] == "{"), 0)
    names = [word.rstrip(";") for command, word in pairwise(words[start:]) if command in {"echo", "cat"}]
    return [f"{name.removesuffix('.ko')}.o" if name.endswith(".ko") else name for name in names]
