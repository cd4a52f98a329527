"""Resolutions on disk, each in a file named by its key: the digest of everything that it depends on."""

from pathlib import Path
from typing import NamedTuple

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.fs import read_gzip_json, record_use, translate_disk_full, write_gzip_json
from matrix.record.run_model import Record, StageRecord


class StoredReason(Record):
    """Why a resolution is not what was asked for, in words; ``key``: the digest of what they follow from."""

    key: str
    text: str


class StoredResolution(Record):
    """The .config of a request, its configure step, what conf said, and, where that was asked for, why the
    request is not reached."""

    config: str
    stage: StageRecord
    diagnostics: tuple[Diagnostic, ...]
    reason: StoredReason | None = None


class ResolutionStore(NamedTuple):
    """The resolutions in one folder."""

    folder: Path

    def load(self, key: str) -> StoredResolution | None:
        """The resolution of this key; None where it is missing, damaged or of another version."""
        path = self._locate(key)
        try:
            stored = StoredResolution.model_validate(read_gzip_json(path))
        except (OSError, ValueError):
            return None
        record_use(path)
        return stored

    def put(self, key: str, resolution: StoredResolution) -> None:
        """Keep a resolution. DiskFullError when there is no space for it."""
        path = self._locate(key)
        with translate_disk_full(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_gzip_json(path, resolution.model_dump(mode="json"), sync=True)

    def _locate(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json.gz"
