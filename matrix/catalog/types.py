"""The rows of the catalog and the profile as types. Loading checks every key and value."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from operator import not_
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from matrix.errors import RequestError
from matrix.kconfig.config import check_symbol, check_value

StageName = Literal["focus", "vmlinux", "modules"]
STAGE_NAMES: tuple[StageName, ...] = ("focus", "vmlinux", "modules")

_SIZE_PATTERN = re.compile(r"([0-9]{1,15})([KMGT]?)", re.IGNORECASE | re.ASCII)
_SHARE_PATTERN = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)(%?)")
_DURATION_PATTERN = re.compile(r"([0-9]{1,9})([smhd]?)")
# What kbuild takes as one: also a .config of a folder of its own, as 86xx/mpc8641_defconfig.
_MAKE_TARGET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/-]*")
_REGISTRY = re.compile(
    r"(?P<host>(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?)(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+"
)
_MAX_REGISTRY = 200
"""Characters. An image's whole name may have 255."""
_LINE_END = re.compile(r"[\0\n\r]")
MAX_JOBS = 4096
MAX_LANES = 512
_MIN_MEMORY, _MAX_MEMORY = 8 * 2**20, 2**50
"""Bytes of a container. Docker takes no less than 6 MiB, and counts in 64 bits."""
DEFAULT_CACHE_SIZE = "10G"
_MIN_CACHE_SIZE = 64 * 2**20
"""Bytes. In less not even one configuration's objects fit."""
_MAX_DURATION = 366 * 86400
"""Seconds. The system's clocks wait for some 290 years at most."""
_MAX_SEED = 2**32 - 1
"""What conf takes of KCONFIG_SEED."""
_MAKE_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED_VARIABLES = frozenset(
    [
        "O",
        "KBUILD_OUTPUT",
        "ARCH",
        "SRCARCH",
        "MAKEFLAGS",
        "MAKEFILES",
        "KCONFIG_CONFIG",
        "M",
        "KBUILD_EXTMOD",
        "srctree",
        "objtree",
    ]
)


def parse_size(text: str) -> int:
    """Bytes of ``512M``, ``4G``; a plain number counts bytes."""
    match = _SIZE_PATTERN.fullmatch(text)
    if not match or int(match[1]) == 0:
        raise ValueError(f"expected a size such as 4G or 512M, got {text!r}")
    return int(match[1]) << 10 * " KMGT".index(match[2].upper() or " ")


def parse_share(text: str) -> float:
    """The part of ``0.1`` or ``10%``: from 0 to 1."""
    match = _SHARE_PATTERN.fullmatch(text)
    share = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"expected a share such as 0.1 or 10%, got {text!r}")
    return share


def _check_share(value: str) -> str:
    parse_share(value)
    return value


