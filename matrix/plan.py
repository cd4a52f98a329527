"""The plan: the product of a profile's axes, and the requests of it that are selected."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from pathlib import PurePosixPath

from matrix.catalog.types import Profile
from matrix.errors import RequestError

LANE_AXES = ("arch", "toolchain", "base")
"""The axes beside the symbols: their values make a lane."""

_LONGEST_ID = 200
_UNSAFE = re.compile(r"[^A-Za-z0-9._+@-]")


def escape_path_part(name: str) -> str:
    """A name or a value as it may stand in a path: other characters become ``%XX``, and so do the dots of
    ``.`` and ``..``; an empty one is ``%``."""
    if name.strip(".") == "":
        return name.replace(".", "%2E") or "%"
    return _UNSAFE.sub(
        lambda m: "".join(f"%{byte:02X}" for byte in m[0].encode("utf-8", "surrogatepass")), name
    )


@dataclass(frozen=True)
class Request:
    """One point of the product of the axes. ``symbols``: (name without CONFIG_, value), alphabetically."""

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
    def axes(self) -> dict[str, str]:
        """Axis → value: arch, toolchain, base, then the symbols."""
        return {"arch": self.arch, "toolchain": self.toolchain, "base": self.base, **self.symbol_values}

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


_FIELD_TERMS = re.compile(r"\w+=[^,/]*(,\w+=[^,/]*)*")


def list_axes(profile: Profile) -> dict[str, tuple[str, ...]]:
    """Axis → its values: arch, toolchain, base, then the symbols in alphabetical order."""
    fields = {"arch": profile.arch, "toolchain": profile.toolchain, "base": profile.base}
    return fields | dict(sorted(profile.symbols.items()))


def plan_requests(profile: Profile) -> tuple[Request, ...]:
    """Every point of the product that the profile selects, in plan order.

    Raises RequestError when a selection term matches nothing, when nothing is left, or when two
    requests would share an id.
    """
    points = _build_product(profile)
    _refuse_collisions(points)
    return select_requests(points, profile.select)


def find_matching_terms(profile: Profile, terms: Iterable[str]) -> tuple[str, ...]:
    """Those selection terms that match something in the product of the profile's axes."""
    points = _build_product(profile)
    return tuple(term for term in terms if any(map(_compile_term(term.removeprefix("!"), points), points)))


def _build_product(profile: Profile) -> list[Request]:
    names = sorted(profile.symbols)
    return [
        Request(arch, toolchain, base, tuple(zip(names, values, strict=True)))
        for arch, toolchain, base in product(profile.arch, profile.toolchain, profile.base)
        for values in product(*(profile.symbols[name] for name in names))
    ]


def _refuse_collisions(points: Iterable[Request]) -> None:
    # Compared without case: each request has a directory, and a file system may ignore case.
    seen = Counter(point.id.lower() for point in points)
    duplicates = [name for name, count in seen.items() if count > 1]
    if duplicates:
        raise RequestError(f"two requests would share the id {duplicates[0]}", "rename a base or a value")


def select_requests(points: Sequence[Request], terms: Iterable[str]) -> tuple[Request, ...]:
    """The points that the terms choose, in the order given.

    A term is a glob on whole ids (``powerpc/gcc-*``: ``*`` crosses slashes, and a trailing ``/*`` may be
    left out) or fields joined by commas that must all hold (``KVM=y,arch=x86``, values may be globs).
    Terms add requests; those that start with ``!`` remove some of them afterwards.
    """
    adding = [term for term in terms if not term.startswith("!")]
    removing = [term[1:] for term in terms if term.startswith("!")]
    for term in (*adding, *removing):
        if not any(map(_compile_term(term, points), points)):
            raise RequestError(f"--select {term!r} matches no request", "./inv plan shows the ids")
    chosen = _match_any_term(adding, points) if adding else (lambda _: True)
    dropped = _match_any_term(removing, points)
    selected = tuple(point for point in points if chosen(point) and not dropped(point))
    if not selected:
        raise RequestError("--select leaves no request", "./inv plan shows the ids")
    return selected


def _match_any_term(terms: Sequence[str], points: Sequence[Request]) -> Callable[[Request], bool]:
    matchers = [_compile_term(term, points) for term in terms]
    return lambda point: any(matches(point) for matches in matchers)


def _compile_term(term: str, points: Sequence[Request]) -> Callable[[Request], bool]:
    if not _FIELD_TERMS.fullmatch(term):
        return lambda point: fnmatchcase(point.id, term) or fnmatchcase(point.id, f"{term.rstrip('/')}/*")
    wanted = [part.partition("=")[::2] for part in term.split(",")]
    known = {*LANE_AXES, *(name for point in points[:1] for name in point.symbol_values)}
    for name, _ in wanted:
        if name not in known:
            raise RequestError(
                f"--select {term!r}: there is no axis {name}", f"axes: {', '.join(sorted(known))}"
            )
    return lambda point: all(fnmatchcase(point.axes[name], value) for name, value in wanted)


def compute_plan_digest(points: Iterable[Request]) -> str:
    """SHA-256 over the ids in plan order: equal plans, equal digests."""
    return hashlib.sha256("\n".join(point.id for point in points).encode()).hexdigest()
