"""The plain recipe: what a person with a cross compiler types to see a cell's outcome, without kmatrix.

From the recorded make line: make the base, ``scripts/config``, olddefconfig, make the directory.
"""

import posixpath
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.kconfig.config import Config, unquote_value
from matrix.record.run_model import BaseRecord, Cell, DiagnosticRef, StageRecord

EXAMPLE_BUILD_DIR = "/tmp/kmatrix"  # noqa: S108 - shown to a person, never opened here
MakeSteps = list[tuple[str, str]]
"""(where it is typed, the command): ``in tree``, or ``by hand`` where the run's directory is at hand."""

_TRISTATE_FLAGS = {"y": "-e", "n": "-d", "m": "-m"}
_KCONFIG_NUMBER = re.compile(r"-?[0-9]+|0[xX][0-9A-Fa-f]+")
# A step of kbuild's ("  CC [M]  drivers/a.o"), or the complaint of the make that failed on it.
_OBJECT_LINE = re.compile(r"^ {2}[A-Z]+ (?:\[M\])? *(\S+)$|\*\*\* \[\S+: (\S+)\] Error ")


@dataclass(frozen=True)
class RunLocation:
    """A run, and its directory as it is shown: paths of the run are shown below it."""

    stored: StoredRun
    display_path: Path

    @classmethod
    def from_cwd(cls, stored: StoredRun) -> "RunLocation":
        """The run as it is reached from the working directory."""
        return cls(stored, relativize_to_cwd(stored.directory))


def relativize_to_cwd(path: Path) -> Path:
    """A path as it is typed: relative where it lies below the working directory."""
    cwd = Path.cwd()
    return path.relative_to(cwd) if path.is_relative_to(cwd) else path


def find_diagnostic_ref(cell: Cell, finding: Finding) -> DiagnosticRef | None:
    """The first of a finding's diagnostics in a cell that has it."""
    wanted = set(finding.diagnostics)
    return next((ref for ref in cell.proven_diagnostics if ref.key in wanted), None)


def list_make_steps(cell: Cell, location: RunLocation, ref: DiagnosticRef | None = None) -> MakeSteps:
    """What to type to see this diagnostic of a cell, or what decided the cell.

    Empty when no command was recorded. A run that did not record how its bases start has the cell's whole
    .config copied instead.
    """
    stage = _find_stage(cell, ref)
    if stage is None or not stage.command:
        return []
    base = location.stored.run.bases.get(cell.base)
    start = _list_base_steps(base, cell, location) if base else []
    copied = (
        [("by hand", _format_copy_command(locate_recorded_config(location, cell.config_sha256)))]
        if cell.config_sha256
        else []
    )
    return [*(start or copied), _format_build_step(cell, location, ref)]


def list_steps_for_config(
    cell: Cell, location: RunLocation, config: Path, ref: DiagnosticRef | None = None
) -> MakeSteps:
    """What to type to see a diagnostic of a cell with a user's own .config."""
    return [
        ("by hand", _format_copy_command(config)),
        ("in tree", f"{_format_make_prefix(cell)} olddefconfig"),
        _format_build_step(cell, location, ref),
    ]


def _format_build_step(cell: Cell, location: RunLocation, ref: DiagnosticRef | None) -> tuple[str, str]:
    wanted = " ".join(map(shlex.quote, find_make_targets(cell, location.stored, ref)))
    return "in tree", f'{_format_make_prefix(cell)} -k -j"$(nproc)" {wanted}'


def _find_stage(cell: Cell, ref: DiagnosticRef | None) -> StageRecord | None:
    named = (stage for stage in cell.stages if ref is not None and stage.name == ref.stage)
    return next(named, cell.deciding_stage)


def _format_make_prefix(cell: Cell) -> str:
    return f"make O={EXAMPLE_BUILD_DIR} {cell.make}".strip()


