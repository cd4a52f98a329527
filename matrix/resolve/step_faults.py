"""What ended a step, told by evidence: the machine, a limit of kmatrix, or the tree.

make's exit code is the same for a compiler that refused the source and for one that was killed. So these are
asked, in this order: the container's own counters, its file systems, and what the tools printed. A hostile
tree can forge all of it, and so make its own cell `infra`, but never a pass.
"""

from collections.abc import Callable
from dataclasses import dataclass

from matrix.engine.protocol import ContainerLimits, ContainerResult
from matrix.record.states import State
from matrix.resolve.container_report import ContainerReport, DiskSpace
from matrix.resolve.output_signs import Sign


@dataclass(frozen=True)
class StepFault:
    """What ended a step, if not the tree. ``spoils``: what the tools printed may have come of it."""

    state: State
    reason: str
    spoils: bool = True


@dataclass(frozen=True)
class StepEvidence:
    """All that is known of how a step ended."""

    ended: ContainerResult
    report: ContainerReport
    signs: dict[Sign, str]
    limits: ContainerLimits
    build_space: DiskSpace | None = None

    def find_fault(self) -> StepFault | None:
        """The first fault that there is evidence of; None where the tree alone decided."""
        faults = (find(self) for find in _FAULT_FINDERS)
        return next(filter(None, faults), None)


def _find_oom(evidence: StepEvidence) -> StepFault | None:
    """Of a kill for memory, the engine's flag and the kernel's counter do not say whose memory it was."""
    report = evidence.report
    if not (evidence.ended.oom or report.oom_kills):
        return None
    if report.is_memory_full is False:
        return StepFault(
            State.INFRA,
            "the machine ran out of memory and killed a process of the build, which was within its own limit;"
            " give it more memory, or use fewer --lanes",
            spoils=False,
        )
    limit = evidence.limits.memory
    size = f" of {limit / 2**30:.1f} GiB" if limit else ""
    return StepFault(State.OOM, f"a process was killed at the container's memory limit{size}", spoils=False)


def _find_clock(evidence: StepEvidence) -> StepFault | None:
    line = evidence.signs.get(Sign.CLOCK)
    if line is None:
        return None
    return _infra(f"files of the build were newer than now, so make may have left something out ({line})")


def _find_refused_processes(evidence: StepEvidence) -> StepFault | None:
    line = evidence.signs.get(Sign.PROCESSES)
    limit = f"kmatrix's limit of {evidence.limits.processes:,} processes in a container"
    if evidence.report.refused_processes:
        return _infra(f"{limit} was reached; use fewer --jobs, or see what in the tree starts so many")
    if line is None or evidence.ended.exit == 0:
        return None
    return _infra(f"a process could not be started, within {limit}: the machine has no room ({line})")


def _find_full_disk(evidence: StepEvidence) -> StepFault | None:
    if evidence.build_space is not None and _is_short(evidence.build_space, evidence):
        left = _describe_space(evidence.build_space)
        return _infra(
            f"the disk of the build directory is full: {left}; free some (./inv sweep helps),"
            " or set KMATRIX_CACHE to a directory on another"
        )
    space = evidence.report.temporary_space
    if space is not None and _is_short(space, evidence):
        return _infra(
            f"kmatrix's limit of {space.size / 2**20:.0f} MiB for /tmp in a container was reached:"
            f" {_describe_space(space)}; use fewer --jobs, or see what in the tree writes so much there"
        )
    return None


def _is_short(space: DiskSpace, evidence: StepEvidence) -> bool:
    # After a success only a disk with nothing left is suspicious: what failed silently was not written.
    return space.is_full if evidence.ended.exit else space.free == 0 or space.free_files == 0


def _describe_space(space: DiskSpace) -> str:
    return "no more files" if space.free_files == 0 else f"{space.free / 2**20:.1f} MiB left"


def _find_printed(evidence: StepEvidence) -> StepFault | None:
    """A fault that the tools of a failed step printed."""
    if evidence.ended.exit == 0:
        return None
    for sign, describe in _PRINTED_FAULTS.items():
        if line := evidence.signs.get(sign):
            return _infra(f"{describe(evidence.limits)} ({line})", spoils=sign is not Sign.KILLED)
    return None


_PRINTED_FAULTS: dict[Sign, Callable[[ContainerLimits], str]] = {
    Sign.DISK_FULL: lambda _: "a disk was full meanwhile; free some (./inv sweep helps)",
    Sign.FILE_SIZE: lambda limits: (
        f"kmatrix's limit of {limits.file_size / 2**30:g} GiB for a file was reached; see what in the tree"
        " writes so much"
    ),
    Sign.OPEN_FILES: lambda limits: (
        f"kmatrix's limit of {limits.open_files:,} open files for a process was reached; see what in the tree"
        " opens so many"
    ),
    Sign.NOT_WRITTEN: lambda _: "a file could not be written: the disk is full or broken",
    Sign.MEMORY: lambda _: "the machine refused memory; give it more, or use fewer --jobs or --lanes",
    Sign.KILLED: lambda _: (
        "a program was killed from outside, and not at the container's memory limit: the machine may have"
        " run out of memory"
    ),
}


def _find_odd_end(evidence: StepEvidence) -> StepFault | None:
    """make itself ends with 1 or 2; anything else comes from the shell, or is a signal."""
    code = evidence.ended.exit
    if code <= 2:
        return None
    if code in (126, 127):
        return _infra(f"make could not be started: the image has none that works (exit code {code})")
    if code > _SIGNAL_BASE:
        return _infra(
            f"make or its container was killed from outside (signal {code - _SIGNAL_BASE})", spoils=False
        )
    return _infra(f"make ended with {code}, which it never does by itself")


_SIGNAL_BASE = 128


def _infra(reason: str, *, spoils: bool = True) -> StepFault:
    return StepFault(State.INFRA, reason, spoils)


_FAULT_FINDERS: tuple[Callable[[StepEvidence], StepFault | None], ...] = (
    _find_oom,
    _find_clock,
    _find_refused_processes,
    _find_full_disk,
    _find_printed,
    _find_odd_end,
)
