"""Symbols that have another value after, and where: the resolved configurations of both sides compared."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from matrix.findings.cover import minimize_condition
from matrix.findings.evidence import CellIndex
from matrix.kconfig.config import Config
from matrix.record.model import Cell
from matrix.record.outcome import State
from matrix.verdict.model import SymbolChange, SymbolFlip
from matrix.verdict.side import CellPair, RunData

# A parsed .config is about a megabyte; pairs come lane by lane, so the same ones are asked for again soon.
_CONFIGS_CACHED = 64
_DigestPair = tuple[str, str]


@dataclass(frozen=True)
class ConfigComparison:
    """What two sides' configurations say against each other. Equal digests are never read, and each pair of
    others once."""

    before: RunData
    after: RunData
    pairs: tuple[CellPair, ...]

    def diff_pair(self, pair: CellPair) -> tuple[SymbolFlip, ...] | None:
        """The symbols that differ in one cell, alphabetically; None where a configuration is not kept."""
        digests = _read_digests(pair)
        if digests is None:
            return None
        return () if digests[0] == digests[1] else self._flips_by_digests[digests]

    @cached_property
    def _flips_by_digests(self) -> dict[_DigestPair, tuple[SymbolFlip, ...] | None]:
        asked = {digests: pair for pair in self.pairs if (digests := _read_digests(pair))}
        here = _cache_configs(self.before, (pair.before for pair in asked.values()))
        there = _cache_configs(self.after, (pair.after for pair in asked.values()))
        return {(one, two): _diff_configs(here(one), there(two)) for one, two in asked if one != two}

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
        evidence = CellIndex.from_run(self.before.run, {})
        everywhere = evidence.mask_cells(known)
        together: dict[int, list[SymbolFlip]] = {}
        for flip, among in cells.items():
            together.setdefault(evidence.mask_cells(among), []).append(flip)
        yield from (
            _build_symbol_change(evidence, flips, mask, everywhere) for mask, flips in together.items()
        )


def has_settled_config(pair: CellPair) -> bool:
    """Whether a cell's configuration is the one that was asked for, on one side at least."""
    return any(cell is not None and cell.state is not State.UNREACHABLE for cell in pair)


def _read_digests(pair: CellPair) -> _DigestPair | None:
    before, after = pair
    if before is None or after is None or not before.config_sha256 or not after.config_sha256:
        return None
    return before.config_sha256, after.config_sha256


def _cache_configs(side: RunData, cells: Iterable[Cell | None]) -> Callable[[str], Config | None]:
    """Digest → the configuration, parsed once for as long as it is near."""
    of = {str(cell.config_sha256): cell for cell in cells if cell}
    return lru_cache(_CONFIGS_CACHED)(lambda digest: side.load_config(of[digest]))


def _diff_configs(before: Config | None, after: Config | None) -> tuple[SymbolFlip, ...] | None:
    if before is None or after is None:
        return None
    changed = before.diff(after).items()
    return tuple(SymbolFlip(symbol=symbol, from_=one, to=other) for symbol, (one, other) in changed)


def _build_symbol_change(
    evidence: CellIndex, flips: list[SymbolFlip], seen: int, everywhere: int
) -> SymbolChange:
    cover = minimize_condition(evidence.table, seen, everywhere & ~seen)
    return SymbolChange(
        flips=tuple(sorted(flips, key=lambda flip: flip.symbol)),
        cells=seen.bit_count(),
        condition=cover.cubes,
        minimal=cover.minimal,
    )
