"""A compiler in a few lines: it reads sources and headers, and says what lines of them ask for.

    #include <linux/a.h>, "b.h"     found as gcc finds them: beside the file, then by the -I of the command
    #ifdef NAME, #else, #endif      NAME is CONFIG_X where X is y, or from a -D of the command
    #if __has_include(<NAME>)       whether that would be found
    #warning TEXT, #error TEXT      what gcc says of them; with -Werror a warning is an error
    unused NAME;                    a warning, where the command has -Wunused-variable
    call NAME(), define NAME()      what a link needs and has
    twist NAME();                   what objtool complains of when a module is linked
    undescribed NAME();             what modpost complains of
    .incbin "NAME"                  content that no dependency names
    .include "NAME"                 the same by the assembler, which finds it by the -I of the command
    EXPORT_SYMBOL(NAME)             an export, which is seen in the object

All else goes into the object as it is, with the value in place of each CONFIG_X.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

ReadFile = Callable[[str], str | None]
"""The text of a file by the name that the compiler has for it (``/src/a.h``, ``include/b.h``), or None."""

_TOKEN = re.compile(r"\bCONFIG_(\w+)")
_INCLUDE = re.compile(r'#include ([<"])(\S+)[>"]')
_EXPORT = re.compile(r"^EXPORT_SYMBOL\((\w+)\)", re.MULTILINE)
_LINKED = re.compile(r"^(?:call|define|twist|undescribed) \w+\(\);", re.MULTILINE)


@dataclass
class Compilation:
    """What came of one source.

    ``content`` depends on all that the compiler saw. ``read`` are the files, the source first; ``symbols``
    all that they name, like fixdep finds them, in what was left out, too.
    """

    content: str = ""
    read: list[str] = field(default_factory=list)
    symbols: set[str] = field(default_factory=set)
    says: list[str] = field(default_factory=list)
    refused: bool = False


def compile_source(source: str, command: str, config: Mapping[str, str], read: ReadFile) -> Compilation:
    """Compile a source by a command line, in a configuration."""
    return _Compiler(command.split(), config, read).compile(source)


class _Compiler:
    def __init__(self, words: list[str], config: Mapping[str, str], read: ReadFile) -> None:
        self._config, self._read_file = config, read
        self._folders = [word[2:].removeprefix("./") for word in words if word.startswith("-I")]
        self._defined = {word[2:].split("=")[0] for word in words if word.startswith("-D")}
        self._is_strict, self._finds_unused = "-Werror" in words, "-Wunused-variable" in words
        # Of no effect on what is read, and so no part of what the output depends on: where it goes.
        self._seen = [*words[: words.index("-o")], *words[words.index("-o") + 2 :]]
        self._result = Compilation()
        self._chain: list[tuple[str, int]] = []

    def compile(self, source: str) -> Compilation:
        self._include(source)
        text = "\n".join(self._seen)
        digest = hashlib.sha256(text.encode()).hexdigest()
        exports = (f"__export_symbol_{name}" for name in _EXPORT.findall(text))
        self._result.content = "\n".join([f"object {digest}", *_LINKED.findall(text), *exports])
        return self._result

    def _include(self, name: str) -> None:
        text = self._read_file(name)
        if text is None or len(self._chain) > 20:
            self._refuse(f"fatal error: {name}: No such file or directory")
            return
        if name not in self._result.read:
            self._result.read.append(name)
        self._result.symbols.update(_TOKEN.findall(text))
        taken = [True]
        for number, line in enumerate(text.splitlines(), 1):
            self._chain.append((name, number))
            self._take_line(line, taken)
            self._chain.pop()

    def _take_line(self, line: str, taken: list[bool]) -> None:
        word, _, rest = line.partition(" ")
        if word in ("#ifdef", "#ifndef"):
            taken.append(taken[-1] and self._is_defined(rest) == (word == "#ifdef"))
        elif word == "#if":
            name = rest.removeprefix("__has_include(<").removesuffix(">)")
            taken.append(taken[-1] and self._read_file(self._find_header(name, beside=False)) is not None)
        elif word == "#else":
            taken[-1] = taken[-2] and not taken[-1]
        elif word == "#endif":
            taken.pop()
        elif taken[-1]:
            self._read_line(line)

    def _is_defined(self, name: str) -> bool:
        if match := _TOKEN.fullmatch(name):
            return self._config.get(match[1], "n") == "y"
        return name in self._defined

    def _read_line(self, line: str) -> None:
        if match := _INCLUDE.match(line):
            self._include(self._find_header(match[2], beside=match[1] == '"'))
        elif line.startswith("#error "):
            self._refuse(f"error: {line}")
        elif line.startswith("#warning "):
            self._warn(line, "cpp")
        elif line.startswith("unused ") and self._finds_unused:
            self._warn(f"unused variable '{line[7:-1]}'", "unused-variable")
        elif line.startswith(".incbin "):
            self._seen.append(self._read_file(line.split('"')[1]) or "")
        elif line.startswith(".include "):
            self._assemble(self._find_header(line.split('"')[1], beside=False))
        self._seen.append(_TOKEN.sub(lambda match: self._config.get(match[1], "n"), line))

    def _assemble(self, name: str) -> None:
        """What gas makes of a file: it has no preprocessor, and nobody lists what it reads."""
        text = self._read_file(name) or ""
        self._seen.append(text)
        self._result.says += [
            f"{name}:{number}: Warning: {line.removeprefix('.warning ')}"
            for number, line in enumerate(text.splitlines(), 1)
            if line.startswith(".warning ")
        ]

    def _find_header(self, name: str, *, beside: bool) -> str:
        own = [self._chain[-1][0].rpartition("/")[0]] if beside else []
        paths = [f"{folder}/{name}" for folder in (*own, *self._folders)]
        return next((path for path in paths if self._read_file(path) is not None), name)

    def _warn(self, text: str, flag: str) -> None:
        if self._is_strict:
            self._refuse(f"error: {text} [-Werror={flag}]")
        else:
            self._say(f"warning: {text} [-W{flag}]")

    def _refuse(self, text: str) -> None:
        self._result.refused = True
        self._say(text)

    def _say(self, text: str) -> None:
        """One message, after what includes what, from the inside out."""
        *outer, (name, number) = self._chain or [("<command-line>", 1)]
        for depth, (file, line) in enumerate(reversed(outer)):
            head = "                 from" if depth else "In file included from"
            self._result.says.append(f"{head} {file}:{line}{',' if depth + 1 < len(outer) else ':'}")
        self._result.says.append(f"{name}:{number}:2: {text}")
