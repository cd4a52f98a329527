"""The reproducer: one POSIX sh script that stands alone, needing a kernel tree and a container engine."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from rich.console import Console

from matrix.catalog.types import ROOT_IMAGE, find_compiler_and_linker
from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import RequestError
from matrix.findings.finding import Finding
from matrix.findings.fingerprint import GLOBAL_TOOLS
from matrix.kconfig.config import format_fragment
from matrix.record.run_model import BaseRecord, Cell, DiagnosticRef, Run, ToolchainRecord
from reports import finding_text, summary
from reports.formatting import clean_text, find_run_file
from reports.make_steps import find_diagnostic_ref, find_make_targets, merge_fragments
from reports.style import print_line

REPRODUCER_NAME = "repro.sh"
_MAX_WORD_LENGTH = 4000
_HEREDOC_END = "KMATRIX_EOF"
_FROM_LINE = re.compile(r"^FROM (\S+)", re.MULTILINE)
_QUOTE_CHARACTER = re.compile(r"['‘’`\"]")
_DIGITS = re.compile(r"[0-9]+")
_REGEX_SPECIAL = re.compile(r"[.\[\]{}()*+?^$|\\]")


def render_reproducer(run: Run, cell: Cell, directory: Path, finding: Finding | None) -> str:
    """The script's text for a cell and a finding of it; without one, it asks whether the build fails.

    ``directory`` is the run's: a base that is a .config, and the log that shows what makes the object, are
    taken from there. Whatever a run holds is only text in the script, which runs outside of containers.
    """
    ref = find_diagnostic_ref(cell, finding) if finding else None
    chain = run.toolchains[cell.toolchain]
    return _load_script_template().render(
        name=REPRODUCER_NAME,
        version=clean_text(run.tool.version),
        run=clean_text(run.id),
        about=list(_list_comment_lines(run, cell, finding)),
        title=finding.title if finding else f"{cell.id} fails",
        upstream=ROOT_IMAGE.upstream,
        image=chain.image,
        image_id=chain.image_id,
        recipe_root=chain.root,
        recipe=_list_image_builds(chain),
        deciding=cell.verified,
        patterns=_list_message_patterns(run, finding),
        **_collect_compiler_values(cell),
        **_collect_config_values(run.bases.get(cell.base, BaseRecord()), cell, directory),
        **_collect_target_values(cell, directory, ref),
    )


@cache
def _load_script_template() -> Template:
    # A script must come out as it was written; what is foreign in it goes through ``q``.
    pages = Environment(
        loader=PackageLoader("reports"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters["q"] = _quote_shell_word
    return pages.get_template("repro.sh.j2")


def _quote_shell_word(text: str) -> str:
    """Foreign text as one word of sh. On one line: inside of a here-document another could end that."""
    return shlex.quote(clean_text(text, _MAX_WORD_LENGTH))


def _list_comment_lines(run: Run, cell: Cell, finding: Finding | None) -> Iterator[str]:
    """The comment at its head, wrapped; every line is one that cannot end the comment."""
    said = [finding.title, *finding_text.format_condition(finding)] if finding else ["fails:"]
    compiler = run.toolchains[cell.toolchain].compilers.get(cell.arch)
    versions = [compiler.version, compiler.binutils] if compiler else []
    for line in [*said, cell.id, summary.format_source(run), *versions]:
        yield from textwrap.wrap(clean_text(line), 96) or [""]


def _list_image_builds(chain: ToolchainRecord) -> list[dict[str, str]]:
    """The images to build, in order: the tag of each is what the next is built from."""
    parents = [_FROM_LINE.search(text) for text in chain.recipe[1:]]
    tags = [found[1] for found in parents if found] + [chain.image]
    return [
        {"tag": tag, "text": _strip_heredoc_end(text)} for tag, text in zip(tags, chain.recipe, strict=False)
    ]


def _collect_compiler_values(cell: Cell) -> dict[str, str]:
    """The make line, and the tools that it selects."""
    pair = find_compiler_and_linker(cell.make_variables)
    return {
        "make": " ".join(_quote_shell_word(f"{name}={value}") for name, value in cell.make_variables.items()),
        "compiler": pair[0],
        "tools": " ".join(_quote_shell_word(tool.split()[0]) for tool in pair if tool.split()),
    }


def _collect_config_values(base: BaseRecord, cell: Cell, directory: Path) -> dict[str, object]:
    """Where the configuration starts: a make target, or a whole .config; and what comes on top."""
    target = base.targets.get(cell.arch)
    digest = base.config_sha256 or cell.config_sha256
    path = None if target else find_run_file(directory, f"configs/{digest}")
    if not target and path is None:
        raise RequestError(f"{directory} has no configs/{digest} any more, which {cell.id} starts from")
    return {
        "target": target,
        "seed": base.seed,
        "config": _strip_heredoc_end(path.read_text("utf-8", "replace")) if path else "",
        "fragment": _strip_heredoc_end(format_fragment(merge_fragments(base, cell))),
    }


def _collect_target_values(cell: Cell, directory: Path, ref: DiagnosticRef | None) -> dict[str, str]:
    """What is built, and what must have been made, so that silence says that the finding is gone."""
    if ref is not None and ref.stage == "configure":
        return {"targets": "", "object": "", "without": "make olddefconfig does not say it"}
    made = ref.object or "" if ref else ""
    made = made if made.endswith(".o") and "/" in made else ""
    return {
        "targets": " ".join(map(_quote_shell_word, find_make_targets(cell, directory, ref))),
        "object": made,
        "without": f"{made or 'everything'} is made without it",
    }


def _strip_heredoc_end(text: str) -> str:
    """A text of which no line ends the script's here-document."""
    return "\n".join(line for line in text.splitlines() if line.strip() != _HEREDOC_END)


def _list_message_patterns(run: Run, finding: Finding | None) -> list[str]:
    """An ERE for each message of the finding: whichever compiler says it, it is there."""
    keys = finding.diagnostics if finding else ()
    return sorted({_build_message_pattern(run.diagnostics[key]) for key in keys if key in run.diagnostics})


def _build_message_pattern(one: Diagnostic) -> str:
    """A message in its file, with any quotes and any numbers: those change with versions and lines.

    A linker or modpost names the object or address that wants a symbol; the symbol alone is the problem.
    """
    placed = one.file is not None and one.line is not None and one.tool not in GLOBAL_TOOLS
    where = f"(^|[ /]){_escape_regex(str(one.file))}:[0-9]+:.*" if placed else ""
    return where + _QUOTE_CHARACTER.sub(".{1,3}", _DIGITS.sub("[0-9]+", _escape_regex(one.message)))


def _escape_regex(text: str) -> str:
    return _REGEX_SPECIAL.sub(r"\\\g<0>", clean_text(text, _MAX_WORD_LENGTH))


def show_reproducer(path: Path, console: Console) -> None:
    """Where the script is, and how it is run."""
    typed = shlex.quote(str(path.absolute()))
    print_line(console, str(path))
    print_line(console, "in a kernel tree")
    print_line(console, f"  sh {typed}")
    print_line(console, "to find the commit")
    print_line(console, f"  git bisect run sh {typed}")
