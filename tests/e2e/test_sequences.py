"""The same property as in memory, with real compilers on the miniature tree: see tests/fakes/sequences.py.

`KMATRIX_REAL_SEQUENCES=FIRST:COUNT` tries other seeds, or more of them.
"""

import os
import random
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout
from matrix.commands.session import Environment
from matrix.engine.connect import connect_engine
from matrix.engine.protocol import LABEL, ContainerResult, ContainerSpec, Engine, LineCallback
from matrix.errors import EngineError
from matrix.source.cache import SourceCache
from tests.fakes.sequences import (
    Action,
    Chooser,
    Judge,
    Machine,
    Subject,
    find_fault,
    shrink_sequence,
)
from tests.minitree import TREE, patched

pytestmark = pytest.mark.engine

_FIRST, _COUNT = map(int, os.environ.get("KMATRIX_REAL_SEQUENCES", "1:2").split(":"))
_GROUP = 6
_COMPILES = re.compile(r"  (?:CC|AS) ")


class RealMachine:
    """A real engine, whose containers can be killed in the middle of a compilation."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.stale: list[str] = []
        self.killed: list[str] = []
        self.patches: dict[str, Mapping[str, str | None]] = {}
        self._left: int | None = None
        self._ending = ""

    def arm(self, compilations: int | None, ending: str) -> None:
        self._left, self._ending = compilations, ending

    def __getattr__(self, name: str) -> object:
        return getattr(self.engine, name)

    def run_container(
        self, container: ContainerSpec, on_line: LineCallback, cancel: threading.Event
    ) -> ContainerResult:
        """The engine's own, until it is time to kill."""
        has_died = False

        def watch(line: str) -> None:
            nonlocal has_died
            on_line(line)
            if not has_died and self._is_time(line):
                has_died = True
                self.engine.remove_container(container.name)

        try:
            ended = self.engine.run_container(container, watch, cancel)
        except EngineError:
            if not has_died:
                raise
            ended = ContainerResult(exit=137, seconds=0.1)
        if has_died:
            self.killed.append(container.labels[f"{LABEL}.cell"])
            _halve_newest_object(container)
            if self._ending == "engine":
                raise EngineError("the daemon is gone")
        return ended

    def _is_time(self, line: str) -> bool:
        if self._left is None or not _COMPILES.match(line):
            return False
        self._left -= 1
        if self._left >= 0:
            return False
        self._left = None
        return True


def _halve_newest_object(container: ContainerSpec) -> None:
    """What a compiler leaves that is killed while it writes: a part of an object with a valid time."""
    build = next(mount.host for mount in container.mounts if mount.path == "/build")
    objects = sorted(build.rglob("*.o"), key=lambda path: path.stat().st_mtime_ns)
    if objects:
        content = objects[-1].read_bytes()
        objects[-1].write_bytes(content[: len(content) // 2])


def _open_machine(place: Path) -> tuple[Machine, Environment]:
    machine = RealMachine(connect_engine())
    cache = SourceCache(CacheLayout(place / "cache"))
    return machine, Environment(machine, cache, place / "runs")  # type: ignore[arg-type]


def _vary(name: str, *endings: str) -> tuple[str, ...]:
    """A file of the tree as it is, and with each of these lines at its end."""
    text = (TREE / name).read_text()
    return (text, *(f"{text}{ending}\n" for ending in endings))


_SAYING = (
    "#warning old",
    "static int unused;",
    '#error "broken"',
    "#ifdef MODULE\n#warning module\n#endif",
    "#ifdef FOO\n#warning foo\n#endif",
)
_FILES: dict[str, tuple[str | None, ...]] = {
    "drivers/vfio/vfio_main.c": _vary("drivers/vfio/vfio_main.c", *_SAYING),
    "drivers/vfio/group.c": (*_vary("drivers/vfio/group.c", *_SAYING), None),
    "drivers/vfio/extra.c": (None, "int extra;\n", "#warning extra\nint extra;\n"),
    "drivers/vfio/vfio.h": _vary("drivers/vfio/vfio.h", "#warning old", "/* words */"),
    "drivers/vfio/Makefile": _vary(
        "drivers/vfio/Makefile",
        "ccflags-y += -DFOO",
        "ccflags-$(CONFIG_KVM_BOOK3S_64) += -DFOO",
        "obj-$(CONFIG_VFIO) += extra.o",
    ),
    "drivers/vfio/Kconfig": _vary("drivers/vfio/Kconfig", "config EXTRA\n\tbool\n\tdefault y"),
    "include/linux/irqbypass.h": _vary("include/linux/irqbypass.h", "#warning old", '#error "broken"'),
    "arch/powerpc/include/linux/irqbypass.h": (
        None,
        "int irq_bypass_register(int number);\n#warning found first\n",
        (TREE / "include/linux/irqbypass.h").read_text(),
    ),
    "virt/kvm/kvm_main.c": _vary("virt/kvm/kvm_main.c", *_SAYING[:3]),
    "kernel/bounds.c": _vary("kernel/bounds.c", "#warning old", "/* words */"),
    "scripts/basic/fixdep.c": _vary("scripts/basic/fixdep.c", "/* words */"),
}
_SUBJECT = Subject(
    _FILES,
    {"MODULES": ("y", "y", "n"), "KVM": ("y", "n", "m"), "VFIO": ("y", "m", "y", "n")},
    (("drivers/vfio/",), ("arch/{srcarch}/kvm/", "drivers/vfio/")),
    _open_machine,
    arch="powerpc",
    stages=("focus", "focus", "focus", "focus", "vmlinux", "modules"),
    accesses=4000,
    lay_rest=patched,
    max_cells=2,
)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(tmp_path_factory.mktemp("fresh"), _SUBJECT)


@pytest.fixture(autouse=True)
def _no_container_left() -> Iterator[None]:
    """A process that is killed leaves its container, which the next run of its lane would end."""
    engine = connect_engine()
    before = engine.list_containers()
    yield
    for name in engine.list_containers().keys() - before.keys():
        if "-profile-" in name:
            engine.remove_container(name)


def _tell(seed: int, fault: str, actions: Sequence[Action]) -> str:
    steps = "\n".join(f"    {action!r}," for action in actions)
    return f"seed {seed}: {fault}\n[\n{steps}\n]"


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("first", range(_FIRST, _FIRST + _COUNT, _GROUP))
def test_each_run_says_what_an_empty_directory_would(first: int, tmp_path: Path, judge: Judge) -> None:
    place = tmp_path / "kmatrix"
    for seed in range(first, min(first + _GROUP, _FIRST + _COUNT)):
        actions = Chooser(_SUBJECT, random.Random(seed)).choose_sequence(2)
        if fault := find_fault(actions, place, judge):
            least = shrink_sequence(actions, lambda some: bool(find_fault(some, place, judge)))
            fault = find_fault(least, place, judge) or fault
            pytest.fail(_tell(seed, fault, least), pytrace=False)