def _list_base_steps(base: BaseRecord, cell: Cell, location: RunLocation) -> MakeSteps:
    """The steps that make the .config as kmatrix made it; none where the base is not known."""
    target = base.targets.get(cell.arch)
    if target:
        seed = f"KCONFIG_SEED={base.seed} " if base.seed is not None else ""
        first = ("in tree", f"{seed}{_format_make_prefix(cell)} {target}")
    elif base.config_sha256:
        first = ("by hand", _format_copy_command(locate_recorded_config(location, base.config_sha256)))
    else:
        return []
    values = merge_fragments(base, cell)
    options = " ".join(map(_format_config_option, values.items()))
    change = f"scripts/config --file {EXAMPLE_BUILD_DIR}/.config {options}"
    steps = [("in tree", change)] if values else []
    return [first, *steps, ("in tree", f"{_format_make_prefix(cell)} olddefconfig")]


def merge_fragments(base: BaseRecord, cell: Cell) -> dict[str, str]:
    """Everything that is changed in the base: its own fragments, then the cell's."""
    return {**Config.parse("\n".join(base.fragment)), **cell.fragment}


def _format_config_option(setting: tuple[str, str]) -> str:
    """``-e KVM``, ``--set-val NR_CPUS 64``, ``--set-str LOCALVERSION -mine``."""
    name, value = setting
    if value in _TRISTATE_FLAGS:
        return f"{_TRISTATE_FLAGS[value]} {name}"
    kind = "--set-val" if _KCONFIG_NUMBER.fullmatch(value) else "--set-str"
    return f"{kind} {name} {shlex.quote(unquote_value(value))}"


def locate_recorded_config(location: RunLocation, digest: str) -> Path:
    """A whole .config of a run, as its path is shown."""
    return location.display_path / "configs" / digest


def _format_copy_command(config: Path) -> str:
    file = shlex.quote(str(config))
    return f"mkdir -p {EXAMPLE_BUILD_DIR} && cp {file} {EXAMPLE_BUILD_DIR}/.config"


def find_make_targets(cell: Cell, stored: StoredRun, ref: DiagnosticRef | None = None) -> tuple[str, ...]:
    """What make is asked for, so that this diagnostic comes up again; without one, the whole stage.

    The object virt/kvm/vfio.o is made as arch/powerpc/kvm/../../../virt/kvm/vfio.o, by the directory
    arch/powerpc/kvm/: the cell's log shows that. Else it is the object's own directory if that lies in one
    that was asked for, or all that was asked for.
    """
    stage = _find_stage(cell, ref)
    recorded = parse_make_targets(stage) if stage else ()
    object_ = ref.object if ref else None
    if object_ is None or "/" not in object_ or not object_.endswith(".o"):
        return recorded
    path = stored.find_file(cell.log) if cell.log else None
    through = _find_make_directory(object_, path.read_text("utf-8", "replace") if path else "")
    if through:
        return (f"{through}/",)
    own = any(object_.startswith(target) for target in recorded if target.endswith("/"))
    return (f"{posixpath.dirname(object_)}/",) if own else recorded


def _find_make_directory(object_: str, log: str) -> str:
    """The directory whose makefile made an object, as a log shows it; empty where it does not."""
    for line in log.splitlines():
        match = _OBJECT_LINE.search(line)
        name = (match[1] or match[2]) if match else ""
        if name and posixpath.normpath(name) == object_:
            outside, detour, _ = name.partition("/../")
            return outside if detour else posixpath.dirname(name)
    return ""


def parse_make_targets(stage: StageRecord) -> tuple[str, ...]:
    """What make was asked for at a stage: the words at the command's end that are neither options nor
    variables; and what the stage needs from those before it."""
    words = shlex.split(stage.command)
    others = [number for number, word in enumerate(words) if word.startswith("-") or "=" in word]
    targets = tuple(words[max(others, default=0) + 1 :])
    # In an empty directory modpost knows no symbol of a kernel that was not built.
    return ("vmlinux", *targets) if stage.name == "modules" else targets
