"""The reproducer: one POSIX sh script that stands alone, needing a kernel tree and a container engine."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from rich.console import Console

from matrix.catalog.types import find_compiler_and_linker
from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import RequestError
from matrix.findings.keys import GLOBAL_TOOLS
from matrix.findings.model import Finding
from matrix.kconfig.config import format_fragment
from matrix.record.model import BaseRecord, Cell, DiagnosticRef, Run, ToolchainRecord
from reports import findings as words
from reports import summary
from reports.look import say
from reports.recipe import appended, seen_in, targets
from reports.text import clean, inside

UPSTREAM = "debian:trixie-slim"
NAME = "repro.sh"
_LONGEST = 4000
_END = "KMATRIX_EOF"
_PARENT = re.compile(r"^FROM (\S+)", re.MULTILINE)
_QUOTE = re.compile(r"['‘’`\"]")
_NUMBER = re.compile(r"[0-9]+")
_SPECIAL = re.compile(r"[.\[\]{}()*+?^$|\\]")


def reproducer(run: Run, cell: Cell, directory: Path, finding: Finding | None) -> str:
    """The script's text for a cell and a finding of it; without one, it asks whether the build fails.

    ``directory`` is the run's: a base that is a .config, and the log that shows what makes the object, are
    taken from there. Whatever a run holds is only text in the script, which runs outside of containers.
    """
    ref = seen_in(cell, finding) if finding else None
    chain = run.toolchains[cell.toolchain]
    return _template().render(
        name=NAME,
        version=clean(run.tool.version),
        run=clean(run.id),
        about=list(_about(run, cell, finding)),
        title=finding.title if finding else f"{cell.id} fails",
        upstream=UPSTREAM,
        image=chain.image,
        image_id=chain.image_id,
        recipe_root=chain.root,
        recipe=_recipe(chain),
        deciding=cell.verified,
        patterns=_patterns(run, finding),
        **_compiler(cell),
        **_start(run.bases.get(cell.base, BaseRecord()), cell, directory),
        **_aim(cell, directory, ref),
    )


@cache
def _template() -> Template:
    # A script must come out as it was written; what is foreign in it goes through ``q``.
    pages = Environment(
        loader=PackageLoader("reports"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters["q"] = _quoted
    return pages.get_template("repro.sh.j2")


def _quoted(text: str) -> str:
    """Foreign text as one word of sh. On one line: inside of a here-document another could end that."""
    return shlex.quote(clean(text, _LONGEST))


def _about(run: Run, cell: Cell, finding: Finding | None) -> Iterator[str]:
    """The comment at its head, wrapped; every line is one that cannot end the comment."""
    said = [finding.title, *words.condition(finding)] if finding else ["fails:"]
    compiler = run.toolchains[cell.toolchain].compilers.get(cell.arch)
    versions = [compiler.version, compiler.binutils] if compiler else []
    for line in [*said, cell.id, summary.source(run), *versions]:
        yield from textwrap.wrap(clean(line), 96) or [""]


def _recipe(chain: ToolchainRecord) -> list[dict[str, str]]:
    """The images to build, in order: the tag of each is what the next is built from."""
    parents = [_PARENT.search(text) for text in chain.recipe[1:]]
    tags = [found[1] for found in parents if found] + [chain.image]
    return [{"tag": tag, "text": _whole(text)} for tag, text in zip(tags, chain.recipe, strict=False)]


def _compiler(cell: Cell) -> dict[str, str]:
    """The make line, and the tools that it selects."""
    pair = find_compiler_and_linker(cell.make_variables)
    return {
        "make": " ".join(_quoted(f"{name}={value}") for name, value in cell.make_variables.items()),
        "compiler": pair[0],
        "tools": " ".join(_quoted(tool.split()[0]) for tool in pair if tool.split()),
    }


def _start(base: BaseRecord, cell: Cell, directory: Path) -> dict[str, object]:
    """Where the configuration starts: a make target, or a whole .config; and what comes on top."""
    target = base.targets.get(cell.arch)
    digest = base.config_sha256 or cell.config_sha256
    path = None if target else inside(directory, f"configs/{digest}")
    if not target and path is None:
        raise RequestError(f"{directory} has no configs/{digest} any more, which {cell.id} starts from")
    return {
        "target": target,
        "seed": base.seed,
        "config": _whole(path.read_text("utf-8", "replace")) if path else "",
        "fragment": _whole(format_fragment(appended(base, cell))),
    }


def _aim(cell: Cell, directory: Path, ref: DiagnosticRef | None) -> dict[str, str]:
    """What is built, and what must have been made, so that silence says that the finding is gone."""
    if ref is not None and ref.stage == "configure":
        return {"targets": "", "object": "", "without": "make olddefconfig does not say it"}
    made = ref.object or "" if ref else ""
    made = made if made.endswith(".o") and "/" in made else ""
    return {
        "targets": " ".join(map(_quoted, targets(cell, directory, ref))),
        "object": made,
        "without": f"{made or 'everything'} is made without it",
    }


def _whole(text: str) -> str:
    """A text of which no line ends the script's here-document."""
    return "\n".join(line for line in text.splitlines() if line.strip() != _END)


def _patterns(run: Run, finding: Finding | None) -> list[str]:
    """An ERE for each message of the finding: whichever compiler says it, it is there."""
    keys = finding.diagnostics if finding else ()
    return sorted({_pattern(run.diagnostics[key]) for key in keys if key in run.diagnostics})


def _pattern(one: Diagnostic) -> str:
    """A message in its file, with any quotes and any numbers: those change with versions and lines.

    A linker or modpost names the object or address that wants a symbol; the symbol alone is the problem.
    """
    placed = one.file is not None and one.line is not None and one.tool not in GLOBAL_TOOLS
    where = f"(^|[ /]){_literal(str(one.file))}:[0-9]+:.*" if placed else ""
    return where + _QUOTE.sub(".{1,3}", _NUMBER.sub("[0-9]+", _literal(one.message)))


def _literal(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", clean(text, _LONGEST))


def show_script(path: Path, console: Console) -> None:
    """Where the script is, and how it is run."""
    typed = shlex.quote(str(path.absolute()))
    say(console, str(path))
    say(console, "in a kernel tree")
    say(console, f"  sh {typed}")
    say(console, "to find the commit")
    say(console, f"  git bisect run sh {typed}")
