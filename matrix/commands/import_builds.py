"""Builds made by others → a run: each directory with a log and a .config is a cell, `imported`."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from matrix.builder.cell_record import build_diagnostic_refs, create_blank_cell, pair_with_stage
from matrix.catalog.load import Catalog, load_catalog
from matrix.commands.session import LOCAL_ENVIRONMENT, Environment, build_tool_record
from matrix.errors import RequestError, format_nearest
from matrix.findings.stored_run import StoredRun
from matrix.foreign_builds.build_directory import BuildFiles
from matrix.foreign_builds.config_axes import AxisChoice, ChosenAxis, LaneConfig, choose_axes
from matrix.foreign_builds.import_notes import describe_import
from matrix.foreign_builds.imported_build import (
    NOT_KNOWN,
    ImportedBuild,
    clean_fact,
    list_distinct,
    read_imported_build,
)
from matrix.fs import translate_write_errors
from matrix.kconfig.config import check_symbol, unquote_value
from matrix.kconfig.definitions import read_tree_definitions
from matrix.plan import Request, compute_plan_digest
from matrix.record.journal import (
    Journal,
    check_directory_unused,
    claim_run_directory,
    create_run_directory,
    generate_run_id,
    link_latest_run,
)
from matrix.record.run_model import (
    IMPORT_AXIS,
    Compiler,
    Host,
    Run,
    SourceRecord,
    StageRecord,
    ToolchainRecord,
)
from matrix.record.states import Evidence
from matrix.shell_words import format_command, format_variable
from matrix.user_files import expand_user_path, stat_user_path

_BASE = "imported"
_TITLE = "import"
MAX_BUILDS = 1_000


@dataclass(frozen=True)
class ImportRequest:
    """The options: directories of builds, the symbols that are axes (none: those that distinguish builds),
    the tree that they were made of and the run's directory, either of which may be missing."""

    directories: tuple[Path, ...]
    symbols: tuple[str, ...] = ()
    tree: Path | None = None
    out: Path | None = None


def parse_import_request(directories: Sequence[str], symbols: str, tree: str, out: str) -> ImportRequest:
    """What was asked for. RequestError for what will not do."""
    if not directories:
        raise RequestError("import needs 'dir'", "./inv import --help shows its options")
    if "" in directories:
        raise RequestError("dir is empty", "leave it out, or give it a value")
    if len(directories) > MAX_BUILDS:
        raise RequestError(f"{len(directories)} builds are too many", f"import {MAX_BUILDS} at most")
    names = tuple(dict.fromkeys(filter(None, (word.strip() for word in symbols.split(",")))))
    if symbols and not names:
        raise RequestError("--symbols names no symbol", "for example --symbols KVM,MODULES,VFIO")
    for name in names:
        check_symbol(name)
    paths = tuple(expand_user_path(word) for word in directories)
    twice = [path for path, count in Counter(map(os.path.realpath, paths)).items() if count > 1]
    if twice:
        raise RequestError(f"{twice[0]} is named twice", "name each build once")
    root = expand_user_path(tree) if tree else None
    if root is not None and stat_user_path(root / "Kconfig", f"--tree {tree}") is None:
        raise RequestError(f"--tree {tree} is no kernel tree: it has no Kconfig", "name its top directory")
    return ImportRequest(paths, names, root, expand_user_path(out).absolute() if out else None)


@dataclass(frozen=True)
class ImportResult:
    """The run, and what a reader has to know of how it came about, a sentence each."""

    stored: StoredRun
    notes: tuple[str, ...]


def import_builds(
    request: ImportRequest, argv: Sequence[str] = (), environment: Environment = LOCAL_ENVIRONMENT
) -> ImportResult:
    """Read the builds, and write the run.

    RequestError for a directory that holds no build, and for a symbol that no .config has; ForeignFileError
    for a file that cannot be read.
    """
    if request.out is not None:
        check_directory_unused(request.out)
    catalog = load_catalog()
    builds = [read_imported_build(path, catalog) for path in request.directories]
    choice = _choose_symbols(request, builds, catalog)
    requests = _build_requests(builds, [axis.symbol for axis in choice.axes])
    now = datetime.now(UTC)
    directory = request.out or create_run_directory(environment.runs, generate_run_id(_TITLE, now))
    claim_run_directory(directory)
    name = directory.name if request.out is None else generate_run_id(_TITLE, now)
    followers = {axis.symbol: axis.followers for axis in choice.axes if axis.followers}
    record = _build_record(name, builds, requests, now, argv).model_copy(update={"followers": followers})
    with Journal(directory, record) as journal:
        for build, planned in zip(builds, requests, strict=True):
            _record_build(build, planned, journal)
        journal.close(interrupted=False)
    if request.out is None:
        link_latest_run(directory)
    notes = describe_import(builds, requests, None if request.symbols else choice)
    return ImportResult(StoredRun(journal.snapshot_run(), directory), tuple(notes))


def _choose_symbols(request: ImportRequest, builds: Sequence[ImportedBuild], catalog: Catalog) -> AxisChoice:
    if not request.symbols:
        lanes = [LaneConfig(build.lane, build.files.config) for build in builds]
        return choose_axes(lanes, _create_prompt_check(request.tree, builds, catalog))
    known = dict.fromkeys(name for build in builds for name in build.files.config)
    for name in request.symbols:
        if name not in known:
            raise RequestError(
                f"--symbols {name}: no .config of these builds has it{format_nearest(name, known)}",
                "name symbols without CONFIG_, as their .configs have them",
            )
    axes = tuple(ChosenAxis(name, (), is_settable=True) for name in sorted(request.symbols))
    return AxisChoice(axes, differing=0)


