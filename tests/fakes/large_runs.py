"""Runs of any size, as a matrix over arches, toolchains and symbols gives them, with what kept logs and
configurations show."""

import hashlib
from functools import lru_cache
from itertools import product
from pathlib import Path

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell, Run
from matrix.record.states import Evidence, State
from tests.fakes.runs import GCC_ERROR, WARNING, a_cell, a_run
from tests.fakes.sides import a_side

ARCHES = ("arm64", "powerpc", "s390", "x86", "riscv", "arm", "mips", "loongarch")
TOOLCHAINS = ("gcc-13", "gcc-14", "clang-18", "clang-19")
_UNREACHABLE = "KVM=m: MODULES=n makes it y"
_CONFIG_LINES = 300


def a_large_run(cells: int, findings: int, config_lines: int = _CONFIG_LINES) -> Run:
    """A run of so many cells in 32 lanes. Every second one shows one of the findings of its lane, in turn."""
    said = [_create_finding(number) for number in range(findings)]
    lanes = list(product(ARCHES, TOOLCHAINS))
    rows = [
        _configure(_create_cell(number, arch, toolchain, said[lane :: len(lanes)]), config_lines)
        for lane, (arch, toolchain) in enumerate(lanes)
        for number in range(-(-cells // len(lanes)))
    ]
    return a_run(rows[:cells], said)


@lru_cache(maxsize=2)
def a_large_side(cells: int, findings: int) -> StoredRun:
    """Such a run as a side, with findings that are derived once: tests of one process share it."""
    return a_side(a_large_run(cells, findings))


def _create_finding(number: int) -> Diagnostic:
    """Each third one is a warning."""
    kind = WARNING if number % 3 == 2 else GCC_ERROR
    update = {
        "message": f"implicit declaration of function 'helper_{number}'",
        "symbols": (f"helper_{number}",),
        "file": f"drivers/part{number % 40}/file{number}.c",
        "line": number + 1,
        "sites": (),
    }
    return kind.model_copy(update=update)


def _create_cell(number: int, arch: str, toolchain: str, said: list[Diagnostic]) -> Cell:
    symbols = {"KVM": "nmy"[number % 3], "MODULES": "ny"[number // 3 % 2], "NR_CPUS": str(number // 6 + 1)}
    if (symbols["KVM"], symbols["MODULES"]) == ("m", "n"):
        return a_cell(arch, toolchain, symbols, state=State.UNREACHABLE, reason=_UNREACHABLE)
    at_work = (number * 9.4, number * 9.4 + 9.0)
    if number % 97 == 5:
        return a_cell(arch, toolchain, symbols, state=State.TIMEOUT, at_work=at_work)
    if number % 2 and said:
        one = said[number // 2 % len(said)]
        state = State.FAIL if one.severity == "error" else State.WARN
        return a_cell(arch, toolchain, symbols, state=state, diagnostics=[one], at_work=at_work)
    return a_cell(arch, toolchain, symbols, at_work=at_work)


def _configure(cell: Cell, lines: int) -> Cell:
    """The cell with the digest of its configuration, and built in this run."""
    if cell.config_sha256 is None:
        return cell
    digest = hashlib.sha256(_write_config(cell, lines).encode()).hexdigest()
    return cell.model_copy(update={"config_sha256": digest, "evidence": Evidence.BUILT})


def _write_config(cell: Cell, lines: int) -> str:
    """A configuration: most lines are every cell's, some its arch's and its toolchain's, and some follow from
    what was asked for."""
    asked = [f"{name}={value}" for name, value in cell.request.items()]
    follow = [f"{name}_{value.upper()}_{part}=y" for name, value in cell.request.items() for part in "ABCD"]
    common = [f"COMMON_SYMBOL_{number}=y" for number in range(lines - lines // 10)]
    own = [f"{cell.arch}_{number}=m".upper() for number in range(lines // 10)]
    lane = [f'CC_VERSION_TEXT="{cell.toolchain}"', f"{cell.toolchain}=y".upper().replace("-", "_")]
    unset = [f"# CONFIG_{cell.arch.upper()}_OFF_{number} is not set" for number in range(lines // 10)]
    return "\n".join([*(f"CONFIG_{line}" for line in (*common, *own, *lane, *asked, *follow)), *unset, ""])


def write_kept_files(run: Run, directory: Path, lines: int = 200, config_lines: int = _CONFIG_LINES) -> None:
    """The logs of a run's cells, each with its messages in the middle of so many lines, and their configs."""
    (directory / "configs").mkdir(parents=True, exist_ok=True)
    for cell in run.cells:
        if cell.config_sha256:
            (directory / "configs" / cell.config_sha256).write_text(_write_config(cell, config_lines))
        if cell.log:
            messages = [f"{run.diagnostics[ref.key].message}: error\n" for ref in cell.diagnostics]
            compiled = [f"  CC      drivers/part{number}/main.o\n" for number in range(lines // 2)]
            log = directory / cell.log
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("".join([*compiled, *messages, *compiled]))