def parse_duration(text: str) -> int:
    """Seconds of ``90s``, ``30m``, ``2h``; a plain number counts seconds."""
    match = _DURATION_PATTERN.fullmatch(text)
    if not match or int(match[1]) == 0:
        raise ValueError(f"expected a duration such as 30m or 2h, got {text!r}")
    return int(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def _check_size(low: int, text: str) -> str:
    if not low <= parse_size(text) <= _MAX_MEMORY:
        raise ValueError(f"expected a size from {low >> 20}M to {_MAX_MEMORY >> 40}T, got {text!r}")
    return text


def check_registry(text: str) -> str:
    """``registry.example.org/team``: a registry by its host, with a port where it has one, and a path there.

    ValueError where it is none: without a dot or a port an engine takes a host for a path of its registry.
    """
    match = _REGISTRY.fullmatch(text)
    is_host = match is not None and (match["host"] == "localhost" or bool(set(".:") & set(match["host"])))
    if not is_host or len(text) > _MAX_REGISTRY:
        raise ValueError(f"expected REGISTRY/PREFIX such as registry.example.org/team, got {text!r}")
    return text


def check_duration(text: str) -> str:
    """The text of a duration, which is not too long. ValueError where it is, or is none."""
    if parse_duration(text) > _MAX_DURATION:
        raise ValueError(f"expected a duration of at most {_MAX_DURATION // 86400}d, got {text!r}")
    return text


def _validator_from_check(check: Callable[[str], object]) -> Callable[[str], str]:
    """Turn a check's RequestError into a ValueError, to which pydantic adds the file and the key."""

    def validate_text(text: str) -> str:
        try:
            check(text)
        except RequestError as error:
            raise ValueError(str(error)) from error
        return text

    return validate_text


def _check_make_variable(name: str) -> str:
    if not _MAKE_VARIABLE_NAME.fullmatch(name):
        raise ValueError(f"expected the name of a make variable, got {name!r}")
    if name in _RESERVED_VARIABLES:
        raise ValueError(f"{name} is kmatrix's own to set")
    return name


def _check_no_duplicates(values: tuple[str, ...]) -> tuple[str, ...]:
    duplicates = [value for value, count in Counter(values).items() if count > 1]
    if duplicates:
        raise ValueError(f"names {duplicates[0]!r} twice")
    return values


def _check_make_target(target: str) -> str:
    if not _MAKE_TARGET.fullmatch(target):
        raise ValueError(f"expected a make target such as defconfig, got {target!r}")
    return target


def _check_make_value(value: str) -> str:
    if _LINE_END.search(value):
        raise ValueError(f"expected one line, got {value!r}")
    return value


Size = Annotated[str, AfterValidator(partial(_check_size, _MIN_MEMORY))]
CacheSize = Annotated[str, AfterValidator(partial(_check_size, _MIN_CACHE_SIZE))]
Registry = Annotated[str, AfterValidator(check_registry)]
Share = Annotated[str, AfterValidator(_check_share)]
Duration = Annotated[str, AfterValidator(check_duration)]
Symbol = Annotated[str, AfterValidator(_validator_from_check(check_symbol))]
SymbolValue = Annotated[str, AfterValidator(_validator_from_check(check_value))]
MakeVariables = dict[
    Annotated[str, AfterValidator(_check_make_variable)], Annotated[str, AfterValidator(_check_make_value)]
]
MakeTarget = Annotated[str, AfterValidator(_check_make_target)]
SymbolAssignments = dict[Symbol, SymbolValue]
UniqueNames = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_check_no_duplicates)]
SymbolValues = Annotated[tuple[SymbolValue, ...], Field(min_length=1), AfterValidator(_check_no_duplicates)]


class TomlModel(BaseModel):
    """Base of everything read from TOML: an unknown key or a wrong type is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Arch(TomlModel):
    srcarch: str
    symbol: Symbol
    triplet: str
    make: MakeVariables = {}


class Toolchain(TomlModel):
    """A template with its version, or an image that the user names; and the make variables."""

    template: str | None = None
    version: Annotated[int, Field(ge=1, le=999)] | None = None
    image: str | None = None
    make: MakeVariables = {}
    arch: dict[str, MakeVariables] = {}

    @model_validator(mode="after")
    def _check_one_origin(self) -> Self:
        built = self.template is not None and self.version is not None
        if built == (self.image is not None):
            raise ValueError("expected either template and version, or image")
        return self


@dataclass(frozen=True)
class RootImage:
    """The root file system under an image that kmatrix builds: Debian, of one suite."""

    suite: str

    @property
    def tag(self) -> str:
        """The name of its image on this machine."""
        return f"kmatrix/root:{self.suite}"

    @property
    def upstream(self) -> str:
        """The registry's image that it is taken from."""
        return f"debian:{self.suite}-slim"


ROOT_IMAGE = RootImage("trixie")
"""The root of every image whose recipe names no other. The templates install packages of this suite."""


def find_compiler_and_linker(make: Mapping[str, str]) -> tuple[str, str]:
    """(compiler, linker) that a make line selects, as kbuild derives them."""
    return _find_tool(make, "CC", "gcc", "clang"), _find_tool(make, "LD", "ld", "ld.lld")


def find_objcopy(make: Mapping[str, str]) -> str:
    """The objcopy that a make line selects, as kbuild derives it."""
    return _find_tool(make, "OBJCOPY", "objcopy", "llvm-objcopy")


def _find_tool(make: Mapping[str, str], variable: str, gnu: str, of_llvm: str) -> str:
    llvm = make.get("LLVM")
    if llvm is None:
        return make.get(variable, f"{make.get('CROSS_COMPILE', '')}{gnu}")
    suffix = llvm if llvm.startswith("-") else ""
    folder = llvm if llvm.endswith("/") else ""
    return make.get(variable, f"{folder}{of_llvm}{suffix}")


