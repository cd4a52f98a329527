"""What differs between the two sides besides the source, and which cells that concerns.

A compiler, a make variable, a stage or a line of the fragment changes outcomes as well as a patch does. Where
one of them differs, cells that came out alike are compared all the same, as there is nothing to explain. Of
cells that came out otherwise nothing is claimed.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from matrix.findings.evidence import CellIndex
from matrix.findings.minimize import minimize_condition
from matrix.findings.stored_run import StoredRun
from matrix.kconfig.config import Config
from matrix.record.run_model import BaseRecord, Cell, Compiler, Run
from matrix.record.states import State
from matrix.verdict.matching import CellPair
from matrix.verdict.verdict_model import EnvironmentDifference, SymbolChange, SymbolFlip

# A parsed .config is about a megabyte. Pairs come lane by lane, so the same ones are needed again soon.
_CONFIGS_CACHED = 64
_DigestPair = tuple[str, str]


@dataclass(frozen=True)
class ConfigComparison:
    """The configurations of two sides, compared. Equal digests are never read, each pair of others once."""

    before: StoredRun
    after: StoredRun
    pairs: tuple[CellPair, ...]

    def diff_pair(self, pair: CellPair) -> tuple[SymbolFlip, ...] | None:
        """The symbols that differ in one cell, alphabetically; None where a configuration is not kept."""
        digests = _read_digests(pair)
        if digests is None:
            return None
        return () if digests[0] == digests[1] else self._flips_by_digests[digests]

    @cached_property
    def _flips_by_digests(self) -> dict[_DigestPair, tuple[SymbolFlip, ...] | None]:
        pairs = {digests: pair for pair in self.pairs if (digests := _read_digests(pair))}
        load_before = _cache_configs(self.before, (pair.before for pair in pairs.values()))
        load_after = _cache_configs(self.after, (pair.after for pair in pairs.values()))
        return {
            (before, after): _diff_configs(load_before(before), load_after(after))
            for before, after in pairs
            if before != after
        }

    def find_symbol_changes(self, pairs: Iterable[CellPair]) -> tuple[SymbolChange, ...]:
        """Symbols that changed in these cells, those of the very same cells in one row, most cells first."""
        known = {p.before.id: flips for p in pairs if p.before and (flips := self.diff_pair(p)) is not None}
        cells: dict[SymbolFlip, list[str]] = {}
        for name, flips in known.items():
            for flip in flips:
                cells.setdefault(flip, []).append(name)
        return tuple(
            sorted(self._group_flips(cells, known), key=lambda row: (-row.cells, row.flips[0].symbol))
        )

    def _group_flips(
        self, cells: Mapping[SymbolFlip, list[str]], known: Collection[str]
    ) -> Iterator[SymbolChange]:
        if not cells:
            return
        index = CellIndex.from_run(self.before.run, {})
        everywhere = index.mask_cells(known)
        flips_by_mask: dict[int, list[SymbolFlip]] = {}
        for flip, names in cells.items():
            flips_by_mask.setdefault(index.mask_cells(names), []).append(flip)
        for mask, flips in flips_by_mask.items():
            yield _build_symbol_change(index, flips, mask, everywhere)


def has_settled_config(pair: CellPair) -> bool:
    """Whether a cell's configuration is the one that was asked for, on one side at least."""
    return any(cell is not None and cell.state is not State.UNREACHABLE for cell in pair)


def _read_digests(pair: CellPair) -> _DigestPair | None:
    before, after = pair
    if before is None or after is None or not before.config_sha256 or not after.config_sha256:
        return None
    return before.config_sha256, after.config_sha256


def _cache_configs(side: StoredRun, cells: Iterable[Cell | None]) -> Callable[[str], Config | None]:
    """Digest → the configuration, parsed once for as long as it stays in the cache."""
    by_digest = {str(cell.config_sha256): cell for cell in cells if cell}
    return lru_cache(_CONFIGS_CACHED)(lambda digest: side.find_config(by_digest[digest]))


def _diff_configs(before: Config | None, after: Config | None) -> tuple[SymbolFlip, ...] | None:
    if before is None or after is None:
        return None
    changed = before.diff(after).items()
    return tuple(SymbolFlip(symbol=symbol, from_=old, to=new) for symbol, (old, new) in changed)


def _build_symbol_change(
    index: CellIndex, flips: list[SymbolFlip], seen: int, everywhere: int
) -> SymbolChange:
    cover = minimize_condition(index.table, seen, everywhere & ~seen)
    return SymbolChange(
        flips=tuple(sorted(flips, key=lambda flip: flip.symbol)),
        cells=seen.bit_count(),
        condition=cover.cubes,
        minimal=cover.minimal,
    )


_COMPARED_PROFILE_KEYS = ("stage", "focus")
_UNRECORDED = Compiler(version="not recorded", binutils="not recorded")


