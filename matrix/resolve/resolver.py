"""Requests → resolutions: base, fragment, the tree's own olddefconfig with the cell's compiler.

What was resolved once is kept by the digests of everything it depends on: what conf sees of the tree,
image, make line, base and fragment. Reachability is read from the resolved .config only.
"""

import gzip
import hashlib
import json
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.catalog.load import Catalog
from matrix.catalog.types import Base
from matrix.diagnostics.diagnostic import Diagnostic, Occurrence
from matrix.diagnostics.parse import parse_diagnostics, summarize_unrecognized_log
from matrix.engine.engine import Ended
from matrix.errors import RequestError
from matrix.kconfig.config import Config, format_fragment, verify_symbols
from matrix.plan.request import Request
from matrix.record.files import no_space, write_whole
from matrix.record.model import StageRecord
from matrix.record.outcome import State
from matrix.resolve.make import Workshop
from matrix.resolve.resolution import Resolution, proof, wanted


@dataclass(frozen=True)
class Step:
    """One command's end: state, output, and the record of it."""

    state: State
    lines: tuple[str, ...]
    record: StageRecord


@dataclass
class Resolver:
    """Resolves the requests of one lane (one arch, toolchain and base) in the lane's build directory."""

    workshop: Workshop
    catalog: Catalog
    fixed: dict[str, str]
    store: Path
    _base: str | None = None
    _base_failure: Step | None = None

    def resolve(self, request: Request, log: Callable[[str], None]) -> Resolution:
        """The resolution of one request, out of the store where it is known. ``log`` takes every line."""
        known = self.known(request)
        if known is not None:
            return known
        base = self._base_text(request, log)
        if base is None:
            return self._refused(request)
        config = self.workshop.directory() / ".config"
        config.unlink(missing_ok=True)
        write_whole(config, base + format_fragment(self.fragment_of(request)))
        step = self._configure(request, ("olddefconfig",), log)
        resolution = self._judged(request, step, config)
        if resolution.config is not None:
            self._keep(self._key(request), resolution)
        return resolution

    def known(self, request: Request) -> Resolution | None:
        """The resolution of one request out of the store: it takes no build directory."""
        return self._load(request, self._key(request))

    def fragment_of(self, request: Request) -> dict[str, str]:
        """What is appended to the base for a request: symbol → value, knobs spelled out."""
        return wanted(request, self.catalog, self.fixed)

    def _key(self, request: Request) -> str:
        """Equal keys, equal .config: nothing else reaches conf."""
        site, base = self.workshop.site, self.catalog.bases[request.base]
        depends = [
            site.seen_by_conf,
            self.workshop.image,
            self.workshop.make_line,
            self.catalog.base_target(request.arch, request.base),
            base.seed,
            base_texts(base),
            format_fragment(self.fragment_of(request)),
        ]
        return hashlib.sha256(json.dumps(depends).encode()).hexdigest()

    def _base_text(self, request: Request, log: Callable[[str], None]) -> str | None:
        """The base's .config with its own fragments; None where the tree's make refused to give one."""
        if self._base is not None or self._base_failure is not None:
            return self._base
        base = self.catalog.bases[request.base]
        given, extra = base_texts(base)
        if given is None:
            given = self._made_base(request, base, log)
        if given is not None:
            self._base = f"{given.rstrip()}\n{extra}"
        return self._base

    def _made_base(self, request: Request, base: Base, log: Callable[[str], None]) -> str | None:
        target = self.catalog.base_target(request.arch, request.base)
        config = self.workshop.directory() / ".config"
        config.unlink(missing_ok=True)
        env = {} if base.seed is None else {"KCONFIG_SEED": str(base.seed)}
        step = self._configure(request, (str(target),), log, env)
        text = _made(config)
        if step.state is not State.PASS or text is None:
            self._base_failure = step
            return None
        return text

    def _configure(
        self,
        request: Request,
        targets: Sequence[str],
        log: Callable[[str], None],
        env: dict[str, str] | None = None,
    ) -> Step:
        command = self.workshop.command(targets)
        lines: list[str] = []

        def on_line(line: str) -> None:
            lines.append(line)
            log(line)

        log(f"$ {' '.join(command)}")
        started = time.monotonic()
        ended = self.workshop.run(command, request.id, on_line, env=env)
        state = step_state(ended, lines)
        record = StageRecord(
            name="configure",
            state=state,
            command=" ".join(command),
            exit=ended.exit,
            seconds=round(time.monotonic() - started, 2),
        )
        return Step(state, tuple(lines), record)

    def _refused(self, request: Request) -> Resolution:
        """Without a base no request of the lane has a configuration; each says so, with the cause."""
        step = self._base_failure
        if step is None:
            raise AssertionError("no base, and no step that failed to make it")
        return Resolution(request, None, step.record, diagnostics=tuple(_causes(step)))

    def _judged(self, request: Request, step: Step, config: Path) -> Resolution:
        text = _made(config)
        if step.state is not State.PASS or text is None:
            return Resolution(request, None, step.record, diagnostics=tuple(_causes(step)))
        return self._verified(request, text, step.record, parse_diagnostics(step.lines))

    def _verified(
        self, request: Request, text: str, stage: StageRecord, diagnostics: Sequence[Occurrence]
    ) -> Resolution:
        checks = verify_symbols(proof(request, self.catalog, self.fixed), Config.parse(text))
        if diagnostics:
            stage = stage.model_copy(update={"state": State.WARN})
        return Resolution(request, text, stage, checks, tuple(diagnostics))

    def _load(self, request: Request, key: str) -> Resolution | None:
        try:
            data = json.loads(gzip.decompress(_place(self.store, key).read_bytes()))
            stage = StageRecord.model_validate(data["stage"])
            seen = [Occurrence(Diagnostic.model_validate(item), None) for item in data["diagnostics"]]
        except FileNotFoundError:
            return None
        except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError):
            return None  # damaged or of another version: resolving again is always right
        return self._verified(request, data["config"], stage.model_copy(update={"seconds": 0.0}), seen)

    def _keep(self, key: str, resolution: Resolution) -> None:
        data = {
            "config": resolution.config,
            "stage": resolution.stage.model_dump(mode="json"),
            "diagnostics": [item.diagnostic.model_dump(mode="json") for item in resolution.diagnostics],
        }
        place = _place(self.store, key)
        with no_space(place):
            place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, gzip.compress(json.dumps(data).encode(), mtime=0))


