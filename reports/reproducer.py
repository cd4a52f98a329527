"""The reproducer: one POSIX sh script that stands alone, needing a kernel tree and a container engine."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from rich.console import Console

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.model import Finding
from matrix.kconfig.config import fragment
from matrix.record.model import BaseRecord, Cell, Run, ToolchainRecord
from reports import findings as words
from reports import summary
from reports.look import say
from reports.recipe import appended, seen_in, targets
from reports.text import clean, inside

UPSTREAM = "debian:trixie-slim"
_END = "KMATRIX_EOF"
_PARENT = re.compile(r"^FROM (\S+)", re.MULTILINE)
_QUOTE = re.compile(r"['‘’`\"]")
_VARYING = re.compile(r"[0-9]+")
_SPECIAL = re.compile(r"([.\[\]{}()*+?^$|\\])")


def reproducer(run: Run, cell: Cell, directory: Path, finding: Finding | None) -> str:
    """The script's text for a cell and a finding of it; without one, it asks whether the build fails.

    ``directory`` is the run's: a base that is a .config, and the log that shows what makes the object, are
    taken from there.
    """
    base = run.bases.get(cell.base, BaseRecord())
    ref = seen_in(cell, finding) if finding else None
    chain = run.toolchains[cell.toolchain]
    target = base.targets.get(cell.arch)
    digest = base.config_sha256 or cell.config_sha256
    return _template().render(
        version=clean(run.tool.version),
        run=clean(run.id),
        about=list(_about(run, cell, finding)),
        name="repro.sh",
        upstream=UPSTREAM,
        image=clean(chain.image),
        image_id=clean(chain.image_id),
        recipe_root=clean(chain.root),
        recipe=_recipe(chain),
        make=" ".join(map(shlex.quote, shlex.split(cell.make))),
        target=target,
        seed=base.seed,
        config="" if target else _whole(_text(directory, f"configs/{digest}")),
        fragment=_whole(fragment(appended(base, cell))),
        deciding=cell.verified,
        targets=" ".join(map(shlex.quote, targets(cell, directory, ref))),
        patterns=_patterns(run, finding),
        finding=_shell_text(finding.title if finding else cell.id),
    )


@cache
def _template() -> Template:
    # A script must come out as it was written; what is foreign in it is quoted by ``q``.
    pages = Environment(
        loader=PackageLoader("reports"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters["q"] = shlex.quote
    return pages.get_template("repro.sh.j2")


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


def _whole(text: str) -> str:
    """A text that no line of ends the script's here-document."""
    return "\n".join(line for line in text.splitlines() if line.strip() != _END)


def _text(directory: Path, name: str) -> str:
    path = inside(directory, name)
    return path.read_text("utf-8", "replace") if path else ""


def _patterns(run: Run, finding: Finding | None) -> list[str]:
    """An ERE for each message of the finding, so that another compiler's words are recognised as well."""
    keys = finding.diagnostics if finding else ()
    known = (run.diagnostics[key] for key in keys if key in run.diagnostics)
    return sorted({_pattern(one) for one in known})


def _pattern(one: Diagnostic) -> str:
    """A message with any quotes and any numbers: those change with versions and lines."""
    literal = _SPECIAL.sub(r"\\\1", clean(one.message, 1000))
    return _VARYING.sub("[0-9]+", _QUOTE.sub(".", literal))


def _shell_text(text: str) -> str:
    """Text that is only text between double quotes."""
    return re.sub(r'([\\"$`])', r"\\\1", clean(text))


def show_script(path: Path, console: Console) -> None:
    """Where the script is, and how it is run."""
    say(console, str(path))
    say(console, f"  in a kernel tree: sh {shlex.quote(str(path))}")
    say(console, f"  to find the commit: git bisect run sh {shlex.quote(str(path.absolute()))}")
