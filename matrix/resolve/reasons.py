"""Why a wanted value became another one, in words. Pure.

The resolved .config alone decides what is reachable; these rules only explain it, from the text of the
Kconfig files, and the last of them always applies. The first rule that applies gives the reason:

1. not all Kconfig files of the tree were read: what they do not have may be in the others;
2. the symbol does not exist: everything else would be beside the point;
3. it was wanted m and is a bool: true under every configuration, so it comes before MODULES;
4. it was wanted m and MODULES is off: no m exists, whatever selects it or depends on it;
5. it got more than was wanted, and something that is on selects it: no prompt could lower it;
6. it has no prompt: meeting its dependencies would not make it settable, so they are not named;
7. it got less, and a dependency of it is n, or is m and so limits it;
8. its prompt is hidden by its own condition;
9. what it became.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from matrix.catalog.load import Catalog
from matrix.code_digest import compute_code_digest
from matrix.errors import RequestError
from matrix.kconfig.config import Config, SymbolCheck
from matrix.kconfig.definitions import Definitions
from matrix.kconfig.expressions import evaluate_expression, list_macros, rank_tristate, split_conjuncts
from matrix.kconfig.kconfig_file import Definition
from matrix.resolve.resolution import Resolution

_MAX_NAMES = 3
_TRISTATE_VALUES = {"n", "m", "y"}


def explain_unreached(
    resolution: Resolution, config: Config, definitions: Definitions, catalog: Catalog
) -> tuple[str, ...]:
    """Why a resolution is not what was asked for: a reason for each symbol of the request, in the request's
    words, then for each symbol beside it. ``config`` is the resolution's own.
    """
    request, labelled = resolution.request, []
    failed = {check.symbol: check for check in resolution.checks if not check.is_satisfied}
    for name, value in request.symbols:
        setting = catalog.find_setting(request.arch, name, value)
        checks = [failed.pop(symbol) for symbol in setting.proof if symbol in failed]
        # A symbol that was set explains more than one that follows from it: KVM has no prompt on powerpc.
        first = sorted(checks, key=lambda check: check.symbol not in setting.set)[:1]
        labelled += [(check, f"{name}={value}") for check in first]
    labelled += [(check, f"{check.symbol}={check.want}") for check in failed.values()]
    return tuple(
        explain_check(check, config, definitions, arch=request.arch, label=label) for check, label in labelled
    )


def compute_reason_key(resolution: Resolution, catalog: Catalog, definitions_digest: str) -> str:
    """Equal keys, equal reasons: the digest of all that `explain_unreached` reads, and of its code.

    ``definitions_digest`` is of what says which symbols the tree defines.
    """
    request = resolution.request
    settings = [catalog.find_setting(request.arch, *symbol) for symbol in request.symbols]
    depends = [
        compute_code_digest("matrix.kconfig", "matrix.resolve"),
        definitions_digest,
        [request.arch, catalog.arches[request.arch].srcarch],
        request.symbols,
        [setting.model_dump(mode="json") for setting in settings],
        resolution.checks,
        resolution.config_sha256,
    ]
    return hashlib.sha256(json.dumps(depends).encode()).hexdigest()


def explain_check(
    check: SymbolCheck, config: Config, definitions: Definitions, *, arch: str, label: str | None = None
) -> str:
    """Why ``check.symbol`` is not what was wanted: a short fragment, ``VFIO_PCI=y: needs PCI, which is n``.

    ``label`` is the request in its own words (``KVM=m``), where the symbol checked stands for another one.
    ``config`` is the resolved configuration, ``definitions`` those of the tree for ``arch``.
    """
    case = _FailedCheck(check, config, definitions, arch, label or f"{check.symbol}={check.want}")
    return next(reason for rule in _RULES if (reason := rule(case)) is not None)


@dataclass(frozen=True)
class _FailedCheck:
    """A check that failed, and what the rules need to explain it."""

    check: SymbolCheck
    config: Config
    definitions: Definitions
    arch: str
    label: str

    @property
    def is_own_label(self) -> bool:
        """Whether the label is about the very symbol that was checked."""
        return self.label == f"{self.check.symbol}={self.check.want}"

    @property
    def symbol_definitions(self) -> tuple[Definition, ...]:
        return self.definitions.find_definitions(self.check.symbol)

    @property
    def symbol_types(self) -> set[str]:
        return {definition.type for definition in self.symbol_definitions if definition.type}

    @property
    def settable_definitions(self) -> tuple[Definition, ...]:
        """The definitions with a prompt: where a request can reach the symbol."""
        return tuple(definition for definition in self.symbol_definitions if definition.prompt)

    @property
    def is_raised(self) -> bool:
        return {self.check.want, self.check.got} <= _TRISTATE_VALUES and rank_tristate(
            self.check.got
        ) > rank_tristate(self.check.want)

    def format_reason(self, words: str) -> str:
        """The label, then the words; between them the symbol, where the label is about another one."""
        return f"{self.label}: {words}" if self.is_own_label else f"{self.label}: {self.check.symbol} {words}"

    def evaluate_value(self, expr: str) -> str | None:
        """An expression in this configuration; None where only conf can evaluate it."""
        try:
            return None if list_macros(expr) else evaluate_expression(expr, self.config)
        except RequestError:
            return None


def _explain_unread_files(case: _FailedCheck) -> str | None:
    if not case.definitions.left_out:
        return None
    return case.format_reason(f"became {case.check.got}; why is not known: {case.definitions.left_out}")


def _explain_unknown_symbol(case: _FailedCheck) -> str | None:
    if case.symbol_definitions or case.check.symbol in case.config:
        return None
    nearest = case.definitions.find_nearest_symbol(case.check.symbol)
    hint = f" (nearest: {nearest})" if nearest else ""
    subject = case.check.symbol if case.is_own_label else f"{case.label}: {case.check.symbol}"
    return f"{subject}: the tree has no such symbol on {case.arch}{hint}"


def _explain_bool(case: _FailedCheck) -> str | None:
    if case.check.want != "m" or case.symbol_types != {"bool"}:
        return None
    words = f"{case.check.symbol} has no m on {case.arch}"
    return words if case.is_own_label else f"{case.label}: {words}"


def _explain_modules_off(case: _FailedCheck) -> str | None:
    if (case.check.want, case.check.got) != ("m", "y") or case.config.value_of("MODULES") == "y":
        return None
    return f"{case.label}: MODULES=n makes it y"


def _explain_selected(case: _FailedCheck) -> str | None:
    """``selected by VFIO (=y)``: those whose value and condition together exceed what was wanted."""
    if not case.is_raised:
        return None
    selectors = (
        f"{symbol} (={case.config.value_of(symbol)})"
        for symbol, condition in case.definitions.find_selectors(case.check.symbol)
        if _compute_forced_rank(case, symbol, condition) > rank_tristate(case.check.want)
    )
    names = _join_first(selectors)
    return case.format_reason(f"{'' if case.is_own_label else 'is '}selected by {names}") if names else None


def _compute_forced_rank(case: _FailedCheck, selector: str, condition: str | None) -> int:
    """What a selector raises its target to, at least: 0 (n) to 2 (y)."""
    holds = rank_tristate(case.evaluate_value(condition) or "n") if condition else 2
    return min(rank_tristate(case.config.value_of(selector)), holds)


def _explain_no_prompt(case: _FailedCheck) -> str | None:
    if case.settable_definitions or not case.symbol_definitions:
        return None
    return case.format_reason("has no prompt: Kconfig computes it")


def _explain_unmet_dependency(case: _FailedCheck) -> str | None:
    """``needs PCI, which is n``, from the settable definition that lacks least."""
    if case.is_raised or not case.settable_definitions:
        return None
    lacking = min(
        (_find_dependencies_at(case, definition, "n") for definition in case.settable_definitions), key=len
    )
    if lacking:
        # `depends on m` stands for MODULES: conf has no m without it.
        named = ("MODULES" if need == "m" else need for need in lacking)
        return case.format_reason("needs " + _join_first((f"{need}, which is n" for need in named), ", and "))
    return _explain_m_limit(case)


def _explain_m_limit(case: _FailedCheck) -> str | None:
    if (case.check.want, case.check.got) != ("y", "m"):
        return None
    limits = min(
        (_find_dependencies_at(case, definition, "m") for definition in case.settable_definitions), key=len
    )
    if not limits:
        return None
    if "m" in limits:
        return case.format_reason("can only be m")
    noun, verb = ("dependency", "is") if len(limits) == 1 else ("dependencies", "are")
    it = "it is" if case.is_own_label else f"{case.check.symbol} is"
    its = "its" if case.is_own_label else f"{case.check.symbol}'s"
    return f"{case.label}: {its} {noun} {_join_first(limits, ' and ')} {verb} m, so {it} at most m"


def _find_dependencies_at(case: _FailedCheck, definition: Definition, value: str) -> list[str]:
    """What a definition depends on that has this value, each once."""
    parts = (
        part
        for expr in definition.depends
        for part in _split_condition(expr)
        if case.evaluate_value(part) == value
    )
    return list(dict.fromkeys(parts))


def _split_condition(expr: str) -> tuple[str, ...]:
    try:
        return split_conjuncts(expr)
    except RequestError:
        return ()


def _explain_hidden_prompt(case: _FailedCheck) -> str | None:
    """``its prompt needs EXPERT, which is n``."""
    conditions = [definition.prompt_if for definition in case.settable_definitions]
    if not conditions or any(
        condition is None or case.evaluate_value(condition) != "n" for condition in conditions
    ):
        return None
    hiding = [part for part in _split_condition(str(conditions[0])) if case.evaluate_value(part) == "n"]
    whose = "its" if case.is_own_label else f"{case.check.symbol}'s"
    needs = _join_first((f"{part}, which is n" for part in hiding), ", and ")
    return f"{case.label}: {whose} prompt needs {needs}"


def _explain_outcome(case: _FailedCheck) -> str:
    return case.format_reason(f"became {case.check.got}")


def _join_first(words: Iterable[str], between: str = ", ") -> str:
    """The first few of some words, and how many more there are."""
    listed = list(words)
    more = len(listed) - _MAX_NAMES
    return between.join(listed[:_MAX_NAMES]) + (f" (and {more} more)" if more > 0 else "")


_RULES: tuple[Callable[[_FailedCheck], str | None], ...] = (
    _explain_unread_files,
    _explain_unknown_symbol,
    _explain_bool,
    _explain_modules_off,
    _explain_selected,
    _explain_no_prompt,
    _explain_unmet_dependency,
    _explain_hidden_prompt,
    _explain_outcome,
)
