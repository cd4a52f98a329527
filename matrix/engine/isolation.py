"""What of a container's isolation an engine accepts and does not apply: read back inside of a container."""

from matrix.engine.protocol import ContainerLimits, Engine
from matrix.engine.step import Step, StepRunner
from matrix.errors import EngineError

_PROBE_LIMITS = ContainerLimits(memory=512 * 2**20, seconds=60)
# Prints a container's own limits: memory and processes under cgroup v1 or v2, capabilities, privileges, user.
# A socket of AF_INET is what engines' own filters of system calls let through, and kmatrix's does not.
_PROBE_SCRIPT = """
cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null | head -n 1
sed 's/^/processes=/;q' /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null
grep -E '^(CapEff|NoNewPrivs):' /proc/self/status
id -u
touch /probe 2>/dev/null && echo writable
perl -e 'print socket(my $s, 2, 1, 0) ? "unfiltered" : "filtered", "\\n"'
true
"""


def list_missing_isolation(engine: Engine, image: str, user: str) -> list[str]:
    """What the engine does not apply, in words; nothing where all holds. ``user`` as for a container.

    The image must have a shell, coreutils, grep, sed and perl.
    """
    lines: list[str] = []
    steps = StepRunner(engine, user, "doctor", _PROBE_LIMITS)
    steps.run(Step(image, ("sh", "-c", _PROBE_SCRIPT)), lines.append)
    return _evaluate_probe(lines, user)


def require_isolation(engine: Engine, image: str, user: str) -> None:
    """EngineError where the engine does not apply what a container is asked for, and names it."""
    if missing := list_missing_isolation(engine, image, user):
        raise EngineError(
            f"the engine accepts limits and does not apply them: {', '.join(missing)}; "
            "kmatrix builds nothing without",
            hint="use a rootful engine, or, for rootless Podman, a machine with cgroup v2 whose systemd "
            "delegates memory and pids to users; ./inv doctor looks again",
        )


def _evaluate_probe(lines: list[str], user: str) -> list[str]:
    words = " ".join(lines).split()
    limits = (
        ("the memory limit", bool(lines) and lines[0].strip() == str(_PROBE_LIMITS.memory)),
        ("dropped capabilities", "0000000000000000" in words),
        ("no new privileges", "NoNewPrivs: 1" in " ".join(words)),
        ("a read-only root", "writable" not in words),
        ("the filter of system calls", "filtered" in words),
        ("the user", user.partition(":")[0] in words),
        ("the limit on processes", f"processes={_PROBE_LIMITS.processes}" in words),
    )
    return [name for name, is_applied in limits if not is_applied]
