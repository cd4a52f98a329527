"""What both kinds of mail say of a run: the source, the compilers, the make lines, how to see a finding."""

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell, Run, SourceRecord
from reports import finding_text, summary
from reports.explain import format_diagnostic
from reports.formatting import clean_text, format_count
from reports.make_steps import RunLocation, find_diagnostic_ref, list_make_steps, parse_make_targets

MAIL_WIDTH = 75
"""Columns of prose, as for a commit's message: with a few marks of quotation it still fits in 80."""

_INDENT = "  "
_FIELD_WIDTH = 11
# What tools for patches look for in a mail: a tag would be credited, the beginning of a diff applied.
_PATCH_TOOL_SYNTAX = re.compile(
    r"\s*(?:[\w-]+-by|cc|fixes|closes|links?|references|message-id|change-id|base-commit)\s*:"
    r"|diff |--- |\+\+\+ |@@ |-- ?$",
    re.IGNORECASE,
)


def wrap_paragraph(text: str, most: int = 6) -> list[str]:
    """Prose in at most so many lines, and the empty line behind it; nothing of no text."""
    lines = textwrap.wrap(
        clean_text(text, 4000),
        MAIL_WIDTH,
        break_long_words=False,
        break_on_hyphens=False,
        max_lines=most,
        placeholder=" …",
    )
    return [*map(escape_mail_line, lines), ""] if lines else []


def indent_verbatim(lines: Iterable[str], limit: int = 240) -> list[str]:
    """What is never wrapped, indented, and the empty line behind it; longer lines are cut at ``limit``.

    A mail's line has at most 998 bytes, and a character up to four.
    """
    told = [escape_mail_line(f"{_INDENT}{clean_text(line, limit)}".rstrip()) for line in lines]
    return [*told, ""] if told else []


def format_wrapped_field(name: str, lines: Iterable[str], most: int = 6) -> list[str]:
    """Prose behind a name, which stands before its first line; in at most so many lines."""
    wrapped = (
        textwrap.wrap(clean_text(line), MAIL_WIDTH - _FIELD_WIDTH, break_on_hyphens=False) for line in lines
    )
    return _prefix_field_name(name, [part for parts in wrapped for part in parts], most)


def format_verbatim_field(name: str, lines: Iterable[str], most: int = 6) -> list[str]:
    """The same for what is never wrapped."""
    return _prefix_field_name(name, list(map(clean_text, lines)), most)


def _prefix_field_name(name: str, told: list[str], most: int) -> list[str]:
    shown = told if len(told) <= most else [*told[: most - 1], f"{told[most - 1]} …"]
    return [f"{'' if number else f'{name}:':<{_FIELD_WIDTH}}{line}" for number, line in enumerate(shown)]


def format_marked_lines(lines: Sequence[str], mark: str = "") -> list[str]:
    """What a tool printed, never wrapped, the first line behind a mark."""
    return [
        escape_mail_line(f"{mark if not number else '':<3}{clean_text(line, 240)}".rstrip())
        for number, line in enumerate(lines)
    ]


def format_quotation(lines: Sequence[str], most: int) -> list[str]:
    """The first of these lines as a quotation, never wrapped, and the empty line behind it."""
    shown = [f"> {clean_text(line, 240)}".rstrip() for line in lines[:most]]
    return [*shown, *(["> [...]"] if len(lines) > most else []), ""] if shown else []


def escape_mail_line(line: str) -> str:
    """A line that is no tag and begins no diff, whatever it says."""
    return f"| {line}" if _PATCH_TOOL_SYNTAX.match(line) else line