def _create_prompt_check(
    tree: Path | None, builds: Sequence[ImportedBuild], catalog: Catalog
) -> Callable[[str], bool] | None:
    """Whether a symbol has a prompt in the tree, for any arch of these builds; None without a tree."""
    if tree is None:
        return None
    arches = dict.fromkeys(build.arch for build in builds)
    names = [catalog.arches[arch].srcarch if arch in catalog.arches else arch for arch in arches]
    trees = [read_tree_definitions(tree, name) for name in names]
    return lambda symbol: any(
        item.prompt for definitions in trees for item in definitions.find_definitions(symbol)
    )


def _build_requests(builds: Sequence[ImportedBuild], symbols: Sequence[str]) -> list[Request]:
    """A request for each build. Builds with the same values on all axes have their directory as one more."""
    plain = [_build_request(build, symbols, {}) for build in builds]
    counts = Counter(plain)
    alike = [number for number, request in enumerate(plain) if counts[request] > 1]
    names = _find_distinct_names([builds[number].files for number in alike])
    for number, name in zip(alike, names, strict=True):
        plain[number] = _build_request(builds[number], symbols, {IMPORT_AXIS: name})
    return plain


def _build_request(build: ImportedBuild, symbols: Sequence[str], more: Mapping[str, str]) -> Request:
    values = {name: unquote_value(build.files.config.value_of(name)) for name in symbols}
    cleaned = {name: clean_fact(value) for name, value in {**values, **more}.items()}
    return Request.from_symbols(build.arch, build.toolchain, _BASE, cleaned)


def _find_distinct_names(files: Sequence[BuildFiles]) -> list[str]:
    """What each directory is called, with its place where several are called alike."""
    names: list[str] = []
    counts = Counter(item.name for item in files)
    for item in files:
        number = sum(name.partition("#")[0] == item.name for name in names) + 1
        names.append(f"{item.name}#{number}" if counts[item.name] > 1 else item.name)
    return names


def _build_record(
    name: str,
    builds: Sequence[ImportedBuild],
    requests: Sequence[Request],
    now: datetime,
    argv: Sequence[str],
) -> Run:
    return Run(
        id=name,
        tool=build_tool_record(),
        command=format_command(*argv),
        host=Host(system=NOT_KNOWN, cpus=0, memory=0, engine=NOT_KNOWN, isolation=NOT_KNOWN),
        started=now,
        profile={
            "profile": _TITLE,
            "builds": {request.id: build.name for build, request in zip(builds, requests, strict=True)},
        },
        axes=_list_axes(requests),
        plan_sha256=compute_plan_digest(requests),
        source=_build_source_record(builds),
        toolchains=_build_toolchain_records(builds),
        cells=tuple(map(create_blank_cell, requests)),
    )


def _list_axes(requests: Sequence[Request]) -> dict[str, tuple[str, ...]]:
    """Axis → its values, sorted, the symbols after the others."""
    names = dict.fromkeys(name for request in requests for name in request.axes)
    ordered = sorted(names, key=lambda name: name == IMPORT_AXIS)
    return {
        name: tuple(sorted({request.axes[name] for request in requests if name in request.axes}))
        for name in ordered
    }


def _build_source_record(builds: Sequence[ImportedBuild]) -> SourceRecord:
    revisions = list_distinct(build.revision for build in builds)
    return SourceRecord(
        spec=", ".join(("built by others", *revisions)),
        version=", ".join(list_distinct(build.version for build in builds))
        or f"of a version that is {NOT_KNOWN}",
        digest="",
    )


def _build_toolchain_records(builds: Sequence[ImportedBuild]) -> dict[str, ToolchainRecord]:
    """Toolchain → what it called itself, for each arch. There is no image."""
    versions: dict[str, dict[str, dict[str, None]]] = {}
    for build in builds:
        versions.setdefault(build.toolchain, {}).setdefault(build.arch, {})[build.compiler] = None
    return {
        name: ToolchainRecord(
            image="",
            image_id="",
            compilers={
                arch: Compiler(version=" or ".join(texts), binutils="") for arch, texts in by_arch.items()
            },
        )
        for name, by_arch in versions.items()
    }


def _record_build(build: ImportedBuild, request: Request, journal: Journal) -> None:
    """Write a build's log, .config and objects into the run, then its cell."""
    log = f"cells/{request.directory}/build.log"
    path = journal.directory / log
    with translate_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(build.files.read_log(), encoding="utf-8")
    digest = hashlib.sha256(build.files.config_text.encode()).hexdigest()
    journal.store_config(digest, build.files.config_text)
    outcome = build.outcome
    stage = _build_stage(build)
    update = {
        "config_sha256": digest,
        "make": " ".join(format_variable(*pair) for pair in build.make_variables.items()),
        "state": outcome.state,
        "reason": outcome.reason,
        "evidence": Evidence.IMPORTED,
        "stages": (stage,),
        "diagnostics": tuple(build_diagnostic_refs(pair_with_stage(stage.name, outcome.occurrences))),
        "objects_sha256": journal.store_objects(outcome.objects),
        "log": log,
    }
    cell = create_blank_cell(request).model_copy(update=update)
    diagnostics = {item.diagnostic.key: item.diagnostic for item in outcome.occurrences}
    journal.record_finished_cell(cell, diagnostics)


def _build_stage(build: ImportedBuild) -> StageRecord:
    """All that make did, as one stage, with a command that does it again."""
    words = (f"{name}={value}" for name, value in build.make_variables.items())
    count = len(build.outcome.objects)
    return StageRecord(
        name=build.stage,
        state=build.outcome.state,
        command=format_command("make", *words, *build.targets),
        objects=count,
        compiled=count,
    )
