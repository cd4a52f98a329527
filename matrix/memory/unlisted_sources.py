"""Sources that go into a cell, and are on none of kbuild's lists."""

import re
from collections.abc import Callable, Iterable, Iterator, Set

from matrix.foreign_text import is_unicode
from matrix.memory.object_setting import InputReader
from matrix.memory.tree_contents import ABSENT, is_plain_source

_INCLUDE = re.compile(rb"^[ \t]*#[ \t]*include[ \t]*[<\"]([^>\"\n]+)[>\"]", re.MULTILINE)
PROTOTYPES = ("linux/kernel.h", "asm/asm-prototypes.h")
"""What make has genksyms read, for the versions of what assembly exports."""


def add_unlisted_sources(sources: Set[str], reader: InputReader) -> frozenset[str] | None:
    """These sources, with what the assembler takes in.

    None where some cannot be known: no list has what genksyms or sparse alone includes, nor a name that is
    no UTF-8.
    """
    found, waiting = set[str](), [*sources]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        hidden = reader.find_hidden(path)
        if hidden.reread or not is_unicode(path):
            return None
        # Which of them the assembler finds is not known, so all of that name count.
        named = (other for name in hidden.assembled for other in reader.find_by_name(name))
        waiting += filter(is_plain_source, named)
    return frozenset(found)


def find_prototype_headers(sources: Set[str], reader: InputReader, srcarch: str) -> frozenset[str]:
    """The headers that genksyms reads for what assembly exports, where the tree versions that.

    ``sources`` are those that are listed, ``srcarch`` the directory of the cell's arch. What a listed header
    includes is listed as well. So only what no list has is followed, and whichever header of a name is found.
    """

    def find_unlisted(name: str, beside: str) -> set[str]:
        places = _list_places(name, beside, srcarch)
        paths = {path for path in places if reader.tree.find_content(path) != ABSENT}
        return paths if sources.isdisjoint(paths) else set()

    return follow_includes(PROTOTYPES, find_unlisted, reader)[0]


def follow_includes(
    first: Iterable[str], find_places: Callable[[str, str], Set[str]], reader: InputReader
) -> tuple[frozenset[str], frozenset[str]]:
    """(the headers of these names with all that they include, the names of all), whatever their conditions.

    ``find_places`` gives the paths for a name, and the folder of what includes it.
    """
    found, names, waiting = set[str](), set[str](), [(name, "") for name in first]
    while waiting:
        name, beside = waiting.pop()
        names.add(name)
        for path in find_places(name, beside) - found:
            found.add(path)
            folder = path.rpartition("/")[0]
            waiting += ((other, folder) for other in _list_includes(path, reader))
    return frozenset(found), frozenset(names)


def list_header_names(name: str) -> list[str]:
    """The names of what may be read for this one."""
    # A header that an arch has not is asm-generic's, by a generated wrapper.
    return [name, f"asm-generic/{name.removeprefix('asm/')}"] if name.startswith("asm/") else [name]


def _list_includes(path: str, reader: InputReader) -> list[str]:
    return [name.decode("utf-8", "replace") for name in _INCLUDE.findall(reader.read_source(path))]


def _list_places(name: str, beside: str, srcarch: str) -> Iterator[str]:
    """Where a header of this name may lie, as the compiler looks for it."""
    names = list_header_names(name)
    folders = [beside, *(f"{top}include{sub}" for top in (f"arch/{srcarch}/", "") for sub in ("", "/uapi"))]
    for folder in filter(None, folders):
        yield from (f"{folder}/{one}" for one in names)