def _made(config: Path) -> str | None:
    """What conf wrote; nothing where it wrote none, or where a stranger's makefile left a link."""
    if config.is_symlink() or not config.exists():
        return None
    return config.read_text("utf-8", "replace")


def _place(store: Path, key: str) -> Path:
    return store / key[:2] / f"{key}.json.gz"


def check_base(base: Base) -> None:
    """RequestError when a file that the base names cannot be read."""
    base_texts(base)


def base_texts(base: Base) -> tuple[str | None, str]:
    """The base's .config text, if it is a file, and the text of its fragments.

    RequestError when a file that the base names cannot be read.
    """
    return (
        _read(base.file) if base.file is not None else None,
        "".join(
            f"{item if '=' in item or item.startswith('#') else _read(item)}\n" for item in base.fragment
        ),
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"the base's file {path} cannot be read: {error}") from error


def _causes(step: Step) -> list[Occurrence]:
    """Why configuring failed, in the tools' words; nothing for the machine's faults."""
    if step.state is not State.FAIL:
        return []
    seen = parse_diagnostics(step.lines)
    if any(item.diagnostic.severity == "error" for item in seen):
        return seen
    return [*seen, Occurrence(summarize_unrecognized_log(step.lines), None)]


_FULL_DISK = "No space left on device"


def step_state(ended: Ended, lines: Sequence[str]) -> State:
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
    if ended.exit > 2 or any(line.rstrip().endswith(f": {_FULL_DISK}") for line in lines):
        return State.INFRA
    return State.FAIL
