"""A terminal's lines: nothing that it would obey comes in, however a line is put together."""

from io import StringIO

from rich.console import Console

from reports.style import StyledLine, print_columns, print_lines

FOREIGN = "a\x1b[31mb\x07c\nd"
CLEAN = "ab\ufffdc d"


def printed(*lines: StyledLine | str) -> str:
    out = StringIO()
    print_lines(Console(file=out, width=80, color_system=None), lines)
    return out.getvalue()


def test_plain_styled_and_appended_text_is_cleaned() -> None:
    line = StyledLine(FOREIGN, "bold").append(FOREIGN, "dim").append(StyledLine(FOREIGN))
    assert printed(FOREIGN, line) == f"{CLEAN}\n{CLEAN * 3}\n"


def test_a_part_of_a_line_keeps_its_style() -> None:
    line = StyledLine("F", "red").append(FOREIGN, "dim")
    assert [(span.start, span.end, span.style) for span in line.spans] == [(1, 1 + len(CLEAN), "dim")]


def test_columns_are_cleaned_too() -> None:
    out = StringIO()
    print_columns(
        Console(file=out, width=80, color_system=None), [(StyledLine(FOREIGN), [FOREIGN, "x"])], gap=1
    )
    assert [line.rstrip() for line in out.getvalue().splitlines()] == [f"{CLEAN} {CLEAN}", "       x"]
