"""What rests on more than the cells' own builds, in words: what was seen through, what a neighbour shows."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from matrix.verdict.verdict_model import FindingChange, FindingStatus, SeenThrough

ThroughNaming = Callable[[SeenThrough], Sequence[str]]
"""The names of what was in the way."""


def list_through_ids(look: SeenThrough) -> Sequence[str]:
    """The findings that were in the way, by id; what was demoted where none is known."""
    return look.through or list_demotions(look)


def list_demotions(look: SeenThrough) -> Sequence[str]:
    """``-Wenum-conversion``, and ``WERROR=n``: what was changed to look behind it."""
    return (*look.demoted, *look.switched_off)


def format_toolchain_outcomes(change: FindingChange, naming: ThroughNaming = list_through_ids) -> str:
    """``fixed with gcc-14; with clang-19 fixed, seen through F2 and F3, which stay``.

    Empty where all rests on the cells' own builds.
    """
    if not change.seen_through and not change.excluded_like:
        return ""
    own = [f"fixed with {_join_words(change.gone_with)}"] if change.gone_with else []
    return "; ".join([*own, *_list_clauses(change, naming)])


def list_look_commands(change: FindingChange) -> list[str]:
    """What was made by itself for a finding, each command once, and what came up that no build had shown."""
    commands = (f"{look.when}: {look.command}" for look in change.seen_through if look.command)
    beyond = (title for look in change.seen_through for title in look.beyond)
    return [*dict.fromkeys(commands), *(f"which also shows {title}" for title in dict.fromkeys(beyond))]


def format_look_methods(change: FindingChange) -> str:
    """``virt/kvm/vfio.o was made by itself with -Wno-error=self-assign``; empty where nothing was."""
    methods = {
        f"{_join_words(look.objects)} was made by itself with {_format_changes(look)}": None
        for look in change.seen_through
        if look.command
    }
    return "; ".join(methods)


def _format_changes(look: SeenThrough) -> str:
    flags = [f"-Wno-error={name.removeprefix('-W')}" for name in look.demoted]
    return _join_words([*flags, *look.switched_off]) if flags or look.switched_off else "the same flags"


def _list_clauses(change: FindingChange, naming: ThroughNaming) -> Iterator[str]:
    toolchains = dict.fromkeys(look.toolchain for look in change.seen_through)
    for toolchain in toolchains:
        looks = [look for look in change.seen_through if look.toolchain == toolchain]
        after = [look for look in looks if look.when == "after"]
        yield f"with {toolchain} {_format_looks(after or looks, change, naming)}"
    for like in change.excluded_like:
        if like.toolchain not in toolchains:
            toolchains[like.toolchain] = None
            yield f"with {like.toolchain} not built any more, as with {like.neighbour_toolchain}"


def _format_looks(looks: Sequence[SeenThrough], change: FindingChange, naming: ThroughNaming) -> str:
    """What the worst of these shows."""
    unseen = [look for look in looks if look.shows is None]
    showing = [look for look in looks if look.shows]
    if looks[0].when == "before":
        outcome = "fixed, and there before" if change.fate is FindingStatus.FIXED else "there before"
    elif showing:
        outcome = "still there"
    else:
        outcome = "not known, not even" if unseen else "fixed"
    decisive = showing or unseen or looks
    separator = " " if outcome.endswith("even") else ", "
    return f"{outcome}{separator}seen through {_format_through(decisive, naming)}"


def _format_through(looks: Sequence[SeenThrough], naming: ThroughNaming) -> str:
    names = list(dict.fromkeys(name for look in looks for name in naming(look)))
    if not names:
        return "other errors"
    stay = f", which stay{'s' if len(names) == 1 else ''}" if all(look.stays for look in looks) else ""
    return f"{_join_words(names)}{stay}"


def _join_words(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
