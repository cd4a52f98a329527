"""The plain recipe: what a person with a cross compiler types to see a cell's outcome, without kmatrix.

From the recorded make line: make the base, ``scripts/config``, olddefconfig, make the directory.
"""

import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.errors import RequestError
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.kbuild_words import is_plain_target, list_obstacles
from matrix.kconfig.config import Config, unquote_value
from matrix.record.run_model import BaseRecord, Cell, DiagnosticRef, StageRecord
from matrix.shell_words import format_command, quote_word

EXAMPLE_BUILD_DIR = "/tmp/kmatrix"  # noqa: S108 - shown to a person, never opened here
MakeSteps = list[tuple[str, str]]
"""(where it is typed, the command): ``in tree``, or ``by hand`` where the run's directory is at hand."""

# Reports cut longer lines, and a command that is cut in a quoted word turns the quotes of the next around.
_MAX_COMMAND_LENGTH = 3900
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
    .config copied instead. What may run more than a build is a comment: a record can be a stranger's.
    """
    stage = _find_stage(cell, ref)
    if stage is None or not stage.command:
        return []
    base = location.stored.run.bases.get(cell.base, BaseRecord())
    start = _list_base_steps(base, cell, location)
    copied = (
        [("by hand", _format_copy_command(locate_recorded_config(location, cell.config_sha256)))]
        if cell.config_sha256
        else []
    )
    targets = find_make_targets(cell, location.stored, ref)
    steps = [*(start or copied), _format_build_step(cell, targets)]
    return _comment_out(steps, _find_obstacles(base, cell, location.stored, targets))


def _find_obstacles(base: BaseRecord, cell: Cell, stored: StoredRun, targets: Sequence[str]) -> list[str]:
    """What of a cell's steps may run more than a build."""
    target = base.targets.get(cell.arch)
    words = [*([target] if target else []), *targets]
    try:
        symbols = {
            **({} if target else _read_start_config(base, cell, stored)),
            **merge_fragments(base, cell),
        }
    except (RequestError, ForeignFileError) as error:
        return [str(error)]
    return list_obstacles(cell.make_variables, words, symbols)


def _read_start_config(base: BaseRecord, cell: Cell, stored: StoredRun) -> Mapping[str, str]:
    """The .config that is copied; empty where it is not kept."""
    digest = base.config_sha256 or cell.config_sha256
    return Config.parse(ForeignDirectory(stored.directory).read_text(f"configs/{digest}") or "")


def _comment_out(steps: MakeSteps, obstacles: Sequence[str]) -> MakeSteps:
    """The steps as they are, or, where something is in their way, as comments that say what."""
    if any(len(command) > _MAX_COMMAND_LENGTH for _, command in steps):
        return [(steps[0][0], "# the commands are too long to be shown: ./inv repro writes a script")]
    if not obstacles:
        return steps
    why = f"# {quote_word(obstacles[0])} may run commands of its own: read these lines before you type them"
    return [(steps[0][0], why), *((where, f"# {command}") for where, command in steps)]


def list_steps_for_config(
    cell: Cell, location: RunLocation, config: Path, ref: DiagnosticRef | None = None
) -> MakeSteps:
    """What to type to see a diagnostic of a cell with a user's own .config."""
    targets = find_make_targets(cell, location.stored, ref)
    steps = [
        ("by hand", _format_copy_command(config)),
        ("in tree", f"{_format_make_prefix(cell)} olddefconfig"),
        _format_build_step(cell, targets),
    ]
    return _comment_out(steps, list_obstacles(cell.make_variables, targets, {}))


def _format_build_step(cell: Cell, targets: Sequence[str]) -> tuple[str, str]:
    return "in tree", f'{_format_make_prefix(cell)} -k -j"$(nproc)" {format_command(*targets)}'


def _find_stage(cell: Cell, ref: DiagnosticRef | None) -> StageRecord | None:
    named = (stage for stage in cell.stages if ref is not None and stage.name == ref.stage)
    return next(named, cell.deciding_stage)


