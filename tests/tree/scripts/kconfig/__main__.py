# SPDX-License-Identifier: MIT
"""``python3 -m kconfig MODE [FILE]``: make a .config, or bring the build's view of it up to date.

MODE: defconfig FILE, olddefconfig, syncconfig, allnoconfig, allyesconfig, allmodconfig, randconfig.
Environment: srctree, and whatever the Kconfig files ask for; KCONFIG_ALLCONFIG names a file of wishes
that the all* modes and randconfig keep; KCONFIG_SEED starts randconfig.
"""

import os
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

from .files import dot_config, read, sync
from .language import Kconfig, KconfigError, Symbol, parse
from .values import Values

_ENVIRONMENT = ("ARCH", "SRCARCH", "CC", "LD", "CROSS_COMPILE")


def _fill(mode: str) -> Callable[[Symbol], str]:
    """What a mode wishes for a symbol that has a prompt."""
    if mode == "randconfig":
        seed = os.environ.get("KCONFIG_SEED") or str(int.from_bytes(os.urandom(4), "big"))
        sys.stdout.write(f"KCONFIG_SEED={seed}\n")
        return lambda s: ("ny" if s.kind == "bool" else "nmy")[
            zlib.crc32(f"{seed}/{s.name}".encode()) % (2 if s.kind == "bool" else 3)
        ]
    if mode == "allmodconfig":
        return lambda s: "y" if s.kind == "bool" else "m"
    return lambda _: "n" if mode == "allnoconfig" else "y"


def _filled(kconfig: Kconfig, mode: str, kept: dict[str, str]) -> dict[str, str]:
    """The wishes of an all* mode or of randconfig."""
    choose = _fill(mode)
    wishes = {
        symbol.name: choose(symbol)
        for symbol in kconfig.symbols.values()
        if symbol.kind in ("bool", "tristate") and any(entry.prompt for entry in symbol.entries)
    }
    return wishes | kept


def _wishes(kconfig: Kconfig, mode: str, arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    if mode in ("allnoconfig", "allyesconfig", "allmodconfig", "randconfig"):
        kept = os.environ.get("KCONFIG_ALLCONFIG")
        wishes, warnings = read(Path(kept), kconfig) if kept else ({}, [])
        return _filled(kconfig, mode, wishes), warnings
    source = Path(arguments[0] if mode == "defconfig" else ".config")
    if mode == "olddefconfig" and not source.exists():
        return {}, []
    return read(source, kconfig)


def _write(values: Values) -> None:
    title = f"Miniature/{os.environ.get('ARCH', '')} {os.environ.get('KERNELVERSION', '')} configuration"
    text, path = dot_config(values, title), Path(".config")
    if path.exists() and path.read_text() == text:
        sys.stdout.write("#\n# No change to .config\n#\n")
        return
    if path.exists():
        path.replace(".config.old")
    path.write_text(text)
    sys.stdout.write("#\n# configuration written to .config\n#\n")


def main(mode: str, *arguments: str) -> int:
    """Do one mode in the current directory; 1 when Kconfig refuses."""
    top = os.environ.get("srctree", ".")  # noqa: SIM112 (make's own variable)
    try:
        kconfig = parse(Path(top))
        wishes, warnings = _wishes(kconfig, mode, list(arguments))
        values = Values(kconfig, wishes)
        warnings += values.unmet()
    except KconfigError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write("".join(f"{warning}\n" for warning in warnings))
    if mode == "syncconfig":
        sync(values, top, {name: os.environ.get(name, "") for name in _ENVIRONMENT})
    else:
        _write(values)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
