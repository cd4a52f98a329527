"""The reproducer: one POSIX sh script that stands alone, for a finding and the cell to see it in.

The script needs a kernel tree and a container engine, or the tools of its machine.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from matrix.catalog.types import ROOT_IMAGE, find_compiler_and_linker
from matrix.commands.restore import check_restorable
from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import RequestError
from matrix.findings.finding import Finding
from matrix.findings.fingerprint import GLOBAL_TOOLS
from matrix.findings.make_steps import find_diagnostic_ref, find_make_targets, merge_fragments
from matrix.findings.stored_run import StoredRun, filter_cells_by_toolchain
from matrix.foreign_files import ForeignDirectory
from matrix.foreign_text import clean_text
from matrix.fs import translate_disk_full, write_atomically
from matrix.kbuild_words import is_plain_target, list_obstacles
from matrix.kconfig.config import Config, format_fragment
from matrix.plan import escape_path_part
from matrix.record.run_model import BaseRecord, Cell, DiagnosticRef, Run, ToolchainRecord
from matrix.record.states import State
from matrix.shell_words import format_command, format_variable, quote_word

REPRODUCER_NAME = "repro.sh"
_FROM_LINE = re.compile(r"^FROM (\S+)", re.MULTILINE)
_IMAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")
# Enough to tell a message from others, and no more than any grep takes.
_MAX_PATTERN_CHARACTERS = 500
_TEXT_PARTS = re.compile(
    r"(?P<digits>[0-9]+)|(?P<quote>['‘’`\"])|(?P<special>[.\[\]{}()*+?^$|\\])|(?P<plain>[ -~\t]|[^\W\d_])|.",
    re.DOTALL,
)


@dataclass(frozen=True)
class ReproTarget:
    """The cell to build, and the finding to look for; without one, whether the build fails."""

    cell: Cell
    finding: Finding | None

    @property
    def script_name(self) -> str:
        """``repro-F1-powerpc-gcc-14.sh``."""
        name = self.finding.id if self.finding else "cell"
        return f"repro-{name}-{'-'.join(map(escape_path_part, (self.cell.arch, self.cell.toolchain)))}.sh"


def select_repro_target(stored: StoredRun, finding: str, cell: str, toolchain: str) -> ReproTarget:
    """What was asked for by name. Without a finding, the cell must be named.

    RequestError when a name is none of the run's, or the two do not belong together.
    """
    if not cell:
        named = stored.select_finding(finding)
        affected = stored.list_affected_cells(named)
        return ReproTarget(filter_cells_by_toolchain(named, affected, toolchain)[0], named)
    target = stored.find_cell(cell)
    if toolchain not in {"", target.toolchain}:
        raise RequestError(f"{target.id} was not built with {toolchain}", "leave out --toolchain, or --cell")
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
    script, which runs outside of containers: each foreign word is quoted by `quote_word`. RequestError where
    no script can be made of it.
    """
    run, cell, finding = stored.run, target.cell, target.finding
    check_restorable(run, "no script can be made that stands alone", stored.name)
    ref = find_diagnostic_ref(cell, finding) if finding else None
    chain = _check_image_names(run.find_toolchain(cell.toolchain))
    config = _collect_config_values(run.bases.get(cell.base, BaseRecord()), cell, stored)
    kbuild = _collect_target_values(cell, stored, ref)
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
        host_obstacle=_describe_host_obstacle(cell, config, kbuild),
        **_collect_compiler_values(cell),
        config=config,
        kbuild=kbuild,
    )


def _check_image_names(chain: ToolchainRecord) -> ToolchainRecord:
    """The same toolchain. A name that is none would be taken for an option of the engine."""
    tags = [match for text in chain.recipe[1:] for match in _FROM_LINE.findall(text)]
    for name in (chain.image, chain.image_id, *([chain.root, *tags] if chain.recipe else [])):
        if not _IMAGE_NAME.fullmatch(name):
            raise RequestError(f"the record is damaged: {name!r} is no name of an image")
    return chain


