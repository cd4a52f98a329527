"""A request: one point of the product of the axes, and the id that is printed from it."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

_LONGEST_ID = 200
_UNSAFE = re.compile(r"[^A-Za-z0-9._+@-]")


def escape_path_part(name: str) -> str:
    """A name or a value as it may stand in a path: other characters become ``%XX``, and so do the dots of
    ``.`` and ``..``; an empty one is ``%``."""
    if name.strip(".") == "":
        return name.replace(".", "%2E") or "%"
    return _UNSAFE.sub(lambda m: "".join(f"%{byte:02X}" for byte in m[0].encode()), name)


@dataclass(frozen=True)
class Request:
    """What was asked for. ``symbols`` are (name without CONFIG_, value), in alphabetical order."""

    arch: str
    toolchain: str
    base: str
    symbols: tuple[tuple[str, str], ...]

    @classmethod
    def from_symbols(cls, arch: str, toolchain: str, base: str, symbols: Mapping[str, str]) -> "Request":
        return cls(arch, toolchain, base, tuple(sorted(symbols.items())))

    @property
    def symbol_values(self) -> dict[str, str]:
        """The symbol axes: name → value."""
        return dict(self.symbols)

    @property
    def id(self) -> str:
        """``powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n``: printed from the fields, never parsed."""
        symbols = ",".join(f"{name}={escape_path_part(value)}" for name, value in self.symbols)
        whole = "/".join(
            (
                self.arch,
                escape_path_part(self.toolchain),
                escape_path_part(self.base),
                *filter(None, [symbols]),
            )
        )
        if len(whole.encode()) <= _LONGEST_ID:
            return whole
        mark = hashlib.sha256(whole.encode()).hexdigest()[:12]
        return f"{whole[: _LONGEST_ID - 13]}~{mark}"

    @property
    def directory(self) -> PurePosixPath:
        """Where the cell's files lie under ``cells/``."""
        return PurePosixPath(self.id)
