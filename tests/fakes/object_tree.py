"""A tree, a build directory and a memory, small enough to say what went into each object."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from matrix.builder.lane_dir import LaneDirectory
from matrix.builder.lane_objects import LaneObjects
from matrix.diagnostics.diagnostic import Diagnostic, Occurrence
from matrix.kconfig.config import Config
from matrix.memory.layers import Memory
from matrix.memory.object_setting import InputReader
from matrix.memory.objects import ObjectMemory
from matrix.memory.tree_contents import TreeContents
from matrix.source.kernel_tree import SourceTree
from matrix.source.manifest import Manifest, ManifestEntry

SOURCE, HEADER, GENERATED = "drivers/vfio/vfio.c", "include/linux/vfio.h", "include/generated/offsets.h"
VFIO = "drivers/vfio/vfio.o"
WARNING = Diagnostic(severity="warning", tool="gcc", file=SOURCE, line=1, message="unused variable")


@dataclass
class ObjectTree:
    """``files`` is the tree: path → content. An object's content tells what it was compiled of."""

    place: Path
    files: dict[str, str] = field(
        default_factory=lambda: {
            SOURCE: "int vfio;\n",
            HEADER: "int header;\n",
            "include/uapi/other.h": "",
            "drivers/vfio/Makefile": "obj-$(CONFIG_VFIO) += vfio.o\nccflags-$(CONFIG_DEBUG) += -DDEBUG\n",
            "scripts/Makefile.build": "",
        }
    )
    config: dict[str, str] = field(default_factory=lambda: {"VFIO": "y", "PCI": "y", "NET": "y"})
    run: str = "run-1"

    @property
    def build(self) -> Path:
        return self.place / "lane" / "build"

    def open(self) -> LaneObjects:
        """The lane's objects, as a run of the tree as it is now finds them."""
        root = self.place / "tree"
        for name, text in self.files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in self.files.items()}
        manifest = Manifest({name: ManifestEntry("file", digest) for name, digest in digests.items()})
        self.build.mkdir(parents=True, exist_ok=True)
        self.write(GENERATED, "#define OFFSET 1\n", only_missing=True)
        tree = TreeContents(manifest, root)
        memory = ObjectMemory(Memory(self.place / "memory", (), self.run), "scope")
        lane = LaneDirectory(self.build.parent, "0:0", SourceTree("t", root, "6.12", manifest.digest))
        return LaneObjects(lane, memory, InputReader(tree))

    def write(self, name: str, text: str, *, only_missing: bool = False) -> None:
        path = self.build / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (only_missing and path.exists()):
            path.write_text(text)

    def compile(
        self,
        name: str = VFIO,
        *,
        flags: str = "",
        reads: tuple[str, ...] = (HEADER,),
        symbols: tuple[str, ...] = ("PCI",),
        source: str = "",
    ) -> None:
        """Leave an object and its command file, as make does."""
        source = source or f"/src/{name.removesuffix('.o')}.c"
        words = [*(f"/src/{path}" for path in reads), GENERATED]
        words += [f"$(wildcard include/config/{symbol})" for symbol in symbols]
        deps = "".join(f"  {word} \\\n" for word in words)
        text = f"savedcmd_{name} := gcc {flags} -c -o {name} {source}\n\nsource_{name} := {source}\n\n"
        folder, _, own = name.rpartition("/")
        self.write(f"{folder}/.{own}.cmd", f"{text}deps_{name} := \\\n{deps}\n")
        self.write(name, f"object of {flags} {sorted(self.config.items())} {sorted(self.files.items())}")

    def keep(
        self, objects: LaneObjects, *names: str, warns: bool = False, listed: frozenset[str] | None = None
    ) -> None:
        """Remember these objects (by default the one), which were just compiled."""
        made = names or (VFIO,)
        said = [Occurrence(WARNING, name) for name in made] if warns else []
        kept = frozenset(made) if listed is None else listed
        objects.keep_compiled(Config(self.config), "a/cell", made, said, kept, objects.list_entries())

    def put_back(self) -> LaneObjects:
        """A new run's lane, with all put back that fits the configuration."""
        objects = self.open()
        objects.put_back(Config(self.config))
        return objects

    def clear(self) -> None:
        """Remove the object and its command file: another directory."""
        for path in self.build.rglob("*vfio.o*"):
            path.unlink()
