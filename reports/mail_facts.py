"""What both kinds of mail say of a run: the source, the compilers, the make lines, how to see a finding."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from matrix.findings.model import Finding
from matrix.record.model import Cell, Run, SourceRecord
from reports import findings as words
from reports import summary
from reports.explain import said
from reports.prose import verbatim
from reports.recipe import Place, asked_for, recipe, seen_in
from reports.text import clean, log_tail, plural

_TAIL = 20
_NO_CONFIG = "# with a .config that is not in this mail, of sha256 {}"
LONGEST = 60
"""Lines of a mail's body before any log: it stays below."""


@dataclass(frozen=True)
class Room:
    """How much of each kind a mail has; smaller ones are tried until it is short enough.

    ``excerpt`` are the lines of one compiler's message, ``prose`` those of one paragraph; ``makes`` is for
    whatever there is one of for each toolchain.
    """

    quote: int
    findings: int
    excerpt: int
    cells: int
    makes: int
    prose: int


ROOMS = (
    Room(quote=8, findings=4, excerpt=5, cells=8, makes=8, prose=6),
    Room(quote=8, findings=3, excerpt=1, cells=4, makes=8, prose=5),
    Room(quote=4, findings=2, excerpt=1, cells=2, makes=4, prose=3),
    Room(quote=2, findings=1, excerpt=1, cells=1, makes=2, prose=2),
)


def where(source: SourceRecord) -> str:
    """``Linux 6.12.48, v6.12.48-3-g0123 (commit 0123…)``: what others can find again.

    A git tree is its commit, a directory or file of ours only its name.
    """
    git, package = source.git, source.spec.startswith("debian:")
    spec = source.spec if package else PurePosixPath(source.spec.rstrip("/")).name
    if git:
        dirty = ", with changes that are not committed" if git.dirty else ""
        return clean(f"Linux {source.version}, {git.describe} (commit {git.commit}{dirty})")
    return clean(f"Linux {source.version}, {f'{spec} {source.package}'.strip()}, sha256 {source.digest[:12]}")


def patches(source: SourceRecord) -> str:
    """The patches on top, by their names; empty where there are none."""
    return clean(", ".join(PurePosixPath(patch.name).name for patch in source.patches))


def compilers(run: Run, among: Collection[str] | None = None) -> list[str]:
    """A line for each of these toolchains (or all), or for each of its arches where they differ."""
    known = summary.toolchains(run).items()
    return [f"{name}: {line}" for name, lines in known if among is None or name in among for line in lines]


def makes(cells: Iterable[Cell], shown: int) -> list[str]:
    """The make lines, each with the number of cells that it built, the most frequent first."""
    lines = Counter(filter(None, map(_made_by, cells)))
    told = [f"{line}  # {plural(count, 'cell')}" for line, count in lines.most_common(shown)]
    return told + ([f"# and {plural(len(lines) - shown, 'more line')}"] if len(lines) > shown else [])


def _made_by(cell: Cell) -> str:
    targets = " ".join(asked_for(cell.stages[-1])) if cell.stages else ""
    return clean(f"make {cell.make} -k {targets}", 4000) if targets else ""


def messages(run: Run, finding: Finding, room: Room) -> list[list[str]]:
    """What each toolchain says of a finding, once where two say the same."""
    told = (said(one)[: room.excerpt] for one in words.telling(run, finding).values())
    return [list(lines) for lines in dict.fromkeys(map(tuple, told))][: room.makes]


def by_hand(run: Run, cell: Cell, directory: Path, finding: Finding | None = None) -> list[str]:
    """The plain recipe, as far as somebody without the run's files can follow it."""
    ref = seen_in(cell, finding) if finding else None
    steps = recipe(run, cell, Place(directory, Path()), ref)
    if all(place == "in tree" for place, _ in steps):
        return [command for _, command in steps]
    base = run.bases.get(cell.base)
    digest = base.config_sha256 if base and base.config_sha256 else cell.config_sha256
    return [_NO_CONFIG.format(digest), *(command for place, command in steps if place == "in tree")]


def log(cells: Iterable[Cell], directory: Path) -> list[str]:
    """The end of the log of the first of these cells."""
    cell = next(iter(cells), None)
    tail = log_tail(directory, cell.log, _TAIL) if cell else ()
    told = verbatim(tail)
    return ["", f"The end of the log of {clean(cell.id)}:", "", *told] if cell and told else []


def fitting(body: Callable[[Room], Iterable[str]]) -> list[str]:
    """A mail's body in the largest room in which it stays below the limit."""
    lines: list[str] = []
    for room in ROOMS:
        lines = list(body(room))
        if len(lines) < LONGEST:
            break
    return lines
