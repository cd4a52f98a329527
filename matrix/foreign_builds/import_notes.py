"""What a reader must learn of a run that others built: how its axes were chosen, what is not known. Pure."""

from collections.abc import Iterator, Sequence

from matrix.foreign_builds.config_axes import AxisChoice, list_differing_symbols
from matrix.foreign_builds.imported_build import ImportedBuild, clean_fact, list_distinct, list_first
from matrix.plan import Request
from matrix.record.run_model import IMPORT_AXIS
from matrix.record.states import State

_HINTED_SYMBOLS = 3


def describe_import(
    builds: Sequence[ImportedBuild], requests: Sequence[Request], choice: AxisChoice | None
) -> Iterator[str]:
    """A sentence for each. ``choice`` is None where the axes were named by the user."""
    if choice is not None:
        yield from _describe_choice(choice)
    yield from _describe_rivals(builds)
    yield from _describe_twins(builds, requests)
    yield from _describe_silent_logs(builds)
    versions = list_distinct(build.version for build in builds)
    if len(versions) > 1:
        yield f"they are of different sources, which no axis shows: {', '.join(versions)}"


def _describe_choice(choice: AxisChoice) -> Iterator[str]:
    if not choice.differing:
        yield "no symbol differs between builds of one arch and compiler, so none is an axis"
        return
    names = ", ".join(axis.symbol for axis in choice.axes)
    count = f"{choice.differing} symbols differ" if choice.differing > 1 else "one symbol differs"
    yield f"axes: {names}: the fewest that tell the builds apart ({count}); --symbols names others"
    for axis in choice.axes:
        if axis.followers:
            shown = ", ".join(list_first(axis.followers))
            number = len(axis.followers)
            yield f"{axis.symbol} stands for {number} more, which differ just where it does: {shown}"
        if not axis.is_settable:
            yield f"{axis.symbol} may only follow from others: nothing shows that a person can set it"
    if choice.untold:
        verb = "symbol differs" if choice.untold == 1 else "symbols differ"
        yield f"{choice.untold} more {verb} in other ways than any axis: a condition may stand for such a one"


def _describe_rivals(builds: Sequence[ImportedBuild]) -> Iterator[str]:
    """Which file was read where a directory has several that could be the log, or the .config."""
    for build in builds:
        for name, rivals in build.files.rivals.items():
            if rivals:
                others = ", ".join(list_first([clean_fact(rival) for rival in rivals]))
                yield f"build {build.name}: {clean_fact(name)} was read, and not {others}"


def _describe_twins(builds: Sequence[ImportedBuild], requests: Sequence[Request]) -> Iterator[str]:
    """Builds that have the same values on all axes, and what would distinguish them."""
    groups: dict[tuple[object, ...], list[ImportedBuild]] = {}
    for build, request in zip(builds, requests, strict=True):
        values = tuple(pair for pair in request.symbols if pair[0] != IMPORT_AXIS)
        groups.setdefault((build.lane, values), []).append(build)
    for first, second, *rest in (group for group in groups.values() if len(group) > 1):
        names = ", ".join(list_first([build.name for build in (first, second, *rest)]))
        differing = list_differing_symbols(first.files.config, second.files.config)[:_HINTED_SYMBOLS]
        hint = f"; {first.name} and {second.name} differ in {', '.join(differing)}" if differing else ""
        yield (
            f"{names} have the same values on all axes: each has the name of its directory as one more, "
            f"{IMPORT_AXIS}{hint}"
        )


def _describe_silent_logs(builds: Sequence[ImportedBuild]) -> Iterator[str]:
    """Failing builds of which no log shows what was made: they prove the absence of nothing."""
    failing = [build for build in builds if build.outcome.state is State.FAIL]
    silent = [build.name for build in failing if not build.outcome.objects]
    if silent:
        yield (
            f"{'builds' if len(silent) > 1 else 'build'} {', '.join(list_first(silent))}: what was made "
            "without an error is not known, and nothing is absent: "
            f"the {'logs show' if len(silent) > 1 else 'log shows'} no objects (make -s), or "
            f"{'break' if len(silent) > 1 else 'breaks'} off"
        )
