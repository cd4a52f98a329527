"""Forms of real build output, rebuilt in small from public reports, each with what is in it beside it.

A TOML file has the keys ``fails`` (how make ended) and ``source`` (where the form was seen), one
``[[diagnostic]]`` for each that is in the log, in its order, with the fields that must hold (``has`` is a
part of the message), and one ``[[failed]]`` for each target that make failed to make, with the message of
its cause (``has``).
"""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from matrix.diagnostics.diagnostic import Occurrence
from matrix.diagnostics.log_parser import parse_build_log

_LOGS = Path(__file__).parents[2] / "logs" / "foreign"
_CASES = sorted(path.stem for path in _LOGS.glob("*.log"))


def _find_differences(occurrence: Occurrence, wanted: dict[str, Any]) -> list[str]:
    found = {"object": occurrence.object, **occurrence.diagnostic.model_dump(mode="json")}
    part = wanted.get("has", "")
    missing = [] if part in found["message"] else [f"no {part!r} in {found['message']!r}"]
    fields = {name: value for name, value in wanted.items() if name != "has"}
    return missing + [f"{k}: {found[k]!r}, wanted {v!r}" for k, v in fields.items() if found[k] != v]


@pytest.mark.parametrize("case", _CASES)
def test_a_foreign_log_holds_exactly_what_is_expected_of_it(case: str) -> None:
    expected = tomllib.loads((_LOGS / f"{case}.toml").read_text())
    lines = (_LOGS / f"{case}.log").read_text().splitlines()
    log = parse_build_log(lines, failed=expected["fails"])
    listed = "\n".join(
        f"{made}: {found.model_dump_json(exclude_defaults=True)}" for found, made in log.occurrences
    )
    wanted = expected.get("diagnostic", [])
    assert len(log.occurrences) == len(wanted), listed
    for occurrence, fields in zip(log.occurrences, wanted, strict=True):
        assert _find_differences(occurrence, fields) == [], listed
    causes = [(item.target, item.cause and item.cause.diagnostic.message) for item in log.failed_targets]
    failed = expected.get("failed", [])
    assert [target for target, _ in causes] == [row["target"] for row in failed]
    assert all(row["has"] in str(cause) for (_, cause), row in zip(causes, failed, strict=True)), causes


def test_every_foreign_log_has_its_expectation() -> None:
    assert sorted(path.stem for path in _LOGS.glob("*.toml")) == _CASES
