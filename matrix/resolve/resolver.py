"""Requests → resolutions: base, fragment, the tree's own olddefconfig with the cell's compiler.

What was resolved once is kept by the digests of everything it depends on: what conf reads of the tree,
image, make line, base and fragment. Reachability is read from the resolved .config only.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.catalog.load import Catalog
from matrix.catalog.types import Base
from matrix.diagnostics.diagnostic import Diagnostic, Occurrence
from matrix.diagnostics.log_parser import parse_build_log
from matrix.errors import RequestError
from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.foreign_trees import remove_tree
from matrix.fs import read_gzip_json, record_use, translate_disk_full, write_atomically, write_gzip_json
from matrix.kconfig.config import Config, format_fragment, verify_symbols
from matrix.plan import Request
from matrix.record.run_model import StageRecord
from matrix.record.states import State
from matrix.resolve.make_runner import MakeResult, MakeRunner
from matrix.resolve.resolution import Resolution, collect_fragment_symbols, collect_proof_symbols
from matrix.resolve.step_output import bound_occurrences
from matrix.user_files import expand_user_path, read_user_file

_CONFIG = ".config"
_CONFIG_LIMIT = 16 * 2**20
"""Bytes of a .config. That of a kernel has some 200,000."""


@dataclass
class Resolver:
    """Resolves the requests of one lane (one arch, toolchain and base) in the lane's build directory.

    ``conf_digest`` is of all that conf can read of the tree.
    """

    runner: MakeRunner
    catalog: Catalog
    conf_digest: str
    fixed_symbols: Mapping[str, str]
    store_dir: Path
    _base_config: str | None = None
    _base_failure: MakeResult | None = None

    def resolve(self, request: Request, log: Callable[[str], None]) -> Resolution:
        """The resolution of one request, out of the store where it is known. ``log`` takes every line."""
        known = self.find_stored(request)
        if known is not None:
            return known
        # A base that could not be made is not tried again for each request of the lane, unless it was the
        # machine's fault.
        if self._base_config is None and self._base_failure is None:
            self._load_base_config(request, log)
        if self._base_failure is not None:
            failure = self._base_failure
            self._base_failure = None if failure.state is State.INFRA else failure
            return _build_failed_resolution(request, failure)
        build = self._remove_config()
        text = str(self._base_config) + format_fragment(self.collect_fragment(request))
        write_atomically(build / _CONFIG, text)
        result = self.runner.run(("olddefconfig",), request.id, log)
        if result.state is not State.PASS:
            return _build_failed_resolution(request, result)
        made = _read_made_config(build)
        record, diagnostics = _build_configure_record(result), _parse_output(result)
        resolution = self._verify_resolution(request, made, record, diagnostics)
        self._store_resolution(self._compute_key(request), resolution)
        return resolution

    def find_stored(self, request: Request) -> Resolution | None:
        """The resolution of one request out of the store: it takes no build directory."""
        return self._load_stored(request, self._compute_key(request))

    def collect_fragment(self, request: Request) -> dict[str, str]:
        """What is appended to the base for a request: symbol → value, knobs spelled out."""
        return collect_fragment_symbols(request, self.catalog, self.fixed_symbols)

    def _compute_key(self, request: Request) -> str:
        """Equal keys, equal .config: nothing else reaches conf."""
        base = self.catalog.bases[request.base]
        depends = [
            self.conf_digest,
            self.runner.image,
            self.runner.make_line,
            self.catalog.find_base_target(request.arch, request.base),
            base.seed,
            read_base_texts(base),
            format_fragment(self.collect_fragment(request)),
        ]
        return hashlib.sha256(json.dumps(depends).encode()).hexdigest()

    def _load_base_config(self, request: Request, log: Callable[[str], None]) -> None:
        """Set the base's .config with its own fragments, or the result of the make that gave none."""
        base = self.catalog.bases[request.base]
        text, fragment = read_base_texts(base)
        if text is None:
            build = self._remove_config()
            target = self.catalog.find_base_target(request.arch, request.base)
            env = {} if base.seed is None else {"KCONFIG_SEED": str(base.seed)}
            result = self.runner.run((str(target),), request.id, log, env=env)
            if result.state is not State.PASS:
                self._base_failure = result
                return
            text = _read_made_config(build)
        self._base_config = f"{text.rstrip()}\n{fragment}"

    def _remove_config(self) -> Path:
        """The directory where conf is about to write .config. What an earlier cell left there is gone."""
        build = self.runner.open_build_directory()
        remove_tree(build / _CONFIG)
        return build

    def _verify_resolution(
        self, request: Request, text: str, stage: StageRecord, diagnostics: Sequence[Occurrence]
    ) -> Resolution:
        checks = verify_symbols(
            collect_proof_symbols(request, self.catalog, self.fixed_symbols), Config.parse(text)
        )
        if diagnostics:
            stage = stage.model_copy(update={"state": State.WARN})
        return Resolution(request, text, stage, checks, tuple(diagnostics))

    def _load_stored(self, request: Request, key: str) -> Resolution | None:
        path = _locate_stored(self.store_dir, key)
        try:
            data = read_gzip_json(path)
            stage = StageRecord.model_validate(data["stage"])
            seen = [Occurrence(Diagnostic.model_validate(item), None) for item in data["diagnostics"]]
            resolution = self._verify_resolution(
                request, str(data["config"]), stage.model_copy(update={"seconds": 0.0}), seen
            )
        except (OSError, ValueError, KeyError, TypeError, RequestError):
            return None  # missing, damaged or of another version: resolving again is always right
        record_use(path)
        return resolution

    def _store_resolution(self, key: str, resolution: Resolution) -> None:
        data = {
            "config": resolution.config,
            "stage": resolution.stage.model_dump(mode="json"),
            "diagnostics": [item.diagnostic.model_dump(mode="json") for item in resolution.diagnostics],
        }
        path = _locate_stored(self.store_dir, key)
        with translate_disk_full(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_gzip_json(path, data, sync=True)


def _build_failed_resolution(request: Request, result: MakeResult) -> Resolution:
    """A request without a configuration, with the cause: its own olddefconfig, or its base's make."""
    return Resolution(
        request,
        None,
        _build_configure_record(result),
        diagnostics=tuple(_find_failure_causes(result)),
        reason=result.reason,
    )


def _build_configure_record(result: MakeResult) -> StageRecord:
    return StageRecord(
        name="configure",
        state=result.state,
        command=result.command,
        exit=result.exit,
        seconds=round(result.seconds, 2),
    )


def _read_made_config(build: Path) -> str:
    """The .config that conf wrote. ForeignFileError where it wrote none, or what is there is no such file."""
    text = ForeignDirectory(build).read_text(_CONFIG, _CONFIG_LIMIT)
    if text is None:
        raise ForeignFileError("conf ended without an error, and left no .config")
    return text


def _locate_stored(store: Path, key: str) -> Path:
    return store / key[:2] / f"{key}.json.gz"


def check_base_files(base: Base) -> None:
    """RequestError when a file that the base names cannot be read."""
    read_base_texts(base)


def read_base_texts(base: Base) -> tuple[str | None, str]:
    """The base's .config text, if it is a file, and the text of its fragments.

    RequestError when a file that the base names cannot be read.
    """
    return (
        _read_base_file(base.file) if base.file is not None else None,
        "".join(
            f"{item if '=' in item or item.startswith('#') else _read_base_file(item)}\n"
            for item in base.fragment
        ),
    )


def _read_base_file(path: str) -> str:
    label = f"the base's file {path}"
    try:
        return read_user_file(expand_user_path(path), label).decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"{label} is no text: {error}", "name a file with lines of a .config") from error


def _find_failure_causes(result: MakeResult) -> list[Occurrence]:
    """Why configuring failed, in the tools' words; nothing for the machine's faults."""
    if result.state is not State.FAIL:
        return []
    return _parse_output(result)


def _parse_output(result: MakeResult) -> list[Occurrence]:
    log = parse_build_log(result.lines, failed=result.state is State.FAIL)
    return bound_occurrences(list(log.occurrences), result.left_out_messages)[0]
