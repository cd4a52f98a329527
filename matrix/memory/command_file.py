"""What kbuild leaves beside each object, in ``.FILE.cmd``: its command, its source, what it read. Pure."""

import os
import re
from dataclasses import dataclass

from matrix.resolve.make_runner import SOURCE_MOUNT

_SAVED = re.compile(r"(?:saved)?cmd_(\S+) := (.*)")
_SOURCE = re.compile(r"source_\S+ := (\S+)")
# Kernels before 5.13 write FOO_BAR as foo/bar.h. Which of its letters were small is lost.
_SYMBOL = re.compile(r"\$\(wildcard include/config/([A-Za-z0-9_/]+)(?:\.h)?\)")


@dataclass(frozen=True)
class CommandFile:
    """The command file of an object that a compiler made.

    ``target`` is the object as make names it (``arch/powerpc/kvm/../../../virt/kvm/vfio.o``), ``source`` the
    file that was compiled. ``sources`` are all files below the tree that it read, that one first, and
    ``generated`` those in the build directory, as they are named, relative to either. Other files
    (``outside``) are the image's. ``symbols`` are those of Kconfig that their texts name.
    """

    target: str
    command: str
    source: str
    sources: tuple[str, ...]
    generated: tuple[str, ...]
    outside: tuple[str, ...]
    symbols: tuple[str, ...]


def parse_command_file(text: str) -> CommandFile | None:
    """The command file as a value; None where it has no list of dependencies: no compiler made the object."""
    lines = text.split("\n")
    saved = _SAVED.fullmatch(lines[0])
    source = next((found[1] for line in lines if (found := _SOURCE.fullmatch(line))), None)
    if saved is None or source is None:
        return None
    start = f"deps_{saved[1]} := \\"
    if start not in lines:
        return None
    symbols, files = set[str](), [source]
    for line in lines[lines.index(start) + 1 :]:
        word = line.strip().removesuffix("\\").strip()
        if not word:
            break
        if found := _SYMBOL.fullmatch(word):
            symbols.add(found[1].replace("/", "_").upper() if word.endswith(".h)") else found[1])
        else:
            files.append(word)
    return _sort_files(saved[1], saved[2], source, dict.fromkeys(files), symbols)


def _sort_files(
    target: str, command: str, source: str, files: dict[str, None], symbols: set[str]
) -> CommandFile:
    prefix = f"{SOURCE_MOUNT}/"
    return CommandFile(
        target,
        command,
        source,
        tuple(file.removeprefix(prefix) for file in files if file.startswith(prefix)),
        tuple(file for file in files if not file.startswith("/")),
        tuple(file for file in files if file.startswith("/") and not file.startswith(prefix)),
        tuple(sorted(symbols)),
    )


def locate_command_file(object_: str) -> str:
    """The path of an object's command file: ``kvm/vfio.o`` has ``kvm/.vfio.o.cmd``."""
    folder, name = os.path.split(object_)
    return os.path.join(folder, f".{name}.cmd")  # noqa: PTH118 - no leading ./ is wanted
