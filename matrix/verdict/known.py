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

from matrix.catalog.load import read_toml, validate_toml_data
from matrix.catalog.types import TomlModel, UniqueNames
from matrix.errors import RequestError
from matrix.findings.model import Findings


def _require_text(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; whoever reviews this wants to know")
    return text


def _require_link(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise ValueError(f"expected a link (https://…), got {text!r}")
    return text


class KnownIssue(TomlModel):
    """One row: findings with any of these keys do not fail a run, up to and with the day that it expires."""

    keys: UniqueNames
    reason: Annotated[str, AfterValidator(_require_text)]
    link: Annotated[str, AfterValidator(_require_link)]
    expires: date


@dataclass(frozen=True)
class KnownIssues:
    """A file of known findings held against those of a run.

    ``protects``: finding's id → the row that it is excused by. ``expired``: rows that would excuse these ids,
    but do not any more. ``unseen``: rows that no finding meets, which can go if the run looked there.
    """

    excused_by: Mapping[str, str]
    expired: Mapping[str, tuple[str, ...]]
    unseen: tuple[str, ...]


NO_KNOWN_ISSUES = KnownIssues({}, {}, ())


def load_known_issues(path: Path) -> dict[str, KnownIssue]:
    """The rows of a file by name. RequestError names file, row, key, and what was expected."""
    rows = {
        name: validate_toml_data(KnownIssue, row, {}, default=f"{path}: {name}")
        for name, row in read_toml(path).items()
    }
    owners: dict[str, str] = {}
    for name, row in rows.items():
        for key in row.keys:
            if owners.setdefault(key, name) != name:
                raise RequestError(f"{path}: {name}: keys: {key!r} is {owners[key]}'s already")
    return rows


def match_known_issues(findings: Findings, known: Mapping[str, KnownIssue], today: date) -> KnownIssues:
    """Which findings are excused on this day, by which rows; which rows are out of date."""
    rows = {name: tuple(_find_matching_ids(findings, row.keys)) for name, row in known.items()}
    seen = {name: ids for name, ids in rows.items() if ids}
    good = {name: ids for name, ids in seen.items() if known[name].expires >= today}
    return KnownIssues(
        excused_by={finding: name for name, ids in reversed(good.items()) for finding in ids},
        expired={name: ids for name, ids in seen.items() if name not in good},
        unseen=tuple(name for name in rows if name not in seen),
    )


def _find_matching_ids(findings: Findings, keys: Iterable[str]) -> Iterable[str]:
    wanted = frozenset(keys)
    return (finding.id for finding in findings.findings if not wanted.isdisjoint(finding.keys))
