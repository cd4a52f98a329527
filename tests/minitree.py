"""The miniature kernel tree for the tests: where it is, patched copies of it, and make in a container."""

import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from matrix.engine.connect import choose_container_user
from matrix.engine.protocol import LABEL, ContainerLimits, ContainerSpec, Engine, Mount

TREE = Path(__file__).parent / "tree"
PATCHES = Path(__file__).parent / "patches"
REGRESSION = PATCHES / "minitree-regression.patch"
"""Brings the story back: fails on powerpc with KVM=y, MODULES=n, VFIO=n, and nowhere else."""
WARNING = PATCHES / "minitree-warning.patch"
"""A plain -Wunused-variable wherever drivers/vfio/vfio_main.c is compiled."""
KCONFIG = PATCHES / "minitree-kconfig.patch"
"""A syntax error in drivers/vfio/Kconfig: nothing can be configured."""
LINK = PATCHES / "minitree-link.patch"
"""An undefined symbol: ld refuses vmlinux with VFIO_PCI=y, modpost the modules with VFIO_PCI=m."""

TRIPLETS = {
    "arm64": "aarch64-linux-gnu",
    "powerpc": "powerpc64le-linux-gnu",
    "s390": "s390x-linux-gnu",
    "x86": "x86_64-linux-gnu",
}
SYMBOLS = ("KVM", "MODULES", "VFIO")
RUN = f"minitree-{uuid4().hex[:12]}"
_NUMBERS = itertools.count()


def patched(to: Path, *patches: Path) -> Path:
    """A copy of the tree at ``to``, which must not exist yet, with patches applied."""
    shutil.copytree(TREE, to, ignore=shutil.ignore_patterns("__pycache__"))
    # Without the ceiling, git would take a copy below a checkout for a part of it and apply nothing.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(to.parent)}
    for patch in patches:
        subprocess.run(["git", "apply", str(patch)], cwd=to, env=environment, check=True)
    return to


def fragment(arch: str, **symbols: str) -> str:
    """The Kconfig lines that ask for KVM, MODULES, VFIO … on an arch."""
    wanted = dict(symbols)
    kvm = wanted.pop("KVM", None)
    if kvm is not None:
        names = {"powerpc": ["KVM_BOOK3S_64"], "x86": ["KVM", "KVM_INTEL"]}.get(arch, ["KVM"])
        wanted |= dict.fromkeys(names, kvm) | {"VIRTUALIZATION": "y"}
    return "".join(f"CONFIG_{name}={value}\n" for name, value in sorted(wanted.items()))


def reaches(arch: str, config: str, **symbols: str) -> bool:
    """Whether a .config's text has what was asked for; KVM=m on powerpc means its tristate."""
    lines = config.splitlines()
    kvm = "KVM_BOOK3S_64" if arch == "powerpc" else "KVM"
    for name, value in symbols.items():
        line = f"CONFIG_{kvm if name == 'KVM' else name}="
        if value != "n" and line + value not in lines:
            return False
        if value == "n" and any(said.startswith(line) for said in lines):
            return False
    return True


def requests() -> Iterator[dict[str, str]]:
    """The 18 points of KVM × MODULES × VFIO."""
    for kvm, modules, vfio in itertools.product("nmy", "ny", "nmy"):
        yield {"KVM": kvm, "MODULES": modules, "VFIO": vfio}


def focus(arch: str) -> tuple[str, str]:
    """The directories of the story."""
    return f"arch/{arch}/kvm/", "drivers/vfio/"


@dataclass(frozen=True)
class Made:
    """What make said, and its exit code."""

    exit: int
    lines: tuple[str, ...]

    @property
    def steps(self) -> tuple[str, ...]:
        """What was made, as ``CC drivers/vfio/group.o`` or ``CC [M] …``."""
        steps = (" ".join(line.split()) for line in self.lines if line.startswith("  "))
        return tuple(step for step in steps if step.split()[0] in {"CC", "AS", "LD", "AR", "HOSTCC"})

    @property
    def compiled(self) -> frozenset[str]:
        """The objects that a compiler made, relative to the build directory."""
        compiled = (step.split() for step in self.steps if step.startswith(("CC", "AS")))
        return frozenset(os.path.normpath(words[-1]) for words in compiled)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass
class Bench:
    """An arch, a toolchain's image and a build directory: make in them as kmatrix does.

    ``build`` is made, writable for the container's user. ``make`` holds the toolchain's make variables.
    """

    engine: Engine
    image: str
    arch: str
    make: tuple[str, ...]
    build: Path
    tree: Path = TREE

    def __post_init__(self) -> None:
        self.build.mkdir(parents=True, exist_ok=True)
        self.build.chmod(0o777)

    @property
    def config(self) -> str:
        return (self.build / ".config").read_text()

    def run(self, *targets: str) -> Made:
        """One container: ``make -C /src O=/build ARCH=… TARGETS``."""
        line = ("make", "-C", "/src", "O=/build", f"ARCH={self.arch}", *self.make, *targets)
        return self._run(line)

    def configure(self, **symbols: str) -> Made:
        """A defconfig, the fragment that asks for these symbols, olddefconfig: all in one container."""
        base = "ppc64le_defconfig" if self.arch == "powerpc" else "defconfig"
        make = " ".join(("make -C /src O=/build", f"ARCH={self.arch}", *self.make))
        text = fragment(self.arch, **symbols)
        script = f'{make} {base} && printf %s "$1" >> /build/.config && {make} olddefconfig'
        return self._run(("sh", "-c", script, "sh", text))

    def _run(self, command: tuple[str, ...]) -> Made:
        lines: list[str] = []
        container = ContainerSpec(
            name=f"kmatrix-{RUN}-{next(_NUMBERS)}",
            image=self.image,
            command=command,
            user=choose_container_user(),
            mounts=(Mount(self.tree, "/src"), Mount(self.build, "/build", read_only=False)),
            labels={LABEL: RUN},
            limits=ContainerLimits(seconds=120),
        )
        ended = self.engine.run_container(container, lines.append, threading.Event())
        return Made(ended.exit, tuple(lines))
