"""The table of a bench: as text, and in Markdown for docs/performance.md."""

from collections.abc import Callable, Iterator, Sequence

from rich.console import Console

from matrix.bench_times import BenchTable, CaseRow, Ratio, WayRow
from reports.format_names import find_named_format
from reports.formatting import format_count, format_labelled_lines
from reports.style import print_lines, replace_unencodable
from reports.task_output import format_size

_COLUMNS = ("work", "cells", "way", "builds", "seconds", "a cell", "ratio", "spread", "target")
_TEXT_COLUMNS = frozenset({"work", "way"})
_NOTHING = "-"


def select_table_format(name: str) -> Callable[[BenchTable, Console], None]:
    """The format of this name. RequestError for an unknown one."""
    return find_named_format(name, _FORMATS, f"no format {name!r} of a bench's table")


def _show_text(table: BenchTable, console: Console) -> None:
    replace_unencodable(console)
    rows = [_COLUMNS, *_list_rows(table)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(_COLUMNS))]
    print_lines(console, [*_describe_machine(table), "", *(_align_row(row, widths) for row in rows)])
    print_lines(console, ["", *_list_notes(table)])


def _align_row(row: Sequence[str], widths: Sequence[int]) -> str:
    parts = (
        f"{text:<{width}}" if column in _TEXT_COLUMNS else f"{text:>{width}}"
        for text, width, column in zip(row, widths, _COLUMNS, strict=True)
    )
    return "  ".join(parts).rstrip()


def _show_markdown(table: BenchTable, console: Console) -> None:
    replace_unencodable(console)
    # What others wrote, the versions of compilers, stands in the block of code alone.
    rule = "|".join("---" if column in _TEXT_COLUMNS else "--:" for column in _COLUMNS)
    lines = [f"| {' | '.join(_COLUMNS)} |", f"|{rule}|"]
    lines += [f"| {' | '.join(row)} |" for row in _list_rows(table)]
    machine = [f"    {line}".rstrip() for line in _describe_machine(table)]
    notes = [f"- {note}" for note in _list_notes(table)]
    print_lines(console, [*lines, "", *notes, "", *machine])


_FORMATS = {"text": _show_text, "markdown": _show_markdown}
TABLE_FORMATS = tuple(_FORMATS)


def _describe_machine(table: BenchTable) -> Iterator[str]:
    host, source = table.host, table.source
    memory = format_size(host.memory)
    yield from format_labelled_lines(
        "machine", [f"{host.system}, {format_count(host.cpus, 'CPU')}, {memory}, {host.engine}"]
    )
    package = f" {source.package}" if source.package else ""
    yield from format_labelled_lines("source", [f"Linux {source.version}, {source.spec}{package}"])
    for name, version in table.compilers.items():
        yield from format_labelled_lines(name, [version])
    sample = f"{format_count(table.sample, 'cell')} a repetition" if table.sample else "all cells"
    asked = f"{format_count(table.repeat, 'repetition')}; of the other ways, {sample}"
    yield from format_labelled_lines("measured", [f"{format_count(table.jobs, 'job')}; {asked}"])


def _list_rows(table: BenchTable) -> Iterator[tuple[str, ...]]:
    for case in table.rows:
        yield _build_own_row(case)
        for way in case.ways:
            yield _build_way_row(case, way)


def _build_own_row(case: CaseRow) -> tuple[str, ...]:
    seconds = case.median_seconds
    label = f"{case.name}: {case.title}"
    return (label, str(case.cells), "kmatrix", "", *_format_times(seconds, case.cells), "", "", "")


def _build_way_row(case: CaseRow, way: WayRow) -> tuple[str, ...]:
    target = f"{case.target:.2f}" if case.target is not None and way.way == "tuxmake" else ""
    middle = f"{way.ratio.median:.3f}" if way.ratio else _NOTHING
    times = _format_times(way.seconds, case.cells)
    return ("", "", way.way, str(way.built), *times, middle, _format_spread(way.ratio), target)


def _format_times(seconds: float | None, cells: int) -> tuple[str, str]:
    if seconds is None or not cells:
        return _NOTHING, _NOTHING
    return f"{seconds:.1f}", f"{seconds / cells:.1f}"


def _format_spread(ratio: Ratio | None) -> str:
    if ratio is None or ratio.low is None or ratio.high is None:
        return _NOTHING
    return f"{ratio.low:.3f} to {ratio.high:.3f}"


def _list_notes(table: BenchTable) -> Iterator[str]:
    yield "ratio: kmatrix's seconds over the other way's; spread: from the lowest to the highest"
    if any(way.is_sampled for case in table.rows for way in case.ways):
        yield (
            "builds: where not all cells were built, seconds are, lane by lane, the mean of those times the "
            "cells, and the spread has its standard error in it"
        )
    for case in table.rows:
        if len(case.seconds) < table.repeat:
            yield f"{case.name}: measured {format_count(len(case.seconds), 'time')}"
        yield _format_compilations(case)
        yield _format_overhead(case)
    # The builds of a sample that cases share are in the row of each of them.
    yield from dict.fromkeys(_format_unlike(way) for case in table.rows for way in case.ways if way.unlike)


def _format_unlike(way: WayRow) -> str:
    builds = format_count(way.unlike, "build")
    return f"{', '.join(way.cases)}: {builds} of {way.way} did not end as kmatrix's own, and are not counted"


def _format_overhead(case: CaseRow) -> str:
    took = f"{case.name}: kmatrix's own CPU time was {case.overhead.cpu_seconds:.1f} s"
    if case.overhead.share is None:
        return f"{took}, and it made nothing"
    return f"{took}, {case.overhead.share:.1%} of the {case.overhead.make_seconds:.1f} s of its makes"


def _format_compilations(case: CaseRow) -> str:
    counted = case.compilations
    objects = format_count(counted.compiled, "object")
    if not counted.compiled:
        return f"{case.name}: kmatrix compiled nothing"
    if counted.ratio is None:
        return f"{case.name}: kmatrix compiled {objects}, and remembers none of them"
    return (
        f"{case.name}: kmatrix compiled {objects}, and remembers {counted.distinct} different ones of them: "
        f"{counted.ratio:.3f}"
    )
