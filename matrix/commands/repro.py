"""The reproducer: one POSIX sh script that stands alone, for a finding and the cell to see it in.

The script needs a kernel tree and a container engine, or the tools of its machine.
"""

import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from matrix.catalog.types import ROOT_IMAGE, find_compiler_and_linker
from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import RequestError
from matrix.findings.finding import Finding
from matrix.findings.fingerprint import GLOBAL_TOOLS
from matrix.findings.make_steps import find_diagnostic_ref, find_make_targets, merge_fragments
from matrix.findings.stored_run import StoredRun, filter_cells_by_toolchain
from matrix.foreign_text import clean_text
from matrix.fs import translate_disk_full, write_atomically
from matrix.kconfig.config import format_fragment
from matrix.plan import escape_path_part
from matrix.record.run_model import BaseRecord, Cell, DiagnosticRef, Run, ToolchainRecord
from matrix.record.states import State

REPRODUCER_NAME = "repro.sh"
_MAX_WORD_LENGTH = 4000
_HEREDOC_END = "KMATRIX_EOF"
_FROM_LINE = re.compile(r"^FROM (\S+)", re.MULTILINE)
_QUOTE_CHARACTER = re.compile(r"['‘’`\"]")
_DIGITS = re.compile(r"[0-9]+")
_REGEX_SPECIAL = re.compile(r"[.\[\]{}()*+?^$|\\]")


@dataclass(frozen=True)
class ReproTarget:
    """The cell to build, and the finding to look for; without one, whether the build fails."""

    cell: Cell
    finding: Finding | None

    @property
    def script_name(self) -> str:
        """``repro-F1-powerpc-gcc-14.sh``."""
        name = self.finding.id if self.finding else "cell"
        return f"repro-{name}-{self.cell.arch}-{escape_path_part(self.cell.toolchain)}.sh"


def select_repro_target(stored: StoredRun, finding: str, cell: str, toolchain: str) -> ReproTarget:
    """What was asked for by name. Without a finding, the cell must be named.

    RequestError when a name is none of the run's, or the two do not belong together.
    """
    if not cell:
        named = stored.select_finding(finding)
        affected = stored.list_affected_cells(named)
        return ReproTarget(filter_cells_by_toolchain(named, affected, toolchain)[0], named)
    target = stored.find_cell(cell)
    if finding:
        named = stored.select_finding(finding)
        if target.id not in named.cells:
            raise RequestError(
                f"{named.id} was not seen in {target.id}", f"it was in {named.cells[0]}, for example"
            )
        return ReproTarget(target, named)
    if target.state is not State.FAIL:
        raise RequestError(
            f"{target.id} did not fail ({target.state}), so there is nothing to reproduce",
            "name a finding of it: --finding",
        )
    errors = (
        finding for finding in stored.findings.findings if finding.is_error and target.id in finding.cells
    )
    return ReproTarget(target, next(errors, None))


def render_reproducer(stored: StoredRun, target: ReproTarget, comment: Iterable[str]) -> str:
    """The script's text; without a finding, it asks whether the build fails.

    ``comment`` is the comment at its head, a line for each fact. A base that is a .config, and the log that
    shows what makes the object, are taken from the run's directory. Whatever a run holds is only text in the
    script, which runs outside of containers.
    """
    run, cell, finding = stored.run, target.cell, target.finding
    ref = find_diagnostic_ref(cell, finding) if finding else None
    chain = run.toolchains[cell.toolchain]
    return _load_script_template().render(
        name=REPRODUCER_NAME,
        version=clean_text(run.tool.version),
        run=clean_text(run.id),
        comment_lines=list(_wrap_comment(comment)),
        title=finding.title if finding else f"{cell.id} fails",
        upstream=ROOT_IMAGE.upstream,
        image=chain.image,
        image_id=chain.image_id,
        recipe_root=chain.root,
        recipe=_list_image_builds(chain),
        decisive_symbols=cell.verified,
        patterns=_list_message_patterns(run, finding),
        **_collect_compiler_values(cell),
        **_collect_config_values(run.bases.get(cell.base, BaseRecord()), cell, stored),
        **_collect_target_values(cell, stored, ref),
    )


