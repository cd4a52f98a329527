"""What the maker of a build noted beside its log: JSON of tuxmake and KernelCI, the robot's script. Pure.

    tuxmake        {"build": {"target_arch": …, "toolchain": …}, "compiler": {"version_full": …},
                    "results": {"status": "PASS", "targets": {"config": {"status": "PASS"}, …}},
                    "source": {"kernelversion": …}, "git": {"git_describe": …}}
    KernelCI       {"build": {"arch": …, "compiler": "gcc-12", "compiler_version": …, "result": "pass",
                    "srcdir": …}}
    until 2023     {"build": {"status": "PASS"}, "environment": {"arch": …, "compiler_version_full": …},
                    "revision": {"describe": …}}, or all of it in one level
    0-day          COMPILER=gcc-12.1.0 make.cross W=1 O=build_dir ARCH=powerpc

A stranger wrote it: what has another type than it should is as if it were not there.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

_MADE_WELL = frozenset({"PASS", "WARNING"})
_ENDED_BADLY = frozenset({"FAIL"})
_IDLE_TARGETS = frozenset({"config"})
"""Targets of tuxmake that compile nothing."""
_COMPILER_WORD = re.compile(r"\bCOMPILER=(\S{1,80})")
_ARCH_WORD = re.compile(r"\bARCH=(\w{1,40})")
_MAX_FACT_LENGTH = 300
_MAX_TARGETS = 100


@dataclass(frozen=True)
class BuildFacts:
    """What is known of a build beside its log and its .config; None where nothing shows it.

    ``compiler`` is the first line of its ``--version``, or a name such as ``gcc-12``. ``succeeded``: how it
    ended. ``compiled``: whether anything but a configuration was asked for. ``targets`` are what make was
    asked for, where that is not the whole kernel. ``source_root``: where the tree was.
    """

    arch: str | None = None
    compiler: str | None = None
    succeeded: bool | None = None
    compiled: bool | None = None
    version: str | None = None
    revision: str | None = None
    source_root: str | None = None
    targets: tuple[str, ...] | None = None

    def fill_in(self, other: "BuildFacts") -> "BuildFacts":
        """These facts, and the other's where one of these is missing."""
        return replace(
            self, **{name: value for name, value in vars(other).items() if vars(self)[name] is None}
        )


def collect_build_facts(notes: Mapping[str, str]) -> BuildFacts:
    """The facts out of these files (name → text), of which the first that has a thing counts."""
    facts = BuildFacts()
    for text in notes.values():
        facts = facts.fill_in(_read_json(text) or _read_script(text))
    return facts


def _read_json(text: str) -> BuildFacts | None:
    """The facts in a JSON object; None where the text is none."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    facts = _JsonFacts(data)
    return BuildFacts(
        arch=facts.find_text("build.target_arch", "build.arch", "environment.arch", "arch"),
        compiler=facts.find_text(
            *("compiler.version_full", "environment.compiler_version_full", "build.compiler_version"),
            *("compiler_version_full", "build.toolchain", "build.compiler", "build_environment"),
        ),
        succeeded=facts.find_end(),
        compiled=facts.find_compiled(),
        version=facts.find_text("source.kernelversion", "revision.describe_verbose", "git_describe_v"),
        revision=facts.find_text("git.git_describe", "revision.describe", "git_describe"),
        source_root=facts.find_text("build.srcdir"),
        targets=facts.find_targets(),
    )


def _read_script(text: str) -> BuildFacts:
    compiler, arch = _COMPILER_WORD.search(text), _ARCH_WORD.search(text)
    return BuildFacts(arch=arch[1] if arch else None, compiler=compiler[1] if compiler else None)


@dataclass(frozen=True)
class _JsonFacts:
    data: Mapping[str, object]

    def find_text(self, *places: str) -> str | None:
        """The first of these places, ``outer.inner``, that has a text."""
        found = (self._find_value(place) for place in places)
        return next((value.strip() for value in found if isinstance(value, str) and _is_fact(value)), None)

    def _find_value(self, place: str) -> object:
        value: object = self.data
        for key in place.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def find_end(self) -> bool | None:
        """How the build ended; None where that is not said, or in words that are not known."""
        word = (self.find_text("results.status", "build.status", "build.result", "status") or "").upper()
        return True if word in _MADE_WELL else False if word in _ENDED_BADLY else None

    def find_compiled(self) -> bool | None:
        """Whether a target that compiles was made, where tuxmake lists which were."""
        targets = self._find_value("results.targets")
        if not isinstance(targets, dict):
            return None
        made = {name for name, result in targets.items() if _read_status(result) in _MADE_WELL}
        return bool(made - _IDLE_TARGETS)

    def find_targets(self) -> tuple[str, ...] | None:
        """What make was asked for, where tuxmake built some of its targets alone."""
        named = self._find_value("build.targets")
        if not isinstance(named, list) or not all(map(_is_fact, named[:_MAX_TARGETS])):
            return None
        wanted = [name for name in named[:_MAX_TARGETS] if name not in _IDLE_TARGETS]
        parts = tuple(name.removeprefix("make:") for name in wanted)
        return parts if all(name.startswith("make:") for name in wanted) else None


def _is_fact(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= _MAX_FACT_LENGTH


def _read_status(result: object) -> object:
    return result.get("status") if isinstance(result, dict) else None
