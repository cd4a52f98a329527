"""Cells of a tree in which only contents of sources changed: what each object would be, without a make.

The makefiles, the configuration and the names of all files are as they were. So a cell has the objects that
it had, each with the command line, the symbols and the generated headers that it had, unless a changed source
went into what is prepared. What of these was compiled for another cell is known by that.
"""

from collections.abc import Iterable, Mapping

from matrix.kconfig.config import Config
from matrix.memory.object_setting import InputReader, ObjectSetting
from matrix.memory.objects import KnownObject, ObjectMemory
from matrix.memory.store import Entry
from matrix.memory.tree_contents import ABSENT, TreeContents, is_plain_source
from matrix.record.run_model import Record


class ModuleLink(Record):
    """How a module's own object is linked: the digest of its command file, and what it is made of, in order
    of names."""

    command: str
    parts: tuple[str, ...]


class CellParts(Record):
    """What a cell was made of, when it was built to an end: object → its key in the memory.

    ``links``: a module's own object → how it was linked, without a word of the linker's or of what works on
    it afterwards. ``others`` are the sources of all else that was made
    (prepared headers, host tools), and ``others_contents`` is the digest of what they had.
    """

    keys: dict[str, str]
    links: dict[str, ModuleLink]
    others: tuple[str, ...]
    others_contents: str


def build_cell_parts(
    objects: Iterable[str],
    keys: Mapping[str, str],
    links: Mapping[str, ModuleLink],
    others: Iterable[str],
    tree: TreeContents,
) -> CellParts | None:
    """What a cell was made of; None where some of its objects are not on record."""
    linked = {name: link for name, link in links.items() if {*link.parts} != {name}}
    if not {*objects} <= keys.keys() | linked.keys():
        return None
    if not all(keys.keys() >= {*link.parts} for link in linked.values()):
        return None
    sources = tuple(sorted(others))
    return CellParts(
        keys=dict(keys), links=linked, others=sources, others_contents=tree.digest_contents(sources)
    )


def find_same_objects(
    parts: CellParts, objects: ObjectMemory, reader: InputReader, config: Config
) -> dict[str, KnownObject] | None:
    """Object → the one on record that make would compile on this tree, for all of a cell; or None."""
    if reader.tree.digest_contents(parts.others) != parts.others_contents:
        return None
    before = {path: objects.find_known(path, key) for path, key in parts.keys.items()}
    known = {path: one for path, one in before.items() if one is not None}
    setting = _rebuild_setting([*known.values()], reader, config)
    if len(known) < len(before) or setting is None:
        return None
    found = {path: _find_same(one, objects, setting) for path, one in known.items()}
    same = {path: one for path, one in found.items() if one is not None}
    if len(same) < len(found) or None in find_links(parts, same, objects):
        return None
    return same


def find_links(
    parts: CellParts, same: Mapping[str, KnownObject], objects: ObjectMemory
) -> list[Entry | None]:
    """What is on record of each link of a cell's modules, of these objects; None for one that never was."""
    return [
        objects.find_link(module, link.command, [same[path].key for path in link.parts])
        for module, link in parts.links.items()
    ]


def list_sources(
    same: Mapping[str, KnownObject], objects: ObjectMemory, reader: InputReader
) -> frozenset[str]:
    """The .c, .h and .S files that went into these objects, by their plain paths in the tree."""
    inputs = (objects.load_inputs(one.value.inputs) for one in same.values())
    named = {path for one in inputs if one is not None for path in one.sources}
    return frozenset(filter(is_plain_source, map(reader.tree.find_plain_path, named)))


def _rebuild_setting(known: list[KnownObject], reader: InputReader, config: Config) -> ObjectSetting | None:
    """What the objects were compiled in, by what is on record of each; None where that is at odds."""
    generated: dict[str, str] = {}
    for one in known:
        if any(generated.setdefault(name, value) != value for name, value in one.value.generated.items()):
            return None
    names = {one.value.generated_names for one in known}
    if len(names) != 1:
        return None
    return ObjectSetting(reader, config, lambda name: generated.get(name, ABSENT), names.pop())


def _find_same(before: KnownObject, objects: ObjectMemory, setting: ObjectSetting) -> KnownObject | None:
    same_command = (
        one for one in objects.list_known(before.path) if one.value.command == before.value.command
    )
    return next((one for one in same_command if objects.fits(one.value, setting)), None)
