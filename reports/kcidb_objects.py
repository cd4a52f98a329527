"""What all objects of a KCIDB submission have in common: who submits, ids, times, and text that is clean."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from matrix.errors import RequestError
from matrix.foreign_text import replace_controls
from matrix.record.run_model import Run
from reports.formatting import shorten_line
from reports.limits import KCIDB_EXCERPT_LENGTH, LINE_LENGTH

KcidbObject = dict[str, Any]
"""A checkout, build, issue or incident: property → value, as the schema names them."""
_ORIGIN = re.compile("[a-z0-9_]+")
_REPOSITORY = re.compile("https://[!-~]+")
_WEB_ADDRESS = re.compile("https?://[!-~]+")
_ID_LENGTH = 40
_LATEST_VERSION = 2**31 - 1
"""KCIDB keeps versions in 32 bits."""


@dataclass(frozen=True)
class KcidbOrigin:
    """Who submits, and what of the source and the files no record knows. What is empty is left out.

    ``name`` is the origin as KCIDB has it; ``tree`` the tree's well-known name (``mainline``);
    ``repository`` the https address of its git repository, ``branch`` a branch of it; ``files`` the address
    at which the run's directory can be read.
    """

    name: str = "kmatrix"
    tree: str = ""
    repository: str = ""
    branch: str = ""
    files: str = ""

    def create_id(self, *parts: str) -> str:
        """``ORIGIN:HASH``; the same parts always have the same id."""
        return f"{self.name}:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_ID_LENGTH]}"

    def locate_file(self, name: str | None) -> str | None:
        """The address of a file of the run; None where the files are not published, or there is none."""
        return f"{self.files.rstrip('/')}/{quote(replace_controls(name))}" if self.files and name else None


NO_ORIGIN = KcidbOrigin()
"""For a report that nobody submits."""


def parse_submitter(name: str, *, tree: str, repository: str, branch: str, files_url: str) -> KcidbOrigin:
    """What the options say. RequestError for what KCIDB's schema does not take."""
    if not name:
        raise RequestError(
            "submit needs an origin, the name that KernelCI knows your CI system by", "name it: --origin NAME"
        )
    if not _ORIGIN.fullmatch(name):
        raise RequestError(
            f"--origin: expected small letters, digits and _, got {name!r}",
            "it is the name that KernelCI knows your CI system by",
        )
    if repository and not _REPOSITORY.fullmatch(repository):
        raise RequestError(
            f"--repository: expected an https:// address, got {repository!r}",
            "it is where everybody can fetch the tree",
        )
    if files_url and not _WEB_ADDRESS.fullmatch(files_url):
        raise RequestError(
            f"--files-url: expected an https:// or http:// address, got {files_url!r}",
            "it is where the run's directory can be read",
        )
    return KcidbOrigin(name, tree, repository, branch, files_url)


def identify_run(run: Run) -> tuple[str, ...]:
    """What a run is told from all others by, wherever its directory lies."""
    return run.id, run.started.isoformat(), run.source.digest


def choose_issue_version(run: Run) -> int:
    """The version of all issues that a run tells of: when it began or last went on, in seconds.

    Without KCIDB's database nobody can see whether an issue's text changed. So a newer run's text replaces an
    older one's, and a run that is submitted again as it was is the same version.
    """
    begun = max((pause.resumed for pause in run.pauses), default=run.started)
    return min(max(int(begun.timestamp()), 0), _LATEST_VERSION)


def format_moment(moment: datetime | None) -> str | None:
    """A time as RFC 3339 has it, in UTC; None for none, and for one that UTC has not."""
    try:
        return moment.astimezone(UTC).isoformat() if moment else None
    except (OverflowError, ValueError):
        return None


def keep_number(value: float) -> float | None:
    """A number that JSON has; None for what a stranger's record may hold instead."""
    return round(value, 3) if math.isfinite(value) and value >= 0 else None


def build_object(properties: Mapping[str, Any]) -> KcidbObject:
    """The properties without those that are None, with clean text: the schema has no null.

    Text out of logs and records loses control characters but line breaks, and lone surrogates: JSON and
    PostgreSQL cannot hold them all.
    """
    return {name: _clean_value(value) for name, value in properties.items() if value is not None}


def _clean_value(value: Any) -> Any:
    if isinstance(value, str):
        return _clean_lines(value)
    if isinstance(value, Mapping):
        return {
            _clean_lines(str(name)): _clean_value(item) for name, item in value.items() if item is not None
        }
    if isinstance(value, list | tuple):
        return list(map(_clean_value, value))
    return value


def _clean_lines(text: str) -> str:
    return "\n".join(map(replace_controls, text.split("\n")))


def join_excerpt(lines: Iterable[str]) -> str | None:
    """Lines of a log, as many of the first as the schema allows; None of none."""
    text = _clean_lines("\n".join(shorten_line(line, LINE_LENGTH) for line in lines))
    cut = text[:KCIDB_EXCERPT_LENGTH].rpartition("\n")[0] if len(text) > KCIDB_EXCERPT_LENGTH else text
    return cut or None
