"""What brought an error about, as experiments showed it, in lines of text."""

from collections.abc import Iterator

from rich.console import Console

from matrix.findings.cause_search import FoundCauses, Outcome
from reports.formatting import format_count
from reports.style import print_lines, replace_unencodable

_WORDS = {
    Outcome.PASSES: "without it the error is gone",
    Outcome.FAILS: "without it the error is there all the same",
    Outcome.UNRESOLVED: "not proven: without it, the others cannot be had, or the build fails otherwise",
}


def show_causes(shown: FoundCauses, console: Console) -> None:
    """Which symbols bring the error about, and what each one's flip showed."""
    replace_unencodable(console)
    print_lines(console, ["", *_render_causes(shown)])


def _render_causes(shown: FoundCauses) -> Iterator[str]:
    differ = "differs" if shown.candidates == 1 else "differ"
    matter = "matters" if len(shown.changes) == 1 else "matter"
    yield (
        f"of {format_count(shown.candidates, 'symbol')} that {differ}, {len(shown.changes)} {matter}; "
        f"found by {format_count(shown.probes, 'experiment')}"
    )
    for number, cause in enumerate(shown.causes, 1):
        if len(shown.causes) > 1:
            yield f"cause {number}"
        named = {name: f"{name}={shown.changes[name][1]}" for name in cause.changes}
        width = max(map(len, named.values()), default=0)
        for name, text in named.items():
            outcome = cause.without.get(name)
            words = _WORDS[outcome] if outcome else "not tried without it"
            yield f"  {text:<{width}}  (instead of {shown.changes[name][0]})  {words}"
    if shown.needed:
        yield "and of what both have, by flips of symbols near to the error"
        for name, value in shown.needed.items():
            takers = ", ".join(shown.takers.get(name, ()))
            yield f"  {name}={value}{f'  (taken by {takers})' if takers else ''}"
    if shown.may_have_more:
        yield "there may be another cause: the search did not come to its end (--probes)"
    if shown.untried:
        yield f"{format_count(shown.untried, 'flip')} of symbols near to the error not tried"