@cache
def _load_script_template() -> Template:
    # A script must come out as it was written; what is foreign in it goes through ``q`` or ``words``.
    pages = Environment(
        loader=PackageLoader("matrix.commands"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters["q"] = quote_word
    pages.filters["words"] = _quote_word_lines
    return pages.get_template("repro.sh.j2")


def _quote_word_lines(words: Iterable[str]) -> str:
    """Foreign words as the arguments of a command, each on a line of its own."""
    return " \\\n    ".join(map(quote_word, words))


def _wrap_comment(comment: Iterable[str]) -> Iterator[str]:
    """The lines of the comment; none of them can end it."""
    for line in comment:
        yield from textwrap.wrap(clean_text(line), 96) or [""]


def _list_image_builds(chain: ToolchainRecord) -> list[dict[str, object]]:
    """The images to build, in order: the tag of each is what the next is built from."""
    parents = [_FROM_LINE.search(text) for text in chain.recipe[1:]]
    tags = [match[1] for match in parents if match] + [chain.image]
    return [{"tag": tag, "lines": text.splitlines()} for tag, text in zip(tags, chain.recipe, strict=False)]


def _collect_compiler_values(cell: Cell) -> dict[str, str]:
    """The make line, and the tools that it selects."""
    pair = find_compiler_and_linker(cell.make_variables)
    return {
        "make": " ".join(format_variable(name, value) for name, value in cell.make_variables.items()),
        "compiler": pair[0],
        "tools": format_command(*(tool.split()[0] for tool in pair if tool.split())),
    }


@dataclass(frozen=True)
class _ConfigValues:
    """Where the configuration starts: a make target, or a whole .config; and what comes on top."""

    target: str | None
    seed: int | None
    base_config: Config
    fragment: Config

    @property
    def base_lines(self) -> list[str]:
        return str(self.base_config).splitlines()

    @property
    def fragment_lines(self) -> list[str]:
        return str(self.fragment).splitlines()


def _collect_config_values(base: BaseRecord, cell: Cell, stored: StoredRun) -> _ConfigValues:
    target = base.targets.get(cell.arch)
    fragment = Config.parse(format_fragment(merge_fragments(base, cell)))
    if target:
        return _ConfigValues(target, base.seed, Config({}), fragment)
    digest = base.config_sha256 or cell.config_sha256
    text = ForeignDirectory(stored.directory).read_text(f"configs/{digest}")
    if text is None:
        raise RequestError(
            f"{stored.directory} has no configs/{digest} any more, which {cell.id} starts from"
        )
    return _ConfigValues(None, base.seed, Config.parse(text), fragment)


@dataclass(frozen=True)
class _TargetValues:
    """What is built; the object without which a build does not count as gone."""

    targets: tuple[str, ...]
    object: str
    gone_message: str


def _collect_target_values(cell: Cell, stored: StoredRun, ref: DiagnosticRef | None) -> _TargetValues:
    if ref is not None and ref.stage == "configure":
        return _TargetValues((), "", "make olddefconfig does not say it")
    object_ = ref.object or "" if ref else ""
    # It is removed before the build: a path that leads out of the build directory must not get there.
    object_ = object_ if object_.endswith(".o") and "/" in object_ and is_plain_target(object_) else ""
    targets = find_make_targets(cell, stored, ref)
    return _TargetValues(targets, object_, f"{object_ or 'everything'} is made without it")


def _describe_host_obstacle(cell: Cell, config: _ConfigValues, kbuild: _TargetValues) -> str:
    """What of a cell may run more than a build, and is kept to containers; empty where nothing may."""
    targets = [*([config.target] if config.target else []), *kbuild.targets]
    found = list_obstacles(cell.make_variables, targets, config.base_config.merge(config.fragment))
    if not found:
        return ""
    return f"what the run gave make may run commands on this machine, so only in a container: {found[0]}"


def _list_message_patterns(run: Run, finding: Finding | None) -> list[str]:
    """An ERE for each message of the finding: the finding is there whichever compiler prints it.

    RequestError where a finding has no words that could be looked for.
    """
    if finding is None:
        return []
    known = (run.diagnostics[key] for key in finding.diagnostics if key in run.diagnostics)
    patterns = {
        pattern
        for diagnostic in known
        if diagnostic.message.strip()
        for pattern in _build_message_patterns(diagnostic, finding.objects)
    }
    if not patterns:
        raise RequestError(f"{finding.id} has no message to look for", "name a cell that fails: --cell")
    return sorted(patterns)


def _build_message_patterns(diagnostic: Diagnostic, objects: Sequence[str]) -> list[str]:
    """EREs of a diagnostic of these objects. Of a command that failed without a word, make's line is all."""
    if not diagnostic.is_silent_failure:
        return [_build_message_pattern(diagnostic)]
    names = (PurePosixPath(name).name[-_MAX_PATTERN_CHARACTERS:] for name in objects)
    return [rf"\*\*\* \[(.*[ /])?{_build_text_pattern(name)}\] " for name in names]


def _build_message_pattern(diagnostic: Diagnostic) -> str:
    """A message in its file, with any quotes and any numbers: those change with versions and lines.

    A linker or modpost names the object or address that needs a symbol; the symbol alone is the problem.
    """
    has_line = diagnostic.file is not None and diagnostic.line is not None
    has_line = has_line and diagnostic.tool not in GLOBAL_TOOLS
    where = f"{_build_path_pattern(str(diagnostic.file))}:[0-9]+:.*" if has_line else ""
    return where + _build_text_pattern(diagnostic.message[:_MAX_PATTERN_CHARACTERS])


def _build_path_pattern(path: str) -> str:
    end = path[-_MAX_PATTERN_CHARACTERS:]
    return f"{'(^|[ /])' if end == path else ''}{_build_text_pattern(end)}"


def _build_text_pattern(text: str) -> str:
    return _TEXT_PARTS.sub(_build_part_pattern, text)


def _build_part_pattern(part: re.Match[str]) -> str:
    if part.lastgroup == "digits":
        return "[0-9]+"
    if part.lastgroup == "special":
        return f"\\{part[0]}"
    # A quote may be of another kind, and a replacement character stands for any bytes: up to four for each.
    return part[0] if part.lastgroup == "plain" else ".{1,4}"


def write_script(script: str, path: Path) -> Path:
    """Write a script that can be executed; returns its place."""
    with translate_disk_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, script)
    path.chmod(0o755)
    return path