class Base(TomlModel):
    """Where a configuration starts: a make target or a .config file, and what comes on top."""

    target: MakeTarget | None = None
    seed: Annotated[int, Field(ge=0, le=_MAX_SEED)] | None = None
    file: str | None = None
    fragment: tuple[str, ...] = ()
    arch: dict[str, MakeTarget] = {}

    @model_validator(mode="after")
    def _check_one_origin(self) -> Self:
        if (self.target is None) == (self.file is None):
            raise ValueError("expected either target or file")
        if (self.target == "randconfig") != (self.seed is not None):
            raise ValueError("randconfig needs a seed, and nothing else takes one")
        return self


class Setting(TomlModel):
    """What one value of a knob writes into the fragment, and what must hold afterwards."""

    set: SymbolAssignments
    proof: SymbolAssignments


Knob = dict[str, dict[str, Setting]]
"""Arch → value → setting."""


class LaneRows(TomlModel):
    """The rows that cover one lane: of each the symbols' values, by the symbols in alphabetical order."""

    arch: str
    toolchain: str
    base: str
    rows: tuple[tuple[SymbolValue, ...], ...]


class Profile(TomlModel):
    """What to build: the axes, how far, on which source, within which limits.

    Every option of the command line that a profile shares is a key of the same name.
    """

    name: str = Field(default="", alias="profile")
    description: str = ""
    arch: UniqueNames
    toolchain: UniqueNames
    base: UniqueNames = ("defconfig",)
    symbols: dict[Symbol, SymbolValues] = {}
    fixed: SymbolAssignments = {}
    focus: tuple[str, ...] = ()
    # They came later: where they say nothing they are left out, so that older runs are of the same profile.
    cover: Annotated[int, Field(ge=2, le=3)] | None = Field(default=None, exclude_if=not_)
    cover_seed: Annotated[int, Field(ge=0, le=_MAX_SEED)] = Field(
        default=0, alias="cover-seed", exclude_if=not_
    )
    # Not the user's: what `cover` came to, so that a run has its plan on record.
    rows: tuple[LaneRows, ...] = Field(default=(), exclude_if=not_)
    select: tuple[str, ...] = ()
    source: str = "debian:linux-source-6.12"
    patch: tuple[str, ...] = ()
    stage: StageName = "focus"
    make: MakeVariables = {}
    jobs: Annotated[int, Field(ge=1, le=MAX_JOBS)] | None = None
    lanes: Annotated[int, Field(ge=1, le=MAX_LANES)] | None = None
    memory: Size | None = None
    timeout: Duration = "60m"
    deadline: Duration | None = None
    retries: Annotated[int, Field(ge=0, le=100)] = 2
    fail_fast: bool = Field(default=False, alias="fail-fast")
    werror: bool = False
    fresh: bool = False
    verify: Share | None = None
    ccache: bool = False
    cache_size: CacheSize = Field(default=DEFAULT_CACHE_SIZE, alias="cache-size")
    images: Registry | None = None
    out: str | None = None
    bases: dict[str, Base] = {}
    toolchains: dict[str, Toolchain] = {}
    knobs: dict[Symbol, Knob] = {}

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        overlap = sorted(set(self.symbols) & set(self.fixed))
        if overlap:
            raise ValueError(f"{overlap[0]} cannot be both an axis and fixed")
        if self.stage == "focus" and not self.focus:
            raise ValueError("stage focus needs a focus: the directories or objects to build")
        _check_rows(self.rows, [self.symbols[name] for name in sorted(self.symbols)])
        return self

    @property
    def lacks_rows(self) -> bool:
        """Whether Kconfig has to be asked before its requests are known: it is to be covered, and is not."""
        known = {(lane.arch, lane.toolchain, lane.base) for lane in self.rows}
        lanes = product(self.arch, self.toolchain, self.base)
        return self.cover is not None and not known.issuperset(lanes)


def _check_rows(rows: Iterable[LaneRows], axes: Sequence[Sequence[str]]) -> None:
    for row in (row for lane in rows for row in lane.rows):
        if len(row) != len(axes) or any(value not in axis for value, axis in zip(row, axes, strict=True)):
            raise ValueError(f"rows: {row} is no row of the symbols")