@cache
def _load_script_template() -> Template:
    # A script must come out as it was written; what is foreign in it goes through ``q``.
    pages = Environment(
        loader=PackageLoader("matrix.commands"),
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


def _wrap_comment(comment: Iterable[str]) -> Iterator[str]:
    """The lines of the comment; none of them can end it."""
    for line in comment:
        yield from textwrap.wrap(clean_text(line), 96) or [""]


def _list_image_builds(chain: ToolchainRecord) -> list[dict[str, str]]:
    """The images to build, in order: the tag of each is what the next is built from."""
    parents = [_FROM_LINE.search(text) for text in chain.recipe[1:]]
    tags = [match[1] for match in parents if match] + [chain.image]
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


def _collect_config_values(base: BaseRecord, cell: Cell, stored: StoredRun) -> dict[str, object]:
    """Where the configuration starts: a make target, or a whole .config; and what comes on top."""
    target = base.targets.get(cell.arch)
    digest = base.config_sha256 or cell.config_sha256
    path = None if target else stored.find_file(f"configs/{digest}")
    if not target and path is None:
        raise RequestError(
            f"{stored.directory} has no configs/{digest} any more, which {cell.id} starts from"
        )
    return {
        "target": target,
        "seed": base.seed,
        "config": _strip_heredoc_end(path.read_text("utf-8", "replace")) if path else "",
        "fragment": _strip_heredoc_end(format_fragment(merge_fragments(base, cell))),
    }


def _collect_target_values(cell: Cell, stored: StoredRun, ref: DiagnosticRef | None) -> dict[str, str]:
    """What is built; the object without which a build does not count as gone."""
    if ref is not None and ref.stage == "configure":
        return {"targets": "", "object": "", "gone_message": "make olddefconfig does not say it"}
    object_ = ref.object or "" if ref else ""
    object_ = object_ if object_.endswith(".o") and "/" in object_ else ""
    return {
        "targets": " ".join(map(_quote_shell_word, find_make_targets(cell, stored, ref))),
        "object": object_,
        "gone_message": f"{object_ or 'everything'} is made without it",
    }


def _strip_heredoc_end(text: str) -> str:
    """A text of which no line ends the script's here-document."""
    return "\n".join(line for line in text.splitlines() if line.strip() != _HEREDOC_END)


def _list_message_patterns(run: Run, finding: Finding | None) -> list[str]:
    """An ERE for each message of the finding: the finding is there whichever compiler prints it."""
    keys = finding.diagnostics if finding else ()
    return sorted({_build_message_pattern(run.diagnostics[key]) for key in keys if key in run.diagnostics})


def _build_message_pattern(diagnostic: Diagnostic) -> str:
    """A message in its file, with any quotes and any numbers: those change with versions and lines.

    A linker or modpost names the object or address that needs a symbol; the symbol alone is the problem.
    """
    has_line = diagnostic.file is not None and diagnostic.line is not None
    has_line = has_line and diagnostic.tool not in GLOBAL_TOOLS
    where = f"(^|[ /]){_escape_regex(str(diagnostic.file))}:[0-9]+:.*" if has_line else ""
    return where + _QUOTE_CHARACTER.sub(".{1,3}", _DIGITS.sub("[0-9]+", _escape_regex(diagnostic.message)))


def _escape_regex(text: str) -> str:
    return _REGEX_SPECIAL.sub(r"\\\g<0>", clean_text(text, _MAX_WORD_LENGTH))


def write_script(script: str, path: Path) -> Path:
    """Write a script that can be executed; returns its place."""
    with translate_disk_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, script)
    path.chmod(0o755)
    return path
