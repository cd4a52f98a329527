"""What tells one configuration from another: the changes that somebody can make, in the order to try them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from matrix.errors import RequestError
from matrix.kconfig.config import Config
from matrix.kconfig.definitions import Definitions
from matrix.kconfig.expressions import list_named_symbols

NEAR = 3
"""Steps through Kconfig files within which a symbol is near to another."""
_TEXT_TYPES = {"string", "int", "hex"}
_MODULES = "MODULES"


def list_config_changes(start: Config, end: Config, definitions: Definitions) -> dict[str, str]:
    """Symbol → its value at the end, where the two differ and a person can set it.

    A symbol without a prompt follows from others. So does a string or a number that is absent at the end. Of
    a symbol that is not defined nothing is known: it is listed.
    """
    return {
        name: value
        for name, (_, value) in start.diff(end).items()
        if _can_be_set(name, is_absent=name not in end, definitions=definitions)
    }


def _can_be_set(name: str, *, is_absent: bool, definitions: Definitions) -> bool:
    found = definitions.find_definitions(name)
    if is_absent and any(definition.type in _TEXT_TYPES for definition in found):
        return False
    return not found or any(definition.prompt for definition in found)


def list_other_values(name: str, config: Config, definitions: Definitions) -> tuple[str, ...]:
    """The values that a person could give a symbol in place of its own. None where it takes any text, or has
    no prompt."""
    found = definitions.find_definitions(name)
    if not any(definition.prompt for definition in found):
        return ()
    types = {definition.type for definition in found if definition.type}
    values = {frozenset({"bool"}): ("n", "y"), frozenset({"tristate"}): ("n", "m", "y")}.get(
        frozenset(types), ()
    )
    return tuple(value for value in values if value != config.value_of(name))


def order_changes(names: Iterable[str], definitions: Definitions, near: Iterable[str]) -> tuple[str, ...]:
    """These symbols: those near to some first, and each after what it depends on, as far as that is known.

    ``near``: symbols that are likely to matter, as `list_near_symbols` takes them.
    """
    wanted = {*names}
    first = {*list_near_symbols(near, definitions)}
    depths = _compute_depths(wanted, definitions)
    # What a near symbol depends on, however far: without it, it could not be had.
    needed = _follow(wanted & first, lambda name: _list_dependencies(name, definitions))
    return tuple(sorted(wanted, key=lambda name: (name not in needed, depths[name], name)))


def list_near_symbols(names: Iterable[str], definitions: Definitions) -> tuple[str, ...]:
    """These, what they depend on, and what selects those that nobody can set, in at most `NEAR` steps; the
    nearest first."""
    found = dict.fromkeys(names)
    reached = [*found]
    for _ in range(NEAR):
        reached = [
            other for name in reached for other in _list_neighbours(name, definitions) if other not in found
        ]
        found |= dict.fromkeys(reached)
    return tuple(found)


def _list_neighbours(name: str, definitions: Definitions) -> Iterator[str]:
    yield from _list_dependencies(name, definitions)
    # What selects a symbol that nobody can set is how it is set.
    if not any(definition.prompt for definition in definitions.find_definitions(name)):
        yield from (selector.symbol for selector in definitions.find_selectors(name))


def find_takers(name: str, near: Iterable[str], config: Config, definitions: Definitions) -> tuple[str, ...]:
    """Those near symbols that are on, and depend on this one being on, as far as that is known."""
    if config.value_of(name) == "n":
        return ()
    return tuple(
        other
        for other in near
        if other != name
        and config.value_of(other) != "n"
        and name in _list_named_dependencies(other, definitions)
    )


def _list_dependencies(name: str, definitions: Definitions) -> Iterator[str]:
    # What it becomes depends on whether there are modules, though no expression says so.
    if any(definition.type == "tristate" for definition in definitions.find_definitions(name)):
        yield _MODULES
    yield from _list_named_dependencies(name, definitions)


def _list_named_dependencies(name: str, definitions: Definitions) -> Iterator[str]:
    for definition in definitions.find_definitions(name):
        for expression in definition.depends:
            # One that cannot be read only makes the order worse.
            try:
                yield from list_named_symbols(expression)
            except RequestError:
                continue


def _compute_depths(names: Iterable[str], definitions: Definitions) -> Mapping[str, int]:
    """Symbol → 0 where it depends on nothing, else one more than the deepest that it depends on.

    Those that depend on each other in a circle are deepest.
    """
    known = _follow(names, lambda name: _list_dependencies(name, definitions))
    needs = {name: {*_list_dependencies(name, definitions)} - {name} for name in known}
    needed_by: dict[str, list[str]] = defaultdict(list)
    for name, others in needs.items():
        for other in others:
            needed_by[other].append(name)
    depths: dict[str, int] = {}
    ready = [name for name, others in needs.items() if not others]
    depth = 0
    while ready:
        depths |= dict.fromkeys(ready, depth)
        depth += 1
        freed = []
        for name in ready:
            for other in needed_by[name]:
                needs[other].discard(name)
                if not needs[other]:
                    freed.append(other)
        ready = freed
    return dict.fromkeys(known, depth) | depths


def _follow(names: Iterable[str], list_next: Callable[[str], Iterable[str]]) -> set[str]:
    """These, and all that is reached from them."""
    found, pending = {*names}, [*names]
    while pending:
        more = {*list_next(pending.pop())} - found
        found |= more
        pending += more
    return found
