"""A bench's table as it is printed."""

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

import tasks
from matrix.bench_times import BenchTable, CaseRow, Compilations, Estimate, Overhead, Ratio, WayRow
from matrix.catalog.types import Profile
from matrix.commands.bench_request import BenchRequest
from matrix.errors import MachineError
from matrix.record.run_model import Host, SourceRecord
from matrix.tasks import kmatrix_itself
from reports.bench_table import TABLE_FORMATS, select_table_format

HOST = Host(
    system="Linux 6.12 x86_64", cpus=2, memory=24 * 2**30, engine="docker 20.10", isolation="containers"
)
SOURCE = SourceRecord(
    spec="debian:linux-source-6.12", version="6.12.118", digest="9" * 64, package="6.12.118-1"
)
SAMPLED = WayRow("tuxmake", (Estimate(2340, 100, 4, 52, sampled=True),), Ratio(0.22, 0.21, 0.23))
WHOLE = WayRow("fresh", (Estimate(1040, 0.0, 52, 52),), Ratio(0.5, 0.5, 0.5))
UNLIKE = WayRow("kept", (), None, 3, ("first",))


def a_case(*ways: WayRow, target: float | None = 0.22, distinct: int | None = None) -> CaseRow:
    return CaseRow(
        "first",
        "nothing built yet",
        target,
        52,
        (512.0, 520.0, 530.0),
        ways,
        Compilations(672, distinct),
        Overhead(6.0, 600.0),
    )


def a_table(*rows: CaseRow, compilers: Mapping[str, str] | None = None) -> BenchTable:
    return BenchTable(HOST, SOURCE, compilers or {"gcc-14": "gcc (Debian 14.2.0-19) 14.2.0"}, 2, 3, 4, rows)


def shown(table: BenchTable, name: str = "text") -> list[str]:
    stream = io.StringIO()
    select_table_format(name)(table, Console(file=stream, width=80))
    return stream.getvalue().splitlines()


def test_the_machine_is_described_first() -> None:
    lines = shown(a_table(a_case()))
    assert [line.split()[0] for line in lines[:4]] == ["machine", "source", "gcc-14", "measured"]
    assert "2 CPUs, 24.0 GiB, docker 20.10" in lines[0]
    assert "Linux 6.12.118, debian:linux-source-6.12 6.12.118-1" in lines[1]
    assert "2 jobs; 3 repetitions; of the other ways, 4 cells a repetition" in lines[3]


def test_the_columns_stand_below_each_other_however_narrow_the_terminal() -> None:
    lines = shown(a_table(a_case(SAMPLED, WHOLE, UNLIKE)))
    start = next(number for number, line in enumerate(lines) if line.startswith("work"))
    assert lines[start : start + 5] == [
        "work                      cells  way      builds  seconds  a cell  ratio          spread  target",
        "first: nothing built yet     52  kmatrix            520.0    10.0",
        "                                 tuxmake       4   2340.0    45.0  0.220  0.210 to 0.230    0.22",
        "                                 fresh        52   1040.0    20.0  0.500  0.500 to 0.500",
        "                                 kept          0        -       -      -               -",
    ]


def test_a_spread_that_is_not_known_is_a_dash() -> None:
    way = WayRow("tuxmake", (Estimate(45, None, 1, 2),), Ratio(0.3, None, None))
    row = next(line for line in shown(a_table(a_case(way))) if "tuxmake" in line)
    assert row.split()[-3:] == ["0.300", "-", "0.22"]


def test_what_was_sampled_or_left_out_is_said() -> None:
    whole = "\n".join(shown(a_table(a_case(WHOLE))))
    assert "the mean of those" not in whole
    assert "did not end as" not in whole
    both = "\n".join(shown(a_table(a_case(SAMPLED, UNLIKE))))
    assert "the mean of those times the cells" in both
    assert "first: 3 builds of kept did not end as kmatrix's own, and are not counted" in both


