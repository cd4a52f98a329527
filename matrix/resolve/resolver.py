"""Requests → resolutions: base, fragment, the tree's own olddefconfig with the cell's compiler.

What was resolved once is kept by the digests of everything it depends on: what conf sees of the tree,
image, make line, base and fragment. Reachability is read from the resolved .config only.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.catalog.load import Catalog
from matrix.catalog.types import Base
from matrix.diagnostics.diagnostic import Diagnostic, Occurrence
from matrix.diagnostics.log_parser import parse_diagnostics, summarize_unrecognized_log
from matrix.engine.protocol import ContainerResult
from matrix.errors import RequestError
from matrix.fs import (
    DISK_FULL_MESSAGES,
    read_gzip_json,
    record_use,
    translate_disk_full,
    write_atomically,
    write_gzip_json,
)
from matrix.kconfig.config import Config, format_fragment, verify_symbols
from matrix.plan import Request
from matrix.record.run_model import StageRecord
from matrix.record.states import State
from matrix.resolve.make_runner import MakeRunner
from matrix.resolve.resolution import Resolution, collect_fragment_symbols, collect_proof_symbols


@dataclass(frozen=True)
class ConfigureStep:
    """One command's end: state, output, and the record of it."""

    state: State
    lines: tuple[str, ...]
    record: StageRecord


@dataclass
class Resolver:
    """Resolves the requests of one lane (one arch, toolchain and base) in the lane's build directory."""

    runner: MakeRunner
    catalog: Catalog
    fixed_symbols: dict[str, str]
    store_dir: Path
    _base_config: str | None = None
    _base_failure: ConfigureStep | None = None

    def resolve(self, request: Request, log: Callable[[str], None]) -> Resolution:
        """The resolution of one request, out of the store where it is known. ``log`` takes every line."""
        known = self.find_stored(request)
        if known is not None:
            return known
        base = self._load_base_config(request, log)
        if base is None:
            return self._resolve_without_base(request)
        config = self.runner.open_build_directory() / ".config"
        config.unlink(missing_ok=True)
        write_atomically(config, base + format_fragment(self.collect_fragment(request)))
        step = self._run_configure(request, ("olddefconfig",), log)
        resolution = self._build_resolution(request, step, config)
        if resolution.config is not None:
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
        site, base = self.runner.context, self.catalog.bases[request.base]
        depends = [
            site.conf_digest,
            self.runner.image,
            self.runner.make_line,
            self.catalog.find_base_target(request.arch, request.base),
            base.seed,
            read_base_texts(base),
            format_fragment(self.collect_fragment(request)),
        ]
        return hashlib.sha256(json.dumps(depends).encode()).hexdigest()

    def _load_base_config(self, request: Request, log: Callable[[str], None]) -> str | None:
        """The base's .config with its own fragments; None where the tree's make refused to give one."""
        if self._base_config is not None or self._base_failure is not None:
            return self._base_config
        base = self.catalog.bases[request.base]
        given, extra = read_base_texts(base)
        if given is None:
            given = self._make_base_config(request, base, log)
        if given is not None:
            self._base_config = f"{given.rstrip()}\n{extra}"
        return self._base_config

    def _make_base_config(self, request: Request, base: Base, log: Callable[[str], None]) -> str | None:
        target = self.catalog.find_base_target(request.arch, request.base)
        config = self.runner.open_build_directory() / ".config"
        config.unlink(missing_ok=True)
        env = {} if base.seed is None else {"KCONFIG_SEED": str(base.seed)}
        step = self._run_configure(request, (str(target),), log, env)
        text = _read_made_config(config)
        if step.state is not State.PASS or text is None:
            self._base_failure = step
            return None
        return text

    def _run_configure(
        self,
        request: Request,
        targets: Sequence[str],
        log: Callable[[str], None],
        env: dict[str, str] | None = None,
    ) -> ConfigureStep:
        command = self.runner.build_command(targets)
        lines: list[str] = []

        def on_line(line: str) -> None:
            lines.append(line)
            log(line)

        log(f"$ {' '.join(command)}")
        started = time.monotonic()
        ended = self.runner.run(command, request.id, on_line, env=env)
        state = classify_step(ended, lines)
        record = StageRecord(
            name="configure",
            state=state,
            command=" ".join(command),
            exit=ended.exit,
            seconds=round(time.monotonic() - started, 2),
        )
        return ConfigureStep(state, tuple(lines), record)

    def _resolve_without_base(self, request: Request) -> Resolution:
        """Without a base no request of the lane has a configuration; each says so, with the cause."""
        step = self._base_failure
        if step is None:
            raise AssertionError("no base, and no step that failed to make it")
        return Resolution(request, None, step.record, diagnostics=tuple(_find_failure_causes(step)))

    def _build_resolution(self, request: Request, step: ConfigureStep, config: Path) -> Resolution:
        text = _read_made_config(config)
        if step.state is not State.PASS or text is None:
            return Resolution(request, None, step.record, diagnostics=tuple(_find_failure_causes(step)))
        return self._verify_resolution(request, text, step.record, parse_diagnostics(step.lines))

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
        except (OSError, ValueError, KeyError, TypeError):
            return None  # missing, damaged or of another version: resolving again is always right
        record_use(path)
        return self._verify_resolution(
            request, data["config"], stage.model_copy(update={"seconds": 0.0}), seen
        )

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


def _read_made_config(config: Path) -> str | None:
    """What conf wrote; nothing where it wrote none, or where a stranger's makefile left a link."""
    if config.is_symlink() or not config.exists():
        return None
    return config.read_text("utf-8", "replace")


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
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"the base's file {path} cannot be read: {error}") from error


def _find_failure_causes(step: ConfigureStep) -> list[Occurrence]:
    """Why configuring failed, in the tools' words; nothing for the machine's faults."""
    if step.state is not State.FAIL:
        return []
    seen = parse_diagnostics(step.lines)
    if any(item.diagnostic.severity == "error" for item in seen):
        return seen
    return [*seen, Occurrence(summarize_unrecognized_log(step.lines), None)]


_DISK_FULL_ENDS = tuple(f": {message}" for message in DISK_FULL_MESSAGES)


def classify_step(ended: ContainerResult, lines: Sequence[str]) -> State:
    """What a make's end says: the machine's limits and faults come before the kernel's."""
    if ended.cancelled:
        return State.CANCELLED
    if ended.timed_out:
        return State.TIMEOUT
    if ended.oom:
        return State.OOM
    if ended.exit == 0:
        return State.PASS
    # make itself ends with 1 or 2; anything else is the shell's word or a signal.
    if ended.exit > 2 or any(line.rstrip().endswith(_DISK_FULL_ENDS) for line in lines):
        return State.INFRA
    return State.FAIL
