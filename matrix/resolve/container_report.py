"""What a container reports on itself when its command has ended: the kernel's counters, the space in /tmp."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# The shell that waits for the command reports on the container's own stderr, which nothing else has; the
# command's two streams go to stdout, joined, so that they keep their order. Its builtins come first: where
# no process can be started any more, the last line fails.
REPORTING_SHELL = (
    "sh",
    "-c",
    r"""exec 3>&2 2>&1
"$@" 3>&-
code=$?
exec 2>&3
cd /sys/fs/cgroup
for file in memory/memory.oom_control memory/memory.max_usage_in_bytes memory/memory.limit_in_bytes \
    pids/pids.events memory.events pids.events
do
    [ -r $file ] && while read -r name value; do echo "${file##*/} $name $value"; done <$file
done >&2
stat -f -c '/tmp %b %a %S %c %d' /tmp >&2
exit $code""",
    "sh",
)

_SPARE_BYTES = 16 * 2**20
_MAX_DIGITS = 18
# The kernel charges memory in batches, so the most that was used may lie a little below the limit.
_CHARGED_BYTES = 2**20


@dataclass(frozen=True)
class DiskSpace:
    """A file system's space for its user: bytes, and how many more files. None: it counts none."""

    size: int
    free: int
    free_files: int | None = None

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be written; a tool that failed may have removed what it had begun."""
        return self.free <= min(_SPARE_BYTES, self.size // 50) or self.free_files == 0


def measure_space(directory: Path) -> DiskSpace | None:
    """The space of the file system that holds a directory; None where it cannot be asked."""
    try:
        status = os.statvfs(directory)
    except OSError:
        return None
    files = status.f_favail if status.f_files else None
    return DiskSpace(status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize, files)


@dataclass(frozen=True)
class ContainerReport:
    """What the reporting shell found. None: it is not known.

    ``oom_kills`` counts processes that any OOM killer ended; ``is_memory_full`` is whether the container
    had come to its own limit; ``refused_processes`` counts those that were over the limit.
    """

    oom_kills: int = 0
    is_memory_full: bool | None = None
    refused_processes: int = 0
    temporary_space: DiskSpace | None = None


def parse_report(lines: Iterable[str]) -> ContainerReport:
    """The report out of its lines; what cannot be read is not known. Never raises."""
    counters: dict[str, int] = {}
    space = None
    for line in lines:
        name, *numbers = line.split()[:6] or [""]
        if name == "/tmp" and (read := _parse_space(numbers)):  # noqa: S108 - the container's
            space = read
        elif numbers and numbers[-1].isdecimal() and len(numbers[-1]) <= _MAX_DIGITS:
            key = " ".join([name, *numbers[:-1]])
            counters[key] = max(counters.get(key, 0), int(numbers[-1]))
    return ContainerReport(
        max(counters.get(f"{name} oom_kill", 0) for name in ("memory.events", "memory.oom_control")),
        _came_to_limit(counters),
        counters.get("pids.events max", 0),
        space,
    )


def _came_to_limit(counters: Mapping[str, int]) -> bool | None:
    """Whether the container's own memory was full: cgroup v2 counts that, v1 has the most that was used."""
    if "memory.events oom" in counters:
        return counters["memory.events oom"] > 0
    used, limit = (counters.get(f"memory.{name}_in_bytes") for name in ("max_usage", "limit"))
    return None if used is None or limit is None else used >= limit - _CHARGED_BYTES


def _parse_space(words: Sequence[str]) -> DiskSpace | None:
    if len(words) != 5 or not all(word.isdecimal() and len(word) <= _MAX_DIGITS for word in words):
        return None
    blocks, free, block, files, free_files = map(int, words)
    return DiskSpace(blocks * block, free * block, free_files if files else None)
