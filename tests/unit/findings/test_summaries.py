"""What only sums up warnings of the same step."""

from matrix.findings.derive import group_into_problems
from tests.unit.findings.test_foreign_grouping import find_problems, read_run

MISMATCH = "WARNING: modpost: vmlinux.o: section mismatch in reference: f+0x10 (section: .text) -> g (section: .init.text)"  # noqa: E501
SUMMARY = "ERROR: modpost: Section mismatches detected.\n"
CELL = "=== cell arch=x86 toolchain={} KVM={}\n  MODPOST vmlinux.symvers\n"


def test_what_is_summed_up_is_refused() -> None:
    problems = find_problems("section-mismatches-that-are-summed-up")
    assert [problem.severity for problem in problems] == [{"gcc-14": "error"}] * 2


def test_a_mismatch_is_a_warning_where_nothing_refuses_it() -> None:
    text = f"{CELL.format('gcc-14', 'y')}{MISMATCH}\n{CELL.format('clang-19', 'y')}{MISMATCH}\n{SUMMARY}"
    [problem] = group_into_problems(read_run(text), {})
    assert problem.severity == {"gcc-14": "warning", "clang-19": "error"}


def test_a_summary_stays_where_a_cell_has_nothing_that_it_sums_up() -> None:
    text = f"{CELL.format('gcc-14', 'y')}{MISMATCH}\n{SUMMARY}{CELL.format('gcc-14', 'n')}{SUMMARY}"
    titles = [problem.title for problem in group_into_problems(read_run(text), {})]
    assert len(titles) == 2
    assert any("Section mismatches detected" in title for title in titles)


def test_a_count_of_what_is_not_shown_is_no_problem_and_refuses_nothing() -> None:
    suppressed = "WARNING: modpost: suppressed 12 unresolved symbol warnings because there were too many)\n"
    undefined = 'ERROR: modpost: "gone" [drivers/a.ko] undefined!'
    text = f"{CELL.format('gcc-14', 'y')}{MISMATCH}\n{undefined}\n{suppressed}"
    refused, mismatch = group_into_problems(read_run(text), {})
    assert "gone" in refused.title
    assert mismatch.severity == {"gcc-14": "warning"}
