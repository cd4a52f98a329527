"""Which part of a log a page shows."""

from reports.limits import HTML_LOG_LINES, LINE_LENGTH
from reports.log_excerpt import LogExcerpt, excerpt_log, excerpt_tail
from tests.fakes.runs import GCC_ERROR

QUIET = [f"  CC      lib/x{number}.o" for number in range(300)]


def excerpt(*lines: str) -> LogExcerpt:
    return excerpt_log("\n".join(lines) + "\n", [GCC_ERROR])


def test_the_error_is_in_it_with_what_comes_before_and_after() -> None:
    told = excerpt(*QUIET[:100], f"a.h:1: error: {GCC_ERROR.message}", *QUIET)
    assert (told.first, told.error, told.total) == (89, 101, 401)
    assert len(told.lines) == HTML_LOG_LINES
    assert told.lines[told.error - told.first].startswith("a.h:1: error:")


def test_the_diagnostic_outweighs_an_earlier_line_that_only_has_the_word() -> None:
    told = excerpt("  CC  lib/error.o: Error", *QUIET, GCC_ERROR.message, "end")
    assert told.error == 302


def test_without_the_diagnostic_the_first_error_counts_and_without_any_the_end() -> None:
    assert excerpt(*QUIET, "make: *** [x] Error 1", *QUIET).error == 301
    assert excerpt("  CC      drivers/md/dm-error.o", *QUIET).error == 0
    told = excerpt(*QUIET)
    assert (told.error, told.first, told.lines[-1]) == (0, 261, QUIET[-1])


def test_a_short_log_is_whole_and_a_long_line_is_cut() -> None:
    told = excerpt("one", "x" * 10_000)
    assert (told.first, told.total, told.lines[0]) == (1, 2, "one")
    assert len(told.lines[1]) == LINE_LENGTH


def test_an_error_near_the_begin_or_the_end_leaves_as_many_lines() -> None:
    for place in (0, 299):
        lines = [*QUIET[:place], "error: x", *QUIET[place:]]
        told = excerpt(*lines)
        assert len(told.lines) == HTML_LOG_LINES
        assert told.lines[told.error - told.first] == "error: x"


def test_the_end_of_a_log_that_is_too_large_claims_no_place_in_it() -> None:
    told = excerpt_tail(("quiet", "error: x", "x" * 10_000))
    assert (told.first, told.total, told.error) == (0, 0, 0)
    assert len(told.lines[2]) == LINE_LENGTH
