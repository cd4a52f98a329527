"""What a file of a kernel tree is, by its name alone. Pure."""

from enum import Enum, auto
from pathlib import PurePosixPath

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


def classify_impact(name: str) -> Impact:
    """What a change of the file at this path, relative to the tree's root, can bring about."""
    path = PurePosixPath(name)
    if _is_documentation(path):
        return Impact.NOTHING
    if _TOOL_DIRECTORIES & set(path.parts[:-1]):
        return Impact.EVERYTHING
    if path.suffix in TRACKED_SUFFIXES:
        return Impact.OBJECTS
    return Impact.CONFIGURATION if path.name.startswith("Kconfig") else Impact.EVERYTHING


def _is_documentation(path: PurePosixPath) -> bool:
    """A text that no build reads. Elsewhere a .txt may be a table (``x86-opcode-map.txt``), and below
    Documentation, too, there are Makefiles, Kconfig files, scripts and schemas."""
    top, *below = path.parts
    if not below:
        return top in _TOP_TEXT_FILES or path.suffix == ".rst"
    if top == "Documentation":
        return path.suffix in _TEXT_SUFFIXES or below[0] == "ABI"
    return top == "LICENSES" or path.suffix == ".rst"
