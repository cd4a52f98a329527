"""What of a recorded make line may be typed on the reader's machine: it names a build, and runs nothing else.

Quotes keep a word from the shell, not from make and kbuild: make expands ``$(shell …)`` in every value and
every target, kbuild hands both to shells of its own, and ``CC``, ``Q`` or ``SHELL`` are commands. So a
variable is plain when it is one of those that select a compiler or its warnings and has a value of that
kind. Anything else is for a container, or for a person to read first.
"""

import re
from collections.abc import Iterable, Mapping

_PART = "[A-Za-z0-9_][A-Za-z0-9_.,+@-]*"
# Not any word: `install` and `modules_install` write outside of the build directory.
_TARGET = re.compile(rf"vmlinux|modules|[a-z0-9_.-]*config|{_PART}/(?:{_PART}/)*(?:{_PART})?")
_COMPILER = r"(?:gcc|g\+\+|clang|clang\+\+|cc|c\+\+|ld|lld|bfd|rustc)(?:-[0-9.]+)?"
_TOOL = rf"(?:/[A-Za-z0-9_./+-]*/)?[A-Za-z0-9_.+-]*{_COMPILER}"
# No comma, which reaches other programs (-Wl,…); no word alone; -wrapper, -B and -specs name programs.
_FLAG = r"-(?:[DUWg][A-Za-z0-9_=+-]*|O[0-9a-z]*|m[a-z0-9=.-]+|f(?!plugin|pass)[a-z0-9=-]+|std=[a-z0-9]+)"
_FLAGS = rf"(?:{_FLAG}(?: +{_FLAG})*)?"
_NUMBER = "[0-9a-z]{0,8}"
_VALUES = {
    name: re.compile(pattern)
    for names, pattern in {
        "ARCH SUBARCH": "[a-z0-9_]+",
        "CROSS_COMPILE CROSS_COMPILE_COMPAT CROSS32CC_COMPILE": r"(?:[A-Za-z0-9_./+-]+-|[A-Za-z0-9_./+-]+/)?",
        "CC HOSTCC CXX HOSTCXX LD HOSTLD RUSTC HOSTRUSTC": _TOOL,
        "LLVM": r"1|-[0-9.]+|[A-Za-z0-9_./+-]+/",
        "LLVM_IAS W V C KBUILD_MODPOST_WARN KBUILD_EXTRA_WARN KBUILD_VERBOSE": _NUMBER,
        "KCFLAGS KCPPFLAGS KAFLAGS HOSTCFLAGS": _FLAGS,
        "KBUILD_BUILD_USER KBUILD_BUILD_HOST KBUILD_BUILD_TIMESTAMP": "[A-Za-z0-9_.:+-]*",
    }.items()
    for name in names.split()
}
_SYMBOL = re.compile("[A-Za-z0-9_]+")
_LIVE_IN_VALUE = re.compile(r"[$`\\;|&<>'\x00-\x1f\x7f]")


def is_plain_target(word: str) -> bool:
    """Whether this word names something to build inside of the tree: a directory, an object, the kernel, its
    modules, a configuration."""
    return _TARGET.fullmatch(word) is not None and not word.startswith("-")


def find_unplain_variables(variables: Mapping[str, str]) -> list[str]:
    """Those make variables that could run something else than the build, in their order."""
    return [
        name for name, value in variables.items() if name not in _VALUES or not _VALUES[name].fullmatch(value)
    ]


def find_unplain_symbols(values: Mapping[str, str]) -> list[str]:
    """Those symbols whose names or values make, or a shell of kbuild's, could take for more than text."""
    return [
        name
        for name, value in values.items()
        if not _SYMBOL.fullmatch(name) or _LIVE_IN_VALUE.search(value.replace(r"\"", ""))
    ]


def list_obstacles(
    variables: Mapping[str, str], targets: Iterable[str], symbols: Mapping[str, str]
) -> list[str]:
    """What of a build keeps it to a container, as a reader may know it; nothing where all of it is plain."""
    return [
        *find_unplain_variables(variables),
        *(repr(target) for target in targets if not is_plain_target(target)),
        *(f"CONFIG_{symbol}" for symbol in find_unplain_symbols(symbols)),
    ]
