"""A build's log as others keep it: where the tree and the build directory were, what make was asked for,
whether it came to its end; and a robot's mail, which quotes the tools. Pure.
"""

import posixpath
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from matrix.diagnostics.parser_state import BuildRoots, clean_log_line
from matrix.foreign_builds.build_facts import BuildFacts
from matrix.kbuild_words import is_plain_target

_MAKE_COMMAND = re.compile(r"(?:[+$#] )?(?:\S*/)?g?make (?P<words>\S.*)")
_MAKE_WORD = re.compile(r"-\S*|\w+=.*|[\w./%-]+", re.DOTALL)
_DIRECTORY = re.compile(
    r"(?:\S*/)?g?make(?:\[[0-9]+\])?: (?P<what>Entering|Leaving) directory ['`](?P<path>/[^']*)'"
)
_MAKE_ERROR = re.compile(
    r"(?:\S*/)?g?make(?:\[(?P<level>[0-9]{1,3})\])?: \*\*\* (?!Waiting|Deleting)(?P<text>.*)"
)
_STEP = re.compile(r"  [A-Z][A-Z0-9_]+ |(?:[+$#] )?(?:\S*/)?g?make (?:-|[A-Z]+=)")
_SIGNALS = ("Interrupt", "Terminated", "Killed", "Hangup")
_ENDED_WELL = re.compile(r"Kernel: \S+ is ready|(?:\S*/)?g?make: Nothing to be done for")
# "[/home/u/linux/scripts/Makefile.build:229: x.o]" has the tree's own scripts, "[/src/Makefile:152: singles]"
# and "[/src/rust/Makefile:372: rust/kernel.o]" any makefile.
_KBUILD_SCRIPT = re.compile(r"\*\*\* \[(?P<root>/[^\s:]*?)/scripts/Makefile\.\w+:[0-9]+: ")
_MAKEFILE = re.compile(r"\*\*\* \[(?P<directory>/[^\s:]*)/(?:Makefile|Kbuild):[0-9]+: (?P<target>[^\s\]]+)\]")
_ARCH_PART = re.compile(r"/arch/[a-z0-9]{1,20}(?:/[^/]{1,80}){0,8}$")
_STEP_TARGET = re.compile(r"  [A-Z][A-Z0-9_.+-]*(?: \[\w+\])? +(?P<target>[^\s/:][^\s:]*)$")
_SOURCE_FILE = re.compile(
    r"(?:In file included from |\s{1,20}from )?(?P<root>/[^\s:]{1,300}?)/"
    r"(?:arch/[a-z0-9]+|block|crypto|drivers|fs|include|init|io_uring|ipc|kernel|lib|mm|net|security|sound|virt)/"
    r"[^\s:]+:[0-9]+[:,]"
)
_TUXMAKE_COMPILER = re.compile(r"# compiler: (?P<text>.{1,300})")
_ROBOT_COMPILER = re.compile(r"\s{0,40}+compiler: (?P<text>\S.{0,300})")
_ROBOT_HEAD = re.compile(
    r"\s*All (?:errors?|warnings?|error/warnings?|errors? and warnings?)(?: \(.*\))?:\s*"
)
_ROBOT_END = re.compile(r"vim \+|-- ?$|---$|0-DAY CI|Kconfig warnings:")
_ROBOT_ARCH = re.compile(r"\bARCH=(\w{1,40})")
_ROBOT_MARK = re.compile(r">> |   ")
_MAX_COMMAND = 4_000
_HEAD_LINES = 200
_OWN_ROOTS = BuildRoots()
"""Where kmatrix has them; a log that names no others may well be one of its own."""


@dataclass(frozen=True)
class ForeignLog:
    """A log without what a mail has around it.

    ``source_root`` and ``build_root`` are where the tree and ``O=`` were. ``make_variables`` and
    ``make_targets`` are those of its make commands. ``succeeded`` is how make ended, None where nothing shows
    it; ``is_whole``: its first make ended, so nothing was still at work. ``was_stopped``: a signal ended it.
    """

    lines: tuple[str, ...]
    source_root: str
    build_root: str
    make_variables: dict[str, str]
    make_targets: tuple[str, ...]
    succeeded: bool | None
    is_whole: bool
    was_stopped: bool
    facts: BuildFacts


def read_foreign_log(text: str, source_root: str | None) -> ForeignLog:
    """A log's text as a value. ``source_root``: where others note that the tree was."""
    lines = tuple(map(clean_log_line, text.split("\n")))
    quoted = _extract_quotation(lines)
    of_make = [] if quoted is not None else [line for line in lines if "make" in line or "Kernel: " in line]
    commands = list(_list_make_commands(of_make))
    variables = dict(_list_variables(commands[0])) if commands else {}
    build = _find_build_root(of_make, variables)
    source = source_root or _find_source_root(lines) or build or _OWN_ROOTS.source
    build = build or _find_root_of_targets(lines)
    succeeded = None if quoted is not None else _find_end(of_make, lines)
    return ForeignLog(
        lines=lines if quoted is None else quoted,
        source_root=source,
        build_root=build or (source if source != _OWN_ROOTS.source else _OWN_ROOTS.build),
        make_variables={name: value for name, value in variables.items() if not _names_directory(name)},
        make_targets=tuple(dict.fromkeys(word for words in commands for word in _list_targets(words))),
        succeeded=succeeded,
        is_whole=succeeded is True or _shows_end(of_make),
        was_stopped=any(line.endswith(_SIGNALS) for line in of_make if _MAKE_ERROR.match(line)),
        facts=_find_facts(lines, is_mail=quoted is not None),
    )


