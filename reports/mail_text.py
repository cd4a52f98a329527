"""What both kinds of mail are made of: paragraphs, fields, quotations; the source, the compilers, the make
lines.

The functions that make lines clean foreign text, and it cannot be done later, for all lines at once: a line
is measured and wrapped, and looked at for what tools for patches would obey, as it will be sent.
"""

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath

from matrix.findings.finding import Finding
from matrix.findings.make_steps import RunLocation, find_diagnostic_ref, format_make_line, list_make_steps
from matrix.findings.stored_run import StoredRun
from matrix.foreign_text import clean_text
from matrix.record.run_model import Cell, Run, SourceRecord
from reports import limits, summary
from reports.finding_view import FindingView
from reports.formatting import format_count
from reports.limits import MailLimits

MAIL_WIDTH = 75
"""Columns of prose, as for a commit's message: with a few marks of quotation it still fits in 80."""

# A mail's line has at most 998 bytes, and a character up to four.
_LINE_LENGTH = 240
_INDENT = "  "
_FIELD_WIDTH = 11
# What tools look for in a mail, at the beginning of a line: a tag would be credited, a header in the body
# believed, a diff applied, a message split, a robot (syzbot, regzbot, patchwork's) or a mailer told to act.
_TOOL_SYNTAX = re.compile(
    r"\s*(?:[\w-]+-by|b?cc|to|from|subject|date|fixes|closes|links?|references|message-id|change-id|[\w-]+-commit"
    r"|[\w-]+-patch-id|pw-bot|mime-version|content-[\w-]+|x-[\w-]+)\s*:"
    r"|>*From |diff |Index: |--- |---$|\+\+\+ |\*\*\* |@@ |={3}|-- ?$|begin [0-7]{3}|[.]$|~|\s*#\w",
    re.IGNORECASE,
)
# git am can be told to drop what stands before such a line, wherever in it the scissors are.
_SCISSORS = re.compile(r"(?:8|%)(?=<)|>(?=[8%])")
# A run of blanks and hyphens is looked at from its beginning only: a line may be one.
_PERFORATION = re.compile(r"(?<![\s-])\s*+-[\s-]*+(?:8<|>8|%<|>%)|(?:8<|>8|%<|>%)\s*+-")
_LONG_WORD = re.compile(r"(\S{200})(?=\S)")


def wrap_paragraph(text: str, most: int = 6) -> list[str]:
    """Prose in at most so many lines, and the empty line behind it; nothing of no text."""
    lines = textwrap.wrap(
        _LONG_WORD.sub(r"\1 ", clean_text(text, 4000)),
        MAIL_WIDTH,
        break_long_words=False,
        break_on_hyphens=False,
        max_lines=most,
        placeholder=" …",
    )
    return [*map(escape_mail_line, lines), ""] if lines else []


def indent_verbatim(lines: Iterable[str], limit: int = _LINE_LENGTH) -> list[str]:
    """What is never wrapped, indented, and the empty line behind it; longer lines are cut at ``limit``."""
    indented = [escape_mail_line(f"{_INDENT}{clean_text(line, limit)}".rstrip()) for line in lines]
    return [*indented, ""] if indented else []


def format_wrapped_field(name: str, lines: Iterable[str], most: int = 6) -> list[str]:
    """Prose behind a name, which stands before its first line; in at most so many lines."""
    wrapped = (
        textwrap.wrap(clean_text(line), MAIL_WIDTH - _FIELD_WIDTH, break_on_hyphens=False) for line in lines
    )
    return _prefix_field_name(name, [part for parts in wrapped for part in parts], most)


def format_verbatim_field(name: str, lines: Iterable[str], most: int = 6) -> list[str]:
    """The same for what is never wrapped."""
    return _prefix_field_name(name, [clean_text(line, _LINE_LENGTH) for line in lines], most)


def _prefix_field_name(name: str, lines: list[str], most: int) -> list[str]:
    shown = lines if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1]} …"]
    return [
        escape_mail_line(f"{'' if number else f'{name}:':<{_FIELD_WIDTH}}{line}".rstrip())
        for number, line in enumerate(shown)
    ]


def format_marked_lines(lines: Sequence[str], mark: str = "") -> list[str]:
    """What a tool printed, never wrapped, the first line behind a mark."""
    return [
        escape_mail_line(f"{mark if not number else '':<3}{clean_text(line, _LINE_LENGTH)}".rstrip())
        for number, line in enumerate(lines)
    ]


