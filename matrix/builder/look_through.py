"""Objects made one by one with their promoted warnings demoted, to see what those warnings hide.

For a directory of the caller's own: what is made here has other flags than the cell's, or even another
configuration, and must not stay in a lane.

1. ``-Wno-error=FLAG`` in KCFLAGS, for each warning that was promoted in the object. What the compiler shows
   only then is demoted in turn. A makefile may promote a warning again after KCFLAGS, so that the result
   alone shows whether this helped.
2. Where it did not, the tree's own symbols that promote warnings are switched off as well. Nothing else of
   the configuration may change by that.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from matrix.builder.kbuild_objects import find_made_since
from matrix.builder.lane_dir import LaneDirectory
from matrix.diagnostics.diagnostic import Diagnostic
from matrix.diagnostics.log_parser import parse_build_log
from matrix.engine.protocol import LineCallback
from matrix.foreign_text import clean_text
from matrix.kconfig.config import Config
from matrix.record.demoted_build import DemotedBuild, is_demotable
from matrix.record.states import UNTRIED_STATES, State
from matrix.resolve.make_runner import MakeResult, MakeRunner

_MAX_ROUNDS = 4
"""How often what shows up behind demoted warnings is demoted as well."""
# A log may hold anything: only what is the name of a warning becomes a word of a command.
_FLAG = re.compile(r"-W(?P<name>[a-z0-9][A-Za-z0-9+-]*)=?")
# clang's own name of what gcc calls -Wcpp cannot stand in every makefile; it takes gcc's as well.
_FLAG_ALIASES = {"-W#warnings": "-Wcpp", "-W#pragma-messages": "-Wcpp"}
_PROMOTING_SYMBOL = re.compile(r"(?:[A-Z0-9_]*_)?WERROR")
_DISABLING_SYMBOL = re.compile(r"(?:[A-Z0-9_]*_)?DISABLE_WERROR")
_REASON_LENGTH = 200


@dataclass(frozen=True)
class HiddenTarget:
    """An object to be made, by the name that its makefile has for it, and the errors that hide it."""

    object: str
    target: str
    errors: tuple[Diagnostic, ...]


@dataclass(frozen=True)
class _Attempt:
    """A target, with the warnings that are demoted for it: names without ``-W``."""

    hidden: HiddenTarget
    demoted: frozenset[str]
    build: DemotedBuild = field(default_factory=DemotedBuild)

    @property
    def errors(self) -> list[Diagnostic]:
        return [item for item in self.build.diagnostics if item.severity == "error"]

    @property
    def newly_demotable(self) -> frozenset[str]:
        return _collect_flag_names(self.errors) - self.demoted

    @property
    def is_hopeless(self) -> bool:
        """Whether an error stands in the way that is none of a promoted warning."""
        return not self.errors or not all(map(is_demotable, self.errors))


@dataclass
class DemotingBuilder:
    """Makes objects of one configured cell in ``lane``, a directory of the caller's own.

    ``config`` is the cell's, ``cell`` its id; ``log`` takes what make prints.
    """

    lane: LaneDirectory
    runner: MakeRunner
    cell: str
    config: str
    log: LineCallback

    def build(self, hidden: Sequence[HiddenTarget]) -> dict[str, DemotedBuild]:
        """Object → how it came out. MachineError where the machine's fault keeps all from being made."""
        self.lane.put_config(self.config)
        attempts = [_Attempt(item, _collect_flag_names(item.errors)) for item in hidden]
        done = self._demote(attempts)
        left = [item for item in done if not item.build.is_made and not item.is_hopeless]
        again = self._switch_off(left) if left else []
        return {item.hidden.object: item.build for item in (*done, *again)}

    def _demote(self, attempts: Sequence[_Attempt], switched_off: tuple[str, ...] = ()) -> list[_Attempt]:
        """Make these, and those again behind whose warnings others came up."""
        done: list[_Attempt] = []
        for _ in range(_MAX_ROUNDS):
            made = [*self._make_all(attempts, switched_off)]
            attempts = [
                replace(item, demoted=item.demoted | item.newly_demotable)
                for item in made
                if not item.build.is_made and not item.is_hopeless and item.newly_demotable
            ]
            done += made
            if not attempts:
                break
        # Of several attempts at one object the last counts.
        return [*{item.hidden.object: item for item in done}.values()]

    def _make_all(self, attempts: Iterable[_Attempt], switched_off: tuple[str, ...]) -> Iterator[_Attempt]:
        """Make targets with the same flags in one go."""
        groups: dict[frozenset[str], list[_Attempt]] = {}
        for item in attempts:
            groups.setdefault(item.demoted, []).append(item)
        for demoted, group in groups.items():
            yield from self._make_group(group, demoted, switched_off)

    def _make_group(
        self, group: Sequence[_Attempt], demoted: frozenset[str], switched_off: tuple[str, ...]
    ) -> Iterator[_Attempt]:
        objects = [item.hidden.object for item in group]
        # One that is there may be of any configuration.
        self.lane.remove_objects(objects)
        moment = self.lane.mark_busy()
        runner = replace(self.runner, make_variables=_add_flags(self.runner.make_variables, demoted))
        result = runner.run([item.hidden.target for item in group], self.cell, self.log)
        made = find_made_since(self.lane.build, objects, moment)
        printed = parse_build_log(result.lines, failed=result.state is State.FAIL).occurrences
        for item in group:
            own = tuple(o.diagnostic for o in printed if o.object == item.hidden.object)
            is_made = item.hidden.object in made and not any(d.severity == "error" for d in own)
            errors = own or tuple(o.diagnostic for o in printed)
            reason = "" if is_made else _explain_failure(result, errors)
            flags = tuple(f"-W{name}" for name in sorted(demoted))
            build = DemotedBuild(result.command, own, is_made, reason, flags, switched_off)
            yield replace(item, build=build)

    def _switch_off(self, attempts: Sequence[_Attempt]) -> list[_Attempt]:
        """Make these with the symbols that promote warnings switched off; none where there are none."""
        wanted = _find_promoting_symbols(Config.parse(self.config))
        if not wanted:
            return []
        self.lane.put_config(str(Config.parse(self.config).merge(Config(wanted))))
        self.lane.mark_busy()
        result = self.runner.run(("olddefconfig",), self.cell, self.log)
        changed = Config.parse(self.config).diff(Config.parse(self.lane.files.read_text(".config") or ""))
        others = [name for name in changed if not _PROMOTING_SYMBOL.fullmatch(name)]
        if result.exit or not changed or others:
            return []
        values = tuple(f"{name}={new}" for name, (_, new) in sorted(changed.items()))
        return self._demote(attempts, values)


