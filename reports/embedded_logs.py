"""Whole logs of failing cells as text that a page can hold: compressed, in base64."""

import base64
import gzip

from matrix.findings.stored_run import StoredRun
from matrix.record.states import State


def compress_failing_logs(stored: StoredRun) -> dict[int, str]:
    """Number of a cell in the run → its log, gzipped, in base64; of those that failed and have one.

    Cells with the same log have each its own: a run's logs name their directories.
    """
    return {
        number: _compress(text)
        for number, cell in enumerate(stored.run.cells)
        if cell.state is State.FAIL and (text := stored.read_log(cell))
    }


def _compress(text: str) -> str:
    # Without a time stamp: the same run gives the same page.
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode("ascii")
