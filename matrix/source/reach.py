"""How far a change of a file reaches, told by its path alone. Pure."""

from enum import Enum, auto
from pathlib import PurePosixPath


class Reach(Enum):
    """What a change of one file of a kernel tree can bring about in a build.

    ``NOTHING``: it is documentation, which neither conf nor make nor a compiler reads. ``OBJECTS``: a source
    (``.c``, ``.h``, ``.S``), which kbuild's dependency files name wherever it went in. ``CONFIGURATION``:
    Kconfig, which acts through .config only. ``EVERYTHING``: a Makefile, a script, a host tool, a generator's
    input: it reaches objects in ways that neither time stamps nor dependency files show.
    """

    NOTHING = auto()
    OBJECTS = auto()
    CONFIGURATION = auto()
    EVERYTHING = auto()


_SOURCES = {".c", ".h", ".S"}
_TOOLS = {"scripts", "tools"}
_TEXTS = {".rst", ".txt", ".md", ".svg", ".dot"}
_TOP_TEXTS = {"README", "MAINTAINERS", "CREDITS", "COPYING", ".mailmap"}


def reach(name: str) -> Reach:
    """The reach of the file at this path, relative to the tree's root."""
    path = PurePosixPath(name)
    if _documentation(path):
        return Reach.NOTHING
    if _TOOLS & set(path.parts[:-1]):
        return Reach.EVERYTHING
    if path.suffix in _SOURCES:
        return Reach.OBJECTS
    return Reach.CONFIGURATION if path.name.startswith("Kconfig") else Reach.EVERYTHING


def _documentation(path: PurePosixPath) -> bool:
    """A text that no build reads. Elsewhere a .txt may be a table (``x86-opcode-map.txt``), and below
    Documentation, too, there are Makefiles, Kconfig files, scripts and schemas."""
    top, *below = path.parts
    if not below:
        return top in _TOP_TEXTS or path.suffix == ".rst"
    if top == "Documentation":
        return path.suffix in _TEXTS or below[0] == "ABI"
    return top == "LICENSES" or path.suffix == ".rst"
