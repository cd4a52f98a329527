"""The plan: the product of a profile's axes, and the requests of it that are selected."""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import product
from pathlib import PurePosixPath

from matrix.catalog.types import Profile
from matrix.errors import RequestError

LANE_AXES = ("arch", "toolchain", "base")
"""The axes beside the symbols: their values make a lane."""

MAX_REQUESTS = 100_000
"""Requests of one run."""
MAX_POINTS = 1_000_000
"""Points of the product, of which the selection chooses requests."""
MAX_COVERED = 50_000
"""Pairs or triples of values that the rows of a lane are to have."""
_MAX_COMPARISONS = 20_000_000
"""Selection terms times points."""
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

    @cached_property
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


_AXES_SHOWN = 3
_FIELD_TERMS = re.compile(r"\w+=[^,/]*(,\w+=[^,/]*)*")


def list_axes(profile: Profile) -> dict[str, tuple[str, ...]]:
    """Axis → its values: arch, toolchain, base, then the symbols in alphabetical order."""
    fields = {"arch": profile.arch, "toolchain": profile.toolchain, "base": profile.base}
    return fields | dict(sorted(profile.symbols.items()))


def plan_requests(profile: Profile) -> tuple[Request, ...]:
    """Every point of the product, or of the rows that cover it, that the profile selects, in plan order.

    Raises RequestError when the product or the plan is larger than a run may be, when a selection term
    matches nothing, when nothing is left, when two requests would share an id, or when the rows of a profile
    with `cover` are not known yet.
    """
    points = _list_points(profile, len(profile.select))
    requests = _select_from(points, _list_axis_names(profile), profile.select)
    _refuse_collisions(requests)
    return requests


def find_matching_terms(profile: Profile, terms: Iterable[str]) -> tuple[str, ...]:
    """Those selection terms that match something in the product of the profile's axes; of a profile whose
    rows are not known yet, those that may."""
    terms, axes = tuple(terms), list_axes(profile)
    if profile.lacks_rows:
        return tuple(term for term in terms if _may_match(term.removeprefix("!"), axes))
    return tuple(
        term
        for term in terms
        if any(map(_compile_term(term.removeprefix("!"), frozenset(axes)), _list_points(profile, len(terms))))
    )


def _may_match(term: str, axes: Mapping[str, Sequence[str]]) -> bool:
    """Whether each field of a term has a value that fits. A glob on ids may match anything."""
    if not _FIELD_TERMS.fullmatch(term):
        return True
    fields = [part.partition("=")[::2] for part in term.split(",")]
    return all(any(fnmatchcase(value, wanted) for value in axes.get(name, ())) for name, wanted in fields)


def _list_points(profile: Profile, term_count: int) -> Iterator[Request]:
    """What so many terms choose from: the product, or the rows that cover it."""
    if profile.cover is None:
        _check_product_size(profile, term_count)
        return _build_product(profile)
    if profile.lacks_rows:
        raise RequestError(
            "with cover, the requests are known only when the source's Kconfig was asked",
            "./inv plan shows them; or leave cover out",
        )
    names = sorted(profile.symbols)
    known = {(lane.arch, lane.toolchain, lane.base): lane.rows for lane in profile.rows}
    return (
        Request(*lane, tuple(zip(names, row, strict=True)))
        for lane in product(profile.arch, profile.toolchain, profile.base)
        for row in known[lane]
    )


def check_plan(profile: Profile) -> None:
    """RequestError for a plan that cannot be made, as far as that is known before the source is there."""
    if not profile.lacks_rows:
        plan_requests(profile)
        return
    strength = find_cover_strength(profile)
    count = count_combinations([len(values) for values in profile.symbols.values()], strength)
    if count > MAX_COVERED:
        raise RequestError(
            f"the symbols have {_format_large_count(count)} combinations of {strength} values, and "
            f"{MAX_COVERED} at most can be covered",
            "narrow it: fewer symbols or values in the profile, or cover = 2",
        )


def find_cover_strength(profile: Profile) -> int:
    """How many values of a profile with `cover` are to come together: no more than it has symbols."""
    return min(profile.cover or 0, len(profile.symbols))


def count_combinations(sizes: Iterable[int], strength: int) -> int:
    """How many values of different axes of these sizes can come together, ``strength`` at a time."""
    counts = [1] + [0] * strength
    for size in sizes:
        counts = [count + size * less for count, less in zip(counts, [0, *counts], strict=False)]
    return counts[strength]


