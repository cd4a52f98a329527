"""What is kept of a step's output, in memory and in its log, however long it is."""

import tracemalloc

import pytest

from matrix.diagnostics.diagnostic import Diagnostic, Occurrence, Severity
from matrix.resolve.step_output import OUTPUT_LIMITS, OutputLimits, StepOutput, bound_occurrences

SMALL = OutputLimits(first_lines=3, first_bytes=10_000, last_lines=2, last_bytes=10_000, diagnostics=3)


def keep(lines: list[str], limits: OutputLimits = SMALL) -> tuple[StepOutput, tuple[str, ...], list[str]]:
    log: list[str] = []
    output = StepOutput(log.append, limits)
    for line in lines:
        output.add_line(line)
    return output, output.finish(), log


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_a_short_output_is_kept_whole(count: int) -> None:
    lines = [f"line {number}" for number in range(count)]
    output, kept, log = keep(lines)
    assert list(kept) == log == lines
    assert output.left_out_messages == 0


def test_of_a_long_one_the_first_part_and_the_last_are_kept_and_the_rest_is_counted() -> None:
    output, kept, log = keep([f"line {number}" for number in range(1005)])
    note = "[kmatrix: 1,000 lines of the output were left out here]"
    assert list(kept) == log == ["line 0", "line 1", "line 2", note, "line 1003", "line 1004"]
    assert output.left_out_messages == 0


def test_lines_that_name_a_warning_or_an_error_are_counted_where_they_are_left_out() -> None:
    lines = ["warning: kept", "b", "c", "warning: gone", "Error: gone", "fine", "y", "error: kept"]
    assert keep(lines)[0].left_out_messages == 2


def test_the_first_lines_are_in_the_log_at_once() -> None:
    log: list[str] = []
    output = StepOutput(log.append, SMALL)
    output.add_line("a")
    assert log == ["a"]


def test_few_long_lines_are_bounded_as_well() -> None:
    limits = OutputLimits(first_lines=1000, first_bytes=5000, last_lines=1000, last_bytes=3000)
    _, kept, _ = keep(["x" * 1000] * 100, limits)
    assert len(kept) == 4 + 1 + 2


def test_hundreds_of_megabytes_of_output_take_a_bounded_part_of_the_memory() -> None:
    output = StepOutput(lambda _: None)
    tracemalloc.start()
    for number in range(40_000):
        output.add_line(f"/src/a.c:{number}:1: warning: unused variable {'x' * 8000}")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 3 * (OUTPUT_LIMITS.first_bytes + OUTPUT_LIMITS.last_bytes) < 40_000 * 8000
    assert peak < 1.1 * (OUTPUT_LIMITS.first_bytes + OUTPUT_LIMITS.last_bytes)
    assert output.left_out_messages == output.left_out_lines > 20_000


def occurrence(number: int, severity: Severity = "warning") -> Occurrence:
    return Occurrence(Diagnostic(severity=severity, tool="gcc", message=f"message {number}"), f"{number}.o")


def test_few_diagnostics_are_all_kept() -> None:
    found = [occurrence(number) for number in range(3)]
    assert bound_occurrences(found, 0, SMALL) == (found, True)


def test_of_many_diagnostics_errors_are_kept_first_and_the_number_of_the_rest_is_told() -> None:
    found = [*(occurrence(number) for number in range(5)), occurrence(5, "error")]
    kept, is_complete = bound_occurrences(found, 0, SMALL)
    assert not is_complete
    assert [item.diagnostic.message for item in kept[:-1]] == ["message 5", "message 0", "message 1"]
    notice = kept[-1].diagnostic
    assert (notice.tool, notice.severity) == ("kmatrix", "warning")
    assert "3 errors and warnings were left out" in notice.notes


def test_lines_that_were_left_out_are_told_as_well() -> None:
    kept, is_complete = bound_occurrences([], 7, SMALL)
    assert not is_complete
    assert "7 lines that name an error or a warning were left out of the log" in kept[0].diagnostic.notes