def _collect_flag_names(errors: Iterable[Diagnostic]) -> frozenset[str]:
    """The names of the warnings that were promoted to these."""
    flags = (_FLAG_ALIASES.get(str(item.flag), str(item.flag)) for item in errors if item.promoted)
    matches = (_FLAG.fullmatch(flag) for flag in flags)
    return frozenset(match[0].removeprefix("-W") for match in matches if match)


def _add_flags(variables: Mapping[str, str], demoted: Iterable[str]) -> dict[str, str]:
    """The make line, its KCFLAGS with these warnings demoted at the end."""
    flags = [variables.get("KCFLAGS", ""), *(f"-Wno-error={name}" for name in sorted(demoted))]
    text = " ".join(filter(None, flags))
    return {**variables, **({"KCFLAGS": text} if text else {})}


def _find_promoting_symbols(config: Config) -> dict[str, str]:
    """The values that keep a configuration from promoting warnings: ``WERROR=n``, ``PPC_DISABLE_WERROR=y``.

    Empty where it does not promote any. What a symbol without a prompt follows from is switched as well.
    """
    promoting = {name: "n" for name, value in config.items() if _promotes(name) and value == "y"}
    disabling = {name: "y" for name in config if _DISABLING_SYMBOL.fullmatch(name)}
    return {**promoting, **disabling} if promoting else {}


def _promotes(name: str) -> bool:
    return bool(_PROMOTING_SYMBOL.fullmatch(name)) and not _DISABLING_SYMBOL.fullmatch(name)


def _explain_failure(result: MakeResult, printed: Sequence[Diagnostic]) -> str:
    """Why an object was not made, in the words of the first error that no flag could demote."""
    if result.state in UNTRIED_STATES:
        return result.reason or result.state.value
    errors = sorted((item for item in printed if item.severity == "error"), key=is_demotable)
    if not errors:
        return "make did not make it"
    error = errors[0]
    where = f"{error.location}: " if error.file else ""
    flag = f" [{error.flag}]" if error.flag else ""
    return clean_text(f"{where}{error.message}{flag}", _REASON_LENGTH)