def format_quotation(lines: Sequence[str], most: int) -> list[str]:
    """The first of these lines as a quotation, never wrapped, and the empty line behind it."""
    shown = [escape_mail_line(f"> {clean_text(line, _LINE_LENGTH)}".rstrip()) for line in lines[:most]]
    return [*shown, *(["> [...]"] if len(lines) > most else []), ""] if shown else []


def escape_mail_line(line: str) -> str:
    """A line that tools take for nothing: no tag, no header, no beginning of a diff or of another mail."""
    uncut = _SCISSORS.sub(r"\g<0> ", line) if _PERFORATION.search(line) else line
    return f"| {uncut}" if _TOOL_SYNTAX.match(uncut) else uncut


def join_with_and(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


_CONFIG_NOT_INCLUDED = "# with a .config that is not in this mail, of sha256 {}"


def format_source_reference(source: SourceRecord) -> str:
    """``Linux 6.12.48, v6.12.48-3-g0123 (commit 0123…)``: what others can find again.

    A git tree is its commit, a directory or file of ours only its name.
    """
    git, package = source.git, source.spec.startswith("debian:")
    spec = source.spec if package else PurePosixPath(source.spec.rstrip("/")).name
    if git:
        dirty = ", with changes that are not committed" if git.dirty else ""
        return f"Linux {source.version}, {git.describe} (commit {git.commit}{dirty})"
    digest = f", sha256 {source.digest[:12]}" if source.digest else ""
    return f"Linux {source.version}, {f'{spec} {source.package}'.strip()}{digest}"


def format_patch_names(source: SourceRecord) -> str:
    """The patches on top, by their names; empty where there are none."""
    return ", ".join(PurePosixPath(patch.name).name for patch in source.patches)


def format_compilers(run: Run, toolchains: Collection[str] | None = None) -> list[str]:
    """A line for each of these toolchains (or all), or for each of its arches where they differ."""
    known = summary.format_toolchains(run).items()
    return [
        f"{name}: {line}"
        for name, lines in known
        if toolchains is None or name in toolchains
        for line in lines
    ]


def format_make_lines(cells: Iterable[Cell], shown: int) -> list[str]:
    """The make lines, each with the number of cells that it built, the most frequent first."""
    lines = Counter(filter(None, map(format_make_line, cells)))
    first = [f"{line}  # {format_count(count, 'cell')}" for line, count in lines.most_common(shown)]
    return first + ([f"# and {format_count(len(lines) - shown, 'more line')}"] if len(lines) > shown else [])


def view_finding(stored: StoredRun, finding: Finding, most: MailLimits) -> FindingView:
    """What a mail shows of a finding. Paths of the run are shown as its directory has them."""
    shown = limits.FindingLimits(most.findings, most.cells, most.excerpt)
    return FindingView(RunLocation(stored, Path()), finding, shown)


def list_messages(view: FindingView, most: MailLimits) -> list[tuple[str, ...]]:
    """The lines of each message of a finding, once where two are the same."""
    return list(dict.fromkeys(message.plain_lines for message in view.messages))[: most.toolchains]


def format_tree_commands(stored: StoredRun, cell: Cell, finding: Finding | None = None) -> list[str]:
    """The plain recipe, as far as it can be followed without the run's files."""
    ref = find_diagnostic_ref(cell, finding) if finding else None
    steps = list_make_steps(cell, RunLocation(stored, Path()), ref)
    in_tree = [command for where, command in steps if where == "in tree"]
    if len(in_tree) == len(steps):
        return in_tree
    base = stored.run.bases.get(cell.base)
    digest = base.config_sha256 if base and base.config_sha256 else cell.config_sha256
    return [_CONFIG_NOT_INCLUDED.format(digest), *in_tree]


def format_log_tail(stored: StoredRun, cells: Iterable[Cell]) -> list[str]:
    """The end of the log of the first of these cells."""
    cell = next(iter(cells), None)
    tail = indent_verbatim(stored.read_log_tail(cell, limits.MAIL_LOG_LINES) if cell else ())
    return ["", f"The end of the log of {clean_text(cell.id)}:", "", *tail] if cell and tail else []


def fit_body(body: Callable[[MailLimits], Iterable[str]]) -> list[str]:
    """A mail's body with as much of each kind as it may have and yet stay short."""
    lines: list[str] = []
    for most in limits.MAIL_LIMITS:
        lines = list(body(most))
        if len(lines) < limits.MAIL_BODY_LINES:
            break
    return lines
