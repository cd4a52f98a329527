"""A terminal: how states look in it, and how lines are printed. Signs are readable without colour."""

from collections.abc import Iterable, Mapping
from typing import Self

from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from matrix.foreign_text import clean_text
from matrix.record.states import State

STATE_SIGNS = {state: state.row.sign for state in State}
STATE_STYLES = {state: state.row.style for state in State}


def select_states(*styles: str) -> str:
    """``.timeout, .oom``: CSS's selector of the states that have any of these styles, style by style."""
    return ", ".join(f".{state}" for style in styles for state in State if state.row.style == style)


# Commands and paths must stay whole; what a damaged log has in one line must not fill a screen.
_LINE_LENGTH = 8000


class StyledLine(Text):
    """A line for a terminal. Foreign text in it is cleaned as it comes in: what prints lines takes no other
    kind of text than this."""

    def __init__(self, text: str = "", style: str = "") -> None:
        super().__init__(clean_text(text, _LINE_LENGTH), style)

    def append(self, text: Text | str, style: str | Style | None = None) -> Self:
        super().append(clean_text(text, _LINE_LENGTH) if isinstance(text, str) else text, style)
        return self


def format_state_counts(counts: Mapping[State, int], width: int) -> list[StyledLine]:
    """``. 96 pass   F 2 fail``: the counts, which explain the signs of the grid too; wrapped between them."""
    lines = [StyledLine()]
    remaining = width
    for state, count in counts.items():
        words = f" {count} {state}"
        needed = len(words) + 4
        if lines[-1] and needed > remaining:
            lines.append(StyledLine())
        elif lines[-1]:
            lines[-1].append("   ")
        remaining = (remaining if needed <= remaining else width) - needed
        lines[-1].append(STATE_SIGNS[state], STATE_STYLES[state]).append(words)
    return lines


def print_line(console: Console, line: StyledLine | str = "") -> None:
    """Print a line as it is: no markup, no wrapping, so that it can be copied."""
    print_lines(console, [line])


def print_lines(console: Console, lines: Iterable[StyledLine | str]) -> None:
    """Print lines in one piece, so that no other thread's come between them."""
    console.print(join_lines(lines), markup=False, highlight=False, emoji=False, soft_wrap=True)


def print_columns(
    console: Console, rows: Iterable[tuple[StyledLine, Iterable[StyledLine | str]]], gap: int
) -> None:
    """Print rows of a word and the lines beside it, which are wrapped."""
    table = Table.grid(padding=(0, gap))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for word, lines in rows:
        table.add_row(word, join_lines(lines))
    console.print(table)


def join_lines(lines: Iterable[StyledLine | str]) -> Text:
    """Lines as one text, for what prints or draws several at once."""
    return Text("\n").join(StyledLine(line) if isinstance(line, str) else line for line in lines)


def replace_unencodable(console: Console) -> None:
    """Let a stream that cannot encode ``×`` or ``…`` print ``?`` instead of raising an error."""
    reconfigure = getattr(console.file, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