@dataclass(frozen=True)
class EnvironmentComparison:
    """What two runs were made with, compared."""

    before: Run
    after: Run
    pairs: tuple[CellPair, ...]

    @cached_property
    def differences(self) -> tuple[EnvironmentDifference, ...]:
        """Every difference once, those of the whole run first."""
        of_pairs = (row for pair in self.pairs for row in self._find_pair_differences(pair))
        return tuple(dict.fromkeys([*self._profile_differences, *of_pairs]))

    def explain_differences(self, pair: CellPair) -> str:
        """Why an outcome that differs in this cell may not come from the patch; empty without a reason."""
        differences = (*self._profile_differences, *self._find_pair_differences(pair))
        return "; ".join(_format_difference(row) for row in differences if row.matters)

    @cached_property
    def _profile_differences(self) -> tuple[EnvironmentDifference, ...]:
        values = (
            (key, _format_profile_value(self.before, key), _format_profile_value(self.after, key))
            for key in _COMPARED_PROFILE_KEYS
        )
        return tuple(EnvironmentDifference(what=key, before=b, after=a) for key, b, a in values if b != a)

    @cached_property
    def _toolchain_differences(self) -> dict[tuple[str, str], tuple[EnvironmentDifference, ...]]:
        lanes = {(cell.toolchain, cell.arch) for pair in self.pairs for cell in pair if cell}
        return {lane: tuple(self._compare_compilers(*lane)) for lane in sorted(lanes)}

    @cached_property
    def _base_differences(self) -> dict[tuple[str, str], tuple[EnvironmentDifference, ...]]:
        starts = {(cell.base, cell.arch) for pair in self.pairs for cell in pair if cell}
        return {start: tuple(self._compare_bases(*start)) for start in sorted(starts)}

    def _find_pair_differences(self, pair: CellPair) -> Iterator[EnvironmentDifference]:
        before, after = pair
        if before is None or after is None:
            return
        yield from self._toolchain_differences[after.toolchain, after.arch]
        yield from self._base_differences[after.base, after.arch]
        yield from _compare_make_inputs(before, after)

    def _compare_compilers(self, toolchain: str, arch: str) -> Iterator[EnvironmentDifference]:
        before, after = self.before.toolchains.get(toolchain), self.after.toolchains.get(toolchain)
        if before is None or after is None:
            return
        old, new = (record.compilers.get(arch, _UNRECORDED) for record in (before, after))
        where = f"{toolchain} {arch}"
        if old.version != new.version:
            yield EnvironmentDifference(what="compiler", where=where, before=old.version, after=new.version)
        if old.binutils != new.binutils:
            yield EnvironmentDifference(what="binutils", where=where, before=old.binutils, after=new.binutils)
        if before.image_id != after.image_id:
            # Two builds of one recipe have two ids: the id matters only where no version is known.
            matters = _UNRECORDED in (old, new)
            yield EnvironmentDifference(
                what="image", where=toolchain, before=before.image_id, after=after.image_id, matters=matters
            )

    def _compare_bases(self, base: str, arch: str) -> Iterator[EnvironmentDifference]:
        before, after = self.before.bases.get(base), self.after.bases.get(base)
        if before is not None and after is not None:
            old, new = _format_base(before, arch), _format_base(after, arch)
            if old != new:
                yield EnvironmentDifference(what="base", where=f"{base} {arch}", before=old, after=new)


def _format_profile_value(run: Run, key: str) -> str:
    """A key of the recorded profile as text; the order of a list makes no difference."""
    value = run.profile.get(key)
    return ", ".join(sorted(map(str, value))) if isinstance(value, list | tuple) else str(value or "")


def _format_base(record: BaseRecord, arch: str) -> str:
    seed = "" if record.seed is None else f"seed {record.seed}"
    origin = record.config_sha256 or record.targets.get(arch, "")
    return ", ".join(filter(None, [origin, seed, *record.fragment]))


def _compare_make_inputs(before: Cell, after: Cell) -> Iterator[EnvironmentDifference]:
    """What two cells were made with: the variables of their make lines, and their fragments."""
    if before.make != after.make:
        where = f"{after.toolchain} {after.arch}"
        yield EnvironmentDifference(what="make", where=where, before=before.make, after=after.make)
    if before.fragment != after.fragment:
        old, new = before.fragment.items(), after.fragment.items()
        yield EnvironmentDifference(
            what="fragment", before=_format_symbols(old - new), after=_format_symbols(new - old)
        )


def _format_symbols(items: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(items))


def _format_difference(row: EnvironmentDifference) -> str:
    where = f" of {row.where}" if row.where else ""
    return f"{row.what}{where} differs: {row.before or 'none'} before, {row.after or 'none'} after"
