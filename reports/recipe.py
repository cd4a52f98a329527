"""The plain recipe: what a person with a cross compiler types to see a cell's outcome, without kmatrix.

From the recorded make line: make the base, ``scripts/config``, olddefconfig, make the directory.
"""

import posixpath
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from matrix.findings.model import Finding
from matrix.kconfig.config import Config, unquote_value
from matrix.record.model import BaseRecord, Cell, DiagnosticRef, Run, StageRecord
from reports.text import clean, inside

BUILD = "/tmp/kmatrix"  # noqa: S108 - shown to a person, never opened here
Steps = list[tuple[str, str]]
"""(where it is typed, the command): ``in tree``, or ``by hand`` where the run's directory is at hand."""

_LONGEST = 4000
_CONFIG_FLAGS = {"y": "-e", "n": "-d", "m": "-m"}
_NUMBER = re.compile(r"-?[0-9]+|0[xX][0-9A-Fa-f]+")
# A step of kbuild's ("  CC [M]  drivers/a.o"), or the complaint of the make that failed on it.
_MADE = re.compile(r"^ {2}[A-Z]+ (?:\[M\])? *(\S+)$|\*\*\* \[\S+: (\S+)\] Error ")


@dataclass(frozen=True)
class Place:
    """A run's directory, and how its paths are shown to whoever reads this."""

    directory: Path
    shown: Path

    @classmethod
    def here(cls, directory: Path) -> "Place":
        """As somebody sees it who stands where this process does."""
        return cls(directory, nearby(directory))


def nearby(path: Path) -> Path:
    """A path as it is typed here: relative where it lies below the working directory."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def seen_in(cell: Cell, finding: Finding) -> DiagnosticRef | None:
    """The first of a finding's diagnostics in a cell that has it."""
    wanted = set(finding.diagnostics)
    return next((ref for ref in cell.diagnostics if ref.key in wanted), None)


def recipe(run: Run, cell: Cell, place: Place, ref: DiagnosticRef | None = None) -> Steps:
    """What to type to see this diagnostic of a cell, or what decided the cell.

    Empty when no command was recorded. A run that did not record how its bases start has the cell's whole
    .config copied instead.
    """
    stage = _stage(cell, ref)
    if stage is None or not stage.command:
        return []
    base = run.bases.get(cell.base)
    start = _from_base(base, cell, place) if base else []
    copied = [("by hand", _copied(recorded(place, cell.config_sha256)))] if cell.config_sha256 else []
    return [*(start or copied), _built(cell, place, ref)]


def from_config(cell: Cell, place: Place, config: Path, ref: DiagnosticRef | None = None) -> Steps:
    """What to type to see a diagnostic of a cell with somebody's own .config."""
    return [
        ("by hand", _copied(config)),
        ("in tree", clean(f"{_make(cell)} olddefconfig", _LONGEST)),
        _built(cell, place, ref),
    ]


def _built(cell: Cell, place: Place, ref: DiagnosticRef | None) -> tuple[str, str]:
    wanted = " ".join(map(shlex.quote, targets(cell, place.directory, ref)))
    return ("in tree", clean(f'{_make(cell)} -k -j"$(nproc)" {wanted}', _LONGEST))


def _stage(cell: Cell, ref: DiagnosticRef | None) -> StageRecord | None:
    named = (stage for stage in cell.stages if ref is not None and stage.name == ref.stage)
    return next(named, cell.deciding_stage)


def _make(cell: Cell) -> str:
    return f"make O={BUILD} {cell.make}".strip()


def _from_base(base: BaseRecord, cell: Cell, place: Place) -> Steps:
    """The steps that make the .config as kmatrix made it; none where the base is not known."""
    target = base.targets.get(cell.arch)
    if target:
        seed = f"KCONFIG_SEED={base.seed} " if base.seed is not None else ""
        first = ("in tree", clean(f"{seed}{_make(cell)} {target}", _LONGEST))
    elif base.config_sha256:
        first = ("by hand", _copied(recorded(place, base.config_sha256)))
    else:
        return []
    values = appended(base, cell)
    change = f"scripts/config --file {BUILD}/.config {' '.join(map(_asked, values.items()))}"
    steps = [("in tree", clean(change, _LONGEST))] if values else []
    return [first, *steps, ("in tree", clean(f"{_make(cell)} olddefconfig", _LONGEST))]


def appended(base: BaseRecord, cell: Cell) -> dict[str, str]:
    """Everything that is changed in the base: its own fragments, then the cell's."""
    return {**Config.parse("\n".join(base.fragment)), **cell.fragment}


def _asked(setting: tuple[str, str]) -> str:
    """``-e KVM``, ``--set-val NR_CPUS 64``, ``--set-str LOCALVERSION -mine``."""
    name, value = setting
    if value in _CONFIG_FLAGS:
        return f"{_CONFIG_FLAGS[value]} {name}"
    kind = "--set-val" if _NUMBER.fullmatch(value) else "--set-str"
    return f"{kind} {name} {shlex.quote(unquote_value(value))}"


def recorded(place: Place, digest: str) -> Path:
    """A whole .config of a run, as its path is shown."""
    return place.shown / "configs" / digest


def _copied(config: Path) -> str:
    return f"mkdir -p {BUILD} && cp {clean(shlex.quote(str(config)), _LONGEST)} {BUILD}/.config"


def targets(cell: Cell, directory: Path, ref: DiagnosticRef | None = None) -> tuple[str, ...]:
    """What make is asked for, so that this diagnostic comes up again; without one, the whole stage.

    The object virt/kvm/vfio.o is made as arch/powerpc/kvm/../../../virt/kvm/vfio.o, by the directory
    arch/powerpc/kvm/: the cell's log, in the run's ``directory``, tells. Else it is the object's own
    directory if that lies in one that was asked for, or all that was asked for.
    """
    stage = _stage(cell, ref)
    recorded = asked_for(stage) if stage else ()
    made = ref.object if ref else None
    if made is None or "/" not in made or not made.endswith(".o"):
        return recorded
    path = inside(directory, cell.log) if cell.log else None
    through = _through(made, path.read_text("utf-8", "replace") if path else "")
    if through:
        return (f"{through}/",)
    own = any(made.startswith(target) for target in recorded if target.endswith("/"))
    return (f"{posixpath.dirname(made)}/",) if own else recorded


def _through(made: str, log: str) -> str:
    """The directory whose makefile made an object, as a log shows it; empty where it does not."""
    for line in log.splitlines():
        found = _MADE.search(line)
        name = (found[1] or found[2]) if found else ""
        if name and posixpath.normpath(name) == made:
            outside, detour, _ = name.partition("/../")
            return outside if detour else posixpath.dirname(name)
    return ""


def asked_for(stage: StageRecord) -> tuple[str, ...]:
    """What make was asked for at a stage: the words at the command's end that are neither options nor
    variables; and what the stage needs from those before it."""
    words = shlex.split(stage.command)
    others = [number for number, word in enumerate(words) if word.startswith("-") or "=" in word]
    asked = tuple(words[max(others, default=0) + 1 :])
    # In an empty directory modpost knows no symbol of a kernel that was not built.
    return ("vmlinux", *asked) if stage.name == "modules" else asked