def join_with_and(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


_LOG_LINES_SHOWN = 20
_CONFIG_NOT_INCLUDED = "# with a .config that is not in this mail, of sha256 {}"
MAX_BODY_LINES = 60
"""Lines of a mail's body before any log: it stays below."""


@dataclass(frozen=True)
class MailLimits:
    """How much of each kind a mail has; smaller ones are tried until it is short enough.

    ``excerpt`` are the lines of one compiler's message, ``prose`` those of one paragraph; ``makes`` is for
    whatever there is one of for each toolchain.
    """

    quote: int
    findings: int
    excerpt: int
    cells: int
    toolchains: int
    prose: int


MAIL_LIMITS = (
    MailLimits(quote=8, findings=4, excerpt=5, cells=8, toolchains=8, prose=6),
    MailLimits(quote=8, findings=3, excerpt=1, cells=4, toolchains=8, prose=5),
    MailLimits(quote=4, findings=2, excerpt=1, cells=2, toolchains=4, prose=3),
    MailLimits(quote=2, findings=1, excerpt=1, cells=1, toolchains=2, prose=2),
)


def format_source_reference(source: SourceRecord) -> str:
    """``Linux 6.12.48, v6.12.48-3-g0123 (commit 0123…)``: what others can find again.

    A git tree is its commit, a directory or file of ours only its name.
    """
    git, package = source.git, source.spec.startswith("debian:")
    spec = source.spec if package else PurePosixPath(source.spec.rstrip("/")).name
    if git:
        dirty = ", with changes that are not committed" if git.dirty else ""
        return clean_text(f"Linux {source.version}, {git.describe} (commit {git.commit}{dirty})")
    return clean_text(
        f"Linux {source.version}, {f'{spec} {source.package}'.strip()}, sha256 {source.digest[:12]}"
    )


def format_patch_names(source: SourceRecord) -> str:
    """The patches on top, by their names; empty where there are none."""
    return clean_text(", ".join(PurePosixPath(patch.name).name for patch in source.patches))


def format_compilers(run: Run, among: Collection[str] | None = None) -> list[str]:
    """A line for each of these toolchains (or all), or for each of its arches where they differ."""
    known = summary.format_toolchains(run).items()
    return [f"{name}: {line}" for name, lines in known if among is None or name in among for line in lines]


def format_make_lines(cells: Iterable[Cell], shown: int) -> list[str]:
    """The make lines, each with the number of cells that it built, the most frequent first."""
    lines = Counter(filter(None, map(_format_make_line, cells)))
    told = [f"{line}  # {format_count(count, 'cell')}" for line, count in lines.most_common(shown)]
    return told + ([f"# and {format_count(len(lines) - shown, 'more line')}"] if len(lines) > shown else [])


def _format_make_line(cell: Cell) -> str:
    targets = " ".join(parse_make_targets(cell.stages[-1])) if cell.stages else ""
    return clean_text(f"make {cell.make} -k {targets}", 4000) if targets else ""


def format_messages(run: Run, finding: Finding, room: MailLimits) -> list[list[str]]:
    """What each toolchain says of a finding, once where two say the same."""
    told = (
        format_diagnostic(one)[: room.excerpt]
        for one in finding_text.label_diagnostics(run, finding).values()
    )
    return [list(lines) for lines in dict.fromkeys(map(tuple, told))][: room.toolchains]


def format_tree_commands(stored: StoredRun, cell: Cell, finding: Finding | None = None) -> list[str]:
    """The plain recipe, as far as somebody without the run's files can follow it."""
    ref = find_diagnostic_ref(cell, finding) if finding else None
    steps = list_make_steps(cell, RunLocation(stored, Path()), ref)
    if all(place == "in tree" for place, _ in steps):
        return [command for _, command in steps]
    base = stored.run.bases.get(cell.base)
    digest = base.config_sha256 if base and base.config_sha256 else cell.config_sha256
    return [_CONFIG_NOT_INCLUDED.format(digest), *(command for place, command in steps if place == "in tree")]


def format_log_tail(stored: StoredRun, cells: Iterable[Cell]) -> list[str]:
    """The end of the log of the first of these cells."""
    cell = next(iter(cells), None)
    tail = stored.read_log_tail(cell, _LOG_LINES_SHOWN) if cell else ()
    told = indent_verbatim(tail)
    return ["", f"The end of the log of {clean_text(cell.id)}:", "", *told] if cell and told else []


def fit_body(body: Callable[[MailLimits], Iterable[str]]) -> list[str]:
    """A mail's body in the largest room in which it stays below the limit."""
    lines: list[str] = []
    for room in MAIL_LIMITS:
        lines = list(body(room))
        if len(lines) < MAX_BODY_LINES:
            break
    return lines
