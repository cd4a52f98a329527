"""What two runs must have in common to be the same one: all that is on disk, but for times."""

import json
import re
from pathlib import Path
from typing import Any

from matrix.record.run_directory import RunDirectory

_JOBS = re.compile(r" -j\d+")
"""The share of the jobs: it changes with the lanes that are at work in just that moment."""


def describe_run(run: RunDirectory, place: Path) -> dict[str, Any]:
    """All that a run has on disk, without times, how much make had to do with how many jobs, and where it
    lies."""
    text = (run.directory / "run.json").read_text().replace(str(place), "PLACE").replace(run.run.id, "RUN")
    text = _JOBS.sub("", text)
    record: dict[str, Any] = json.loads(re.sub(r'"(seconds|compiled)": [0-9.e-]+', r'"\1": 0', text))
    for key in ("started", "finished", "pauses"):
        record.pop(key, None)
    files = {
        str(path.relative_to(run.directory)): path.read_bytes()
        for folder in ("configs", "objects", "sources")
        for path in sorted((run.directory / folder).iterdir())
    }
    logs = {cell.log: _list_commands(run.directory / cell.log) for cell in run.run.cells if cell.log}
    return record | files | logs


def _list_commands(log: Path) -> list[str]:
    """The commands in a log, but for those that are there for others: the base, and headers."""
    lines = [_JOBS.sub("", line) for line in log.read_text().splitlines() if line.startswith("$ ")]
    return [line for line in lines if not line.endswith((" defconfig", " prepare"))]
