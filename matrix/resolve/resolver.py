"""Requests → resolutions: base, fragment, the tree's own olddefconfig with the cell's compiler.

What was resolved once is kept by the digests of everything it depends on: what conf reads of the tree,
image, make line, base and fragment, and the code that reads conf's output. Reachability is read from the
resolved .config only.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from matrix.catalog.load import Catalog
from matrix.diagnostics.diagnostic import Occurrence
from matrix.diagnostics.log_parser import parse_build_log
from matrix.diagnostics.parser_digest import compute_parser_digest
from matrix.errors import MachineError, RequestError
from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.foreign_trees import remove_tree
from matrix.fs import write_atomically
from matrix.kconfig.config import Config, format_fragment, verify_symbols
from matrix.kconfig.definitions import Definitions
from matrix.plan import Request
from matrix.record.run_model import StageRecord
from matrix.record.states import State
from matrix.resolve.base_files import read_base_texts
from matrix.resolve.conf_forks import (
    CONF_FORKS,
    CONFIG_LIMIT,
    ForkedConfig,
    read_forked_configs,
    remove_fork_files,
    write_fork_requests,
)
from matrix.resolve.make_runner import MakeResult, MakeRunner
from matrix.resolve.reasons import compute_reason_key, explain_unreached
from matrix.resolve.resolution import Resolution, collect_fragment_symbols, collect_proof_symbols
from matrix.resolve.resolution_store import ResolutionStore, StoredReason, StoredResolution
from matrix.resolve.step_output import bound_occurrences

_CONFIG = ".config"
_OLDDEFCONFIG = ("olddefconfig",)


@dataclass(frozen=True)
class _MadeConfig:
    """How a make or a fork in it ended, and the .config that it left."""

    result: MakeResult
    config: str
    notes: tuple[str, ...] = ()

    def is_same(self, other: "_MadeConfig") -> bool:
        """Whether both would be recorded alike."""
        return self.config == other.config and _parse_output(self.result) == _parse_output(other.result)


@dataclass
class Resolver:
    """Resolves the requests of one lane (one arch, toolchain and base) in the lane's build directory.

    ``conf_digest`` is of all that conf can read of the tree, ``definitions_digest`` of all that says what it
    defines.
    """

    runner: MakeRunner
    catalog: Catalog
    conf_digest: str
    definitions_digest: str
    fixed_symbols: Mapping[str, str]
    store: ResolutionStore
    _base_config: str | None = None
    _base_failure: MakeResult | None = None
    _made: dict[str, "_MadeConfig"] = field(default_factory=dict)
    _can_fork: bool = True

    def resolve(self, request: Request, log: Callable[[str], None]) -> Resolution:
        """The resolution of one request, out of the store where it is known. ``log`` takes every line."""
        known = self.find_stored(request)
        if known is not None:
            return known
        self.load_base(request, log)
        if self._base_failure is not None:
            failure = self._base_failure
            # The machine's fault may be over for the next.
            self._base_failure = None if failure.state is State.INFRA else failure
            return _build_failed_resolution(request, failure)
        build = self._put_request(request)
        result = self.runner.run(_OLDDEFCONFIG, request.id, log)
        if result.state is not State.PASS:
            return _build_failed_resolution(request, result)
        return self._finish_made(request, _MadeConfig(result, _read_made_config(build)))

    def make_together(self, requests: Sequence[Request], log: Callable[[str], None]) -> State:
        """Configure these with one make, that of the first; `take_made` has what came of it.

        Only successes are kept: where anything went wrong, nothing is, and each request's own make tells
        what. Returns the state of the last make.
        """
        self.load_base(requests[0], log)
        if self._base_failure is not None:
            self._can_fork = self._base_failure.state is State.INFRA
            return self._base_failure.state
        build = self._put_request(requests[0])
        # The first once more, at last: what a fork makes of it must be what make itself does.
        forked = [*requests[1:], requests[0]]
        try:
            write_fork_requests(build, [self._format_request(request) for request in forked])
            result = self.runner.run(_OLDDEFCONFIG, requests[0].id, lambda _: None, preload=(CONF_FORKS,))
            if result.state is State.PASS:
                with suppress(ForeignFileError):
                    made = _MadeConfig(result, _read_made_config(build))
                    self._keep_made(requests, made, read_forked_configs(build, len(forked)))
        finally:
            remove_fork_files(build)
        self._can_fork = len(self._made) > 1
        return result.state

    def can_make_together(self, request: Request) -> bool:
        """Whether to try that for this request: not where it is made, and no more once it came to nothing."""
        return self._can_fork and request.id not in self._made

    def take_made(self, request: Request, log: Callable[[str], None]) -> Resolution | None:
        """What `make_together` made for this request, once; None where it made nothing."""
        made = self._made.pop(request.id, None)
        if made is None:
            return None
        for line in (f"$ {made.result.command}", *made.notes, *made.result.lines):
            log(line)
        return self._finish_made(request, made)

    def _keep_made(
        self, requests: Sequence[Request], first: "_MadeConfig", forked: Sequence[ForkedConfig | None]
    ) -> None:
        """Keep what one make came to: the first request's, and the forks' where they can be trusted."""
        share = first.result.seconds / len(requests)
        first = replace(first, result=replace(first.result, seconds=share))
        self._made[requests[0].id] = first
        made = [_build_forked(config, first.result, requests[0]) for config in forked]
        again = made.pop()
        if again is not None and again.is_same(first):
            rest = zip(requests[1:], made, strict=True)
            self._made |= {request.id: config for request, config in rest if config is not None}

    def _finish_made(self, request: Request, made: "_MadeConfig") -> Resolution:
        """The resolution that a make came to, stored."""
        record, diagnostics = _build_configure_record(made.result), _parse_output(made.result)
        resolution = self._verify_resolution(request, made.config, record, diagnostics)
        seen = tuple(item.diagnostic for item in resolution.diagnostics)
        stored = StoredResolution(config=made.config, stage=resolution.stage, diagnostics=seen)
        self.store.put(self._compute_key(request), stored)
        return resolution

    def _put_request(self, request: Request) -> Path:
        """Write what conf is to start from; the build directory."""
        build = self._remove_config()
        write_atomically(build / _CONFIG, self._format_request(request))
        return build

    def _format_request(self, request: Request) -> str:
        return str(self._base_config) + format_fragment(self.collect_fragment(request))

    def find_stored(self, request: Request) -> Resolution | None:
        """The resolution of one request out of the store: it takes no build directory."""
        stored = self.store.load(self._compute_key(request))
        return None if stored is None else self._restore(request, stored)

    def collect_fragment(self, request: Request) -> dict[str, str]:
        """What is appended to the base for a request: symbol → value, knobs spelled out."""
        return collect_fragment_symbols(request, self.catalog, self.fixed_symbols)

    def _compute_key(self, request: Request) -> str:
        """Equal keys, equal .config, and the same read in what conf printed: nothing else reaches it."""
        base = self.catalog.bases[request.base]
        depends = [
            compute_parser_digest(),
            self.conf_digest,
            self.runner.image,
            self.runner.make_line,
            self.catalog.find_base_target(request.arch, request.base),
            base.seed,
            read_base_texts(base),
            format_fragment(self.collect_fragment(request)),
        ]
        return hashlib.sha256(json.dumps(depends).encode()).hexdigest()

    def load_base(self, request: Request, log: Callable[[str], None]) -> None:
        """Make the base's .config with its own fragments, unless it is known; or note what gave none.

        A base that could not be made is not tried again for each request of the lane.
        """
        if self._base_config is not None or self._base_failure is not None:
            return
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

    def _restore(self, request: Request, stored: StoredResolution) -> Resolution | None:
        """A stored resolution as one of this request; None where its .config is none."""
        seen = [Occurrence(diagnostic, None) for diagnostic in stored.diagnostics]
        stage = stored.stage.model_copy(update={"seconds": 0.0})
        try:
            return self._verify_resolution(request, stored.config, stage, seen)
        except (ValueError, RequestError):
            return None  # damaged: resolving again is always right

    def explain(
        self, resolution: Resolution, config: Config, read_definitions: Callable[[], Definitions]
    ) -> str:
        """Why a resolution is not what was asked for: the first reason of `explain_unreached`.

        ``config`` is its own. The tree's definitions are read where no run has asked for the same before.
        """
        key, reason_key = (
            self._compute_key(resolution.request),
            compute_reason_key(resolution, self.catalog, self.definitions_digest),
        )
        stored = self.store.load(key)
        if stored is not None and stored.reason is not None and stored.reason.key == reason_key:
            return stored.reason.text
        definitions = read_definitions()
        text = explain_unreached(resolution, config, definitions, self.catalog)[0]
        # What was left out for a bound depends on more of the tree than its Kconfig files.
        if stored is not None and not definitions.left_out:
            reason = StoredReason(key=reason_key, text=text)
            # It only saves time: a cache that is full, or is somebody else's, ends nothing for its sake.
            with suppress(OSError, MachineError):
                self.store.put(key, stored.model_copy(update={"reason": reason}))
        return text


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


def _build_forked(forked: ForkedConfig | None, make: MakeResult, first: Request) -> _MadeConfig | None:
    """What a fork in the make of the first request came to, as its own make would have."""
    if forked is None:
        return None
    note = f"[kmatrix: conf was started once for several requests, by the make of {first.id}]"
    return _MadeConfig(replace(make, lines=forked.lines), forked.text, (note,))


def _read_made_config(build: Path) -> str:
    """The .config that conf wrote. ForeignFileError where it wrote none, or what is there is no such file."""
    text = ForeignDirectory(build).read_text(_CONFIG, CONFIG_LIMIT)
    if text is None:
        raise ForeignFileError("conf ended without an error, and left no .config")
    return text


def _find_failure_causes(result: MakeResult) -> list[Occurrence]:
    """Why configuring failed, in the tools' words; nothing for the machine's faults."""
    if result.state is not State.FAIL:
        return []
    return _parse_output(result)


def _parse_output(result: MakeResult) -> list[Occurrence]:
    log = parse_build_log(result.lines, failed=result.state is State.FAIL)
    return bound_occurrences(list(log.occurrences), result.left_out_messages)[0]
