"""What a file of a kernel tree is, by its name alone. Pure."""

from enum import Enum, auto
from functools import lru_cache

OBJECT_SUFFIXES = (".c", ".S")
"""Of each such source kbuild makes an object of the same name, when a Makefile lists that."""
CRATE_SUFFIX = ".rs"
"""Some make an object of their own (a driver), others are part of a crate (rust/kernel)."""
ASSEMBLY_SUFFIXES = (".S", ".s")
COMPILED_SUFFIXES = (".c", *ASSEMBLY_SUFFIXES, CRATE_SUFFIX)
"""What is given to a compiler or an assembler; a file of another kind in their messages was included."""
TRACKED_SUFFIXES = (".c", ".h", ".S")
"""What kbuild's dependency files name as an object's sources."""


class Impact(Enum):
    """What a change of one file of a kernel tree can bring about in a build.

    ``NOTHING``: it is documentation, which neither conf nor make nor a compiler reads. ``OBJECTS``: a source,
    which kbuild's dependency files name wherever it was used. ``CONFIGURATION``:
    Kconfig, which acts through .config only. ``EVERYTHING``: a Makefile, a script, a host tool, a generator's
    input: it reaches objects in ways that neither time stamps nor dependency files show.
    """

    NOTHING = auto()
    OBJECTS = auto()
    CONFIGURATION = auto()
    EVERYTHING = auto()


_TOOL_DIRECTORIES = {"scripts", "tools"}
_TEXT_SUFFIXES = {".rst", ".txt", ".md", ".svg", ".dot"}
_TOP_TEXT_FILES = {"README", "MAINTAINERS", "CREDITS", "COPYING", ".mailmap"}
_KEPT_NAMES = 2**17
"""All names of a Linux are asked about several times, for each digest of the tree and of its patched copy."""


@lru_cache(maxsize=_KEPT_NAMES)
def classify_impact(name: str) -> Impact:
    """What a change of the file at this path, relative to the tree's root, can bring about."""
    # By hand: a tree has a hundred thousand names, and PurePosixPath takes seconds for them.
    *folders, own = name.split("/")
    suffix = _find_suffix(own)
    if _is_documentation(folders, own, suffix):
        return Impact.NOTHING
    if not _TOOL_DIRECTORIES.isdisjoint(folders):
        return Impact.EVERYTHING
    if suffix in TRACKED_SUFFIXES:
        return Impact.OBJECTS
    return Impact.CONFIGURATION if own.startswith("Kconfig") else Impact.EVERYTHING


def _find_suffix(own: str) -> str:
    """The last suffix of a file's own name, with its dot; ``.mailmap`` and ``notes.`` have none."""
    start = own.rfind(".")
    return own[start:] if 0 < start < len(own) - 1 else ""


def _is_documentation(folders: list[str], own: str, suffix: str) -> bool:
    """A text that no build reads. Elsewhere a .txt may be a table (``x86-opcode-map.txt``), and below
    Documentation, too, there are Makefiles, Kconfig files, scripts and schemas."""
    if not folders:
        return own in _TOP_TEXT_FILES or suffix == ".rst"
    if folders[0] == "Documentation":
        return suffix in _TEXT_SUFFIXES or [*folders, own][1] == "ABI"
    return folders[0] == "LICENSES" or suffix == ".rst"
