"""A watch over one container's memory under cgroup v1: the kernel signals each time that it runs out.

For an engine that does not tell it. The container's cgroup goes with the container, so its counters cannot
be read when it has ended.
"""

import os
import threading
from pathlib import Path

_MEMORY_CGROUPS = Path("/sys/fs/cgroup/memory")
# An event is the number of signals since the last one.
_CLOSING = 2**32


class OomWatch:
    """Sees the kernel kill in a cgroup, from its creation on until it is closed."""

    def __init__(self, cgroup: Path) -> None:
        """OSError where the kernel does not let this process watch."""
        self.has_killed = False
        self._cgroup = cgroup
        self._events = os.eventfd(0, os.EFD_CLOEXEC)
        try:
            control = os.open(cgroup / "memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            try:
                (cgroup / "cgroup.event_control").write_text(f"{self._events} {control}")
            finally:
                os.close(control)
        except BaseException:
            os.close(self._events)
            raise
        self._thread = threading.Thread(target=self._watch_events, name="oom-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the watch. What had happened before is known then."""
        os.eventfd_write(self._events, _CLOSING)
        self._thread.join()
        os.close(self._events)

    def _watch_events(self) -> None:
        while True:
            signals = os.eventfd_read(self._events)
            # The removal of the cgroup is signalled, too.
            self.has_killed = self.has_killed or (signals % _CLOSING > 0 and self._cgroup.exists())
            if signals >= _CLOSING or not self._cgroup.exists():
                return


def watch_oom_kills(process: int, container_id: str) -> OomWatch | None:
    """A watch over the container of this process; None where there is no such cgroup or no permission."""
    try:
        lines = Path(f"/proc/{process}/cgroup").read_text().splitlines()
        groups = [path for _, names, path in (line.split(":", 2) for line in lines) if names == "memory"]
        # Another engine's machine may have a process of this number as well.
        [path] = [path for path in groups if container_id in path]
        return OomWatch(_MEMORY_CGROUPS / path.lstrip("/"))
    except (OSError, ValueError):
        return None