@pytest.mark.parametrize(
    ("distinct", "words"),
    [
        (None, "kmatrix compiled 672 objects, and remembers none of them"),
        (640, "kmatrix compiled 672 objects, and remembers 640 different ones of them: 1.050"),
    ],
)
def test_compilations_are_counted(distinct: int | None, words: str) -> None:
    assert words in "\n".join(shown(a_table(a_case(distinct=distinct))))


def test_nothing_compiled_is_said_so() -> None:
    row = CaseRow("again", "the very same again", 0.01, 52, (1.0,), (), Compilations(0), Overhead(0.25, 0))
    assert "again: kmatrix compiled nothing" in shown(a_table(row))


def test_kmatrix_s_own_time_is_told_beside_that_of_its_makes() -> None:
    assert "first: kmatrix's own CPU time was 6.0 s, 1.0% of the 600.0 s of its makes" in shown(
        a_table(a_case())
    )
    row = CaseRow("again", "the very same again", 0.01, 52, (1.0,), (), Compilations(0), Overhead(0.25, 0))
    assert "again: kmatrix's own CPU time was 0.2 s, and it made nothing" in shown(a_table(row))


def test_what_cases_left_out_of_a_sample_they_share_is_told_once() -> None:
    shared = WayRow("tuxmake", (), None, 3, ("first", "again"))
    said = [line for line in shown(a_table(a_case(shared), a_case(shared))) if "did not end as" in line]
    assert said == ["first, again: 3 builds of tuxmake did not end as kmatrix's own, and are not counted"]


def test_a_case_that_was_measured_less_often_is_told() -> None:
    assert not any("measured 3" in line for line in shown(a_table(a_case())) if line.startswith("first"))
    once = replace(a_case(), name="next", seconds=(1.0,))
    assert "next: measured 1 time" in shown(a_table(once))


def test_in_markdown_it_is_a_table_with_the_machine_below() -> None:
    lines = shown(a_table(a_case(SAMPLED)), "markdown")
    assert lines[:4] == [
        "| work | cells | way | builds | seconds | a cell | ratio | spread | target |",
        "|---|--:|---|--:|--:|--:|--:|--:|--:|",
        "| first: nothing built yet | 52 | kmatrix |  | 520.0 | 10.0 |  |  |  |",
        "|  |  | tuxmake | 4 | 2340.0 | 45.0 | 0.220 | 0.210 to 0.230 | 0.22 |",
    ]
    assert any(line.startswith("      machine") for line in lines)


def test_foreign_text_is_only_text() -> None:
    table = a_table(a_case(), compilers={"mine": "gcc \x1b[31m | 1.0"})
    for name in TABLE_FORMATS:
        assert not any("\x1b" in line for line in shown(table, name))


def test_the_task_prints_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[Profile, BenchRequest]] = []

    def measure(profile: Profile, request: BenchRequest, *_: object) -> BenchTable:
        asked.append((profile, request))
        return a_table(a_case(SAMPLED))

    monkeypatch.setattr(kmatrix_itself, "run_bench", measure)
    tasks.program.run(["kmatrix", "bench", "--case", "first", "--arch", "powerpc", "--format", "markdown"])
    assert capsys.readouterr().out.startswith("| work |")
    ((profile, request),) = asked
    assert profile.arch == ("powerpc",)
    assert [case.name for case in request.cases] == ["first"]


def test_the_task_prints_what_was_measured_before_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(*given: Any) -> BenchTable:
        given[3](a_table(a_case(SAMPLED)))
        raise MachineError("tuxmake could not build x86")

    monkeypatch.setattr(kmatrix_itself, "run_bench", measure)
    with pytest.raises(SystemExit, match="2"):
        tasks.program.run(["kmatrix", "bench", "--case", "first", "--against", "fresh"])
    printed = capsys.readouterr()
    assert "first: nothing built yet" in printed.out
    assert "tuxmake could not build x86" in printed.err