def _format_make_prefix(cell: Cell) -> str:
    return f"make O={EXAMPLE_BUILD_DIR} {cell.make}".strip()


def format_make_line(cell: Cell) -> str:
    """The line that built a cell, without its directories; empty where nothing was built."""
    targets = parse_make_targets(cell.stages[-1]) if cell.stages else ()
    line = f"make {cell.make} -k {format_command(*targets)}"
    obstacles = list_obstacles(cell.make_variables, targets, {})
    plain = line if not obstacles and len(line) <= _MAX_COMMAND_LENGTH else f"# {line}"
    return plain if targets else ""


def _list_base_steps(base: BaseRecord, cell: Cell, location: RunLocation) -> MakeSteps:
    """The steps that make the .config as kmatrix made it; none where the base is not known."""
    target = base.targets.get(cell.arch)
    if target:
        seed = f"KCONFIG_SEED={base.seed} " if base.seed is not None else ""
        first = ("in tree", f"{seed}{_format_make_prefix(cell)} {quote_word(target)}")
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
        return format_command(_TRISTATE_FLAGS[value], name)
    kind = "--set-val" if _KCONFIG_NUMBER.fullmatch(value) else "--set-str"
    return format_command(kind, name, unquote_value(value))


def locate_recorded_config(location: RunLocation, digest: str) -> Path:
    """A whole .config of a run, as its path is shown."""
    return location.display_path / "configs" / digest


def _format_copy_command(config: Path) -> str:
    copy = format_command("cp", str(config), f"{EXAMPLE_BUILD_DIR}/.config")
    return f"mkdir -p {EXAMPLE_BUILD_DIR} && {copy}"


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
    through = _find_make_directory(object_, _read_log(cell, stored))
    if is_plain_target(f"{through}/"):
        return (f"{through}/",)
    own = any(object_.startswith(target) for target in recorded if target.endswith("/"))
    own = own and is_plain_target(object_)
    return (f"{posixpath.dirname(object_)}/",) if own else recorded


def _read_log(cell: Cell, stored: StoredRun) -> str:
    """A cell's log; empty where there is none that can be read."""
    try:
        return (ForeignDirectory(stored.directory).read_text(cell.log) or "") if cell.log else ""
    except ForeignFileError:
        return ""


def find_object_target(object_: str, cell: Cell, stored: StoredRun) -> str:
    """The name under which make makes an object by itself: the one that the cell's log shows, else its own.

    Empty where that is no name that a command can hold.
    """
    name = _find_logged_name(object_, _read_log(cell, stored)) or object_
    is_plain = is_plain_target("/".join(part for part in name.split("/") if part != ".."))
    return name if is_plain and is_plain_target(object_) else ""


def _find_make_directory(object_: str, log: str) -> str:
    """The directory whose makefile made an object, as a log shows it; empty where it does not."""
    name = _find_logged_name(object_, log)
    outside, detour, _ = name.partition("/../")
    return outside if detour else posixpath.dirname(name)


def _find_logged_name(object_: str, log: str) -> str:
    """How a log names an object; empty where it does not."""
    for line in log.splitlines():
        match = _OBJECT_LINE.search(line)
        name = (match[1] or match[2]) if match else ""
        if name and posixpath.normpath(name) == object_:
            return name
    return ""


def parse_make_targets(stage: StageRecord) -> tuple[str, ...]:
    """What make was asked for at a stage: the words at the command's end that are neither options nor
    variables; and what the stage needs from those before it."""
    words = shlex.split(stage.command)
    others = [number for number, word in enumerate(words) if word.startswith("-") or "=" in word]
    targets = tuple(words[max(others, default=0) + 1 :])
    # In an empty directory modpost knows no symbol of a kernel that was not built.
    return ("vmlinux", *targets) if stage.name == "modules" else targets
