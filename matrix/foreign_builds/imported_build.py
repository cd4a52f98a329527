"""A build's directory → one value: on which arch, with what, from what it was built, and what came of it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.catalog.load import Catalog
from matrix.catalog.types import StageName
from matrix.foreign_builds.build_directory import BuildFiles, read_build_directory
from matrix.foreign_builds.build_facts import BuildFacts, collect_build_facts
from matrix.foreign_builds.build_outcome import BuildOutcome, judge_build
from matrix.foreign_builds.compiler_name import name_toolchain
from matrix.foreign_builds.config_axes import BuildLane
from matrix.foreign_builds.foreign_log import ForeignLog, read_foreign_log
from matrix.foreign_text import clean_text
from matrix.kconfig.config import ConfigOrigin, parse_origin

NOT_KNOWN = "not known"
_UNKNOWN_ARCH = "unknown"
_ARCH = re.compile(r"[a-z][a-z0-9_]{0,19}")
_FACT_LENGTH = 200
_NAMES_SHOWN = 5
# What tuxmake, KernelCI and people type for ARCH=, and what the tree makes of it.
_ARCH_NAMES = {
    "x86_64": "x86",
    "i386": "x86",
    "aarch64": "arm64",
    "ppc64le": "powerpc",
    "ppc64": "powerpc",
    "powerpc64": "powerpc",
    "s390x": "s390",
}


@dataclass(frozen=True)
class ImportedBuild:
    """One build. ``name`` is its directory's; ``compiler`` is what its compiler calls itself.

    ``make_variables`` are those of the log's own make command; where it shows none, what the catalog has for
    arch and compiler. ``targets`` are what make was asked for, none for all. ``version`` and ``revision`` are
    its source's.
    """

    name: str
    files: BuildFiles
    arch: str
    toolchain: str
    compiler: str
    make_variables: dict[str, str]
    targets: tuple[str, ...]
    version: str | None
    revision: str | None
    outcome: BuildOutcome

    @property
    def lane(self) -> BuildLane:
        return self.arch, self.toolchain

    @property
    def stage(self) -> StageName:
        """How far make was asked to build: parts of the tree, its modules alone, or all."""
        parts = (
            target for target in self.targets if "/" not in target and not target.endswith((".o", ".ko"))
        )
        if self.targets and not any(parts):
            return "focus"
        return "modules" if self.targets == ("modules",) else "vmlinux"


def read_imported_build(path: Path, catalog: Catalog) -> ImportedBuild:
    """The build in a directory.

    RequestError where that holds none, ForeignFileError where one of its files cannot be read.
    """
    files = read_build_directory(path)
    noted = collect_build_facts(files.notes)
    log = read_foreign_log(files.read_log(), noted.source_root)
    facts, origin = noted.fill_in(log.facts), parse_origin(files.config_text)
    arch = _find_arch(files, facts, origin, log, catalog)
    toolchain = name_toolchain(facts.compiler, origin.compiler)
    compiler = facts.compiler or (origin.compiler.text if origin.compiler else "") or NOT_KNOWN
    return ImportedBuild(
        name=clean_fact(files.name),
        files=files,
        arch=arch,
        toolchain=toolchain,
        compiler=clean_fact(compiler),
        make_variables=log.make_variables or _guess_make_variables(arch, toolchain, catalog),
        targets=facts.targets or log.make_targets,
        version=facts.version or origin.version,
        revision=facts.revision,
        outcome=judge_build(log, facts),
    )


def clean_fact(text: str) -> str:
    """Foreign words as a record has them: one short line."""
    return clean_text(text, _FACT_LENGTH)


def list_distinct(texts: Iterable[str | None]) -> list[str]:
    """The first few different ones, and how many more there are."""
    return list_first([clean_fact(text) for text in dict.fromkeys(texts) if text])


def list_first(texts: Sequence[str]) -> list[str]:
    """The first few, and how many more there are."""
    more = [f"and {len(texts) - _NAMES_SHOWN} more"] if len(texts) > _NAMES_SHOWN else []
    return [*texts[:_NAMES_SHOWN], *more]


def _find_arch(
    files: BuildFiles, facts: BuildFacts, origin: ConfigOrigin, log: ForeignLog, catalog: Catalog
) -> str:
    """The arch by the .config's symbols, its head, its maker, make's command; as the catalog calls it."""
    named = catalog.detect_arch(files.config, origin.arch) or facts.arch or log.make_variables.get("ARCH")
    if named is None or not _ARCH.fullmatch(named):
        return _UNKNOWN_ARCH
    return _ARCH_NAMES.get(named, named)


def _guess_make_variables(arch: str, toolchain: str, catalog: Catalog) -> dict[str, str]:
    if arch in catalog.arches and toolchain in catalog.toolchains:
        return catalog.build_make_variables(arch, toolchain)
    return {} if arch == _UNKNOWN_ARCH else {"ARCH": arch}
