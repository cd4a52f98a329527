"""Findings that are known: a reviewed TOML file, each row with its keys, a reason, a link and an expiry.

[vfio-stub]
keys = ["virt/kvm/vfio.o vfio_file_iommu_group ignored-attributes"]
reason = "the fix is queued for the next rc"
link = "https://lore.kernel.org/…"
expires = 2026-03-01
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from matrix.catalog.load import read_toml, validated
from matrix.catalog.types import Names, Row
from matrix.errors import RequestError
from matrix.findings.model import Findings


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; whoever reviews this wants to know")
    return text


def _linked(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise ValueError(f"expected a link (https://…), got {text!r}")
    return text


class Known(Row):
    """One row: findings with any of these keys do not fail a run, up to and with the day that it expires."""

    keys: Names
    reason: Annotated[str, AfterValidator(_said)]
    link: Annotated[str, AfterValidator(_linked)]
    expires: date


@dataclass(frozen=True)
class Ledger:
    """A file of known findings held against those of a run.

    ``protects``: finding's id → the row that it is excused by. ``expired``: rows that would excuse these ids,
    but do not any more. ``unseen``: rows that no finding meets, which can go if the run looked there.
    """

    protects: Mapping[str, str]
    expired: Mapping[str, tuple[str, ...]]
    unseen: tuple[str, ...]


EMPTY = Ledger({}, {}, ())


def load_known(path: Path) -> dict[str, Known]:
    """The rows of a file by name. RequestError names file, row, key, and what was expected."""
    rows = {
        name: validated(Known, row, {}, default=f"{path}: {name}") for name, row in read_toml(path).items()
    }
    owners: dict[str, str] = {}
    for name, row in rows.items():
        for key in row.keys:
            if owners.setdefault(key, name) != name:
                raise RequestError(f"{path}: {name}: keys: {key!r} is {owners[key]}'s already")
    return rows


def held(findings: Findings, known: Mapping[str, Known], today: date) -> Ledger:
    """Which findings are excused on this day, by which rows; which rows are out of date."""
    rows = {name: tuple(_meeting(findings, row.keys)) for name, row in known.items()}
    seen = {name: ids for name, ids in rows.items() if ids}
    good = {name: ids for name, ids in seen.items() if known[name].expires >= today}
    return Ledger(
        protects={finding: name for name, ids in reversed(good.items()) for finding in ids},
        expired={name: ids for name, ids in seen.items() if name not in good},
        unseen=tuple(name for name in rows if name not in seen),
    )


def _meeting(findings: Findings, keys: Iterable[str]) -> Iterable[str]:
    wanted = frozenset(keys)
    return (finding.id for finding in findings.findings if not wanted.isdisjoint(finding.keys))
