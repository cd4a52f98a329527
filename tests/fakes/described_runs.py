"""What two runs must have in common to be the same one: all that is on disk, but for times."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matrix.record.run_directory import RunDirectory

_JOBS = re.compile(r" -j\d+")
"""The share of the jobs: it changes with the lanes that are at work in just that moment."""


def describe_run(run: RunDirectory, place: Path, names: Sequence[str] = ()) -> dict[str, Any]:
    """All that a run has on disk, without times, how much make had to do with how many jobs, where it lies,
    and who built it. ``names`` are of other runs that it may mention, which have times in them as well."""
    text = _hide_names((run.directory / "run.json").read_text(), place, [run.run.id, *names])
    text = _JOBS.sub("", text)
    record: dict[str, Any] = json.loads(re.sub(r'"(seconds|compiled)": [0-9.e-]+', r'"\1": 0', text))
    for key in ("started", "finished", "pauses", "unused_workers"):
        record.pop(key, None)
    for cell in record["cells"]:
        cell.pop("at_work", None)
        cell.pop("worker", None)
    files = {
        str(path.relative_to(run.directory)): path.read_bytes()
        for folder in ("configs", "objects", "sources")
        for path in sorted((run.directory / folder).glob("*"))
    }
    logs = {cell.log: _list_commands(run.directory / cell.log) for cell in run.run.cells if cell.log}
    return record | files | logs


def describe_verdict(directory: Path, place: Path) -> dict[str, Any]:
    """The same of a verdict: its request, its patches, its runs with their findings, and what it says."""
    runs = [RunDirectory.load(path.parent) for path in sorted(directory.glob("*/run.json"))]
    names = [directory.name, *(run.run.id for run in runs)]
    kept = [directory / "request.json", *directory.glob("*/findings.json"), *directory.glob("*/verdict.json")]
    texts = {str(path.relative_to(directory)): _hide_names(path.read_text(), place, names) for path in kept}
    patches = {path.name: path.read_bytes() for path in (directory / "patches").iterdir()}
    looks = directory.rglob("look-through.log")
    logs = {str(path.relative_to(directory)): _list_commands(path) for path in looks}
    described = {run.directory.name: describe_run(run, place, names) for run in runs}
    return {**{name: json.loads(text) for name, text in texts.items()}, **patches, **logs, **described}


def _hide_names(text: str, place: Path, names: Sequence[str]) -> str:
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, "RUN")
    return text.replace(str(place), "PLACE")


def _list_commands(log: Path) -> list[str]:
    """The commands in a log, but for those that are there for others: the base, and headers."""
    lines = [_JOBS.sub("", line) for line in log.read_text().splitlines() if line.startswith("$ ")]
    return [line for line in lines if not line.endswith(("defconfig", " prepare"))]
