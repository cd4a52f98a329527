"""How states look in a terminal: a sign that needs no colour, and a colour that only helps."""

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from matrix.record.states import State

STATE_SIGNS: dict[State, str] = {
    State.PASS: ".",
    State.WARN: "w",
    State.FAIL: "F",
    State.EMPTY: "e",
    State.UNREACHABLE: "-",
    State.TIMEOUT: "T",
    State.OOM: "O",
    State.INFRA: "!",
    State.CANCELLED: "c",
    State.NOT_RUN: "?",
}
STATE_STYLES: dict[State, str] = {
    State.PASS: "green",
    State.WARN: "yellow",
    State.FAIL: "bold red",
    State.EMPTY: "cyan",
    State.UNREACHABLE: "dim",
    State.TIMEOUT: "magenta",
    State.OOM: "magenta",
    State.INFRA: "magenta",
    State.CANCELLED: "blue",
    State.NOT_RUN: "blue",
}


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