def _list_make_commands(lines: Iterable[str]) -> Iterator[list[str]]:
    """The words of each make command that builds."""
    for line in lines:
        match = _MAKE_COMMAND.fullmatch(line) if len(line) <= _MAX_COMMAND else None
        words = _split_words(match["words"]) if match else []
        if words and all(map(_MAKE_WORD.fullmatch, words)) and any(map(_tells_of_make, words)):
            targets = list(_list_targets(words))
            if not targets or not all(target.endswith("config") for target in targets):
                yield words


def _split_words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _tells_of_make(word: str) -> bool:
    """Whether a word is an option, a variable or a target: "make sure that" is no command."""
    return word.startswith("-") or "=" in word or is_plain_target(word)


def _list_variables(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    pairs = (word.partition("=") for word in words if not word.startswith("-"))
    return ((name, value) for name, equals, value in pairs if equals)


def _list_targets(words: Iterable[str]) -> Iterator[str]:
    return (word for word in words if not word.startswith("-") and "=" not in word and not word.isdigit())


def _names_directory(variable: str) -> bool:
    return variable in {"O", "KBUILD_OUTPUT"} or variable.startswith("INSTALL_")


def _find_build_root(lines: Sequence[str], variables: dict[str, str]) -> str | None:
    """``O=`` where it is a whole path; else the first directory that make enters."""
    named = variables.get("O") or variables.get("KBUILD_OUTPUT") or ""
    if named.startswith("/"):
        return posixpath.normpath(named)
    entered = next((match["path"] for line in lines if (match := _DIRECTORY.match(line))), None)
    return posixpath.normpath(entered) if entered else None


def _find_source_root(lines: Sequence[str]) -> str | None:
    """The directory that make's own lines name as the tree's, else the one most files of messages lie in."""
    failing = [line for line in lines if "*** [/" in line]
    candidates = (
        (match["root"] for line in failing if (match := _KBUILD_SCRIPT.search(line))),
        (_strip_tree_part(match) for line in failing if (match := _MAKEFILE.search(line))),
        (m["root"] for line in lines if "/" in line[:60] and (m := _SOURCE_FILE.match(line))),
    )
    for names in candidates:
        roots = Counter(names)
        if roots:
            return posixpath.normpath(min(roots, key=lambda root: (-roots[root], len(root), root)))
    return None


def _strip_tree_part(match: re.Match[str]) -> str:
    """The root of a makefile's tree: a target is named from there, and mostly lies beside its makefile."""
    directory: str = match["directory"]
    part = posixpath.dirname(match["target"])
    while part.strip("/"):
        if directory.endswith(f"/{part}"):
            return directory.removesuffix(f"/{part}")
        part = posixpath.dirname(part)
    return _ARCH_PART.sub("", directory)


def _find_root_of_targets(lines: Iterable[str]) -> str | None:
    """The directory in which files of messages are called as the steps call them; None without such a one."""
    targets: set[str] = set()
    for line in lines:
        if step := _STEP_TARGET.match(line):
            targets.add(step["target"])
        elif line.startswith("/"):
            parts = line.partition(":")[0].split("/")[:32]
            for number in range(2, len(parts)):
                if "/".join(parts[number:]) in targets:
                    return "/".join(parts[:number])
    return None


def _find_end(of_make: Sequence[str], lines: Sequence[str]) -> bool | None:
    """How make ended, where that shows: an error of make's, or that it left what it had entered first, or had
    made the kernel, and went on to nothing else."""
    errors = [match["text"] for line in of_make if (match := _MAKE_ERROR.match(line))]
    if errors:
        return None if all(text.endswith(_SIGNALS) for text in errors) else False
    first = next((match["path"] for line in of_make if (match := _DIRECTORY.match(line))), None)
    for line in reversed(lines):
        if _STEP.match(line):
            return None
        move = _DIRECTORY.match(line)
        if move:
            return True if move["what"] == "Leaving" and move["path"] == first else None
        if _ENDED_WELL.match(line):
            return True
    return None


def _shows_end(lines: Sequence[str]) -> bool:
    """Whether the outermost make of a failing log has said itself that it failed."""
    levels = [int(match["level"] or 0) for line in lines if (match := _MAKE_ERROR.match(line))]
    return bool(levels) and min(levels) == 0


def _extract_quotation(lines: Sequence[str]) -> tuple[str, ...] | None:
    """What the 0-day robot quotes of the tools, without its marks; None where this is none of its mails."""
    start = next((number for number, line in enumerate(lines) if _ROBOT_HEAD.fullmatch(line)), None)
    return None if start is None else tuple(_strip_marks(lines[start + 1 :]))


def _strip_marks(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if _ROBOT_END.match(line):
            return
        yield _ROBOT_MARK.sub("", line, count=1) if _ROBOT_MARK.match(line) else line


def _find_facts(lines: Sequence[str], *, is_mail: bool) -> BuildFacts:
    """What the log or the mail shows of the build."""
    pattern = _ROBOT_COMPILER if is_mail else _TUXMAKE_COMPILER
    compiler = next(
        (match["text"] for line in lines[:_HEAD_LINES] if (match := pattern.fullmatch(line))), None
    )
    arches = (match[1] for line in lines[:_HEAD_LINES] if is_mail and (match := _ROBOT_ARCH.search(line)))
    return BuildFacts(arch=next(arches, None), compiler=compiler)
