"""A compiler's own words → the name of a toolchain, as in the catalog: ``gcc-14``, ``clang-19``. Pure."""

import re

from matrix.kconfig.config import ConfigCompiler

UNKNOWN_TOOLCHAIN = "unknown"
"""The toolchain of a build of which nothing says what compiled it."""

# "Debian clang version 19.1.7 (3+b1)"; "powerpc64le-linux-gnu-gcc (Debian 14.2.0-19) 14.2.0"; "gcc-12.1.0".
_CLANG = re.compile(r"\b(?:clang|llvm)(?: version |[- ])([0-9]{1,4})\b", re.IGNORECASE)
_GCC = re.compile(r"\bgcc\b(?:[^()]{0,80}\([^()]{0,80}\) |[- ])([0-9]{1,4})\b", re.IGNORECASE)
_FAMILY = re.compile(r"\b(clang|gcc)\b", re.IGNORECASE)


def name_toolchain(compiler: str | None, config: ConfigCompiler | None) -> str:
    """The name of what built: by its own words, else by the .config; the family alone where no version is
    known."""
    for text in (compiler, config.text if config else None):
        name = _name_compiler(text or "")
        if name:
            return name
    if config is None:
        family = _FAMILY.search(compiler or "")
        return family[1].lower() if family else UNKNOWN_TOOLCHAIN
    return f"{config.family}-{config.version // 10000}" if config.version >= 10000 else config.family


def _name_compiler(text: str) -> str:
    for family, pattern in (("clang", _CLANG), ("gcc", _GCC)):
        found = pattern.search(text)
        if found:
            return f"{family}-{found[1]}"
    return ""
