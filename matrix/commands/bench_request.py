"""What a bench is asked for: its cases, the other ways, and how much of them is measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from matrix.commands.bench_cases import CASES, BenchCase
from matrix.commands.bench_ways import WAY_NAMES
from matrix.commands.settings import parse_number, split_words
from matrix.errors import RequestError, format_nearest
from matrix.source.spec import parse_source_spec

MAX_REPEAT = 100


@dataclass(frozen=True)
class BenchRequest:
    """What is measured: these cases against these ways, each ``repeat`` times.

    ``sample``: cells that each other way builds in a repetition, 0 for all. ``next_spec``: the source of the
    case `next`.
    """

    cases: tuple[BenchCase, ...]
    against: tuple[str, ...]
    repeat: int
    sample: int
    next_spec: str = ""


def parse_bench_request(
    case: Sequence[str], against: Sequence[str], repeat: str, sample: str, next_spec: str
) -> BenchRequest:
    """The request in the task's options. RequestError for an unknown name, or a number out of its range."""
    known = [item.name for item in CASES if next_spec or not item.is_next]
    names = _choose_names("case", case, tuple(item.name for item in CASES)) or known
    if "next" in names and not next_spec:
        raise RequestError("the case next needs another version of the tree", "name it: --next SPEC")
    if next_spec:
        parse_source_spec(next_spec)
        if "next" not in names:
            raise RequestError("--next is for the case next", "add it: --case next; or leave --next out")
    return BenchRequest(
        cases=tuple(item for item in CASES if item.name in names),
        against=tuple(_choose_names("against", against, WAY_NAMES) or WAY_NAMES),
        repeat=_parse_count("repeat", repeat, 1),
        sample=_parse_count("sample", sample, 0),
        next_spec=next_spec,
    )


def _choose_names(option: str, given: Sequence[str], known: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(split_words(given)))
    for name in names:
        if name not in known:
            raise RequestError(
                f"--{option}: there is no {name!r}{format_nearest(name, known)}",
                f"it takes {', '.join(known)}",
            )
    return names


def _parse_count(option: str, text: str, least: int) -> int:
    try:
        count = parse_number([text])
    except RequestError as error:
        raise RequestError(f"--{option}: {error}", error.hint) from error
    most = MAX_REPEAT if option == "repeat" else 10**6
    if not least <= count <= most:
        raise RequestError(f"--{option}: expected a number from {least} to {most}, got {count}")
    return count
