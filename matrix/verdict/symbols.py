"""Symbols that have another value after, and where: the resolved configurations of both sides compared."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from matrix.findings.cover import minimize_condition
from matrix.findings.evidence import CellIndex
from matrix.kconfig.config import Config
from matrix.record.model import Cell
from matrix.record.outcome import State
from matrix.verdict.model import Flip, SymbolChange
from matrix.verdict.side import Pair, Side

# A parsed .config is about a megabyte; pairs come lane by lane, so the same ones are asked for again soon.
_KEPT = 64
_Digests = tuple[str, str]


@dataclass(frozen=True)
class Flips:
    """What two sides' configurations say against each other. Equal digests are never read, and each pair of
    others once."""

    before: Side
    after: Side
    pairs: tuple[Pair, ...]

    def of(self, pair: Pair) -> tuple[Flip, ...] | None:
        """The symbols that differ in one cell, alphabetically; None where a configuration is not kept."""
        digests = _digests(pair)
        if digests is None:
            return None
        return () if digests[0] == digests[1] else self._differing[digests]

    @cached_property
    def _differing(self) -> dict[_Digests, tuple[Flip, ...] | None]:
        asked = {digests: pair for pair in self.pairs if (digests := _digests(pair))}
        here = _reader(self.before, (pair.before for pair in asked.values()))
        there = _reader(self.after, (pair.after for pair in asked.values()))
        return {(one, two): _compared(here(one), there(two)) for one, two in asked if one != two}

    def changes(self, pairs: Iterable[Pair]) -> tuple[SymbolChange, ...]:
        """Symbols that changed in these cells, those of the very same cells in one row, most cells first."""
        known = {p.before.id: flips for p in pairs if p.before and (flips := self.of(p)) is not None}
        cells: dict[Flip, list[str]] = {}
        for name, flips in known.items():
            for flip in flips:
                cells.setdefault(flip, []).append(name)
        return tuple(sorted(self._rows(cells, known), key=lambda row: (-row.cells, row.flips[0].symbol)))

    def _rows(self, cells: Mapping[Flip, list[str]], known: Collection[str]) -> Iterator[SymbolChange]:
        if not cells:
            return
        evidence = CellIndex.from_run(self.before.run, {})
        everywhere = evidence.mask_cells(known)
        together: dict[int, list[Flip]] = {}
        for flip, among in cells.items():
            together.setdefault(evidence.mask_cells(among), []).append(flip)
        yield from (_row(evidence, flips, mask, everywhere) for mask, flips in together.items())


def settled(pair: Pair) -> bool:
    """Whether a cell's configuration is the one that was asked for, on one side at least."""
    return any(cell is not None and cell.state is not State.UNREACHABLE for cell in pair)


def _digests(pair: Pair) -> _Digests | None:
    before, after = pair
    if before is None or after is None or not before.config_sha256 or not after.config_sha256:
        return None
    return before.config_sha256, after.config_sha256


def _reader(side: Side, cells: Iterable[Cell | None]) -> Callable[[str], Config | None]:
    """Digest → the configuration, parsed once for as long as it is near."""
    of = {str(cell.config_sha256): cell for cell in cells if cell}
    return lru_cache(_KEPT)(lambda digest: side.config(of[digest]))


def _compared(before: Config | None, after: Config | None) -> tuple[Flip, ...] | None:
    if before is None or after is None:
        return None
    changed = before.diff(after).items()
    return tuple(Flip(symbol=symbol, from_=one, to=other) for symbol, (one, other) in changed)


def _row(evidence: CellIndex, flips: list[Flip], seen: int, everywhere: int) -> SymbolChange:
    cover = minimize_condition(evidence.table, seen, everywhere & ~seen)
    return SymbolChange(
        flips=tuple(sorted(flips, key=lambda flip: flip.symbol)),
        cells=seen.bit_count(),
        condition=cover.cubes,
        minimal=cover.minimal,
    )
