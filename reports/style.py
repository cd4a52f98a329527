"""How states look in a terminal: a sign that needs no colour, and a colour that only helps."""

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from matrix.record.states import State

STATE_SIGNS = {state: state.row.sign for state in State}
STATE_STYLES = {state: state.row.style for state in State}


def select_states(*styles: str) -> str:
    """``.timeout, .oom``: CSS's selector of the states that have any of these styles, style by style."""
    return ", ".join(f".{state}" for style in styles for state in State if state.row.style == style)


def format_state_counts(counts: Mapping[State, int], width: int) -> Text:
    """``. 96 pass   F 2 fail``: the counts, which explain the signs of the grid too; wrapped between them."""
    told = Text()
    room = width
    for state, count in counts.items():
        words = f" {count} {state}"
        needed = len(words) + 4
        told.append("" if not told else "   " if needed <= room else "\n")
        room = (room if needed <= room else width) - needed
        told.append(STATE_SIGNS[state], STATE_STYLES[state]).append(words)
    return told


def print_line(console: Console, text: Text | str = "") -> None:
    """Print a line as it is: no markup, no wrapping, so that it can be copied."""
    console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


def replace_unencodable(console: Console) -> None:
    """Let a stream that cannot say ``×`` or ``…`` print ``?`` instead of raising an error."""
    reconfigure = getattr(console.file, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
