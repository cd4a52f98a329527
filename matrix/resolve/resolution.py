"""A resolution as a value, and whether a configuration has what a request asks for. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from matrix.catalog.load import Catalog
from matrix.diagnostics.diagnostic import Occurrence
from matrix.errors import RequestError
from matrix.kconfig.config import Config, SymbolCheck
from matrix.plan import Request
from matrix.record.run_model import StageRecord


@dataclass(frozen=True)
class Resolution:
    """The outcome of a request. ``config`` is the whole .config, or None when conf did not give one.

    ``stage`` is the configure step: its state is `fail` when the tree's Kconfig refused. ``reason``: what
    ended it, where that was not the tree.
    """

    request: Request
    config: str | None
    stage: StageRecord
    checks: tuple[SymbolCheck, ...] = ()
    diagnostics: tuple[Occurrence, ...] = ()
    reason: str = ""

    @property
    def is_reachable(self) -> bool:
        """The configuration has every value that was asked for."""
        return self.config is not None and all(check.is_satisfied for check in self.checks)

    @property
    def config_sha256(self) -> str | None:
        return hashlib.sha256(self.config.encode()).hexdigest() if self.config is not None else None


def collect_fragment_symbols(request: Request, catalog: Catalog, fixed: Mapping[str, str]) -> dict[str, str]:
    """The symbols that the request writes into its fragment: knobs first spelled out, then fixed ones."""
    return _merge_symbols(request, catalog, fixed, "set")


def collect_proof_symbols(request: Request, catalog: Catalog, fixed: Mapping[str, str]) -> dict[str, str]:
    """The symbols that must have these values for the request to be reached."""
    return _merge_symbols(request, catalog, fixed, "proof")


def _merge_symbols(
    request: Request, catalog: Catalog, fixed: Mapping[str, str], part: Literal["set", "proof"]
) -> dict[str, str]:
    """Fixed symbols count as axes with one value each."""
    merged: dict[str, str] = {}
    requested = {**fixed, **request.symbol_values}
    for name, value in requested.items():
        symbols: Mapping[str, str] = getattr(catalog.find_setting(request.arch, name, value), part)
        for symbol, content in symbols.items():
            if symbol != name and symbol in requested:
                continue  # the symbol has an axis of its own, which overrides the knob
            if merged.setdefault(symbol, content) != content:
                raise RequestError(
                    f"{request.id}: {name}={value} wants {symbol}={content}, another axis {merged[symbol]}",
                    "give one of the two knobs another setting in the profile",
                )
    return merged


def find_actual_request(
    request: Request, catalog: Catalog, axes: Mapping[str, tuple[str, ...]], config: Config
) -> Request:
    """The request that this configuration satisfies: each axis at the value whose proof holds."""
    values = {
        name: catalog.match_symbol_value(request.arch, name, axes[name], config)
        for name, _ in request.symbols
    }
    return Request.from_symbols(request.arch, request.toolchain, request.base, values)
