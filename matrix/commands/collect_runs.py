"""The runs that a history is made of: those that are named, or the newest in the folder of runs."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from matrix.commands.kept_runs import list_run_directories
from matrix.errors import MachineError, RequestError
from matrix.findings.stored_run import StoredRun
from matrix.record.run_directory import find_run_directory
from matrix.verdict.run_history import RunHistory

NEWEST_RUNS = 20
"""Runs of the folder that are looked at where none is named."""


def collect_history(names: Sequence[str], runs: Path, command: Sequence[str] = ()) -> RunHistory:
    """The history of these runs, or of the newest in ``runs`` that can be read.

    RequestError where a run that is named cannot be read, or where there is none. ``command`` is what was
    typed.
    """
    if names:
        stored = [StoredRun.load(find_run_directory(name, runs, command)) for name in names]
    else:
        stored = list(islice(_load_readable(runs), NEWEST_RUNS))
    if not stored:
        raise RequestError(f"there is no run in {runs}", "./inv run makes one")
    return RunHistory.of_runs(stored)


def _load_readable(runs: Path) -> Iterator[StoredRun]:
    """The runs of a folder, the newest first. A verdict holds runs, and is none."""
    for directory in list_run_directories(runs):
        try:
            yield StoredRun.load(directory)
        except (RequestError, MachineError):
            continue