def _list_axis_names(profile: Profile) -> frozenset[str]:
    return frozenset(list_axes(profile))


def _check_product_size(profile: Profile, term_count: int) -> None:
    """Refuse a product that is too large, before any of it is enumerated."""
    sizes = {name: len(values) for name, values in list_axes(profile).items() if len(values) > 1}
    points = math.prod(sizes.values())
    hint = "narrow an axis: --arch, --toolchain, or the symbols and values of the profile"
    if points > MAX_POINTS:
        widest = sorted(sizes, key=lambda name: -sizes[name])[:_AXES_SHOWN]
        named = ", ".join(f"{name} has {sizes[name]} values" for name in widest)
        more = f", and {len(sizes) - _AXES_SHOWN} more axes" if len(sizes) > _AXES_SHOWN else ""
        raise RequestError(
            f"the axes make {_format_large_count(points)} combinations, and a selection is made from "
            f"{MAX_POINTS} at most: {named}{more}",
            hint,
        )
    if points * term_count > _MAX_COMPARISONS:
        raise RequestError(f"{term_count} terms of --select on {points} combinations are too many", hint)


def _format_large_count(count: int) -> str:
    # A number of more than 4300 digits is refused by str().
    return str(count) if count < 10**15 else f"10^{count.bit_length() * 30103 // 100_000} or more"


def _build_product(profile: Profile) -> Iterator[Request]:
    # Many requests share a pair, and there may be a million.
    pairs = [[(name, value) for value in values] for name, values in sorted(profile.symbols.items())]
    return (
        Request(arch, toolchain, base, symbols)
        for arch, toolchain, base in product(profile.arch, profile.toolchain, profile.base)
        for symbols in product(*pairs)
    )


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
    return _select_from(points, frozenset(points[0].axes if points else ()), terms)


def _select_from(
    points: Iterable[Request], axes: frozenset[str], terms: Iterable[str]
) -> tuple[Request, ...]:
    """Each point is looked at once and kept only when it is chosen: there may be a million."""
    terms = tuple(terms)
    adding = {term: _compile_term(term, axes) for term in terms if not term.startswith("!")}
    removing = {term[1:]: _compile_term(term[1:], axes) for term in terms if term.startswith("!")}
    unmatched = list((adding | removing).items())
    selected: list[Request] = []
    count = 0
    for point in points:
        if unmatched:
            unmatched = [(term, matches) for term, matches in unmatched if not matches(point)]
        chosen = not adding or any(matches(point) for matches in adding.values())
        if chosen and not any(matches(point) for matches in removing.values()):
            count += 1
            if count <= MAX_REQUESTS:
                selected.append(point)
    _check_selection(count, [term for term, _ in unmatched])
    return tuple(selected)


def _check_selection(count: int, unmatched: Sequence[str]) -> None:
    if unmatched:
        raise RequestError(f"--select {unmatched[0]!r} matches no request", "./inv plan shows the ids")
    if not count:
        raise RequestError("--select leaves no request", "./inv plan shows the ids")
    if count > MAX_REQUESTS:
        raise RequestError(
            f"the plan has {count} requests, and a run may have {MAX_REQUESTS}",
            "narrow it: --select, --arch, --toolchain, or the symbols and values of the profile",
        )


def _compile_term(term: str, axes: frozenset[str]) -> Callable[[Request], bool]:
    if not _FIELD_TERMS.fullmatch(term):
        return lambda point: fnmatchcase(point.id, term) or fnmatchcase(point.id, f"{term.rstrip('/')}/*")
    wanted = [part.partition("=")[::2] for part in term.split(",")]
    for name, _ in wanted:
        if name not in axes:
            raise RequestError(
                f"--select {term!r}: there is no axis {name}", f"axes: {', '.join(sorted(axes))}"
            )
    return lambda point: all(fnmatchcase(point.axes[name], value) for name, value in wanted)


def compute_plan_digest(points: Iterable[Request]) -> str:
    """SHA-256 over the ids in plan order: equal plans, equal digests."""
    return compute_id_digest(point.id for point in points)


def compute_id_digest(ids: Iterable[str]) -> str:
    """The same over ids."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()
